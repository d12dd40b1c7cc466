// The time to drain a refused body of 100 MiB, compared with a launch of this size and with a Worker that only drains.

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { duration } from '../../benches/report.mjs';
import { median, rotated } from '../../benches/statistics.mjs';
import { BATCH, bearer, seed, TOKEN } from '../runtime/fixture.js';
import { PersistedWorker, startModule } from '../runtime/persisted.js';
import { Connection } from './connection.js';
import { progressOf, report, rounds, tally } from './soak.js';

const LIMIT = 100 * 2 ** 20;
const HEAD = '{"trigger_id":8,"data":[{"email":"example1@example.com"}],"attach":[{"name":"a.bin","data":"';
const TAIL = '"}]}';
/** Our Worker with a bucket that takes no time, so that only the Worker's own time is measured. */
const BUCKETLESS = [
  'benches/bucketless/ours.js',
  'benches/bucketless/bucket.js',
  'build/index.js',
  'build/index_bg.wasm',
];

/** A valid launch of almost 100 MiB. */
function launchBody(): Buffer {
  const bytes = Math.floor((LIMIT - HEAD.length - TAIL.length) / 4) * 3;
  return Buffer.from(`${HEAD}${randomBytes(bytes).toString('base64')}${TAIL}`);
}

/** Sends a request on a connection of its own. Returns the time until its answer, and the answer. */
async function send(url: URL, target: string, body: Buffer, headers: Record<string, string>) {
  const begin = performance.now();
  const connection = await Connection.open(url);
  let whole = false;
  const own = { 'Content-Type': 'application/json', 'Content-Length': body.length, ...headers };
  void connection
    .head('POST', target, own)
    .send(body)
    .sent()
    .then(() => (whole = true));
  const answer = await connection.answer;
  const ms = performance.now() - begin;
  const outcome = whole ? (answer?.status ?? 'none') : `${answer?.status ?? 'none'} before the end of the body`;
  connection.close();
  return { ms, outcome };
}

describe('drain', () => {
  let worker: PersistedWorker;
  let floor: Awaited<ReturnType<typeof startModule>>;
  beforeAll(async () => {
    worker = await PersistedWorker.passing(undefined, { direct: true, modules: BUCKETLESS });
    await seed(worker);
    floor = await startModule('benches/reference/worker.js');
  });
  afterAll(async () => {
    await worker.stop();
    await floor.stop();
  });

  it('a refused body of 100 MiB is drained to its end', async () => {
    const body = launchBody();
    const kinds = [
      {
        name: 'refused: 401 for a token in the header',
        run: () => send(worker.url, BATCH, body, bearer(TOKEN.unknown)),
        expected: 401,
      },
      {
        name: 'launched, with a bucket that takes no time',
        run: () => send(worker.url, BATCH, body, bearer()),
        expected: 200,
      },
      {
        name: 'drained by a Worker that does nothing else',
        run: () => send(floor.url, '/drain', body, {}),
        expected: 200,
      },
    ].map((kind) => ({ ...kind, ms: [] as number[], outcomes: [] as (number | string)[] }));
    const count = rounds();
    const advance = progressOf('bodies of 100 MiB', count);
    // The first round is not counted, because it warms up the Workers.
    for (let round = 0; round <= count; round++) {
      for (const kind of rotated(kinds, round)) {
        const { ms, outcome } = await kind.run();
        if (round === 0) continue;
        kind.ms.push(ms);
        kind.outcomes.push(outcome);
      }
      if (round > 0) advance(round);
    }
    const base = median(kinds[2]?.ms ?? []);
    const rows = kinds.map(({ name, ms, outcomes }) => [
      name,
      ms.length,
      tally(outcomes),
      duration(median(ms)),
      (median(ms) / base).toFixed(2),
    ]);
    report('A body of 100 MiB', ['request', 'runs', 'answers', 'median', 'of the last'], rows);
    for (const { name, outcomes, expected } of kinds) expect.soft(new Set(outcomes), name).toEqual(new Set([expected]));
  });
});
