// What a small launch takes beside the same launch by another commit's Worker. Both run at the same time, each in a runtime of
// its own, and take turns: AB, BA, AB …

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, Origin } from '../../benches/client.mjs';
import { duration } from '../../benches/report.mjs';
import { median, ratioOfMedians } from '../../benches/statistics.mjs';
import { BATCH, bearer, GOOD, seed } from '../runtime/fixture.js';
import { PersistedWorker } from '../runtime/persisted.js';
import { progressOf, report, rounds, setting } from './soak.js';

/** A good launch may take this much longer than by the other commit. */
const MOST = 1.02;
/** Pairs that warm both up, in relation to those that count. */
const WARMING = 0.1;

describe('a good launch', () => {
  let workers: PersistedWorker[];
  beforeAll(async () => {
    // One after the other: a runtime is recognised as the process that has just been started.
    const ours = await PersistedWorker.passing(undefined, { direct: true });
    workers = [ours, await PersistedWorker.passing(undefined, { direct: true, root: setting('SOAK_AGAINST') })];
    await Promise.all(workers.map((worker) => seed(worker)));
  });
  afterAll(() => Promise.all(workers.map((worker) => worker.stop())));

  it('takes at most 2 % longer than by the other commit', async () => {
    const body = Buffer.from(JSON.stringify(GOOD));
    const headers = { ...bearer(), 'Content-Type': 'application/json' };
    const runs = workers.map(({ url }) => ({ client: new Client(new Origin(url, {})), ms: [] as number[] }));
    const count = rounds();
    const warming = Math.ceil(count * WARMING);
    const told = progressOf('pairs of launches', count);
    for (let pair = -warming; pair < count; pair++) {
      for (const run of pair % 2 === 0 ? runs : runs.toReversed()) {
        const { ms } = await run.client.must(BATCH, body, headers);
        if (pair >= 0) run.ms.push(ms);
      }
      if (pair >= 0) told(pair + 1);
    }
    runs.forEach(({ client }) => client.close());
    const [ours = [], theirs = []] = runs.map(({ ms }) => ms);
    const { ratio, low, high } = ratioOfMedians(ours, theirs);
    report(
      `A good launch, beside commit ${setting('SOAK_AGAINST_COMMIT')}`,
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
