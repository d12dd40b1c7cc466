// Medians, and what else is said of many runs.

/** @param {number[]} values @param {number} share from 0 to 1 @returns {number} the value that this share of them does not exceed */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? NaN;
}

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

/** Rounded to so many significant digits: what is written says no more than it knows. @param {number} value @param {number} [digits] */
export const significant = (value, digits = 4) => Number(value.toPrecision(digits));

/** The items of a list, from another first one in each round. @template T @param {T[]} list @param {number} round */
export const rotated = (list, round) => [...list.slice(round % list.length), ...list.slice(0, round % list.length)];

/** The items of a list in every order. @template T @param {T[]} list @returns {T[][]} */
export const orders = (list) =>
  list.length < 2 ? [list] : list.flatMap((first, at) => orders(list.toSpliced(at, 1)).map((rest) => [first, ...rest]));
