// `npm run admin -- COMMAND`: compiles the operator's command line, a native program, if necessary, and runs it.

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { callerFolder, childEnv, command, ended, inRoot, ROOT, run, say, start } from './run.mjs';
import { installPackages, installToolchain } from './tools.mjs';

/** The compiled command line. */
export const ADMIN = inRoot('target', 'admin', 'admin');

/** Compiles the command line. Prints nothing if that takes less than a second. */
export async function buildAdmin() {
  const options = ['build', '--quiet', '--profile', 'admin', '--bin', 'admin', '--target-dir', inRoot('target')];
  const note = setTimeout(() => say('compiling the admin command (a minute, once) …'), 1_000);
  await run('cargo', options, { quiet: true }).finally(() => clearTimeout(note));
}

/** Runs the command line in the caller's folder. @param {string[]} args @returns {Promise<number>} its exit code */
export function runAdmin(args) {
  // The program finds the checkout by this variable, which `cargo run` sets.
  const env = { ...childEnv(), CARGO_MANIFEST_DIR: path.resolve(ROOT) };
  return ended(start(ADMIN, args, { cwd: callerFolder(), env, stdio: 'inherit' }));
}

/**
 * Returns the constants of the Rust code that scripts use (src/bin/admin/constants.rs).
 * @returns {Promise<Record<string, number>>} the numbers; `variables`, which is an object, is for a test only
 */
export async function adminConstants() {
  await buildAdmin();
  return JSON.parse(execFileSync(ADMIN, ['constants'], { encoding: 'utf8' }));
}

async function main() {
  await installToolchain();
  await Promise.all([installPackages(), buildAdmin()]);
  return runAdmin(process.argv.slice(2));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(main);
