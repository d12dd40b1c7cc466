// The published results: the latest run, and the earlier ones.

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { inRoot, ROOT, say } from '../scripts/run.mjs';

/** The folder of the results in the repository. */
const RESULTS = inRoot('benches', 'results');

/** @param {string} folder */
const latestIn = (folder) => path.join(folder, 'latest.json');
/** The folder of the earlier runs. @param {string} folder */
const historyIn = (folder) => path.join(folder, 'history');

/** @param {string} file */
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** Reads the latest run. @param {string} [folder] */
export const latest = (folder = RESULTS) => read(latestIn(folder));

/** Reads the figures of the run before the latest one, or returns `undefined`. @param {string} [folder] @returns {Record<string, import('./figures.mjs').Metric> | undefined} */
export function earlierFigures(folder = RESULTS) {
  const history = historyIn(folder);
  const last = existsSync(history) ? readdirSync(history).sort().at(-1) : undefined;
  return last ? read(path.join(history, last)).metrics : undefined;
}

/** Writes a run as the latest one, and moves the one before to the earlier ones. @param {any} results @param {string} [folder] */
export function publish(results, folder = RESULTS) {
  const file = latestIn(folder);
  mkdirSync(historyIn(folder), { recursive: true });
  if (existsSync(file)) renameSync(file, unusedName(historyIn(folder), read(file)));
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  say(`written: ${path.relative(ROOT, file)}`);
}

/** The file of an earlier run. The runs of a day are numbered, so that the names are in the order of time. @param {string} history @param {{ date: string, commit: string }} run */
function unusedName(history, { date, commit }) {
  const number = readdirSync(history).filter((name) => name.startsWith(date)).length + 1;
  return path.join(history, `${date}-${String(number).padStart(2, '0')}-${commit}.json`);
}
