// `npm run admin -- COMMAND`: compiles the operator's command line, a native program, if necessary, and runs it.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { runCargo, runPart } from './progress.mjs';
import { callerFolder, childEnv, command, ended, inRoot, ROOT, start } from './run.mjs';
import { installPackages, installToolchain, NICE } from './tools.mjs';

/** @param {'admin' | 'demo'} profile */
const programOf = (profile) => inRoot('target', profile, 'admin');

/** The compiled command line. */
export const ADMIN = programOf('admin');

/** Compiles the command line. Prints nothing if that takes less than a second. @param {'admin' | 'demo'} [profile] @returns {Promise<string>} the program */
export async function buildAdmin(profile = 'admin') {
  await installToolchain();
  const options = ['build', '--profile', profile, '--bin', 'admin', '--target-dir', inRoot('target')];
  await runPart('admin', (report) => runCargo(options, report, { nice: NICE.admin }));
  return programOf(profile);
}

/** Compiles the command line without optimisation, in half the time, unless the optimised one exists. */
export const buildDemoAdmin = () => buildAdmin(existsSync(ADMIN) ? 'admin' : 'demo');

/** The environment of the command line, which finds the checkout by the variable that `cargo run` sets. */
export const adminEnv = () => ({ ...childEnv(), CARGO_MANIFEST_DIR: path.resolve(ROOT) });

/** Runs the command line in the caller's folder. @param {string} program @param {string[]} args @returns {Promise<number>} its exit code */
const runAdmin = (program, args) =>
  ended(start(program, args, { cwd: callerFolder(), env: adminEnv(), stdio: 'inherit' }));

/**
 * Returns the constants of the Rust code that scripts use (src/bin/admin/constants.rs).
 * @returns {Promise<Record<string, number>>} the numbers; `variables`, which is an object, is for a test only
 */
export async function adminConstants() {
  await buildAdmin();
  return JSON.parse(execFileSync(ADMIN, ['constants'], { encoding: 'utf8' }));
}

async function main() {
  const [program] = await Promise.all([buildAdmin(), installPackages()]);
  return runAdmin(program, process.argv.slice(2));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(main);
