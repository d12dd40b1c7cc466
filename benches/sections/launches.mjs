// Launches of 1 to 300,000 items through the floor, the peer and our Worker. All formats, kinds and Workers of one size take
// turns, and each round begins with another one.

import { createHash } from 'node:crypto';
import { serverTiming } from '../client.mjs';
import { launchBody, mediaType } from '../data.mjs';
import { CAMPAIGN, preparePeer, prepareOurs } from '../state.mjs';
import { median, P99_RUNS, p99, rotated, significant } from '../statistics.mjs';
import { BATCH, BEARER, startOurs, startPeer, startReference } from '../workers.mjs';

/** The numbers of items, with the numbers of measured rounds and of discarded rounds before them. The two largest sizes need no
 * discarded round. The largest has more rounds for the phases, without the peer, which can take minutes for each launch. `kept`
 * is the number of rounds of our Worker with nothing kept. */
const SIZES = [
  { items: 1, rounds: P99_RUNS, quick: 60, warm: 20, kept: 200 },
  { items: 10, rounds: 100, quick: 20, warm: 5 },
  { items: 1_000, rounds: 25, quick: 5, warm: 2 },
  { items: 30_000, rounds: 4, quick: 2, warm: 0 },
  { items: 300_000, rounds: 2, quick: 1, warm: 0, phases: 20 },
];
/** The number of launches between two blocks of the floor: one for small launches takes as long as a block. */
const WATCH_EVERY = 200;
const FORMATS = /** @type {const} */ (['json', 'xml']);
const KINDS = /** @type {const} */ (['matched', 'unmatched']);

/** The measurements of one case, in milliseconds. @typedef {'floor' | 'routed' | 'bare' | 'peer' | 'remembering' | 'ours' | 'cold' | 'drain' | 'parse' | 'match' | 'commit'} Measured */
/** @typedef {Partial<Record<Measured, number[]>>} Samples */

/** @param {import('../main.mjs').Options} options */
export async function launches({ quick, say, watch }) {
  await preparePeer();
  await prepareOurs({ many: false });
  const workers = {
    ours: await startOurs(),
    peer: await startPeer(),
    reference: await startReference(),
    routed: await startReference('routed'),
  };
  /** @type {Case[]} */
  const cases = [];
  const roundsOf = (/** @type {typeof SIZES[number]} */ { rounds, quick: few }) => (quick ? few : rounds);
  for (const size of SIZES) {
    const { items, warm } = size;
    const block = FORMATS.flatMap((format) => KINDS.map((kind) => new Case(workers, format, kind, items)));
    const rounds = roundsOf(size);
    for (const one of block) await one.agree();
    for (let round = -warm; round < rounds; round++) {
      if (items >= 1_000 || round % WATCH_EVERY === 0) await watch();
      for (const one of rotated(block, round + warm)) await one.round(round + warm, round >= 0);
    }
    for (let round = 0; round < (quick ? 0 : (size.phases ?? 0)); round++) {
      for (const one of rotated(block, round)) await one.phases(round);
    }
    cases.push(...block);
    for (const one of block) say(one.line());
  }
  await Promise.all(Object.values(workers).map((worker) => worker.stop()));
  // The peer has no cache of buckets, and remembers no records. Our Worker without both is measured separately, because two Workers cannot share a state.
  const cold = await startOurs({ BUCKETS_KEPT: '0', REMEMBER_SECONDS: '0' });
  for (const size of SIZES) {
    const block = cases.filter(({ items }) => items === size.items);
    const rounds = Math.min(roundsOf(size), size.kept ?? Infinity);
    for (let round = -size.warm; round < rounds; round++) {
      for (const one of rotated(block, round + size.warm)) await one.coldRound(cold, round >= 0);
    }
  }
  await cold.stop();
  return { cases: cases.map((one) => one.summary()) };
}

const TURNS = /** @type {const} */ (['floor', 'routed', 'bare', 'peer', 'remembering', 'ours']);
/** The Workers that are compared only with a launch of one item: the router's time does not depend on the body, a bare insert is one
 * row, and the records of tokens and campaigns take a small part of the time of larger launches. */
const SINGLE_ONLY = new Set(['routed', 'bare', 'remembering']);
/** @typedef {typeof TURNS[number]} Turn */

class Case {
  /** @type {Samples} */
  samples = {};
  answer = 0;

