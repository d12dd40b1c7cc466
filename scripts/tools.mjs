// Installs missing tools: the Rust toolchain, the npm packages, and programs that are published as source only. Their versions
// are set only in rust-toolchain.toml, package-lock.json, Cargo.lock and fuzz/Cargo.toml.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { runCargo, runPart } from './progress.mjs';
import { childEnv, Failure, inRoot, PROJECT_NODE, ROOT, run, timed } from './run.mjs';

export const WASM_TARGET = 'wasm32-unknown-unknown';

const TOOLS = inRoot('.tools');

/** Runs a program and returns its output. @param {string} program @param {string[]} args */
const outputOf = (program, args) =>
  execFileSync(program, args, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe', maxBuffer: Infinity }).trim();

/**
 * The locked version of a dependency, or of this crate.
 * @param {string} [crate]
 * @returns {string}
 */
export function lockedVersion(crate = 'trigger-launch') {
  /** @type {{ packages: { name: string, version: string }[] }} */
  const { packages } = JSON.parse(outputOf('cargo', ['metadata', '--locked', '--format-version', '1']));
  const [found, ...others] = packages.filter(({ name }) => name === crate);
  if (!found || others.length > 0) throw new Failure(`Cargo.lock has not exactly one version of the crate ${crate}`);
  return found.version;
}

/** The folder of the toolchain that rust-toolchain.toml selects, or undefined if it is not installed. */
function sysroot() {
  try {
    return outputOf('rustc', ['--print', 'sysroot']);
  } catch {
    return undefined;
  }
}

/** Runs `work` once in this process, however often it is requested. @template T @param {() => Promise<T>} work */
function once(work) {
  /** @type {Promise<T> | undefined} */
  let result;
  return () => (result ??= work());
}

/** Installs the toolchain and its target, in case the automatic installation of rustup is off. */
export const installToolchain = once(async () => {
  if (!sysroot()) {
    // Without a name rustup installs the toolchain that rust-toolchain.toml selects.
    const install = ['toolchain', 'install', '--profile', 'minimal', '--no-self-update'];
    await runPart('toolchain', () => run('rustup', install, { quiet: true }));
  }
  if (!existsSync(path.join(sysroot() ?? '', 'lib', 'rustlib', WASM_TARGET))) {
    const add = ['target', 'add', WASM_TARGET];
    await runPart('toolchain', () => run('rustup', add, { quiet: true }));
  }
});

/** The priorities of programs that are compiled beside the Worker, which takes longest, in the order in which they are needed. */
export const NICE = { bindgen: 5, admin: 10 };

/** Returns the text of a file, or an empty string if the file does not exist. @param {string} file @returns {string} */
const textOf = (file) => (existsSync(file) ? readFileSync(file, 'utf8') : '');

/** Compares package-lock.json with the list of installed packages that npm writes. */
function packagesAreCurrent() {
  const installed = textOf(inRoot('node_modules', '.package-lock.json'));
  if (!installed || !existsSync(PROJECT_NODE)) return false;
  const [wanted, have] = [textOf(inRoot('package-lock.json')), installed].map(
    (text) => /** @type {Record<string, { version: string, optional?: boolean }>} */ (JSON.parse(text).packages),
  );
  return Object.entries(wanted ?? {}).every(
    ([name, entry]) => name === '' || entry.optional || have?.[name]?.version === entry.version,
  );
}

/** Runs `npm ci` if necessary. Warnings are hidden, because they are about the Node.js version that `npm ci` installs. */
export const installPackages = once(async () => {
  if (packagesAreCurrent()) return;
  const options = ['ci', '--loglevel=error', '--no-audit', '--no-fund'];
  await runPart('packages', () => run('npm', options, { quiet: true }));
});

/** The program that generates the JavaScript of a compiled Worker. */
export const BINDGEN = inRoot('target', 'bindgen', 'bindgen');

/** Compiles scripts/bindgen. */
export const buildBindgen = once(() => {
  const manifest = ['--manifest-path', inRoot('scripts', 'bindgen', 'Cargo.toml')];
  const options = ['build', '--profile', 'bindgen', '--locked', ...manifest, '--target-dir', inRoot('target')];
  return runPart('bindgen', (report) => runCargo(options, report, { nice: NICE.bindgen }));
});

/** Returns the path of an installed program. @param {string} binary */
const programPath = (binary) => path.join(TOOLS, 'bin', binary);

const CARGO_FUZZ = programPath('cargo-fuzz');

/** Installs the nightly toolchain and cargo-fuzz, which only fuzzing needs. @returns {Promise<string>} the program */
export async function installFuzzer() {
  if (!/^nightly/m.test(outputOf('rustup', ['toolchain', 'list']))) {
    const install = ['toolchain', 'install', 'nightly', '--profile', 'minimal', '--no-self-update'];
    await timed('installing Rust nightly', () => run('rustup', install, { quiet: true }));
  }
  const manifest = ['--manifest-path', inRoot('fuzz', 'Cargo.toml')];
  const { packages } = JSON.parse(outputOf('cargo', ['metadata', '--no-deps', '--format-version', '1', ...manifest]));
  await installProgram('cargo-fuzz', CARGO_FUZZ, packages[0].metadata['cargo-fuzz-version']);
  return CARGO_FUZZ;
}

/**
 * Compiles a program from its crate, unless that version is installed.
 * @param {string} crate
 * @param {string} program the path of its binary
 * @param {string} version
 */
async function installProgram(crate, program, version) {
  const stamp = path.join(TOOLS, `${crate}-${version}`);
  if (existsSync(stamp) && existsSync(program)) return;
  mkdirSync(TOOLS, { recursive: true });
  const binary = ['--bin', path.basename(program)];
  const options = ['--locked', '--force', '--debug', '--version', version, ...binary, '--root', TOOLS];
  const install = () => run('cargo', ['install', crate, ...options], { env: installEnv(), quiet: true });
  await timed(`compiling ${crate} ${version} (one or two minutes, once)`, install);
  writeFileSync(stamp, '');
  rmSync(path.join(TOOLS, 'target'), { recursive: true, force: true });
}

/** Compiling without optimisation and debug information takes half the time. The programs run for a few seconds only. */
function installEnv() {
  return {
    ...childEnv(),
    CARGO_TARGET_DIR: path.join(TOOLS, 'target'),
    CARGO_PROFILE_DEV_OPT_LEVEL: '0',
    CARGO_PROFILE_DEV_DEBUG: '0',
    CARGO_INCREMENTAL: '0',
  };
}
