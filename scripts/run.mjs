// Runs other programs: their environment, their output, and the exit code of a script. It must run on Node.js 20 without
// packages, because the first `npm run dev` uses it before anything is installed.

import { spawn } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

/** The folder of the checkout. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Returns the absolute path of a file in the checkout. @param {string[]} parts */
export const inRoot = (...parts) => path.join(ROOT, ...parts);

/** The folder in which the user ran npm. npm itself changes to the checkout. */
export const callerFolder = () => process.env.INIT_CWD ?? process.cwd();

/** An error for the user. Only its message is printed, without a stack trace. */
export class Failure extends Error {
  /** @param {string} message @param {number} [code] the exit code of this process */
  constructor(message, code = 1) {
    super(message);
    this.code = code;
  }
}

/** The number of characters of another program's message that are printed. */
const MESSAGE_LIMIT = 400;

/** Formats another program's message as one line without control characters. @param {string} text */
export function escaped(text) {
  const code = (/** @type {string} */ char) => `\\u{${char.codePointAt(0)?.toString(16)}}`;
  const line = text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, code);
  return line.length > MESSAGE_LIMIT ? `${line.slice(0, MESSAGE_LIMIT)}…` : line;
}

/** The last line of the terminal, which is rewritten, or an empty string. */
let status = '';

/** Removes the line that `showStatus` wrote. */
const ERASE = '\r\x1b[2K';

/** Shows a line of progress on the terminal, in place of the one before. An empty string removes it. @param {string} text */
export function showStatus(text) {
  const line = text && `[trigger-launch] ${text}`.slice(0, Math.max(1, (process.stderr.columns ?? 80) - 1));
  if (line || status) process.stderr.write(`${ERASE}${line}`);
  status = line;
}

/** Prints text on stderr, above the line of `showStatus`. It ends with a line break. @param {string} text */
function print(text) {
  if (status) process.stderr.write(ERASE);
  process.stderr.write(text);
  if (status) process.stderr.write(status);
}

/** Prints a line of progress on stderr. @param {string} line */
export const say = (line) => print(`[trigger-launch] ${line}\n`);

/** Runs `work`, and prints its beginning and its duration. @template T @param {string} what @param {() => Promise<T>} work */
export async function timed(what, work) {
  say(`${what} …`);
  const start = performance.now();
  const result = await work();
  const seconds = (performance.now() - start) / 1000;
  const minutes = Math.floor(seconds / 60);
  say(`${what}: done in ${minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${seconds.toFixed(1)} s`}`);
  return result;
}

/** The environment of child processes: the programs of the npm packages are first on the path, and telemetry is off. */
export function childEnv() {
  return {
    ...process.env,
    PATH: [inRoot('node_modules', '.bin'), process.env.PATH].join(path.delimiter),
    WRANGLER_SEND_METRICS: 'false',
    WRANGLER_SEND_ERROR_REPORTS: 'false',
    // By default the local runtime downloads sample request metadata, and stores a trace of every request with its URL.
    CLOUDFLARE_CF_FETCH_ENABLED: 'false',
    X_LOCAL_OBSERVABILITY: 'false',
  };
}

/** The version of Node.js that the packages need. It is installed as a package itself. */
export const PROJECT_NODE = inRoot('node_modules', 'node', 'bin', 'node');

/** Running child processes, which are ended with this process. @type {Set<ChildProcess>} */
const children = new Set();

/** Starts a program that is ended with this process. @param {string} program @param {string[]} args @param {import('node:child_process').SpawnOptions} [options] */
export function start(program, args, options = {}) {
  const child = spawn(program, args, { env: childEnv(), cwd: ROOT, ...options });
  children.add(child);
  child.on('close', () => children.delete(child));
  child.on('error', () => children.delete(child));
  return child;
}

/** Waits for a child and returns its exit code, which is 128 + N after signal N. @param {ChildProcess} child @returns {Promise<number>} */
export function ended(child) {
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new Failure(`${child.spawnfile} cannot be started: ${error.message}`, 127)));
    child.on('close', (code, signal) => resolve(signal ? 128 + os.constants.signals[signal] : (code ?? 1)));
  });
}

/** @param {string} output */
const same = (output) => output;

/**
 * Runs a program, and fails if its exit code is not 0.
 * @param {string} program
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, quiet?: boolean, nice?: number, report?: (output: string) => void, clean?: (output: string) => string }} [options]
 *   `quiet` prints the program's output, changed by `clean`, only if the program fails. `report` gets the output of a quiet program
 *   while it runs. `nice` is its priority, where 0 is the highest.
 */
export async function run(program, args, { env = childEnv(), quiet = false, nice = 0, report, clean = same } = {}) {
  const output = quiet ? 'pipe' : 'inherit';
  const child = start(program, args, { env, stdio: ['ignore', output, output] });
  // Without a process ID, starting it has failed, which `ended` reports.
  if (nice > 0 && child.pid !== undefined) os.setPriority(child.pid, nice);
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      printed += text;
      report?.(text);
    });
  }
  const code = await ended(child);
  if (code === 0) return;
  print(clean(printed));
  throw new Failure(`${path.basename(program)} ${args[0] ?? ''} failed with exit code ${code}`, code);
}

/** Ends the running children with SIGTERM, and after five seconds with SIGKILL. */
function endChildren() {
  for (const child of children) child.kill('SIGTERM');
  setTimeout(() => children.forEach((child) => child.kill('SIGKILL')), 5_000).unref();
}

/** Runs a script of package.json, and sets its exit code. A `Failure` is printed as one line. @param {() => Promise<number | void>} main */
export async function command(main) {
  /** @type {NodeJS.Signals | undefined} */
  let interrupted;
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      interrupted ??= signal;
      endChildren();
    });
  }
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    if (interrupted) {
      process.exitCode = 128 + os.constants.signals[interrupted];
      return;
    }
    endChildren();
    if (!(error instanceof Failure)) throw error;
    say(error.message);
    process.exitCode = error.code;
  }
}
