// `npm run build`: the Worker, into build/. Nothing is done when nothing changed.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { command, Failure, inRoot, run, say, timed } from './run.mjs';
import { installPackages, installPrograms, installToolchain, programsAreCurrent, workerBuild } from './tools.mjs';

/** What the output depends on. */
const INPUTS = ['src', '.cargo', 'Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml', 'package-lock.json', 'scripts'];
const OUTPUTS = ['build/index.js', 'build/index_bg.wasm'];
const wasmFile = inRoot('build', 'index_bg.wasm');
/** What the runtime knows, and no more: with it the names of functions are dropped, a seventh of what worker-build leaves. */
const FEATURES = [
  'mutable-globals',
  'sign-ext',
  'nontrapping-float-to-int',
  'bulk-memory',
  'multivalue',
  'reference-types',
  'exception-handling',
  'simd',
].map((feature) => `--enable-${feature}`);
const STAMP = inRoot('build', '.inputs');

/** Tests of modules: no part of the Worker. */
const TESTS = /(^|\/)tests(\.rs)?$/;

/** @param {string} entry @returns {string[]} the files below it, in a fixed order */
function filesOf(entry) {
  if (!existsSync(inRoot(entry))) return [];
  if (statSync(inRoot(entry)).isFile()) return [entry];
  const names = readdirSync(inRoot(entry))
    .filter((name) => !TESTS.test(name))
    .sort();
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

/** The crate as the Worker is built from it. */
const CRATE = 'target/worker';

/** What of Cargo.toml says that the library is for other programs too. */
const CRATE_TYPE = 'crate-type = ["cdylib", "rlib"]';

/**
 * The manifest of that crate: Cargo.toml with the library as a `cdylib` alone. Beside an `rlib`, which the command line and
 * the tests link, cargo leaves out the optimisation across crates, and the Worker is a tenth larger.
 * @param {string} manifest the text of Cargo.toml
 */
export function workerManifest(manifest) {
  if (!manifest.includes(CRATE_TYPE)) {
    throw new Failure(
      `Cargo.toml does not hold \`${CRATE_TYPE}\`, which scripts/build.mjs replaces for the Worker's build`,
    );
  }
  const up = path.posix.relative(CRATE, '.');
  const changed = manifest
    .replace(CRATE_TYPE, `path = "src/lib.rs"\ncrate-type = ["cdylib"]`)
    .replaceAll(/^path = "/gm, `path = "${up}/`);
  return `${changed}\n[workspace]\n`;
}

/** Writes a file unless it says that already: cargo looks at times. @param {string} file @param {string} content */
export function writeChanged(file, content) {
  if (!existsSync(file) || readFileSync(file, 'utf8') !== content) writeFileSync(file, content);
}

function writeManifest() {
  mkdirSync(inRoot(CRATE), { recursive: true });
  writeChanged(inRoot(CRATE, 'Cargo.toml'), workerManifest(readFileSync(inRoot('Cargo.toml'), 'utf8')));
  writeChanged(inRoot(CRATE, 'Cargo.lock'), readFileSync(inRoot('Cargo.lock'), 'utf8'));
}

/** Compiles the Worker while the programs that pack it are still being compiled themselves. */
async function compileAhead() {
  if (programsAreCurrent()) return;
  const manifest = ['--manifest-path', inRoot(CRATE, 'Cargo.toml')];
  const options = ['build', ...manifest, '--lib', '--release', '--target', 'wasm32-unknown-unknown'];
  const { env } = workerBuild();
  const compile = () => run('cargo', options, { env, quiet: true });
  await timed('compiling the Worker (a minute or two, once)', compile);
}

/** Builds the Worker if anything changed that it is made of. */
export async function buildWorker() {
  await installToolchain();
  writeManifest();
  await Promise.all([installPackages(), installPrograms(), compileAhead()]);
  const digest = digestOfInputs();
  const complete = OUTPUTS.every((file) => existsSync(inRoot(file)));
  if (complete && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === digest) return;

  rmSync(STAMP, { force: true });
  const { program, wasmOpt, env } = workerBuild();
  const options = ['--release', '--out-dir', path.relative(CRATE, 'build'), CRATE];
  await timed('building the Worker', () => run(program, options, { env, quiet: true }));
  await run(wasmOpt, ['--strip-debug', '--strip-producers', ...FEATURES, wasmFile, '-o', wasmFile]);
  writeFileSync(STAMP, digest);
  const wasm = readFileSync(wasmFile);
  const kib = (/** @type {number} */ bytes) => `${(bytes / 1024).toFixed(0)} KiB`;
  say(`the Worker is ${kib(wasm.length)} of wasm, ${kib(gzipSync(wasm).length)} compressed`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(buildWorker);
