// The confidence interval of the ratio of two builds.

import { expect, it } from 'vitest';
import { random } from '../../benches/data.mjs';
import { ratioOfMedians } from '../../benches/statistics.mjs';

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
