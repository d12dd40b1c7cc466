// `npm run build`: builds the Worker into build/, unless its inputs are unchanged, and the console into assets/console/.

import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { buildConsole } from './console.mjs';
import { expectParts, runCargo, runPart } from './progress.mjs';
import { command, inRoot, run, say } from './run.mjs';
import { BINDGEN, buildBindgen, installPackages, installToolchain, WASM_TARGET } from './tools.mjs';

/**
 * The largest function that is inlined because it has a single caller, in bytes. By default any is, and the handler of all requests
 * becomes one function of 156 KB. The runtime compiles each function when it is first called, and this one took most of the time of
 * the first request.
 */
const INLINING = '--one-caller-inline-max-function-size=1000';

/**
 * Messages of panics contain the paths of crates. The flag, in addition to those of .cargo/config.toml, shortens them, so that the
 * Worker has the same size on every machine.
 */
const PACKAGES = path.join(process.env.CARGO_HOME ?? path.join(homedir(), '.cargo'), 'registry', 'src');
const SHORT_PATHS = [
  '--config',
  `target.${WASM_TARGET}.rustflags=${JSON.stringify([`--remap-path-prefix=${PACKAGES}${path.sep}=`])}`,
];

/** Every file and folder that the output depends on. */
const INPUTS = [
  'src',
  '.cargo',
  'Cargo.toml',
  'Cargo.lock',
  'rust-toolchain.toml',
  'package-lock.json',
  'scripts/build.mjs',
  'scripts/bindgen',
  'scripts/worker',
];
const TESTS = /(^|\/)tests(\.rs)?$/;

const BUILD = inRoot('build');
const OUTPUTS = ['index.js', 'index_bg.wasm'];
const STAMP = path.join(BUILD, '.inputs');

/** The wasm features that wasm-opt may use. All runtimes of the Worker support them. */
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

/** Returns the files of an input in a fixed order, without tests. @param {string} entry @returns {string[]} */
function filesOf(entry) {
  if (!existsSync(inRoot(entry))) return [];
  if (statSync(inRoot(entry)).isFile()) return [entry];
  const names = readdirSync(inRoot(entry))
    .filter((name) => !TESTS.test(name))
    .sort();
  return names.flatMap((name) => filesOf(path.posix.join(entry, name)));
}

/** A digest of the content of every input. Modification times are not used, because a checkout changes them. */
function digestOfInputs() {
  const hash = createHash('sha256');
  for (const file of INPUTS.flatMap(filesOf)) {
    const content = readFileSync(inRoot(file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/** Whether the output was built from inputs with this digest. @param {string} digest */
function isBuilt(digest) {
  const complete = OUTPUTS.every((name) => existsSync(path.join(BUILD, name)));
  return complete && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === digest;
}

/**
 * Compiles a crate to wasm. Its manifest declares an `rlib`, for the native programs; the Worker is a `cdylib` alone,
 * because cargo does not optimise across crates for a library that is both, which makes the Worker a tenth larger.
 * @param {string} manifest
 * @param {string} targetFolder
 * @param {(output: string) => void} [report]
 */
export function compileToWasm(manifest, targetFolder, report = () => {}) {
  const crate = ['--manifest-path', manifest, '--lib', '--crate-type', 'cdylib', '--locked'];
  const options = [
    'rustc',
    ...crate,
    '--release',
    '--target',
    WASM_TARGET,
    '--target-dir',
    targetFolder,
    ...SHORT_PATHS,
  ];
  // The macros of wasm-bindgen then generate code that uses futures and promises of js-sys, as the crate `worker` expects.
  return runCargo(options, report, { env: { WASM_BINDGEN_USE_JS_SYS: '1' } });
}

/**
 * Makes a Worker's module, index.js and index_bg.wasm, from a compiled crate.
 * @param {{ wasm: string, entry: string, out: string }} paths `entry` is the main module, which imports `worker-bindings`
 */
export async function bundle({ wasm, entry, out }) {
  mkdirSync(out, { recursive: true });
  // The files are renamed into `out` when they are complete, because wrangler can read them during a build, and two builds can
  // run at the same time.
  const stage = mkdtempSync(path.join(out, '.stage-'));
  const staged = (/** @type {string} */ name) => path.join(stage, name);
  try {
    await run(BINDGEN, [wasm, stage], { quiet: true });

    // wrangler does not support the keyword `source`, and imports every wasm file as a module.
    const bindings = readFileSync(staged('index.js'), 'utf8').replace(/^import source /m, 'import ');
    writeFileSync(staged('bindings.js'), bindings);
    const format = ['--bundle', '--format=esm', '--minify', '--log-level=warning'];
    const imports = [
      `--alias:worker-bindings=${staged('bindings.js')}`,
      `--inject:${inRoot('scripts', 'worker', 'microtasks.js')}`,
      '--external:cloudflare:*',
      '--external:*.wasm',
    ];
    await run('esbuild', [entry, ...format, ...imports, `--outfile=${staged('index.js')}`, '--allow-overwrite'], {
      quiet: true,
    });

    const optimised = staged('optimised.wasm');
    const options = ['-O', INLINING, '--strip-debug', '--strip-producers', ...FEATURES, '-o', optimised];
    await run('wasm-opt', [staged('index_bg.wasm'), ...options], { quiet: true });
    renameSync(optimised, path.join(out, 'index_bg.wasm'));
    renameSync(staged('index.js'), path.join(out, 'index.js'));
  } finally {
    rmSync(stage, { recursive: true });
  }
}

/** Builds the Worker, unless its inputs are unchanged, and the console, which takes less than a second. */
export async function buildWorker() {
  await installToolchain();
  const digest = digestOfInputs();
  const consoleBuilt = installPackages().then(buildConsole);
  if (isBuilt(digest)) return consoleBuilt;

  rmSync(STAMP, { force: true });
  expectParts('bindgen', 'worker', 'bundle');
  const compile = () => runPart('worker', (report) => compileToWasm(inRoot('Cargo.toml'), inRoot('target'), report));
  await Promise.all([consoleBuilt, buildBindgen(), compile()]);
  const wasm = inRoot('target', WASM_TARGET, 'release', 'trigger_launch.wasm');
  const entry = inRoot('scripts', 'worker', 'entry.js');
  await runPart('bundle', () => bundle({ wasm, entry, out: BUILD }));
  writeFileSync(STAMP, digest);

  const { raw, gzip } = builtSize();
  const kib = (/** @type {number} */ bytes) => `${(bytes / 1024).toFixed(0)} KiB`;
  say(`the Worker is ${kib(raw)} of wasm, ${kib(gzip)} compressed`);
}

/** The size of the wasm that was built, in bytes. */
export function builtSize() {
  const wasm = readFileSync(path.join(BUILD, 'index_bg.wasm'));
  return { raw: wasm.length, gzip: gzipSync(wasm, { level: 9 }).length };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(buildWorker);
