// `npm run admin -- COMMAND`: the operator's command line. It is native; this compiles it if need be and runs it where the
// user stands.

import { pathToFileURL } from 'node:url';
import { childEnv, command, ended, inRoot, run, say, start } from './run.mjs';
import { installPackages, installToolchain, toolchain } from './tools.mjs';

const CARGO = ['--quiet', '--profile', 'admin', '--manifest-path', inRoot('Cargo.toml'), '--bin', 'admin'];

/** Compiles the command line; silent if that takes no time. */
export async function buildAdmin() {
  const note = setTimeout(() => say('compiling the admin command (about a minute, once) …'), 1_000);
  await run('cargo', ['build', ...CARGO], { quiet: true }).finally(() => clearTimeout(note));
}

/** Runs it. @param {string[]} args @param {string} [cwd] what relative paths mean @returns {Promise<number>} its exit code */
export function runAdmin(args, cwd = process.env.INIT_CWD ?? process.cwd()) {
  const env = { ...childEnv(), RUSTUP_TOOLCHAIN: toolchain() };
  return ended(start('cargo', ['run', ...CARGO, '--', ...args], { cwd, env, stdio: 'inherit' }));
}

async function main() {
  await installToolchain();
  await Promise.all([installPackages(), buildAdmin()]);
  return runAdmin(process.argv.slice(2));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(main);
