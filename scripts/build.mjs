// `npm run build`: the Worker, into build/. Nothing is done when nothing changed.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { command, elapsed, inRoot, run, say } from './run.mjs';
import { buildEnv, installTools } from './tools.mjs';

/** What the output depends on. */
const INPUTS = ['src', '.cargo', 'Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml', 'package-lock.json', 'scripts'];
const OUTPUTS = ['build/index.js', 'build/index_bg.wasm'];
const STAMP = inRoot('build', '.inputs');

/** @param {string} entry @returns {string[]} the files below it, in a fixed order */
function filesOf(entry) {
  if (!existsSync(inRoot(entry))) return [];
  if (statSync(inRoot(entry)).isFile()) return [entry];
  const names = readdirSync(inRoot(entry)).sort();
  return names.flatMap((name) => filesOf(path.posix.join(entry, name)));
}

/** A digest of every input, by its content: a checkout changes times, not what is built. */
function digestOfInputs() {
  const hash = createHash('sha256');
  for (const file of INPUTS.flatMap(filesOf)) {
    const content = readFileSync(inRoot(file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/** Builds the Worker if its sources changed. */
export async function buildWorker() {
  await installTools();
  const digest = digestOfInputs();
  const complete = OUTPUTS.every((file) => existsSync(inRoot(file)));
  if (complete && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === digest) return;

  const start = performance.now();
  say('building the Worker …');
  rmSync(STAMP, { force: true });
  await run(inRoot('.tools', 'bin', 'worker-build'), ['--release'], { env: buildEnv() });
  writeFileSync(STAMP, digest);
  const wasm = readFileSync(inRoot('build', 'index_bg.wasm'));
  const kib = (/** @type {number} */ bytes) => `${(bytes / 1024).toFixed(0)} KiB`;
  const sizes = `${kib(wasm.length)} of wasm, ${kib(gzipSync(wasm).length)} compressed`;
  say(`Worker built in ${elapsed(start)}: ${sizes}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(buildWorker);
