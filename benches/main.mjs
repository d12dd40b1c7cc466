// `npm run bench`: runs all measurements. See docs/explanation/performance.md.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { command, Failure, inRoot, ROOT, say } from '../scripts/run.mjs';
import { figures } from './figures.mjs';
import { machine } from './machine.mjs';
import { checkVectors } from './peer/vectors.mjs';
import { report } from './report.mjs';
import { attachments } from './sections/attachments.mjs';
import { index } from './sections/index.mjs';
import { launches } from './sections/launches.mjs';
import { rate } from './sections/rate.mjs';
import { size } from './sections/size.mjs';
import { FOLDER } from './state.mjs';

const SECTIONS = { vectors: checkVectors, size, launches, index, rate, attachments };
/** The results of a complete run, which are in the repository. */
export const LATEST = inRoot('benches', 'results', 'latest.json');

const USAGE = `npm run bench -- [--quick] [--only ${Object.keys(SECTIONS).join('|')}]… [--resume] [--report]
  --quick   fewer runs; the results go to .bench/quick.json
  --only    these sections alone; the results go to .bench/quick.json
  --resume  keeps the sections that an interrupted run of the same Worker has finished
  --report  measures nothing: writes the tables and plots from benches/results/latest.json anew`;

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
  if (values.report) return report(JSON.parse(readFileSync(LATEST, 'utf8')));
  const names = /** @type {(keyof typeof SECTIONS)[]} */ (values.only ?? Object.keys(SECTIONS));
  for (const name of names) if (!(name in SECTIONS)) throw new Failure(`no section ${name}\n${USAGE}`);
  const finished = new Finished(values.quick, values.resume, !values.only);
  for (const name of names) {
    if (finished.sections[name]) continue;
    say(`== ${name}`);
    const start = performance.now();
    finished.add(name, await SECTIONS[name]({ quick: values.quick, say }));
    say(`== ${name}: ${((performance.now() - start) / 1000).toFixed(0)} s`);
  }
  const results = {
    ...machine(),
    quick: values.quick,
    metrics: figures(finished.sections),
    sections: finished.sections,
  };
  print(results.metrics);
  const whole = !values.quick && !values.only;
  const file = whole ? LATEST : path.join(FOLDER, 'quick.json');
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  say(`written: ${path.relative(ROOT, file)}`);
  finished.remove();
  if (whole) await report(results);
}

/** The completed sections of a run, so that an interrupted run can be resumed. */
class Finished {
  /** @type {Record<string, any>} */
  sections = {};
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
    if (before.of === this.of) this.sections = before.sections;
  }

  /** @param {string} name @param {unknown} result */
  add(name, result) {
    this.sections[name] = result;
    if (!this.all) return;
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(this.#file, JSON.stringify({ of: this.of, sections: this.sections }));
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
