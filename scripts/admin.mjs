// `npm run admin -- COMMAND`: compiles the operator's command line, a native program, if necessary, and runs it.

import { pathToFileURL } from 'node:url';
import { callerFolder, childEnv, command, ended, inRoot, run, say, start } from './run.mjs';
import { installPackages, installToolchain, toolchain } from './tools.mjs';

/** The options that select the program, whatever the current folder is. */
const PROGRAM = ['--quiet', '--profile', 'admin', '--manifest-path', inRoot('Cargo.toml'), '--bin', 'admin'];

/** Compiles the command line. Prints nothing if that takes less than a second. */
export async function buildAdmin() {
  const note = setTimeout(() => say('compiling the admin command (a minute, once) …'), 1_000);
  await run('cargo', ['build', ...PROGRAM], { quiet: true }).finally(() => clearTimeout(note));
}

/** Runs the command line in the caller's folder. @param {string[]} args @returns {Promise<number>} its exit code */
export function runAdmin(args) {
  // rustup would look for rust-toolchain.toml in that folder and its parents.
  const env = { ...childEnv(), RUSTUP_TOOLCHAIN: toolchain() };
  return ended(start('cargo', ['run', ...PROGRAM, '--', ...args], { cwd: callerFolder(), env, stdio: 'inherit' }));
}

async function main() {
  await installToolchain();
  await Promise.all([installPackages(), buildAdmin()]);
  return runAdmin(process.argv.slice(2));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(main);
