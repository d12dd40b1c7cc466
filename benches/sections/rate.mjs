// Single launches on 64 connections, to one campaign and to many, compared with a Worker that only passes the body to an object,
// which only inserts it as a row.

import { Client } from '../client.mjs';
import { singleBody } from '../data.mjs';
import { CAMPAIGN, MANY, preparePeer, prepareOurs } from '../state.mjs';
import { median, p99, rotated, significant } from '../statistics.mjs';
import { BEARER, SINGLE, startOurs, startPeer, startReference } from '../workers.mjs';

const CONNECTIONS = 64;

/** @param {import('../main.mjs').Options} options */
export async function rate({ quick, say, watch }) {
  await preparePeer();
  await prepareOurs({ many: false });
  const [ours, peer, reference] = [await startOurs(), await startPeer(), await startReference()];
  const one = () => CAMPAIGN.small;
  const many = (/** @type {number} */ n) => MANY.first + (n % MANY.count);
  const launch = () => SINGLE;
  const row = (/** @type {number} */ campaign) => `/rows/${campaign}`;
  const variants = [
    { who: 'bare', to: 'one', origin: reference.origin, path: row, campaign: one },
    { who: 'peer', to: 'one', origin: peer.origin, path: launch, campaign: one },
    { who: 'ours', to: 'one', origin: ours.origin, path: launch, campaign: one },
    { who: 'bare', to: 'many', origin: reference.origin, path: row, campaign: many },
    { who: 'peer', to: 'many', origin: peer.origin, path: launch, campaign: many },
    { who: 'ours', to: 'many', origin: ours.origin, path: launch, campaign: many },
  ].map((variant) => ({
    ...variant,
    rates: /** @type {number[]} */ ([]),
    ms: /** @type {number[]} */ ([]),
  }));
  const [rounds, seconds] = quick ? [3, 1] : [7, 2];
  for (let round = -1; round < rounds; round++) {
    await watch();
    for (const variant of rotated(variants, round + 1)) {
      const { perSecond, ms } = await load(variant, seconds * 1000);
      if (round < 0) continue;
      variant.rates.push(perSecond);
      variant.ms.push(...ms);
    }
  }
  await Promise.all([ours.stop(), peer.stop(), reference.stop()]);
  const summary = variants.map(({ who, to, rates, ms }) => ({
    who,
    to,
    runs: rates.length,
    perSecond: significant(median(rates)),
    p50: significant(median(ms)),
    p99: p99(ms),
  }));
  for (const { who, to, perSecond, p99, runs } of summary) {
    say(`${who} to ${to}: ${perSecond} a second, p99 ${p99} ms; ${runs} runs of ${seconds} s`);
  }
  return { connections: CONNECTIONS, seconds, cases: summary };
}

/**
 * Sends requests on all connections for a time. Each connection has carried a request before the measurement begins.
 * @param {{ origin: import('../client.mjs').Origin, path: (campaign: number) => string, campaign: (n: number) => number }} variant
 * @param {number} time
 */
export async function load({ origin, path, campaign }, time) {
  const client = new Client(origin, CONNECTIONS);
  /** @type {number[]} */
  const ms = [];
  let sent = 0;
  const send = () => {
    const n = sent++;
    const id = campaign(n);
    return client.must(path(id), singleBody(id, n), { ...BEARER, 'Content-Type': 'application/json' });
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, send));
  const start = performance.now();
  const connection = async () => {
    while (performance.now() - start < time) ms.push((await send()).ms);
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  const perSecond = (ms.length * 1000) / (performance.now() - start);
  client.close();
  return { perSecond, ms };
}
