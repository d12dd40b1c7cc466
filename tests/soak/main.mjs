// `npm run soak`: see CONTRIBUTING.md. Tables go to stdout, progress to stderr.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { machine } from '../../benches/machine.mjs';
import { run as describeRun } from '../../benches/report.mjs';
import { childEnv, command, Failure, inRoot, PROJECT_NODE, say, start } from '../../scripts/run.mjs';
import { buildAgainst } from './against.mjs';
import { endedWithin } from './bounded.mjs';
import { refusals } from './refusals.mjs';
import { suite } from './suite.mjs';

/** The output of a section, and the reasons why it failed. @typedef {{ tables: string[], failures: string[] }} Result */
/** @typedef {{ rounds: number, against: string }} Options */
/**
 * A section, the meaning of `--rounds` in it, and the rounds of a full and of a quick run.
 * @typedef {{ counts: string, full: number, quick: number, run: (options: Options) => Promise<Result> }} Section
 */

/** A section that runs in vitest is ended after this time. */
const LONGEST_MS = 90 * 60_000;

/** @type {Record<string, Section>} */
const SECTIONS = {
  refusals: { counts: 'tries of each size by each client', full: 20, quick: 1, run: refusals },
  slow: { counts: 'slow connections', full: 5000, quick: 200, run: ({ rounds }) => runInVitest('slow', rounds) },
  disconnects: {
    counts: 'disconnects',
    full: 10_000,
    quick: 300,
    run: ({ rounds }) => runInVitest('disconnects', rounds),
  },
  access: { counts: 'rounds', full: 1000, quick: 40, run: ({ rounds }) => runInVitest('access', rounds) },
  retries: { counts: 'rounds of each kind', full: 100, quick: 6, run: ({ rounds }) => runInVitest('retries', rounds) },
  drain: { counts: 'runs', full: 20, quick: 3, run: ({ rounds }) => runInVitest('drain', rounds) },
  cost: { counts: 'pairs', full: 2000, quick: 100, run: cost },
  live: { counts: 'kills, in hundreds of changes and of histories', full: 100, quick: 4, run: live },
  delivery: { counts: 'kills, in hundreds of schedules', full: 100, quick: 4, run: delivery },
  suite: { counts: 'runs', full: 10, quick: 1, run: suite },
};

const USAGE = `npm run soak -- [SECTION…] [--rounds N] [--quick] [--against COMMIT]
  --rounds   the count of each section that runs
  --quick    small counts
  --against  the commit that the section cost compares with (HEAD^)
sections, with what --rounds counts and its value in a full and in a quick run:
${Object.entries(SECTIONS)
  .map(([name, { counts, full, quick }]) => `  ${name.padEnd(12)} ${counts}: ${full}, ${quick}`)
  .join('\n')}`;

/** @param {Options} options @returns {Promise<Result>} */
async function cost({ rounds, against }) {
  const { folder, commit } = await buildAgainst(against);
  return runInVitest('cost', rounds, { SOAK_AGAINST: folder, SOAK_AGAINST_COMMIT: commit });
}

/**
 * Changes profiles between imports: the property test, and the suite that kills the runtime.
 * @param {Options} options @returns {Promise<Result>}
 */
async function live({ rounds }) {
  const many = String(rounds * 100);
  const failures = await runTests('profiles::live::tests::histories', 'live', {
    PROPERTY_HISTORIES: many,
    LIVE_CHANGES: many,
    LIVE_KILLS: String(rounds),
  });
  const tables = [`| histories | changes | kills |\n| --- | --- | --- |\n| ${many} | ${many} | ${rounds} |`];
  return { tables, failures };
}

/**
 * Delivers launches to webhooks: the schedules of the native model, and the suite that kills the runtime.
 * @param {Options} options @returns {Promise<Result>}
 */
async function delivery({ rounds }) {
  const many = String(rounds * 100);
  const failures = await runTests('delivery::', 'delivery', {
    DELIVERY_SCHEDULES: many,
    DELIVERY_KILLS: String(rounds),
  });
  return { tables: [`| schedules | kills |\n| --- | --- |\n| ${many} | ${rounds} |`], failures };
}

/**
 * Runs native tests and a runtime suite, whose counts are environment variables. Returns what failed.
 * @param {string} filter @param {string} suite @param {Record<string, string>} counts
 */
async function runTests(filter, suite, counts) {
  const vitest = [inRoot('node_modules', 'vitest', 'vitest.mjs'), 'run', `tests/runtime/${suite}.spec.ts`];
  /** @type {[string, string[]][]} */
  const programs = [
    ['cargo', ['test', '--release', '--lib', filter]],
    [PROJECT_NODE, vitest],
  ];
  /** @type {string[]} */
  const failures = [];
  for (const [program, args] of programs) {
    const child = start(program, args, { cwd: inRoot(), env: { ...childEnv(), ...counts }, stdio: ['ignore', 2, 2] });
    if ((await endedWithin(child, LONGEST_MS)) !== 0) failures.push(`${program} ${args.join(' ')} failed: see above`);
  }
  return failures;
}

/** Runs a section that needs a Worker with the suite's data. @param {string} name @param {number} rounds @param {Record<string, string>} [more] @returns {Promise<Result>} */
async function runInVitest(name, rounds, more = {}) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'trigger-launch-soak-'));
  const tables = path.join(folder, 'tables.md');
  writeFileSync(tables, '');
  try {
    const config = inRoot('tests', 'soak', 'vitest.config.ts');
    const args = ['run', '--config', config, '--root', inRoot(), `tests/soak/${name}.soak.ts`];
    const env = { ...childEnv(), SOAK_ROUNDS: String(rounds), SOAK_TABLES: tables, ...more };
    // The output of vitest is progress.
    const child = start(PROJECT_NODE, [inRoot('node_modules', 'vitest', 'vitest.mjs'), ...args], {
      env,
      stdio: ['ignore', 2, 2],
    });
    const code = await endedWithin(child, LONGEST_MS);
    const failures = code === 0 ? [] : ['an assertion failed: see above'];
    return { tables: [readFileSync(tables, 'utf8').trim()], failures };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      against: { type: 'string', default: 'HEAD^' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void process.stdout.write(`${USAGE}\n`);
  const names = positionals.length ? positionals : Object.keys(SECTIONS);
  for (const name of names) if (!Object.hasOwn(SECTIONS, name)) throw new Failure(`no section ${name}\n${USAGE}`);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isSafeInteger(rounds) && rounds > 0)) {
    throw new Failure(`--rounds ${values.rounds}: must be an integer from 1`);
  }
  process.stdout.write(`${describeRun({ ...machine(), quick: values.quick })}\n`);
  /** @type {string[]} */
  const failures = [];
  for (const name of names) {
    const section = /** @type {Section} */ (SECTIONS[name]);
    const count = rounds ?? (values.quick ? section.quick : section.full);
    say(`== ${name}: ${count} ${section.counts}`);
    const begin = performance.now();
    const result = await section.run({ rounds: count, against: values.against });
    const seconds = ((performance.now() - begin) / 1000).toFixed(0);
    say(`== ${name}: ${result.failures.length ? 'FAILED' : 'passed'} in ${seconds} s`);
    process.stdout.write(`\n### ${name}\n\n${result.tables.join('\n\n')}\n`);
    failures.push(...result.failures.map((failure) => `${name}: ${failure}`));
  }
  failures.forEach(say);
  return failures.length ? 1 : 0;
}

await command(main);
