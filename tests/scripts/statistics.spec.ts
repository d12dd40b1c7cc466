// The statistics of the benchmark: the confidence interval of the ratio of two builds, the 99th percentile, and the criterion by
// which a run is published.

import { describe, expect, it } from 'vitest';
import { random } from '../../benches/data.mjs';
import {
  describeVariation,
  DRIFT_LIMIT,
  floorVariation,
  median,
  P99_RUNS,
  p99,
  quantile,
  ratioOfMedians,
  SPREAD_LIMIT,
} from '../../benches/statistics.mjs';

const next = random(7);
const noise = Array.from({ length: 400 }, () => 5 + next());

it('the ratio of a list to itself is 1, with an interval from 1 to 1', () => {
  expect(ratioOfMedians(noise, noise)).toEqual({ ratio: 1, low: 1, high: 1 });
});

it('the interval contains a real difference and excludes equality', () => {
  const slower = noise.map((value) => 1.1 * value + 0.2 * (next() - 0.5));
  const { ratio, low, high } = ratioOfMedians(slower, noise);
  expect(low).toBeGreaterThan(1.05);
  expect(ratio).toBeGreaterThanOrEqual(low);
  expect(ratio).toBeLessThanOrEqual(high);
  expect(high).toBeLessThan(1.15);
});

it('a median is the middle value, or the mean of the two middle ones', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

it('a quantile is the value that the share of the values does not exceed', () => {
  const values = Array.from({ length: 100 }, (_, at) => 100 - at);
  expect(quantile(values, 0.99)).toBe(99);
  expect(quantile(values, 0.25)).toBe(25);
});

it('a 99th percentile needs at least 2,000 values', () => {
  const values = Array.from({ length: P99_RUNS }, (_, at) => at + 1);
  expect(P99_RUNS).toBe(2_000);
  expect(p99(values)).toBe(1_980);
  expect(p99(values.slice(1))).toBeNull();
});

describe('the floor of a run', () => {
  const blocks = (ms: number[], section = 'launches') => ms.map((each) => ({ section, ms: each }));

  it('is steady if its blocks differ little', () => {
    const floor = floorVariation(blocks([2, 2.05, 1.95, 2.1, 2, 1.9, 2, 2.02]));
    expect(floor).toMatchObject({ median: 2, lowest: 1.9, highest: 2.1, blocks: 8, sections: [], steady: true });
  });

  it('is steady in spite of a single slow block', () => {
    expect(floorVariation(blocks([2, 2, 2, 9, 2, 2, 2, 2])).steady).toBe(true);
  });

  it('is not steady if the interquartile range exceeds its limit', () => {
    const floor = floorVariation(blocks([2, 2.36, 2, 2.36, 2, 2.36, 2, 2.36]));
    expect(floor.spread).toBeGreaterThan(SPREAD_LIMIT);
    expect(floor.drift).toBeLessThan(DRIFT_LIMIT);
    expect(floor.steady).toBe(false);
  });

  it('is not steady if the end differs from the beginning', () => {
    const floor = floorVariation(blocks([2, 2, 2.3, 2.3, 2.3, 2.3, 2.3, 2.3, 2.6, 2.6]));
    expect(floor.spread).toBeLessThan(SPREAD_LIMIT);
    expect(floor.drift).toBeGreaterThan(DRIFT_LIMIT);
    expect(floor.steady).toBe(false);
  });

  it('names the sections with a large interquartile range if that of the run is too large', () => {
    const noisy = Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? 2 : 2.36));
    const quiet = Array.from({ length: 8 }, () => 2.2);
    const floor = floorVariation([...blocks(noisy, 'rate'), ...blocks(quiet, 'index')]);
    expect(floor).toMatchObject({ sections: ['rate'], steady: false });
  });

  it('names the sections in which half of the blocks differed', () => {
    const floor = floorVariation([
      ...blocks(Array.from({ length: 20 }, () => 2)),
      ...blocks([2, 2.9, 3], 'rate'),
      ...blocks([2, 2.9, 2], 'index'),
      ...blocks([2, 2, 2, 2, 2, 2, 2], 'attachments'),
    ]);
    expect(floor).toMatchObject({ sections: ['rate'], steady: false });
    const text = describeVariation(floor);
    expect(text).toContain('from 2 to 3 ms in 33 blocks');
    expect(text).toContain('the section rate varied');
  });
});
