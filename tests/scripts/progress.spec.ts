// The arithmetic of the progress line of a first build.

import { expect, it } from 'vitest';
import {
  completedShare,
  duration,
  estimateLeft,
  PARTS,
  unitsIn,
  withoutBar,
  type Part,
} from '../../scripts/progress.mjs';

const compiled: Part = { label: 'compiling', seconds: 100, last: 0.4 };
const plain: Part = { label: 'installing', seconds: 50, last: 1 };

it('a part is complete in proportion to its units, without the share of the last one', () => {
  const at = (done: number) => completedShare(compiled, { done, total: 61, since: 0 });
  expect(at(0)).toBe(0);
  expect(at(30)).toBeCloseTo(0.3);
  expect(at(60)).toBeCloseTo(0.6);
});

it('the last unit is complete in proportion to its expected time, and never wholly', () => {
  const after = (since: number) => completedShare(compiled, { done: 60, total: 61, since });
  expect(after(20)).toBeCloseTo(0.8);
  expect(after(1_000)).toBeCloseTo(0.98);
});

it('a part without units is complete in proportion to its expected time', () => {
  const after = (since: number) => completedShare(plain, { done: 0, total: 1, since });
  expect(after(0)).toBe(0);
  expect(after(25)).toBeCloseTo(0.5);
  expect(after(1_000)).toBeCloseTo(0.95);
});

it('the estimate begins with the expected speed of all cores', () => {
  const parts = [
    { seconds: 100, share: 0 },
    { seconds: 60, share: 0 },
  ];
  expect(estimateLeft(parts, 0, 2)).toEqual({ share: 0, left: 80 });
});

it('the estimate follows the measured speed', () => {
  // Half of the work took 200 s, a quarter of the expected speed.
  const parts = [{ seconds: 200, share: 0.5 }];
  const { share, left } = estimateLeft(parts, 200, 2);
  expect(share).toBe(0.5);
  expect(left).toBeGreaterThan(140);
  expect(left).toBeLessThan(200);
});

it('nothing is left when all parts are complete, or when there are none', () => {
  expect(estimateLeft([{ seconds: 10, share: 1 }], 5, 2)).toEqual({ share: 1, left: 0 });
  expect(estimateLeft([], 0, 2)).toEqual({ share: 1, left: 0 });
});

it('every part has a time and a share of its last unit', () => {
  for (const { seconds, last } of Object.values(PARTS)) {
    expect(seconds).toBeGreaterThan(0);
    expect(last).toBeGreaterThan(0);
    expect(last).toBeLessThanOrEqual(1);
  }
});

it("the last numbers of cargo's progress bar are read, and incomplete ones are ignored", () => {
  expect(
    unitsIn('   Compiling syn v3\n    Building [==>   ] 3/67: syn\r    Building [===>  ] 4/67: syn, quote\r'),
  ).toEqual([4, 67]);
  expect(unitsIn('    Building [==>   ] 3/67: syn\r    Building [===>  ] 4/6')).toEqual([3, 67]);
  expect(unitsIn('   Compiling syn v3')).toBeUndefined();
});

it("cargo's messages remain when its progress bar is removed", () => {
  const output = '   Compiling a v1\n    Building [==>   ] 3/67: syn\r\x1b[Kerror: no such thing\n';
  expect(withoutBar(output)).toBe('   Compiling a v1\nerror: no such thing\n');
});

it('a duration is written in minutes and seconds', () => {
  expect([5.9, 60, 135].map(duration)).toEqual(['5 s', '1 min 0 s', '2 min 15 s']);
});
