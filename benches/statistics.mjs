// Medians, and what else is said of many runs.

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

/** The items of a list, from another first one in each round. @template T @param {T[]} list @param {number} round */
export const rotated = (list, round) => [...list.slice(round % list.length), ...list.slice(0, round % list.length)];

/** The items of a list in every order. @template T @param {T[]} list @returns {T[][]} */
export const orders = (list) =>
  list.length < 2 ? [list] : list.flatMap((first, at) => orders(list.toSpliced(at, 1)).map((rest) => [first, ...rest]));

/** Resamples of a bootstrap: the ends of a 95 % interval differ little between two bootstraps of this size. */
const RESAMPLES = 2000;

/**
 * The ratio of the medians of two lists of measurements that were taken in pairs, with its 95 % interval: a bootstrap over the
 * pairs, which is the same in every run.
 * @param {number[]} ours @param {number[]} theirs as many
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
