// The folder of the local state. `npm run dev` is the only command that creates one.

import { mkdirSync, mkdtempSync, rmdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { callerFolder, Failure, inRoot } from './run.mjs';

export const STATE_OPTION = '--persist-to';

/** Separates the state folder, which is relative to the caller's folder, from the other arguments. @param {string[]} args */
export function takeState(args) {
  const rest = [...args];
  const at = rest.findIndex((arg) => arg === STATE_OPTION || arg.startsWith(`${STATE_OPTION}=`));
  if (at < 0) return { state: inRoot('.wrangler', 'state'), rest };
  const separate = rest[at] === STATE_OPTION;
  const folder = separate ? rest[at + 1] : rest[at]?.slice(STATE_OPTION.length + 1);
  if (!folder) throw new Failure(`${STATE_OPTION} needs a folder: npm run dev -- ${STATE_OPTION} DIR`);
  rest.splice(at, separate ? 2 : 1);
  return { state: path.resolve(callerFolder(), folder), rest };
}

/** Creates the state folder if it does not exist, and checks that it can be written. @param {string} folder */
export function createState(folder) {
  try {
    createFolder(folder);
  } catch (error) {
    throw new Failure(`the state folder ${folder} cannot be created: ${reason(error)}`);
  }
  try {
    rmdirSync(mkdtempSync(path.join(folder, '.writable-')));
  } catch (error) {
    throw new Failure(`the state folder ${folder} cannot be written: ${reason(error)}`);
  }
}

/** `mkdirSync` with `recursive` never returns if a folder such as /proc refuses new entries. @param {string} folder */
function createFolder(folder) {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
  if (folder !== path.dirname(folder)) createFolder(path.dirname(folder));
  try {
    mkdirSync(folder);
  } catch (error) {
    // Another process may have created it.
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

/** @param {unknown} error */
const reason = (error) => (error instanceof Error ? error.message : String(error));
