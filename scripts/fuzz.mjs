// `npm run fuzz [-- TARGET…]`: every target of fuzz/, one after the other, FUZZ_SECONDS each (600). What is found stays in
// fuzz/found/ (inputs that reach something new) and fuzz/artifacts/ (inputs for which something does not hold).

import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { childEnv, command, ended, Failure, inRoot, run, say, start, timed } from './run.mjs';
import { installFuzzer } from './tools.mjs';

/** @typedef {{ longest: number, dictionaries: string[], vectors: boolean }} Target */

const inFuzz = (/** @type {string[]} */ ...parts) => inRoot('fuzz', ...parts);
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 600);

/** Fuzzing uses the nightly toolchain. rust-toolchain.toml selects the toolchain of everything else. */
const ENV = { ...childEnv(), RUSTUP_TOOLCHAIN: 'nightly' };
const FOLDER = ['--fuzz-dir', inFuzz()];

/** @param {string} folder @returns {string[]} */
const filesIn = (folder) => (existsSync(folder) ? readdirSync(folder) : []);

/** Runs a target. @param {string} program @param {string} name @param {Target} target */
async function fuzz(program, name, { longest, dictionaries, vectors }) {
  const found = inFuzz('found', name);
  mkdirSync(found, { recursive: true });
  const words = dictionaries.map((dictionary) => readFileSync(inFuzz('dictionaries', `${dictionary}.dict`), 'utf8'));
  writeFileSync(`${found}.dict`, words.join('\n'));
  const before = filesIn(inFuzz('artifacts', name)).length;

  const seeds = [inFuzz('corpus', name), ...(vectors ? [inRoot('tests', 'vectors')] : [])];
  const limits = [`-max_total_time=${SECONDS}`, `-max_len=${longest}`, '-rss_limit_mb=2048', '-timeout=25'];
  const options = [...limits, `-dict=${found}.dict`, '-print_final_stats=1'];
  const args = ['fuzz', 'run', ...FOLDER, name, found, ...seeds, '--', ...options];
  const child = start(program, args, { env: ENV, stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr?.pipe(createWriteStream(`${found}.log`));
  const began = performance.now();
  const code = await ended(child);
  const seconds = (performance.now() - began) / 1000;

  const log = readFileSync(`${found}.log`, 'utf8');
  const findings = filesIn(inFuzz('artifacts', name)).length - before;
  if (code !== 0 && findings === 0)
    throw new Failure(`fuzzing ${name} failed: see ${path.relative(inRoot(), found)}.log`);
  return {
    executions: Number(/^stat::number_of_executed_units:\s*(\d+)/m.exec(log)?.[1]),
    seconds: Math.round(seconds),
    coverage: Number([...log.matchAll(/ cov: (\d+) /g)].at(-1)?.[1]),
    findings,
  };
}

async function main() {
  /** @type {Record<string, Target>} */
  const targets = JSON.parse(readFileSync(inFuzz('targets.json'), 'utf8'));
  const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(targets);
  const unknown = names.filter((name) => !targets[name]);
  if (unknown.length > 0) throw new Failure(`no such target: ${unknown.join(', ')}; there are ${Object.keys(targets)}`);

  const program = await installFuzzer();
  const build = () => run(program, ['fuzz', 'build', ...FOLDER], { env: ENV, quiet: true });
  await timed('compiling the targets (some minutes at first)', build);
  /** @type {Record<string, Awaited<ReturnType<typeof fuzz>>>} */
  const table = {};
  for (const name of names) {
    const target = /** @type {Target} */ (targets[name]);
    table[name] = await timed(`fuzzing ${name} for ${SECONDS} s`, () => fuzz(program, name, target));
  }
  console.table(table);
  const findings = Object.values(table).reduce((sum, row) => sum + row.findings, 0);
  if (findings > 0) say('findings are in fuzz/artifacts/; the end of fuzz/found/TARGET.log says what does not hold');
  return findings > 0 ? 1 : 0;
}

await command(main);
