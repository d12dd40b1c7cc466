// Compares the time of a small launch with that of another commit's Worker. Both Workers run at the same time, each in a runtime
// of its own, and take turns: AB, BA, AB …

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, Origin } from '../../benches/client.mjs';
import { duration } from '../../benches/report.mjs';
import { median, ratioOfMedians } from '../../benches/statistics.mjs';
import { BATCH, bearer, GOOD, seed } from '../runtime/fixture.js';
import { PersistedWorker } from '../runtime/persisted.js';
import { progressOf, report, rounds, setting } from './soak.js';

/** The largest ratio of this commit's median to the other's. */
const MOST = 1.02;
/** Pairs that warm up both Workers, as a share of the measured pairs. */
const WARMING = 0.1;

describe('cost', () => {
  let workers: PersistedWorker[];
  beforeAll(async () => {
    // The runtimes start one after the other, because a runtime is identified as the newest child process.
    const ours = await PersistedWorker.passing(undefined, { direct: true });
    workers = [ours, await PersistedWorker.passing(undefined, { direct: true, root: setting('SOAK_AGAINST') })];
    await Promise.all(workers.map((worker) => seed(worker)));
  });
  afterAll(() => Promise.all(workers.map((worker) => worker.stop())));

  it('a good launch takes at most 2 % longer than with the other commit', async () => {
    const body = Buffer.from(JSON.stringify(GOOD));
    const headers = { ...bearer(), 'Content-Type': 'application/json' };
    const runs = workers.map(({ url }) => ({ client: new Client(new Origin(url, {})), ms: [] as number[] }));
    const count = rounds();
    const warming = Math.ceil(count * WARMING);
    const advance = progressOf('pairs of launches', count);
    for (let pair = -warming; pair < count; pair++) {
      for (const run of pair % 2 === 0 ? runs : runs.toReversed()) {
        const { ms } = await run.client.must(BATCH, body, headers);
        if (pair >= 0) run.ms.push(ms);
      }
      if (pair >= 0) advance(pair + 1);
    }
    runs.forEach(({ client }) => client.close());
    const [ours = [], theirs = []] = runs.map(({ ms }) => ms);
    const { ratio, low, high } = ratioOfMedians(ours, theirs);
    report(
      `A valid launch, compared with commit ${setting('SOAK_AGAINST_COMMIT')}`,
      ['pairs', 'this commit', 'the other', 'ratio of the medians', '95 % interval'],
      [
        [
          count,
          duration(median(ours)),
          duration(median(theirs)),
          ratio.toFixed(4),
          `${low.toFixed(4)} to ${high.toFixed(4)}`,
        ],
      ],
    );
    expect(ratio).toBeLessThanOrEqual(MOST);
  });
});
