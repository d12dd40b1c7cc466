// Describes the commit and the machine of a run, without data that identifies a person or a host.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { inRoot, ROOT } from '../scripts/run.mjs';

/** Describes the commit and the machine of a run. */
export function machine() {
  const git = (/** @type {string[]} */ args) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();
  const version = (/** @type {string} */ name) =>
    JSON.parse(readFileSync(inRoot('node_modules', name, 'package.json'), 'utf8')).version;
  const packages = Object.fromEntries(
    ['wrangler', 'workerd', 'hono', 'fast-xml-parser'].map((name) => [name, version(name)]),
  );
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: git(['rev-parse', '--short=12', 'HEAD']),
    changed: git(['status', '--porcelain', '--', 'src', 'Cargo.toml', 'Cargo.lock', 'benches/*.mjs']) !== '',
    machine: {
      cpu: os.cpus()[0]?.model ?? '',
      cores: os.cpus().length,
      memory: `${Math.round(os.totalmem() / 2 ** 30)} GiB`,
      node: process.version,
      ...packages,
    },
  };
}
