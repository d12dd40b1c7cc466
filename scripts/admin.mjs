// `npm run admin -- COMMAND`: the operator's command line. It is native; this compiles it if need be and runs it.

import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { command, ended, Failure, inRoot, ROOT, run, say, start } from './run.mjs';
import { installPackages, installToolchain } from './tools.mjs';

/** How cargo is told which program is meant. */
const PROGRAM = ['--quiet', '--profile', 'admin', '--bin', 'admin'];
const STATE_OPTION = '--persist-to';

/** Compiles the command line; silent if that takes no time. */
export async function buildAdmin() {
  const note = setTimeout(() => say('compiling the admin command (a minute, once) …'), 1_000);
  await run('cargo', ['build', ...PROGRAM], { quiet: true }).finally(() => clearTimeout(note));
}

/** Runs it to its end. @param {string[]} args @returns {Promise<number>} its exit code */
export const runAdmin = (args) => ended(start('cargo', ['run', ...PROGRAM, '--', ...args], { stdio: 'inherit' }));

/**
 * Takes the folder of the local state out of the arguments. It is relative to where the user stands: npm runs scripts at
 * the top of the checkout.
 * @param {string[]} args
 */
export function takeState(args) {
  const rest = [...args];
  const at = rest.findIndex((arg) => arg === STATE_OPTION || arg.startsWith(`${STATE_OPTION}=`));
  if (at < 0) return { given: [], state: inRoot('.wrangler', 'state'), rest };
  const apart = rest[at] === STATE_OPTION;
  const folder = apart ? rest[at + 1] : rest[at]?.slice(STATE_OPTION.length + 1);
  if (!folder) throw new Failure(`${STATE_OPTION} wants a folder`);
  rest.splice(at, apart ? 2 : 1);
  const state = path.resolve(process.env.INIT_CWD ?? ROOT, folder);
  return { given: [STATE_OPTION, state], state, rest };
}

async function main() {
  const { given, rest } = takeState(process.argv.slice(2));
  await installToolchain();
  await Promise.all([installPackages(), buildAdmin()]);
  return runAdmin([...given, ...rest]);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(main);
