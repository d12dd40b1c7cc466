// `npm run bench`: runs all measurements. See docs/explanation/performance.md.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { command, Failure, inRoot, ROOT, say } from '../scripts/run.mjs';
import { figures } from './figures.mjs';
import { Floor } from './floor.mjs';
import { machine } from './machine.mjs';
import { checkVectors } from './peer/vectors.mjs';
import { report } from './report.mjs';
import { latest, publish } from './results.mjs';
import { attachments } from './sections/attachments.mjs';
import { cold } from './sections/cold.mjs';
import { delivery } from './sections/delivery.mjs';
import { index } from './sections/index.mjs';
import { launches } from './sections/launches.mjs';
import { rate } from './sections/rate.mjs';
import { size } from './sections/size.mjs';
import { stats } from './sections/stats.mjs';
import { FOLDER } from './state.mjs';
import { describeVariation, floorVariation } from './statistics.mjs';

/** The exit status of a run that is not published because the floor varied. */
const VARIED = 3;

/**
 * What a section gets. It calls `watch` now and then, when no other request is running, to measure the floor.
 * @typedef {{ quick: boolean, say: (line: string) => void, watch: () => Promise<void> }} Options
 */

/** @type {Record<string, (options: Options) => Promise<unknown>>} */
const SECTIONS = { vectors: checkVectors, size, cold, launches, index, rate, attachments, delivery, stats };

const USAGE = `npm run bench -- [--quick] [--only ${Object.keys(SECTIONS).join('|')}]… [--resume] [--report]
  --quick   fewer runs; the results go to .bench/quick.json
  --only    these sections alone; the results go to .bench/quick.json
  --resume  keeps the sections that an interrupted run of the same Worker has finished
  --report  measures nothing: writes the tables and plots from benches/results/latest.json anew
Exit status ${VARIED}: the floor varied too much, and nothing was published.`;

async function main() {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true },
      resume: { type: 'boolean', default: false },
      report: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return say(USAGE);
  if (values.report) return report(latest());
  const names = values.only ?? Object.keys(SECTIONS);
  for (const name of names) if (!SECTIONS[name]) throw new Failure(`no section ${name}\n${USAGE}`);

  const finished = new Finished(values.quick, values.resume, !values.only);
  await runSections(
    names.filter((name) => !finished.sections[name]),
    values.quick,
    finished,
  );
  const floor = floorVariation(finished.blocks);
  const results = {
    ...machine(),
    quick: values.quick,
    floor: { ...floor, medians: finished.blocks },
    metrics: figures(finished.sections),
    sections: finished.sections,
  };
  print(results.metrics);

  const whole = !values.quick && !values.only;
  if (!whole || !floor.steady) writeAside(results);
  if (!whole) {
    if (!floor.steady) say(`warning: ${describeVariation(floor)}`);
    return;
  }
  if (!floor.steady) {
    finished.forget(floor.sections);
    throw new Failure(`${describeVariation(floor)}. ${remedy(floor.sections)}`, VARIED);
  }
  publish(results);
  finished.remove();
  await report(results);
}

/** @param {string[]} names @param {boolean} quick @param {Finished} finished */
async function runSections(names, quick, finished) {
  if (names.length === 0) return;
  const floor = await Floor.start();
  try {
    for (const name of names) {
      say(`== ${name}`);
      const start = performance.now();
      floor.blocks = [];
      const watch = () => floor.measure(name);
      await watch();
      const result = await SECTIONS[name]?.({ quick, say, watch });
      await watch();
      finished.add(name, result, floor.blocks);
      say(`== ${name}: ${((performance.now() - start) / 1000).toFixed(0)} s`);
    }
  } finally {
    await floor.stop();
  }
}

/** What to do after a run in which the floor varied. @param {string[]} sections those that `--resume` repeats */
function remedy(sections) {
  const again = sections.length > 0 ? '`npm run bench -- --resume`, which repeats those sections' : '`npm run bench`';
  return `Nothing is published. End other programs and run ${again}`;
}

/** Writes results that are not published. @param {{ metrics: unknown }} results */
function writeAside(results) {
  const file = path.join(FOLDER, 'quick.json');
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  say(`written: ${path.relative(ROOT, file)}`);
}

/** The completed sections of a run and the blocks of the floor during each, so that an interrupted run can be resumed. */
class Finished {
  /** @type {Record<string, any>} */
  sections = {};
  /** @type {import('./statistics.mjs').Block[]} */
  blocks = [];
  #file = path.join(FOLDER, 'unfinished.json');

  /** @param {boolean} quick @param {boolean} resume @param {boolean} all whether all sections are to be run: only then there is something to resume */
  constructor(quick, resume, all) {
    this.all = all;
    const worker = createHash('sha256')
      .update(readFileSync(inRoot('build', 'index_bg.wasm')))
      .digest('hex');
    this.of = `${worker} ${quick}`;
    if (!resume || !all || !existsSync(this.#file)) return;
    const before = JSON.parse(readFileSync(this.#file, 'utf8'));
    if (before.of === this.of) [this.sections, this.blocks] = [before.sections, before.blocks];
  }

  /** @param {string} name @param {unknown} result @param {import('./statistics.mjs').Block[]} blocks */
  add(name, result, blocks) {
    this.sections[name] = result;
    this.blocks.push(...blocks);
    this.#write();
  }

  /** Forgets sections, so that they are run again. @param {string[]} names */
  forget(names) {
    for (const name of names) delete this.sections[name];
    this.blocks = this.blocks.filter(({ section }) => !names.includes(section));
    this.#write();
  }

  #write() {
    if (!this.all) return;
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(this.#file, JSON.stringify({ of: this.of, sections: this.sections, blocks: this.blocks }));
  }

  remove() {
    if (this.all) rmSync(this.#file, { force: true });
  }
}

/** @param {Record<string, import('./figures.mjs').Metric>} metrics */
function print(metrics) {
  const rows = Object.entries(metrics).map(([figure, { value, unit, expected, holds }]) => ({
    figure,
    value,
    unit,
    expected,
    holds: holds ? 'yes' : 'NO',
  }));
  console.table(rows);
}

await command(main);
