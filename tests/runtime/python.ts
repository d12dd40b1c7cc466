// Python with packages, in environments of their own below `target`.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { inRoot } from '../../scripts/run.mjs';

/** Whether this machine has Python 3.11 or newer and can create environments: Debian has a package of its own for that. */
export const hasPython = succeeds('python3', [
  '-c',
  'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))',
]);

/** Whether tests with Python may be skipped. If `REQUIRE_INTERPRETERS` is set, they fail instead. */
export const skipsPython = !hasPython && !process.env.REQUIRE_INTERPRETERS;

/** The packages of a list of requirements, which must contain their dependencies. */
export class PythonEnvironment {
  private readonly folder: string;
  private readonly requirements: string;

  constructor(name: string, ...requirements: string[]) {
    this.folder = inRoot('target', name);
    this.requirements = inRoot(...requirements);
  }

  /** Installs the packages, unless they are installed. Needs the network. */
  install(): void {
    const wanted = readFileSync(this.requirements, 'utf8');
    // A copy of the requirements that are installed.
    const stamp = path.join(this.folder, 'installed.txt');
    if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
    rmSync(this.folder, { recursive: true, force: true });
    run('python3', ['-m', 'venv', this.folder]);
    const options = ['--quiet', '--disable-pip-version-check', '--no-deps', '--require-hashes'];
    run(this.program('python'), ['-m', 'pip', 'install', ...options, '-r', this.requirements]);
    writeFileSync(stamp, wanted);
  }

  /** Runs a script with this input, and returns what it prints. */
  run(args: string[], input = ''): string {
    return run(this.program('python'), args, input);
  }

  /** Starts a program of a package. */
  start(program: string, args: string[], env: Record<string, string>): ChildProcess {
    return spawn(this.program(program), args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  private program(name: string): string {
    return path.join(this.folder, 'bin', name);
  }
}

function run(program: string, args: string[], input = ''): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { input, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with exit code ${status}:\n${stdout}${stderr}`);
  return stdout;
}

function succeeds(program: string, args: string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}
