// `npm run admin -- COMMAND`: compiles the operator's command line, a native program, if necessary, and runs it.

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { runCargo, runPart } from './progress.mjs';
import { callerFolder, childEnv, command, ended, inRoot, ROOT, start } from './run.mjs';
import { installPackages, installToolchain } from './tools.mjs';

/** The compiled command line. */
export const ADMIN = inRoot('target', 'admin', 'admin');

/** Compiles the command line. Prints nothing if that takes less than a second. */
export async function buildAdmin() {
  await installToolchain();
  const options = ['build', '--profile', 'admin', '--bin', 'admin', '--target-dir', inRoot('target')];
  await runPart('admin', (report) => runCargo(options, report));
}

/** The environment of the command line, which finds the checkout by the variable that `cargo run` sets. */
export const adminEnv = () => ({ ...childEnv(), CARGO_MANIFEST_DIR: path.resolve(ROOT) });

/** Runs the command line in the caller's folder. @param {string[]} args @returns {Promise<number>} its exit code */
export const runAdmin = (args) => ended(start(ADMIN, args, { cwd: callerFolder(), env: adminEnv(), stdio: 'inherit' }));

/**
 * Returns the constants of the Rust code that scripts use (src/bin/admin/constants.rs).
 * @returns {Promise<Record<string, number>>} the numbers; `variables`, which is an object, is for a test only
 */
export async function adminConstants() {
  await buildAdmin();
  return JSON.parse(execFileSync(ADMIN, ['constants'], { encoding: 'utf8' }));
}

async function main() {
  await Promise.all([installPackages(), buildAdmin()]);
  return runAdmin(process.argv.slice(2));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(main);
