// How long a refused body of 100 MiB takes to drain, beside a launch that reads it and a Worker that does nothing but drain.

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, Origin } from '../../benches/client.mjs';
import { duration } from '../../benches/report.mjs';
import { median, rotated } from '../../benches/statistics.mjs';
import { BATCH, bearer, seed, TOKEN } from '../runtime/fixture.js';
import { PersistedWorker, startModule } from '../runtime/persisted.js';
import { progressOf, report, rounds, tally } from './soak.js';

const LIMIT = 100 * 2 ** 20;
const HEAD = '{"trigger_id":8,"data":[{"email":"example1@example.com"}],"attach":[{"name":"a.bin","data":"';
const TAIL = '"}]}';
/** Our Worker with a bucket that takes no time, so that what is measured is the Worker's own. */
const BUCKETLESS = [
  'benches/bucketless/ours.js',
  'benches/bucketless/bucket.js',
  'build/index.js',
  'build/index_bg.wasm',
];

/** A good launch of almost 100 MiB. */
function launchBody(): Buffer {
  const bytes = Math.floor((LIMIT - HEAD.length - TAIL.length) / 4) * 3;
  return Buffer.from(`${HEAD}${randomBytes(bytes).toString('base64')}${TAIL}`);
}

describe('a body of 100 MiB', () => {
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

  it('is drained in less time than a launch takes to read it', async () => {
    const body = launchBody();
    const clients = [new Client(new Origin(worker.url, {})), new Client(new Origin(floor.url, {}))] as const;
    const json = { 'Content-Type': 'application/json' };
    const kinds = [
      {
        name: 'refused: 401 for a token in the header',
        send: () => clients[0].send(BATCH, body, { ...json, ...bearer(TOKEN.unknown) }),
        expected: 401,
      },
      {
        name: 'launched, with a bucket that takes no time',
        send: () => clients[0].send(BATCH, body, { ...json, ...bearer() }),
        expected: 200,
      },
      {
        name: 'drained by a Worker that does nothing else',
        send: () => clients[1].send('/drain', body),
        expected: 200,
      },
    ].map((kind) => ({ ...kind, ms: [] as number[], outcomes: [] as (number | string)[] }));
    const count = rounds();
    const told = progressOf('bodies of 100 MiB', count);
    // The first round warms up and is not counted.
    for (let round = 0; round <= count; round++) {
      for (const kind of rotated(kinds, round)) {
        try {
          const { ms, status } = await kind.send();
          if (round > 0) kind.ms.push(ms);
          kind.outcomes.push(status);
        } catch (error) {
          kind.outcomes.push(error instanceof Error && 'code' in error ? String(error.code) : String(error));
        }
      }
      if (round > 0) told(round);
    }
    clients.forEach((client) => client.close());
    const [refused, launched] = kinds.map(({ ms }) => median(ms));
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
    expect(refused).toBeLessThan(launched ?? 0);
  });
});
