// Deliveries to a receiver on the same machine: the time to the first attempt, the rate to a slow receiver, a launch of many
// pages, and launches while a receiver hangs.

import http from 'node:http';
import { launchBody, MANY_PROFILES, mediaType, singleBody } from '../data.mjs';
import { CAMPAIGN, MANY, prepareOurs } from '../state.mjs';
import { median, P99_RUNS, p99, quantile, rotated, significant } from '../statistics.mjs';
import { BATCH, BEARER, SINGLE, startOurs, TRIGGERS } from '../workers.mjs';
import { load } from './rate.mjs';

const VARIABLES = { WEBHOOK_HOSTS: 'any' };
/** The time that the slow receiver takes for an answer. */
const SLOW_MS = 50;
/** The recipients of the launch of many pages. A page has 1,000. */
const RECIPIENTS = 300_000;
const PAGES = RECIPIENTS / 1000;
/** The launches that wait when the rate is measured. */
const BACKLOG = { strict: 100, relaxed: 300 };
const CONNECTIONS = 64;

/** @typedef {import('../workers.mjs').Worker} Worker */

/** A receiver that calls `answer` for each message and knows when the messages have arrived. */
class Receiver {
  received = 0;
  /** @type {() => void} */
  #arrived = () => {};
  /** @type {(response: http.ServerResponse, body: Buffer) => void} */
  answer = (response) => response.writeHead(204).end();
  #server = http.createServer((request, response) => {
    /** @type {Buffer[]} */
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
      this.received += 1;
      this.answer(response, Buffer.concat(pieces));
      this.#arrived();
    });
  });

  /** Starts to listen. Returns the URL for a webhook. */
  async start() {
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', () => resolve(undefined)));
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/`;
  }

  /** Waits until this number of messages has arrived. @param {number} count @returns {Promise<void>} */
  until(count) {
    return new Promise((resolve) => {
      this.#arrived = () => {
        if (this.received >= count) resolve();
      };
      this.#arrived();
    });
  }

  stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** @param {Worker} worker @param {number} campaign @param {object} definition */
const put = (worker, campaign, definition) =>
  worker.client.must(`${TRIGGERS}/${campaign}/webhook`, Buffer.from(JSON.stringify(definition)), BEARER, 'PUT');

/** The state of a webhook. @param {Worker} worker @param {number} campaign */
async function stateOf(worker, campaign) {
  const { text } = await worker.client.must(`${TRIGGERS}/${campaign}/webhook`, Buffer.alloc(0), BEARER, 'GET');
  return JSON.parse(text()).state;
}

/** Launches to one profile. @param {Worker} worker @param {number} campaign @param {number} n */
const launch = (worker, campaign, n) =>
  worker.client.must(SINGLE, singleBody(campaign, n), { ...BEARER, 'Content-Type': mediaType('json') });

/** The linear memory of the Worker after a launch to a campaign without a webhook. @param {Worker} worker */
async function memoryOf(worker) {
  const { headers, line } = worker.watched();
  const type = { 'Content-Type': mediaType('json') };
  await worker.client.must(SINGLE, singleBody(CAMPAIGN.small, 0), { ...headers, ...type });
  return (await line).wasm_bytes;
}

/** @param {import('../main.mjs').Options} options */
export async function delivery({ quick, say, watch }) {
  await prepareOurs({ many: true });
  const worker = await startOurs(VARIABLES);
  const first = await firstAttempts(worker, quick ? 100 : P99_RUNS, watch);
  say(`commit to first attempt: median ${first.median} ms, p99 ${first.p99} ms; ${first.runs} runs`);
  const rates = await slowReceiver(worker, quick ? 1 : 3, watch);
  say(`a receiver that takes ${SLOW_MS} ms: strict ${rates.strict}, relaxed ${rates.relaxed} launches a second`);
  await worker.stop();
  const pages = await manyPages(quick ? 1 : 3, watch);
  say(`${PAGES} pages: ${pages.ms} ms, linear memory grew by ${pages.memory} bytes; ${pages.runs} runs`);
  const hanging = await hangingReceiver(quick, watch);
  say(
    `launches a second: ${hanging.hanging} with a hanging receiver, ${hanging.none} without a webhook; ` +
      `linear memory grew by ${hanging.memory} bytes; ${hanging.runs} runs`,
  );
  return { slowMs: SLOW_MS, recipients: RECIPIENTS, connections: CONNECTIONS, first, rates, pages, hanging };
}

/**
 * The time from `accepted_at`, which is read before the launch is stored, to the arrival of the message. The launches are sent one
 * after the other, each when the message of the one before was answered. @param {Worker} worker @param {number} runs
 * @param {() => Promise<void>} watch
 */
async function firstAttempts(worker, runs, watch) {
  const receiver = new Receiver();
  const campaign = MANY.first;
  /** @type {number[]} */
  const ms = [];
  receiver.answer = (response, body) => {
    const arrived = performance.timeOrigin + performance.now();
    ms.push(arrived - Date.parse(JSON.parse(body.toString()).timestamp));
    response.writeHead(204).end();
  };
  await put(worker, campaign, { url: await receiver.start() });
  for (let run = -20; run < runs; run++) {
    if (run % 200 === 0) await watch();
    if (run === 0) ms.length = 0;
    const next = receiver.received + 1;
    await launch(worker, campaign, run + 20);
    await receiver.until(next);
  }
  receiver.stop();
  return { runs: ms.length, median: significant(median(ms)), p99: p99(ms) ?? significant(quantile(ms, 0.99)) };
}

/** Launches a second that a receiver gets from a backlog. @param {Worker} worker @param {number} rounds @param {() => Promise<void>} watch */
async function slowReceiver(worker, rounds, watch) {
  const orderings = /** @type {const} */ (['strict', 'relaxed']);
  /** @type {Record<'strict' | 'relaxed', number[]>} */
  const perSecond = { strict: [], relaxed: [] };
  for (let round = 0; round < rounds; round++) {
    await watch();
    for (const [at, ordering] of rotated([...orderings.entries()], round)) {
      const campaign = MANY.first + 1 + 2 * round + at;
      const receiver = new Receiver();
      receiver.answer = (response) => setTimeout(() => response.writeHead(204).end(), SLOW_MS);
      await put(worker, campaign, { url: await receiver.start(), ordering, active: false });
      const count = BACKLOG[ordering];
      for (let n = 0; n < count; n++) await launch(worker, campaign, n);
      const begin = performance.now();
      await put(worker, campaign, { active: true });
      await receiver.until(count);
      perSecond[ordering].push((count * 1000) / (performance.now() - begin));
      receiver.stop();
    }
  }
  return {
    runs: rounds,
    strict: significant(median(perSecond.strict)),
    relaxed: significant(median(perSecond.relaxed)),
  };
}

/**
 * The time until all pages of a large launch have arrived. The Worker is started again after the launch, because linear memory
 * never shrinks and the launch itself needs more. @param {number} rounds @param {() => Promise<void>} watch
 */
async function manyPages(rounds, watch) {
  const receiver = new Receiver();
  const url = await receiver.start();
  const first = await startOurs(VARIABLES);
  await put(first, CAMPAIGN.large, { url, active: false });
  const body = launchBody('json', 'matched', RECIPIENTS, { campaign: CAMPAIGN.large, profiles: MANY_PROFILES });
  await first.client.must(BATCH, body, { ...BEARER, 'Content-Type': mediaType('json') });
  await first.stop();
  const worker = await startOurs(VARIABLES, undefined, { keep: true });
  const before = await memoryOf(worker);
  const ms = [];
  for (let round = 0; round < rounds; round++) {
    await watch();
    receiver.received = 0;
    const begin = performance.now();
    if (round === 0) await put(worker, CAMPAIGN.large, { active: true });
    else {
      const replay = Buffer.from('{"after":0}');
      await worker.client.must(`${TRIGGERS}/${CAMPAIGN.large}/webhook/replay`, replay, BEARER);
    }
    await receiver.until(PAGES);
    ms.push(performance.now() - begin);
    while ((await stateOf(worker, CAMPAIGN.large)).status !== 'idle');
  }
  const memory = (await memoryOf(worker)) - before;
  await worker.stop();
  receiver.stop();
  return { runs: rounds, pages: PAGES, ms: significant(median(ms)), memory };
}

/** Launches on many connections to a campaign whose receiver never answers, and to one without a webhook. @param {boolean} quick @param {() => Promise<void>} watch */
async function hangingReceiver(quick, watch) {
  const worker = await startOurs(VARIABLES);
  const receiver = new Receiver();
  const url = await receiver.start();
  receiver.answer = () => {};
  const variant = (/** @type {number} */ campaign) => ({
    origin: worker.origin,
    path: () => SINGLE,
    campaign: () => campaign,
    rates: /** @type {number[]} */ ([]),
  });
  const variants = { hanging: variant(MANY.first), none: variant(MANY.first + 1) };
  const [rounds, seconds] = quick ? [3, 1] : [9, 2];
  let before = 0;
  for (let round = -1; round < rounds; round++) {
    await watch();
    for (const one of rotated(Object.values(variants), round + 1)) {
      const { perSecond } = await load(one, seconds * 1000);
      if (round >= 0) one.rates.push(perSecond);
    }
    // The first round fills the memory that launches need, without a webhook.
    if (round < 0) {
      before = await memoryOf(worker);
      await put(worker, MANY.first, { url });
    }
  }
  const memory = (await memoryOf(worker)) - before;
  if (receiver.received === 0) throw new Error('nothing was delivered');
  await worker.stop();
  receiver.stop();
  const { hanging, none } = variants;
  return {
    runs: rounds,
    seconds,
    hanging: significant(median(hanging.rates)),
    none: significant(median(none.rates)),
    ratio: significant(median(hanging.rates.map((rate, round) => rate / (none.rates[round] ?? NaN)))),
    memory,
  };
}
