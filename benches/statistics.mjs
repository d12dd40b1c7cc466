// Medians, percentiles and confidence intervals of many runs.

import { random } from './data.mjs';

/** @param {number[]} values @param {number} share from 0 to 1 @returns {number} the value that this share of them does not exceed */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? NaN;
}

/** @param {number[] | Float64Array} values */
export function median(values) {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

/** Rounds to a number of significant digits. @param {number} value @param {number} [digits] */
export const significant = (value, digits = 4) => Number(value.toPrecision(digits));

/** Rotates a list by the number of the round. @template T @param {T[]} list @param {number} round */
export const rotated = (list, round) => [...list.slice(round % list.length), ...list.slice(0, round % list.length)];

/** Returns the permutations of a list. @template T @param {T[]} list @returns {T[][]} */
export const orders = (list) =>
  list.length < 2 ? [list] : list.flatMap((first, at) => orders(list.toSpliced(at, 1)).map((rest) => [first, ...rest]));

/** The number of resamples of a bootstrap. With this number the ends of a 95 % interval vary little. */
const RESAMPLES = 2000;

/**
 * The ratio of the medians of two lists of paired measurements, with its 95 % interval, from a bootstrap of the pairs with a fixed
 * seed.
 * @param {number[]} ours @param {number[]} theirs
 */
export function ratioOfMedians(ours, theirs) {
  const next = random(1);
  const [a, b] = [new Float64Array(ours.length), new Float64Array(ours.length)];
  const ratios = Array.from({ length: RESAMPLES }, () => {
    for (let at = 0; at < a.length; at++) {
      const pair = Math.floor(next() * a.length);
      [a[at], b[at]] = [ours[pair] ?? NaN, theirs[pair] ?? NaN];
    }
    return median(a) / median(b);
  });
  return { ratio: median(ours) / median(theirs), low: quantile(ratios, 0.025), high: quantile(ratios, 0.975) };
}
