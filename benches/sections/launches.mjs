// Launches of 1 to 300,000 items through the floor, the peer and our Worker. All formats, kinds and Workers of one size take
// turns, and each round begins with another one.

import { createHash } from 'node:crypto';
import { serverTiming } from '../client.mjs';
import { launchBody, mediaType } from '../data.mjs';
import { CAMPAIGN, preparePeer, prepareOurs } from '../state.mjs';
import { median, quantile, rotated, significant } from '../statistics.mjs';
import { BATCH, BEARER, startOurs, startPeer, startReference } from '../workers.mjs';

/** The numbers of items, with the numbers of measured rounds and of discarded rounds before them. The largest size needs no
 * discarded round. It has more rounds for the phases, without the peer, which takes half a minute for each launch. */
const SIZES = [
  { items: 1, rounds: 400, quick: 60, warm: 20 },
  { items: 10, rounds: 100, quick: 20, warm: 5 },
  { items: 1_000, rounds: 25, quick: 5, warm: 2 },
  { items: 30_000, rounds: 5, quick: 2, warm: 1 },
  { items: 300_000, rounds: 3, quick: 1, warm: 0, phases: 20 },
];
const FORMATS = /** @type {const} */ (['json', 'xml']);
const KINDS = /** @type {const} */ (['matched', 'unmatched']);

/** @typedef {{ floor: number[], peer: number[], ours: number[], cold: number[], drain: number[], parse: number[], match: number[], commit: number[] }} Samples */

/** @param {{ quick: boolean, say: (line: string) => void }} options */
export async function launches({ quick, say }) {
  await preparePeer();
  await prepareOurs({ many: false });
  const workers = { ours: await startOurs(), peer: await startPeer(), reference: await startReference() };
  /** @type {Case[]} */
  const cases = [];
  const roundsOf = (/** @type {typeof SIZES[number]} */ { rounds, quick: few }) => (quick ? few : rounds);
  for (const size of SIZES) {
    const { items, warm } = size;
    const block = FORMATS.flatMap((format) => KINDS.map((kind) => new Case(workers, format, kind, items)));
    const rounds = roundsOf(size);
    for (const one of block) await one.agree();
    for (let round = -warm; round < rounds; round++) {
      for (const one of rotated(block, round + warm)) await one.round(round + warm, round >= 0);
    }
    for (let round = 0; round < (quick ? 0 : (size.phases ?? 0)); round++) {
      for (const one of rotated(block, round)) await one.phases(round);
    }
    cases.push(...block);
    for (const one of block) say(one.line());
  }
  await Promise.all(Object.values(workers).map((worker) => worker.stop()));
  // The peer has no cache of buckets. Our Worker without its cache is measured separately, because two Workers cannot share a state.
  const cold = await startOurs({ BUCKETS_KEPT: '0' });
  for (const size of SIZES) {
    const block = cases.filter(({ items }) => items === size.items);
    for (let round = -size.warm; round < roundsOf(size); round++) {
      for (const one of rotated(block, round + size.warm)) await one.coldRound(cold, round >= 0);
    }
  }
  await cold.stop();
  return { cases: cases.map((one) => one.summary()) };
}

class Case {
  /** @type {Samples} */
  samples = { floor: [], peer: [], ours: [], cold: [], drain: [], parse: [], match: [], commit: [] };
  answer = 0;

  /** @param {Record<'ours' | 'peer' | 'reference', import('../workers.mjs').Worker>} workers @param {import('../data.mjs').Format} format @param {import('../data.mjs').Kind} kind @param {number} items */
  constructor(workers, format, kind, items) {
    this.workers = workers;
    this.format = format;
    this.kind = kind;
    this.items = items;
    this.body = launchBody(format, kind, items, { campaign: CAMPAIGN.small });
    this.type = { 'Content-Type': mediaType(format), Accept: mediaType(format) };
  }

  /** The first run, which is discarded. The responses of the peer and our Worker must be equal; that of the floor gets their size. */
  async agree() {
    const { ours, peer, reference } = this.workers;
    const headers = { ...BEARER, ...this.type };
    const own = await ours.client.must(BATCH, this.body, headers);
    const others = await peer.client.must(BATCH, this.body, headers);
    const digest = (/** @type {string} */ text) => createHash('sha256').update(text).digest('hex');
    if (digest(own.text()) !== digest(others.text()))
      throw new Error(`${this.name}: the peer does not answer as we do`);
    const matched = Number(own.headers['launch-matched']);
    if ((this.kind === 'matched') !== matched > 0) throw new Error(`${this.name}: ${matched} matched`);
    this.answer = own.length;
    await reference.client.must(`/drain?answer=${this.answer}`, this.body, headers);
  }

  /** @param {number} round @param {boolean} counts whether it is measured @param {('floor' | 'peer' | 'ours')[]} names whose turn it is */
  async round(round, counts, names = ['floor', 'peer', 'ours']) {
    const note = (/** @type {keyof Samples} */ name, /** @type {number} */ ms) =>
      void (counts && this.samples[name].push(ms));
    const turns = {
      floor: async () => {
        const answer = await this.workers.reference.client.must(`/drain?answer=${this.answer}`, this.body, {
          ...BEARER,
          ...this.type,
        });
        note('floor', answer.ms);
        note('drain', serverTiming(answer, 'parse'));
      },
      peer: async () =>
        note('peer', (await this.workers.peer.client.must(BATCH, this.body, { ...BEARER, ...this.type })).ms),
      ours: async () => {
        const { headers, line } = this.workers.ours.watched();
        note('ours', (await this.workers.ours.client.must(BATCH, this.body, { ...headers, ...this.type })).ms);
        const { parse_ms, match_ms, commit_ms } = await line;
        note('parse', parse_ms);
        note('match', match_ms);
        note('commit', commit_ms);
      },
    };
    for (const name of rotated(names, round)) await turns[name]();
  }

  /** Runs the floor and our Worker once more, and records only the phases. @param {number} round */
  async phases(round) {
    const { floor, ours } = this.samples;
    await this.round(round, true, ['floor', 'ours']);
    floor.pop();
    ours.pop();
  }

  /** @param {import('../workers.mjs').Worker} worker a Worker without a cache of buckets @param {boolean} counts */
  async coldRound(worker, counts) {
    const { ms } = await worker.client.must(BATCH, this.body, { ...BEARER, ...this.type });
    if (counts) this.samples.cold.push(ms);
  }

  get name() {
    return `${this.items} items, ${this.format}, ${this.kind}`;
  }

  /** The results: medians and the 99th percentile of all samples, in milliseconds. */
  summary() {
    const entries = Object.entries(this.samples);
    const all = (/** @type {(values: number[]) => number} */ of) =>
      /** @type {Record<keyof Samples, number>} */ (
        Object.fromEntries(entries.map(([name, values]) => [name, significant(of(values))]))
      );
    const { format, kind, items } = this;
    const p99 = all((values) => quantile(values, 0.99));
    return { format, kind, items, bytes: this.body.length, runs: this.samples.ours.length, median: all(median), p99 };
  }

  line() {
    const { median: of, runs } = this.summary();
    const phases = `(parse ${of.parse}, match ${of.match}, commit ${of.commit})`;
    return `${this.name}: floor ${of.floor} ms, peer ${of.peer} ms, ours ${of.ours} ms ${phases}; ${runs} runs`;
  }
}
