// Single launches on 64 connections, to one campaign and to many; beside it an object that does nothing but insert the
// body as a row, behind a Worker that does nothing but pass it on.

import { Client } from '../client.mjs';
import { singleBody } from '../data.mjs';
import { CAMPAIGN, MANY, preparePeer, prepareOurs } from '../state.mjs';
import { median, quantile, rotated, significant } from '../statistics.mjs';
import { BEARER, SINGLE, startOurs, startPeer, startReference } from '../workers.mjs';

const CONNECTIONS = 64;

/** @param {{ quick: boolean, say: (line: string) => void }} options */
export async function rate({ quick, say }) {
  await preparePeer();
  await prepareOurs({ many: false });
  const [ours, peer, reference] = [await startOurs(), await startPeer(), await startReference()];
  const one = () => CAMPAIGN.small;
  const many = (/** @type {number} */ n) => MANY.first + (n % MANY.count);
  const launch = () => SINGLE;
  const row = (/** @type {number} */ campaign) => `/rows/${campaign}`;
  const variants = [
    { who: 'bare', to: 'one', url: reference.url, path: row, campaign: one },
    { who: 'peer', to: 'one', url: peer.url, path: launch, campaign: one },
    { who: 'ours', to: 'one', url: ours.url, path: launch, campaign: one },
    { who: 'bare', to: 'many', url: reference.url, path: row, campaign: many },
    { who: 'peer', to: 'many', url: peer.url, path: launch, campaign: many },
    { who: 'ours', to: 'many', url: ours.url, path: launch, campaign: many },
  ].map((variant) => ({
    ...variant,
    client: new Client(variant.url, CONNECTIONS),
    rates: /** @type {number[]} */ ([]),
    ms: /** @type {number[]} */ ([]),
  }));
  const [rounds, seconds] = quick ? [3, 1] : [7, 2];
  for (let round = -1; round < rounds; round++) {
    for (const variant of rotated(variants, round + 1)) {
      const { perSecond, ms } = await load(variant, seconds * 1000);
      if (round < 0) continue;
      variant.rates.push(perSecond);
      variant.ms.push(...ms);
    }
  }
  for (const { client } of variants) client.close();
  await Promise.all([ours.stop(), peer.stop(), reference.stop()]);
  const summary = variants.map(({ who, to, rates, ms }) => ({
    who,
    to,
    runs: rates.length,
    perSecond: significant(median(rates)),
    p50: significant(median(ms)),
    p99: significant(quantile(ms, 0.99)),
  }));
  for (const { who, to, perSecond, p99, runs } of summary) {
    say(`${who} to ${to}: ${perSecond} a second, p99 ${p99} ms; ${runs} runs of ${seconds} s`);
  }
  return { connections: CONNECTIONS, seconds, cases: summary };
}

/** Requests on all connections for a time. @param {{ client: Client, path: (campaign: number) => string, campaign: (n: number) => number }} variant @param {number} time */
async function load({ client, path, campaign }, time) {
  /** @type {number[]} */
  const ms = [];
  const start = performance.now();
  let sent = 0;
  const connection = async () => {
    while (performance.now() - start < time) {
      const n = sent++;
      const id = campaign(n);
      const answer = await client.must(path(id), singleBody(id, n), { ...BEARER, 'Content-Type': 'application/json' });
      ms.push(answer.ms);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  return { perSecond: (ms.length * 1000) / (performance.now() - start), ms };
}
