// Installs what a fresh machine lacks: the Rust toolchain's parts, the npm packages, and two programs that come as source
// alone. Versions stand in rust-toolchain.toml, package-lock.json and Cargo.lock, and nowhere else.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { childEnv, Failure, inRoot, PROJECT_NODE, ROOT, run, timed } from './run.mjs';

const TOOLS = inRoot('.tools');
const WASM_TARGET = 'wasm32-unknown-unknown';

/** @param {string} file @returns {string} its text; none if there is no such file */
const textOf = (file) => (existsSync(file) ? readFileSync(file, 'utf8') : '');

/** The version of a crate in Cargo.lock. @param {string} crate */
function lockedVersion(crate) {
  const entry = new RegExp(`^name = "${crate}"\\r?\\nversion = "([^"]+)"`, 'm').exec(textOf(inRoot('Cargo.lock')));
  if (!entry) throw new Failure(`Cargo.lock does not name the crate ${crate}`);
  return /** @type {string} */ (entry[1]);
}

/** The toolchain of rust-toolchain.toml, by its name. */
export const toolchain = () => /^channel = "([^"]+)"/m.exec(textOf(inRoot('rust-toolchain.toml')))?.[1] ?? 'stable';

/** Where the toolchain of rust-toolchain.toml is; none if it is not installed. */
function sysroot() {
  try {
    return execFileSync('rustc', ['--print', 'sysroot'], { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    return undefined;
  }
}

/** The toolchain and its target. rustup does this by itself unless it has been told not to. */
export async function installToolchain() {
  if (!sysroot()) {
    const install = ['toolchain', 'install', toolchain(), '--profile', 'minimal', '--no-self-update'];
    await timed(`installing Rust ${toolchain()}`, () => run('rustup', install, { quiet: true }));
  }
  if (!existsSync(path.join(sysroot() ?? '', 'lib', 'rustlib', WASM_TARGET))) {
    await timed(`adding Rust's target ${WASM_TARGET}`, () =>
      run('rustup', ['target', 'add', WASM_TARGET], { quiet: true }),
    );
  }
}

/** Whether node_modules is what package-lock.json says; npm keeps an account of its own of what it installed there. */
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

/** `npm ci`, if it is needed. What it warns of is the version of Node.js that it is about to install. */
export async function installPackages() {
  if (packagesAreCurrent()) return;
  const options = ['ci', '--loglevel=error', '--no-audit', '--no-fund'];
  await timed('installing the npm packages (half a minute, once)', () => run('npm', options, { quiet: true }));
}

/**
 * The programs that cargo compiles. Each is released together with a library that it must fit, so that the library's
 * locked version is the program's.
 */
const PROGRAMS = [
  { crate: 'worker-build', binary: 'worker-build', library: 'worker' },
  { crate: 'wasm-bindgen-cli', binary: 'wasm-bindgen', library: 'wasm-bindgen' },
];

/** @param {string} binary */
const programPath = (binary) => path.join(TOOLS, 'bin', binary);

/** A file that says that this version was installed. @param {string} crate @param {string} version */
const stampPath = (crate, version) => path.join(TOOLS, `${crate}-${version}`);

/** Which of the programs are missing, with the versions that are wanted. */
function missingPrograms() {
  const wanted = PROGRAMS.map((program) => {
    const version = lockedVersion(program.library);
    return { ...program, version };
  });
  return wanted.filter(
    ({ crate, binary, version }) => !existsSync(stampPath(crate, version)) || !existsSync(programPath(binary)),
  );
}

/** Whether the programs that cargo compiles are there. */
export const programsAreCurrent = () => missingPrograms().length === 0;

/** Compiles what is missing of the programs. */
export async function installPrograms() {
  for (const { crate, binary, version } of missingPrograms()) await compileProgram(crate, binary, version);
}

/** Compiles a program from its crate. @param {string} crate @param {string} binary @param {string} version */
async function compileProgram(crate, binary, version) {
  mkdirSync(TOOLS, { recursive: true });
  const options = ['--locked', '--force', '--debug', '--version', version, '--bin', binary, '--root', TOOLS];
  const install = () => run('cargo', ['install', crate, ...options], { env: installEnv(), quiet: true });
  await timed(`compiling ${crate} ${version} (one or two minutes, once)`, install);
  writeFileSync(stampPath(crate, version), '');
  rmSync(path.join(TOOLS, 'target'), { recursive: true, force: true });
}

/** What fuzzing needs and nothing else does: the nightly toolchain and cargo-fuzz. @returns {Promise<string>} its program */
export async function installFuzzer() {
  const toolchains = execFileSync('rustup', ['toolchain', 'list'], { encoding: 'utf8' });
  if (!/^nightly/m.test(toolchains)) {
    const install = ['toolchain', 'install', 'nightly', '--profile', 'minimal', '--no-self-update'];
    await timed('installing Rust nightly', () => run('rustup', install, { quiet: true }));
  }
  const version = /^cargo-fuzz-version = "([^"]+)"/m.exec(textOf(inRoot('fuzz', 'Cargo.toml')))?.[1];
  if (!version) throw new Failure('fuzz/Cargo.toml does not name the version of cargo-fuzz');
  const program = programPath('cargo-fuzz');
  if (!existsSync(stampPath('cargo-fuzz', version)) || !existsSync(program)) {
    await compileProgram('cargo-fuzz', 'cargo-fuzz', version);
  }
  return program;
}

/** Neither optimised nor with debug information: that halves the time to compile, and they run for seconds. */
function installEnv() {
  return {
    ...childEnv(),
    CARGO_TARGET_DIR: path.join(TOOLS, 'target'),
    CARGO_PROFILE_DEV_OPT_LEVEL: '0',
    CARGO_PROFILE_DEV_DEBUG: '0',
    CARGO_INCREMENTAL: '0',
  };
}

/** How worker-build is called, and where it finds what it would otherwise download. */
export function workerBuild() {
  const wasmOpt = inRoot('node_modules', '.bin', 'wasm-opt');
  return {
    program: programPath('worker-build'),
    wasmOpt,
    env: {
      ...childEnv(),
      WASM_BINDGEN_BIN: programPath('wasm-bindgen'),
      WASM_OPT_BIN: wasmOpt,
      ESBUILD_BIN: inRoot('node_modules', '.bin', 'esbuild'),
      CARGO_TARGET_DIR: inRoot('target'),
      // worker-build sets it for its own call of cargo; what is compiled ahead of it has to agree.
      WASM_BINDGEN_USE_JS_SYS: '1',
    },
  };
}
