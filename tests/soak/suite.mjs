// Runs the runtime suite several times while a compiler uses the machine.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { table } from '../../benches/report.mjs';
import { ended, inRoot, PROJECT_NODE, say, start } from '../../scripts/run.mjs';
import { endedWithin } from './bounded.mjs';

/** A run that takes longer than this has failed. */
const RUN_MS = 30 * 60_000;

/** Compiles the crate again and again until it is stopped. */
class Compiler {
  compiled = 0;
  #stopped = false;
  /** @type {import('../../scripts/run.mjs').ChildProcess | undefined} */
  #child;

  /** @param {string} folder */
  constructor(folder) {
    this.target = path.join(folder, 'target');
    this.done = this.#run();
  }

  /** Returns why the compiler stopped by itself. @returns {Promise<string | undefined>} */
  async #run() {
    while (!this.#stopped) {
      rmSync(this.target, { recursive: true, force: true });
      const build = ['build', '--quiet', '--target-dir', this.target];
      // A process group of its own: the compilers that cargo starts end with cargo.
      this.#child = start('cargo', build, { stdio: 'ignore', detached: true });
      const code = await ended(this.#child);
      if (this.#stopped) break;
      if (code !== 0) return `cargo build ended with exit code ${code}`;
      this.compiled += 1;
    }
  }

  /** Stops the compiler. Returns the reason if it had stopped before. */
  async stop() {
    this.#stopped = true;
    if (this.#child?.pid && this.#child.exitCode === null) process.kill(-this.#child.pid, 'SIGTERM');
    return this.done;
  }
}

/** The results of a run, as vitest writes them. @typedef {{ numPassedTests: number, numFailedTests: number, testResults: { name: string, message: string, assertionResults: { status: string, fullName: string }[] }[] }} Results */

/** One run of the suite. @param {string} file for its results */
async function runSuite(file) {
  rmSync(file, { force: true });
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const args = [inRoot('node_modules', 'vitest', 'vitest.mjs'), 'run', ...reporters];
  const begin = performance.now();
  // The output of vitest is progress.
  const child = start(PROJECT_NODE, args, { stdio: ['ignore', 2, 2] });
  const code = await endedWithin(child, RUN_MS);
  const seconds = (performance.now() - begin) / 1000;
  /** @type {Results} */
  let results = { numPassedTests: 0, numFailedTests: 0, testResults: [] };
  try {
    results = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    // vitest was killed before it wrote results. Its exit code reports the failure.
  }
  const failed = results.testResults.flatMap(({ assertionResults }) =>
    assertionResults.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName),
  );
  return { code, seconds, passed: results.numPassedTests, failed };
}

/** @param {{ rounds: number }} options `rounds`: runs of the suite */
export async function suite({ rounds }) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'trigger-launch-soak-'));
  const compiler = new Compiler(folder);
  /** @type {(string | number)[][]} */
  const rows = [];
  /** @type {string[]} */
  const failures = [];
  try {
    for (let run = 1; run <= rounds; run++) {
      const before = compiler.compiled;
      const { code, seconds, passed, failed } = await runSuite(path.join(folder, 'results.json'));
      rows.push([
        run,
        passed,
        failed.length,
        failed.join('; ') || '–',
        `${seconds.toFixed(0)} s`,
        compiler.compiled - before,
      ]);
      if (code !== 0) failures.push(`run ${run} of the suite: exit code ${code}: ${failed.join('; ')}`);
      say(`suite: run ${run} of ${rounds}: ${passed} passed, ${failed.length} failed`);
    }
  } finally {
    const fault = await compiler.stop();
    if (fault) failures.push(fault);
    // A compiler may still be ending.
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 500 });
  }
  const head = ['run', 'passed', 'failed', 'which', 'time', 'builds completed meanwhile'];
  return { tables: [`**The runtime suite while a compiler runs**\n\n${table(head, rows)}`], failures };
}