  /** @param {Record<'ours' | 'peer' | 'reference' | 'routed', import('../workers.mjs').Worker>} workers @param {import('../data.mjs').Format} format @param {import('../data.mjs').Kind} kind @param {number} items */
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
    const { ours, peer, reference, routed } = this.workers;
    const headers = { ...BEARER, ...this.type };
    const own = await ours.client.must(BATCH, this.body, headers);
    const others = await peer.client.must(BATCH, this.body, headers);
    const digest = (/** @type {string} */ text) => createHash('sha256').update(text).digest('hex');
    if (digest(own.text()) !== digest(others.text()))
      throw new Error(`${this.name}: the peer does not answer as we do`);
    const matched = Number(own.headers['launch-matched']);
    if ((this.kind === 'matched') !== matched > 0) throw new Error(`${this.name}: ${matched} matched`);
    this.answer = own.length;
    for (const floor of [reference, routed]) await floor.client.must(this.drain, this.body, headers);
  }

  /** The path of the floor. */
  get drain() {
    return `/drain?answer=${this.answer}`;
  }

  /** @param {Measured} name @param {number} ms */
  add(name, ms) {
    (this.samples[name] ??= []).push(ms);
  }

  /** The Workers that take turns. */
  get workersInTurn() {
    return this.items === 1 ? TURNS : TURNS.filter((name) => !SINGLE_ONLY.has(name));
  }

  /** @param {number} round @param {boolean} counts whether it is measured @param {readonly Turn[]} names whose turn it is */
  async round(round, counts, names = this.workersInTurn) {
    const note = (/** @type {Measured} */ name, /** @type {number} */ ms) => void (counts && this.add(name, ms));
    /** @type {Record<Turn, () => Promise<void>>} */
    const turns = {
      floor: async () => {
        const answer = await this.workers.reference.client.must(this.drain, this.body, { ...BEARER, ...this.type });
        note('floor', answer.ms);
        note('drain', serverTiming(answer, 'parse'));
      },
      routed: async () =>
        note('routed', (await this.workers.routed.client.must(this.drain, this.body, { ...BEARER, ...this.type })).ms),
      bare: async () => {
        const path = `/rows/${CAMPAIGN.small}`;
        note('bare', (await this.workers.reference.client.must(path, this.body, { ...BEARER, ...this.type })).ms);
      },
      peer: async () =>
        note('peer', (await this.workers.peer.client.must(BATCH, this.body, { ...BEARER, ...this.type })).ms),
      remembering: async () => {
        const headers = { ...BEARER, ...this.type };
        note('remembering', (await this.workers.peer.client.must(`${BATCH}?remember=1`, this.body, headers)).ms);
      },
      ours: async () => {
        const { headers, line } = this.workers.ours.watched();
        note('ours', (await this.workers.ours.client.must(BATCH, this.body, { ...headers, ...this.type })).ms);
        const { parse_ms, match_ms, commit_ms } = await line;
        note('parse', parse_ms);
        note('match', match_ms);
        note('commit', commit_ms);
      },
    };
    for (const name of rotated([...names], round)) await turns[name]();
  }

  /** Runs the floor and our Worker once more, and records only the phases. @param {number} round */
  async phases(round) {
    const { floor, ours } = this.samples;
    await this.round(round, true, ['floor', 'ours']);
    floor?.pop();
    ours?.pop();
  }

  /** @param {import('../workers.mjs').Worker} worker a Worker without a cache of buckets @param {boolean} counts */
  async coldRound(worker, counts) {
    const { ms } = await worker.client.must(BATCH, this.body, { ...BEARER, ...this.type });
    if (counts) this.add('cold', ms);
  }

  get name() {
    return `${this.items} items, ${this.format}, ${this.kind}`;
  }

  /** The results in milliseconds: medians, and 99th percentiles of those with enough runs. */
  summary() {
    const { format, kind, items, samples } = this;
    /** @template T @param {(values: number[]) => T} of @returns {Record<Measured, T>} */
    const each = (of) =>
      /** @type {Record<Measured, T>} */ (
        Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, of(values)]))
      );
    const runs = samples.ours?.length ?? 0;
    const medians = each((values) => significant(median(values)));
    return { format, kind, items, bytes: this.body.length, runs, median: medians, p99: each(p99) };
  }

  line() {
    const { median: of, runs } = this.summary();
    const phases = `(parse ${of.parse}, match ${of.match}, commit ${of.commit})`;
    return `${this.name}: floor ${of.floor} ms, peer ${of.peer} ms, ours ${of.ours} ms ${phases}; ${runs} runs`;
  }
}
