// Running other programs: one place that knows where the project's own tools are and how a child's end becomes ours.
// Node.js 20 without packages is enough: the first `npm run dev` starts here, before anything is installed.

import { spawn } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

/** The checkout. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** @param {string[]} parts a path inside the checkout */
export const inRoot = (...parts) => path.join(ROOT, ...parts);

/** The folder in which the user called npm: npm runs scripts in the checkout. */
export const callerFolder = () => process.env.INIT_CWD ?? process.cwd();

/** A failure that is the user's to read: its message says what to do, and a stack trace would only hide it. */
export class Failure extends Error {
  /** @param {string} message @param {number} [code] the exit code of this process */
  constructor(message, code = 1) {
    super(message);
    this.code = code;
  }
}

/** The longest message of another program that is shown, in characters. */
const MESSAGE_LIMIT = 400;

/** A message of another program on one line, without characters that a terminal would act on. @param {string} text */
export function escaped(text) {
  const code = (/** @type {string} */ char) => `\\u{${char.codePointAt(0)?.toString(16)}}`;
  const line = text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, code);
  return line.length > MESSAGE_LIMIT ? `${line.slice(0, MESSAGE_LIMIT)}…` : line;
}

/** Says what is going on, apart from what the tools print. @param {string} line */
export const say = (line) => void process.stderr.write(`[trigger-launch] ${line}\n`);

/** Says what is going on, and at the end how long it took. @template T @param {string} what @param {() => Promise<T>} work */
export async function timed(what, work) {
  say(`${what} …`);
  const start = performance.now();
  const result = await work();
  const seconds = (performance.now() - start) / 1000;
  const minutes = Math.floor(seconds / 60);
  say(`${what}: done in ${minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${seconds.toFixed(1)} s`}`);
  return result;
}

/** The environment of every child: our packages' programs first, and nothing asks, reports or looks for updates. */
export function childEnv() {
  return {
    ...process.env,
    PATH: [inRoot('node_modules', '.bin'), process.env.PATH].join(path.delimiter),
    WRANGLER_SEND_METRICS: 'false',
    WRANGLER_SEND_ERROR_REPORTS: 'false',
    // The local runtime would fetch a sample of request metadata, and keep a trace of every request, its URL included.
    CLOUDFLARE_CF_FETCH_ENABLED: 'false',
    X_LOCAL_OBSERVABILITY: 'false',
  };
}

/** The Node.js that the packages want: it is one of them. */
export const PROJECT_NODE = inRoot('node_modules', 'node', 'bin', 'node');

/** Children that run now: they end with us. @type {Set<ChildProcess>} */
const children = new Set();

/** Starts a program that is ended with this process. @param {string} program @param {string[]} args @param {import('node:child_process').SpawnOptions} [options] */
export function start(program, args, options = {}) {
  const child = spawn(program, args, { env: childEnv(), cwd: ROOT, ...options });
  children.add(child);
  child.on('close', () => children.delete(child));
  child.on('error', () => children.delete(child));
  return child;
}

/** How a child ended, as an exit code. @param {ChildProcess} child @returns {Promise<number>} */
export function ended(child) {
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new Failure(`${child.spawnfile} cannot be started: ${error.message}`, 127)));
    child.on('close', (code, signal) => resolve(signal ? 128 + os.constants.signals[signal] : (code ?? 1)));
  });
}

/**
 * Runs a program to its end; an end other than success is a failure.
 * @param {string} program
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, quiet?: boolean }} [options] `quiet` shows what it printed only if it failed
 */
export async function run(program, args, { env = childEnv(), quiet = false } = {}) {
  const output = quiet ? 'pipe' : 'inherit';
  const child = start(program, args, { env, stdio: ['ignore', output, output] });
  /** @type {Buffer[]} */
  const printed = [];
  child.stdout?.on('data', (chunk) => printed.push(chunk));
  child.stderr?.on('data', (chunk) => printed.push(chunk));
  const code = await ended(child);
  if (code === 0) return;
  process.stderr.write(Buffer.concat(printed));
  throw new Failure(`${path.basename(program)} ${args[0] ?? ''} failed with exit code ${code}`, code);
}

/** Ends what still runs; what does not listen within five seconds is killed. */
function endChildren() {
  for (const child of children) child.kill('SIGTERM');
  setTimeout(() => children.forEach((child) => child.kill('SIGKILL')), 5_000).unref();
}

/** Runs a command of package.json: its result is the exit code, a failure is a line. @param {() => Promise<number | void>} main */
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
