// Connections without a token that send little and then wait, and simultaneous launches by other callers.

import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { Client, Origin } from '../../benches/client.mjs';
import { duration } from '../../benches/report.mjs';
import { median } from '../../benches/statistics.mjs';
import { BATCH, bearer, GOOD, TOKEN } from '../runtime/fixture.js';
import { Connection } from './connection.js';
import {
  excessOf,
  runConcurrently,
  mebibytes,
  progress,
  report,
  rounds,
  tally,
  waitFor,
  WatchedWorker,
} from './soak.js';

const MIB = 2 ** 20;
/** Linear memory stays below this, whatever the number of slow connections. */
const LINEAR_MEMORY = 24 * MIB;
/** A connection slower than the minimum rate receives its answer long before this. */
const ANSWERED_MS = 60_000;
/** Connections that are opened at once. */
const OPENING = 200;
/** Launches that each caller makes at least. */
const LAUNCHES = 50;
/** Time between two launches of one caller. */
const BETWEEN_MS = 50;

/** Connections of one kind. */
interface Variant {
  name: string;
  count: number;
  /** `Content-Length` of each. */
  length: number;
  /** What each sends at once after its head. */
  begin: string;
  /** What each sends every second after that. */
  trickle?: string;
  /** How long they are observed, if some of them are fast enough to stay longer. */
  observed?: number;
}

const slowest = rounds();
const HELD = `{"attach":[{"name":"a","data":"${'QUJD'.repeat((400 * 1024) / 4)}`;

const VARIANTS: Variant[] = [
  ...[0, Math.round(slowest / 5), slowest].map((count) => ({
    name: 'a head and one byte',
    count,
    length: 1000,
    begin: '{',
  })),
  { name: 'a head and one byte of 10 MiB', count: 128, length: 10 * MIB, begin: '{' },
  {
    name: 'a head and one byte every second',
    count: Math.round(slowest / 5),
    length: 1000,
    begin: '{',
    trickle: ' ',
  },
  // These are faster than the minimum rate for more than a minute, so some may still be open at the end.
  { name: '400 KiB of an attachment', count: 40, length: MIB, begin: HELD, observed: 40_000 },
];

/** The places of the token in a valid launch. */
const PLACES: { place: string; target: string; headers: Record<string, string>; body: object }[] = [
  { place: 'header', target: BATCH, headers: bearer(), body: GOOD },
  { place: 'query', target: `${BATCH}?token=${TOKEN.all}`, headers: {}, body: GOOD },
  { place: 'body, first', target: BATCH, headers: {}, body: { token: TOKEN.all, ...GOOD } },
  { place: 'body, last', target: BATCH, headers: {}, body: { ...GOOD, token: TOKEN.all } },
];

/** The results of one caller's launches. */
interface Seen {
  place: string;
  outcomes: (number | string)[];
  ms: number[];
  reserved: number[];
}

describe('slow connections', () => {
  const memory: (string | number)[][] = [];
  const launches: (string | number)[][] = [];
  afterAll(() => {
    const first = ['each sends', 'connections', 'linear memory before', 'after', 'most reserved', 'still reserved'];
    report('Slow connections', [...first, 'answers', 'last answer after'], memory);
    const second = ['each sends', 'connections', 'token of the launch', 'launches', 'answers', 'median', 'longest'];
    report('Valid launches meanwhile', second, launches);
  });

  it.each(VARIANTS)(
    'linear memory stays small and all launches succeed during $count connections that send $name',
    async (variant) => {
      const watched = await WatchedWorker.start();
      try {
        const before = await watched.line();
        const stop = new AbortController();
        const callers = PLACES.map((place) => launchUntil(stop.signal, watched, place));
        const { answers, lasted } = await holdConnections(watched, variant);
        stop.abort();
        const seen = await Promise.all(callers);
        const { excess } = await watched.released(before.reserved_bytes);
        const after = (await watched.line()).wasm_bytes;

        const reserved = seen.flatMap((caller) => caller.reserved);
        memory.push([
          variant.name,
          variant.count,
          mebibytes(before.wasm_bytes),
          mebibytes(after),
          mebibytes(reserved.length ? Math.max(...reserved) : undefined),
          excessOf(excess),
          tally(answers),
          variant.count ? duration(lasted) : '–',
        ]);
        for (const { place, outcomes, ms } of seen) {
          const times = [median(ms), Math.max(...ms)].map(duration);
          launches.push([variant.name, variant.count, place, outcomes.length, tally(outcomes), ...times]);
          expect.soft(new Set(outcomes), `launches with the token in the ${place}`).toEqual(new Set([200]));
        }
        const allowed = variant.observed ? ['none', 408, 503] : [408, 503];
        expect.soft(answers.filter((answer) => !allowed.includes(answer))).toEqual([]);
        expect.soft(excess ?? Infinity, 'bytes still reserved').toBeLessThanOrEqual(0);
        expect.soft(after).toBeLessThan(LINEAR_MEMORY);
      } finally {
        await watched.stop();
      }
    },
  );
});

/** Opens the connections and waits for their answers. */
async function holdConnections(
  { url }: WatchedWorker,
  { name, count, length, begin, trickle, observed = ANSWERED_MS }: Variant,
): Promise<{ answers: (number | 'none')[]; lasted: number }> {
  const start = performance.now();
  const connections: Connection[] = [];
  const answers: (number | 'none')[] = Array.from({ length: count }, () => 'none');
  let open = count;
  let lasted = 0;
  await runConcurrently(count, OPENING, async (n) => {
    const connection = await Connection.open(url);
    connections.push(connection);
    connection.head('POST', BATCH, { 'Content-Type': 'application/json', 'Content-Length': length }).send(begin);
    void connection.answer.then((answer) => {
      answers[n] = answer?.status ?? 'none';
      open -= 1;
      lasted = performance.now() - start;
    });
  });
  progress(`${count} connections that send ${name}: opened in ${duration(performance.now() - start)}`);
  const timer = trickle && setInterval(() => connections.forEach((connection) => connection.send(trickle)), 1000);
  await waitFor(observed, () => (open === 0 ? true : undefined));
  if (timer) clearInterval(timer);
  const result = { answers: [...answers], lasted };
  connections.forEach((connection) => connection.close());
  progress(`${count} connections that send ${name}: ${tally(result.answers)}`);
  return result;
}

/** Sends launches one after the other. */
async function launchUntil(
  stop: AbortSignal,
  watched: WatchedWorker,
  { place, target, headers, body }: (typeof PLACES)[number],
): Promise<Seen> {
  const seen: Seen = { place, outcomes: [], ms: [], reserved: [] };
  const client = new Client(new Origin(watched.url, {}));
  const bytes = Buffer.from(JSON.stringify(body));
  while (!stop.aborted || seen.outcomes.length < LAUNCHES) {
    const { headers: id, line } = watched.watched();
    try {
      const { status, ms } = await client.send(target, bytes, {
        'Content-Type': 'application/json',
        ...headers,
        ...id,
      });
      seen.outcomes.push(status);
      seen.ms.push(ms);
      if (status === 200) {
        const { reserved_bytes } = await line;
        if (reserved_bytes !== undefined) seen.reserved.push(reserved_bytes);
      }
    } catch (error) {
      seen.outcomes.push(error instanceof Error && 'code' in error ? String(error.code) : String(error));
    }
    await pause(BETWEEN_MS);
  }
  client.close();
  return seen;
}
