// Running other programs: one place that knows where the project's own tools are and how a child's end becomes ours.
// Bare Node.js 20 and no packages: the first `npm run dev` starts here, before anything is installed.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** @param {string[]} parts a path inside the checkout */
export const inRoot = (...parts) => path.join(ROOT, ...parts);

/**
 * A failure that is the user's to read: its message says what to do, a stack trace would only hide it.
 */
export class Failure extends Error {
  /** @param {string} message @param {number} [code] the exit code of this process */
  constructor(message, code = 1) {
    super(message);
    this.code = code;
  }
}

/** Says what is going on, apart from what the tools print. @param {string} line */
export const say = (line) => void process.stderr.write(`[trigger-launch] ${line}\n`);

/** `1.4 s`, `2 min 5 s`. @param {number} since a value of `performance.now()` */
export function elapsed(since) {
  const seconds = (performance.now() - since) / 1000;
  return seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** The environment of every child: our packages' programs first, and nobody asks or phones home. */
export function childEnv() {
  return {
    ...process.env,
    PATH: [inRoot('node_modules', '.bin'), process.env.PATH].join(path.delimiter),
    WRANGLER_SEND_METRICS: 'false',
    WRANGLER_HIDE_BANNER: 'true',
  };
}

/** The Node.js that the packages want (a package itself); before it is installed, the one that runs this. */
export function nodeBinary() {
  const installed = inRoot('node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  return existsSync(installed) ? installed : process.execPath;
}

/**
 * Runs a program to its end.
 * @param {string} program
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string, quiet?: boolean }} [options] `quiet` shows the output only when it fails
 */
export function run(program, args, { env = childEnv(), cwd = ROOT, quiet = false } = {}) {
  return new Promise((resolve, reject) => {
    const stdio = quiet ? 'pipe' : 'inherit';
    const child = spawn(program, args, { env, cwd, stdio: ['ignore', stdio, stdio] });
    /** @type {Buffer[]} */
    const output = [];
    child.stdout?.on('data', (chunk) => output.push(chunk));
    child.stderr?.on('data', (chunk) => output.push(chunk));
    child.on('error', (error) => reject(new Failure(`${program} cannot be started: ${error.message}`, 127)));
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(undefined);
      process.stderr.write(Buffer.concat(output));
      const end = signal ? `was ended by ${signal}` : `failed with exit code ${code}`;
      reject(new Failure(`${path.basename(program)} ${args[0] ?? ''} ${end}`, code ?? 1));
    });
  });
}

/** Runs `main` and turns its failure into a line and an exit code. @param {() => Promise<number | void>} main */
export async function command(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    say(error.message);
    process.exitCode = error.code;
  }
}
