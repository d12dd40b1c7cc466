// Python with the packages of requirements.txt, in an environment of its own below `target`.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { inRoot } from '../../scripts/run.mjs';

const FOLDER = inRoot('target', 'python');
const REQUIREMENTS = inRoot('tests', 'runtime', 'requirements.txt');
/** A copy of the requirements that are installed. */
const STAMP = path.join(FOLDER, 'installed.txt');
const PROGRAM = path.join(FOLDER, 'bin', 'python');

/** Whether this machine has Python 3.9 or newer and can create environments: Debian has a package of its own for that. */
export const hasPython = succeeds('python3', [
  '-c',
  'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 9))',
]);

/** Installs the packages, unless they are installed. Needs the network. */
export function installPackages(): void {
  const wanted = readFileSync(REQUIREMENTS, 'utf8');
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wanted) return;
  rmSync(FOLDER, { recursive: true, force: true });
  run('python3', ['-m', 'venv', FOLDER]);
  const options = ['--quiet', '--disable-pip-version-check', '--no-deps', '--require-hashes'];
  run(PROGRAM, ['-m', 'pip', 'install', ...options, '-r', REQUIREMENTS]);
  writeFileSync(STAMP, wanted);
}

/** Runs a script with this input, and returns the lines that it prints. */
export function runPython(script: string, input: string): string[] {
  return run(PROGRAM, [script], input).trim().split('\n');
}

function run(program: string, args: string[], input = ''): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { input, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with exit code ${status}:\n${stderr}`);
  return stdout;
}

function succeeds(program: string, args: string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}
