// The progress of a first build: which parts are left, and how long they will take. On a terminal it is one line that is
// rewritten. Otherwise it is a line for each part, and one every half a minute. It must run on Node.js 20 without packages.

import os from 'node:os';
import { childEnv, run, say, showStatus } from './run.mjs';

/**
 * `seconds` is the processor time of a part on two cores of an AMD EPYC with empty caches. `last` is the share of the last unit
 * that cargo compiles, which is this project's code; a part without units has 1.
 * @typedef {{ label: string, seconds: number, last: number }} Part
 */

/** The parts of a first run. @satisfies {Record<string, Part>} */
export const PARTS = {
  toolchain: { label: 'installing the Rust toolchain', seconds: 30, last: 1 },
  packages: { label: 'installing the npm packages', seconds: 25, last: 1 },
  bindgen: { label: 'compiling wasm-bindgen', seconds: 56, last: 0.1 },
  admin: { label: 'compiling the admin command', seconds: 53, last: 0.2 },
  worker: { label: 'compiling the Worker', seconds: 150, last: 0.25 },
  bundle: { label: 'bundling the Worker', seconds: 25, last: 1 },
  demo: { label: 'loading the demo data', seconds: 4, last: 1 },
  tests: { label: 'compiling the native tests', seconds: 150, last: 0.4 },
};

/** @typedef {keyof typeof PARTS} PartName */

/** The state of a part. `since` is the number of seconds since the last unit was finished. @typedef {{ done: number, total: number, since: number }} Units */

/** A part without reports counts as at most this complete until it ends. */
const UNREPORTED = 0.95;

/** Returns the completed share of a running part. @param {Part} part @param {Units} units */
export function completedShare({ seconds, last }, { done, total, since }) {
  const before = total > 1 ? Math.min(done, total - 1) / (total - 1) : 1;
  if (before < 1) return (1 - last) * before;
  return 1 - last + last * Math.min(UNREPORTED, since / Math.max(1, last * seconds));
}

/** The number of seconds by which the expected speed counts against the measured one. */
const PRIOR_SECONDS = 20;

/**
 * Estimates the remaining time of parts that run at the same time. The speed is the work done so far in the elapsed time; at the
 * beginning, when little has been measured, it is the expected speed.
 * @param {{ seconds: number, share: number }[]} parts @param {number} elapsed in seconds @param {number} cores
 * @returns {{ share: number, left: number }} the completed share of all parts, and seconds
 */
export function estimateLeft(parts, elapsed, cores) {
  const all = parts.reduce((sum, { seconds }) => sum + seconds, 0);
  const done = parts.reduce((sum, { seconds, share }) => sum + seconds * share, 0);
  const speed = (done + PRIOR_SECONDS * cores) / (elapsed + PRIOR_SECONDS);
  return { share: all > 0 ? done / all : 1, left: (all - done) / speed };
}

/** Formats a duration. Estimates are rounded to five seconds. @param {number} seconds */
export function duration(seconds) {
  const whole = Math.floor(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** @param {number} seconds */
const estimate = (seconds) => `about ${duration(Math.max(5, Math.round(seconds / 5) * 5))} left`;

/** Reads the numbers of cargo's progress bar, `Building [==> ] 34/120: …`. @param {string} text @returns {[number, number] | undefined} */
export function unitsIn(text) {
  const last = [...text.matchAll(/Building \[[= >]*\] (\d+)\/(\d+):/g)].at(-1);
  return last && [Number(last[1]), Number(last[2])];
}

/** Removes cargo's progress bar from its output. @param {string} text */
export const withoutBar = (text) =>
  text.replaceAll(/ *Building \[[= >]*\] [^\r\n]*[\r\n]?/g, '').replaceAll('\x1b[K', '');

/** The environment in which cargo prints its progress bar to a pipe. */
const BAR = { CARGO_TERM_PROGRESS_WHEN: 'always', CARGO_TERM_PROGRESS_WIDTH: '80', CARGO_TERM_COLOR: 'never' };

/**
 * Runs cargo, and passes its output on for the progress. Its messages are printed if it fails.
 * @param {string[]} args @param {(output: string) => void} report @param {{ env?: NodeJS.ProcessEnv, nice?: number }} [options]
 */
export function runCargo(args, report, { env = {}, nice = 0 } = {}) {
  return run('cargo', args, { env: { ...childEnv(), ...env, ...BAR }, nice, quiet: true, report, clean: withoutBar });
}

/** The intervals between two lines, in milliseconds. */
const REWRITE = 500;
const REPEAT = 30_000;

/** A part that is expected, running (`began`) or finished. @typedef {{ began?: number, units: { done: number, total: number, at: number }, finished: boolean }} Running */

/** The parts of this process. @type {Map<PartName, Running>} */
const running = new Map();
/** @type {number | undefined} */
let beginning;
/** @type {NodeJS.Timeout | undefined} */
let timer;

/** Adds parts to the estimate before they begin. @param {PartName[]} names */
export function expectParts(...names) {
  for (const name of names) {
    if (!running.has(name)) running.set(name, { units: { done: 0, total: 1, at: 0 }, finished: false });
  }
}

/** Describes the state of all parts in one line. */
function describe() {
  const now = performance.now();
  const elapsed = (now - (beginning ?? now)) / 1000;
  const parts = [...running].map(([name, { began, units, finished }]) => {
    const since = (now - units.at) / 1000;
    const share = finished ? 1 : began === undefined ? 0 : completedShare(PARTS[name], { ...units, since });
    return { seconds: PARTS[name].seconds, share };
  });
  const { share, left } = estimateLeft(parts, elapsed, Math.min(2, os.availableParallelism()));
  const active = [...running].flatMap(([name, { began, units, finished }]) => {
    if (finished || began === undefined) return [];
    return units.total > 1 ? `${PARTS[name].label} (${units.done}/${units.total})` : PARTS[name].label;
  });
  return `${Math.floor(share * 100)} % after ${duration(elapsed)}, ${estimate(left)}: ${active.join(', ')}`;
}

function updateTimer() {
  const active = [...running.values()].some(({ began, finished }) => began !== undefined && !finished);
  const terminal = process.stderr.isTTY;
  if (active && !timer) {
    const tick = terminal ? () => showStatus(describe()) : () => say(describe());
    timer = setInterval(tick, terminal ? REWRITE : REPEAT).unref();
  } else if (!active && timer) {
    clearInterval(timer);
    timer = undefined;
    showStatus('');
  }
}

/**
 * Runs a part and shows its progress.
 * @template T
 * @param {PartName} name
 * @param {(report: (output: string) => void) => Promise<T>} work gets a function that takes cargo's output
 */
export async function runPart(name, work) {
  expectParts(name);
  const began = performance.now();
  beginning ??= began;
  const part = /** @type {Running} */ (running.get(name));
  Object.assign(part, { began, units: { done: 0, total: 1, at: began } });
  updateTimer();
  const { label } = PARTS[name];
  let announced = false;
  // A part whose result exists takes less than a second, and prints nothing.
  const announcement = setTimeout(() => {
    announced = !process.stderr.isTTY;
    if (announced) say(`${label} …`);
  }, 1_000);
  const report = (/** @type {string} */ output) => {
    const [done, total] = unitsIn(output) ?? [0, 0];
    if (done > part.units.done) part.units = { done, total, at: performance.now() };
  };
  try {
    const result = await work(report);
    if (announced) say(`${label}: ${duration((performance.now() - began) / 1000)}`);
    return result;
  } finally {
    clearTimeout(announcement);
    part.finished = true;
    updateTimer();
  }
}
