// `npm run bench:instructions`: counts the instructions of frequently executed code with valgrind, natively, and compares them
// with benches/native/budgets.json. Other load on the machine does not change the counts. `.ci/run` runs this script, which does
// nothing if valgrind is missing. `--write` writes the counts as new budgets. `--all` also counts the libraries of the comparison.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { command, Failure, inRoot, run, say } from './run.mjs';

const CRATE = inRoot('benches', 'native');
const TARGET = inRoot('target');
const PROGRAM = inRoot('target', 'release', 'instructions');
const BUDGETS = inRoot('benches', 'native', 'budgets.json');
/** The largest permitted ratio of a count to its budget. */
const TOLERANCE = 1.03;
const OURS = ' / ours';

/** @param {string} program @param {string[]} args */
const output = (program, args) => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** Returns why this machine cannot count, or `undefined` if it can. @returns {string | undefined} */
function obstacle() {
  try {
    output('valgrind', ['--version']);
  } catch {
    return 'valgrind is not installed';
  }
  // The libraries select vector instructions at run time. The budgets are those of AVX2.
  return readFileSync('/proc/cpuinfo', 'utf8').includes(' avx2') ? undefined : 'the processor has no AVX2';
}

/** Counts the instructions of a case. @param {string} name */
function count(name) {
  const file = inRoot('target', 'callgrind.out');
  const options = ['--tool=callgrind', '--toggle-collect=measured', `--callgrind-out-file=${file}`];
  output('valgrind', [...options, PROGRAM, name]);
  const total = /^(?:summary|totals): (\d+)/m.exec(readFileSync(file, 'utf8'))?.[1];
  if (!total) throw new Failure(`${name}: nothing was counted`);
  return Number(total);
}

await command(async () => {
  const reason = obstacle();
  if (reason) return say(`instructions are not counted: ${reason}`);
  const build = ['build', '--release', '--locked', '--manifest-path', `${CRATE}/Cargo.toml`, '--bin', 'instructions'];
  await run('cargo', [...build, '--target-dir', TARGET], { quiet: true });

  const all = process.argv.includes('--all');
  const names = output(PROGRAM, []).trim().split('\n');
  const counted = names.filter((name) => all || name.endsWith(OURS)).map((name) => ({ name, now: count(name) }));
  const ours = counted.filter(({ name }) => name.endsWith(OURS));
  if (process.argv.includes('--write')) {
    writeFileSync(
      BUDGETS,
      `${JSON.stringify(Object.fromEntries(ours.map(({ name, now }) => [name, now])), null, 2)}\n`,
    );
  }
  /** @type {Record<string, number>} */
  const budgets = JSON.parse(readFileSync(BUDGETS, 'utf8'));
  console.table(
    counted.map(({ name, now }) => {
      const budget = budgets[name];
      return { case: name, instructions: now, budget, ratio: budget ? (now / budget).toFixed(3) : undefined };
    }),
  );
  const over = ours.filter(({ name, now }) => !(now <= (budgets[name] ?? 0) * TOLERANCE)).map(({ name }) => name);
  if (over.length > 0) throw new Failure(`more instructions than the budget: ${over.join(', ')}`);
});
