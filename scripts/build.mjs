// `npm run build`: the Worker, into build/. Nothing is done when nothing changed.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { command, inRoot, run, say, timed } from './run.mjs';
import { installPackages, installPrograms, installToolchain, programsAreCurrent, workerBuild } from './tools.mjs';

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

/** Compiles the Worker while the programs that pack it are still being compiled themselves. */
async function compileAhead() {
  if (programsAreCurrent()) return;
  const options = ['build', '--lib', '--release', '--target', 'wasm32-unknown-unknown'];
  const { env } = workerBuild();
  const compile = () => run('cargo', options, { env, quiet: true });
  await timed('compiling the Worker (a minute or two, once)', compile);
}

/** Builds the Worker if anything changed that it is made of. */
export async function buildWorker() {
  await installToolchain();
  await Promise.all([installPackages(), installPrograms(), compileAhead()]);
  const digest = digestOfInputs();
  const complete = OUTPUTS.every((file) => existsSync(inRoot(file)));
  if (complete && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === digest) return;

  rmSync(STAMP, { force: true });
  const { program, env } = workerBuild();
  await timed('building the Worker', () => run(program, ['--release'], { env, quiet: true }));
  writeFileSync(STAMP, digest);
  const wasm = readFileSync(inRoot('build', 'index_bg.wasm'));
  const kib = (/** @type {number} */ bytes) => `${(bytes / 1024).toFixed(0)} KiB`;
  say(`the Worker is ${kib(wasm.length)} of wasm, ${kib(gzipSync(wasm).length)} compressed`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(buildWorker);
