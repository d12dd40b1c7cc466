// `npm run admin -- COMMAND`: the operator's command line. It is native; this compiles it if need be and runs it.

import { pathToFileURL } from 'node:url';
import { childEnv, command, ended, inRoot, run, say, start } from './run.mjs';
import { installPackages, installToolchain, toolchain } from './tools.mjs';

/** How cargo is told which program is meant, wherever it is called. */
const PROGRAM = ['--quiet', '--profile', 'admin', '--manifest-path', inRoot('Cargo.toml'), '--bin', 'admin'];

/** Compiles the command line; silent if that takes no time. */
export async function buildAdmin() {
  const note = setTimeout(() => say('compiling the admin command (a minute, once) …'), 1_000);
  await run('cargo', ['build', ...PROGRAM], { quiet: true }).finally(() => clearTimeout(note));
}

/** Where the user stands: npm runs scripts at the top of the checkout. */
export const callerFolder = () => process.env.INIT_CWD ?? process.cwd();

/** Runs it where the user stands. @param {string[]} args @returns {Promise<number>} its exit code */
export function runAdmin(args) {
  // rustup would look for rust-toolchain.toml from there upwards.
  const env = { ...childEnv(), RUSTUP_TOOLCHAIN: toolchain() };
  return ended(start('cargo', ['run', ...PROGRAM, '--', ...args], { cwd: callerFolder(), env, stdio: 'inherit' }));
}

async function main() {
  await installToolchain();
  await Promise.all([installPackages(), buildAdmin()]);
  return runAdmin(process.argv.slice(2));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(main);
