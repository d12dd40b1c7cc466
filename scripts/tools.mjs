// Installs what the build needs and a fresh machine lacks: the npm packages, and two programs that the registries have
// as source alone. Versions stand in package-lock.json and Cargo.lock, nowhere else.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { childEnv, elapsed, Failure, inRoot, run, say } from './run.mjs';

const TOOLS = inRoot('.tools');
const EXE = process.platform === 'win32' ? '.exe' : '';

/** The version of a crate in Cargo.lock. @param {string} crate */
function lockedVersion(crate) {
  const found = readFileSync(inRoot('Cargo.lock'), 'utf8').match(
    new RegExp(`^name = "${crate}"\\r?\\nversion = "([^"]+)"`, 'm'),
  );
  if (!found) throw new Failure(`Cargo.lock does not name the crate ${crate}`);
  return found[1];
}

/**
 * The programs that cargo compiles. Each is released together with the library that it must fit, so that the library's
 * locked version is the program's.
 */
const PROGRAMS = [
  { crate: 'worker-build', binary: 'worker-build', library: 'worker' },
  { crate: 'wasm-bindgen-cli', binary: 'wasm-bindgen', library: 'wasm-bindgen' },
];

/** @param {string} binary */
const programPath = (binary) => path.join(TOOLS, 'bin', binary + EXE);

/** Where worker-build finds its own tools; what it does not find it would download. */
export function buildEnv() {
  return {
    ...childEnv(),
    WASM_BINDGEN_BIN: programPath('wasm-bindgen'),
    WASM_OPT_BIN: inRoot('node_modules', '.bin', 'wasm-opt'),
    ESBUILD_BIN: inRoot('node_modules', '.bin', 'esbuild'),
  };
}

/** @param {string} file */
const readOr = (file, otherwise = '') => (existsSync(file) ? readFileSync(file, 'utf8') : otherwise);

/** `npm ci`, when node_modules is not what package-lock.json says. */
export async function installPackages() {
  const stamp = inRoot('node_modules', '.package-lock-installed.json');
  const wanted = readFileSync(inRoot('package-lock.json'), 'utf8');
  if (readOr(stamp) === wanted) return;
  const start = performance.now();
  say('installing the npm packages (about half a minute, once) …');
  // Warnings about the version of Node.js are left out: the packages run in the one that this very step installs.
  await run('npm', ['ci', '--loglevel=error', '--no-audit', '--no-fund'], { env: process.env });
  writeFileSync(stamp, wanted);
  say(`npm packages installed in ${elapsed(start)}`);
}

/** The programs that cargo compiles, once for each version. */
export async function installPrograms() {
  for (const { crate, binary, library } of PROGRAMS) {
    const version = lockedVersion(library);
    const stamp = path.join(TOOLS, `${crate}.version`);
    if (readOr(stamp) === version && existsSync(programPath(binary))) continue;
    const start = performance.now();
    say(`compiling ${crate} ${version} (one to two minutes on two cores, once) …`);
    mkdirSync(TOOLS, { recursive: true });
    rmSync(stamp, { force: true });
    const options = ['--locked', '--debug', '--force', '--version', version, '--bin', binary, '--root', TOOLS];
    await run('cargo', ['install', crate, ...options], { env: installEnv(), quiet: true });
    writeFileSync(stamp, version);
    say(`${crate} ${version} compiled in ${elapsed(start)}`);
  }
  rmSync(path.join(TOOLS, 'target'), { recursive: true, force: true });
}

/** Unoptimised and without debug information: compiled in half the time, and they run for a second or two. */
function installEnv() {
  return {
    ...childEnv(),
    CARGO_TARGET_DIR: path.join(TOOLS, 'target'),
    CARGO_PROFILE_DEV_DEBUG: '0',
    CARGO_PROFILE_DEV_OPT_LEVEL: '0',
    CARGO_INCREMENTAL: '0',
  };
}

/** Everything, before a build. */
export async function installTools() {
  await installPackages();
  await installPrograms();
}
