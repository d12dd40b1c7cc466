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

/** The number of runs that a published 99th percentile needs: then 20 of them are slower. */
export const P99_RUNS = 2_000;

/** The 99th percentile, or `null` if there are too few values. @param {number[]} values @returns {number | null} */
export const p99 = (values) => (values.length < P99_RUNS ? null : significant(quantile(values, 0.99)));

/** A block of runs of the floor during a section. `ms` is the median. @typedef {{ section: string, ms: number }} Block */

/** The limits of the floor's variation, in proportion to its median. */
export const SPREAD_LIMIT = 0.15;
export const DRIFT_LIMIT = 0.2;

/**
 * How much the floor varied during a run. `spread` is the interquartile range of the blocks; `drift` is the distance between the
 * medians of the first and the last quarter of the blocks. Both are in proportion to the median of all blocks. `sections` are those
 * to repeat: those with half of their blocks further than `DRIFT_LIMIT` from it and, if the spread of the run is too large, those
 * whose own spread is. `steady` is whether the run can be published.
 * @param {Block[]} blocks in the order of time
 */
export function floorVariation(blocks) {
  const all = blocks.map(({ ms }) => ms);
  const middle = median(all);
  const quarter = Math.max(1, Math.floor(all.length / 4));
  const spread = spreadOf(all, middle);
  const drift = Math.abs(median(all.slice(-quarter)) - median(all.slice(0, quarter))) / middle;
  const sections = [...new Set(blocks.map(({ section }) => section))].filter((name) => {
    const own = blocks.filter(({ section }) => section === name).map(({ ms }) => ms);
    const far = own.filter((ms) => Math.abs(ms - middle) > DRIFT_LIMIT * middle);
    const isSpread = spread > SPREAD_LIMIT && spreadOf(own, middle) > SPREAD_LIMIT;
    return isSpread || far.length * 2 >= own.length;
  });
  return {
    median: significant(middle),
    lowest: significant(Math.min(...all)),
    highest: significant(Math.max(...all)),
    blocks: all.length,
    spread: significant(spread, 3),
    drift: significant(drift, 3),
    sections,
    steady: spread <= SPREAD_LIMIT && drift <= DRIFT_LIMIT && sections.length === 0,
  };
}

/** The interquartile range in proportion to a value. @param {number[]} values @param {number} middle */
const spreadOf = (values, middle) => (quantile(values, 0.75) - quantile(values, 0.25)) / middle;

/** Describes a floor that varied too much. @param {ReturnType<typeof floorVariation>} floor */
export function describeVariation({ median, lowest, highest, blocks, spread, drift, sections }) {
  const percent = (/** @type {number} */ share) => `${Math.round(share * 100)} %`;
  const where =
    sections.length > 0 ? `; the section${sections.length > 1 ? 's' : ''} ${sections.join(', ')} varied` : '';
  return (
    `the floor varied too much: its median was ${median} ms, from ${lowest} to ${highest} ms in ${blocks} blocks. ` +
    `The interquartile range was ${percent(spread)} of the median (at most ${percent(SPREAD_LIMIT)}), ` +
    `the drift from the beginning to the end ${percent(drift)} (at most ${percent(DRIFT_LIMIT)})${where}`
  );
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
