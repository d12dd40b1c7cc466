// Builds the console, from console/ into assets/console/.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { Failure, inRoot, run } from './run.mjs';

/** Files that are served as they are. */
const STATIC = ['index.html', 'icon.svg'];

/** The largest size of all files together, compressed, in bytes. */
export const CONSOLE_LIMIT = 60 * 1024;

/** Browsers that have the newest feature of the console, `AbortSignal.any`. */
const BROWSERS = ['chrome116', 'firefox124', 'safari17.4'];

/**
 * Returns the compressed size of each file of the console, in bytes.
 * @param {string} folder
 * @returns {Record<string, number>}
 */
export function compressedSizes(folder = inRoot('assets', 'console')) {
  const names = readdirSync(folder).sort();
  return Object.fromEntries(names.map((name) => [name, gzipSync(readFileSync(path.join(folder, name))).length]));
}

/**
 * Renames a file, unless the target has the same content: `wrangler dev` reloads when a file changes.
 * @param {string} from
 * @param {string} to
 */
function replaceFile(from, to) {
  if (existsSync(to) && readFileSync(to).equals(readFileSync(from))) return;
  renameSync(from, to);
}

/** Builds the console. The files are renamed into place, because a server can read them during a build. */
export async function buildConsole() {
  const out = inRoot('assets', 'console');
  const build = inRoot('build');
  mkdirSync(out, { recursive: true });
  mkdirSync(build, { recursive: true });
  const stage = mkdtempSync(path.join(build, '.console-'));
  try {
    const entries = ['main.tsx', 'style.css'].map((name) => inRoot('console', name));
    const jsx = ['--jsx=automatic', '--jsx-import-source=preact'];
    const format = ['--bundle', '--format=esm', '--minify', '--legal-comments=none', '--log-level=warning'];
    await run('esbuild', [...entries, ...jsx, ...format, `--target=${BROWSERS.join()}`, `--outdir=${stage}`], {
      quiet: true,
    });
    for (const name of STATIC) copyFileSync(inRoot('console', name), path.join(stage, name));

    const size = Object.values(compressedSizes(stage)).reduce((sum, bytes) => sum + bytes, 0);
    if (size > CONSOLE_LIMIT)
      throw new Failure(`the console has ${size} bytes compressed; the limit is ${CONSOLE_LIMIT}`);
    for (const name of readdirSync(out)) if (!existsSync(path.join(stage, name))) rmSync(path.join(out, name));
    for (const name of readdirSync(stage)) replaceFile(path.join(stage, name), path.join(out, name));
  } finally {
    rmSync(stage, { recursive: true });
  }
}
