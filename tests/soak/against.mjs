// The Worker of another commit, built by that commit's own script with the tools of this checkout.

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { ended, Failure, inRoot, PROJECT_NODE, ROOT, start, timed } from '../../scripts/run.mjs';
import { FOLDER } from '../../benches/state.mjs';

/** Folders that the build of a checkout needs and that git does not track. */
const LINKED = ['node_modules', '.tools'];
/** Compiled dependencies, which are copied to shorten the other build. */
const COMPILED = ['release', 'bindgen', 'wasm32-unknown-unknown'];

/** @param {string} commit @returns {Promise<{ folder: string, commit: string }>} the checkout, built */
export async function buildAgainst(commit) {
  const git = (/** @type {string[]} */ args) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();
  let hash;
  try {
    hash = git(['rev-parse', '--verify', '--short=12', `${commit}^{commit}`]);
  } catch {
    throw new Failure(`--against ${commit}: no such commit`);
  }
  const folder = path.join(FOLDER, 'against', hash);
  if (!existsSync(path.join(folder, 'package.json'))) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const archive = execFileSync('git', ['archive', '--format=tar', hash], { cwd: ROOT, maxBuffer: 2 ** 30 });
    execFileSync('tar', ['-x'], { cwd: folder, input: archive });
    for (const name of LINKED) {
      // Only cargo-fuzz, and commits with another build, create `.tools`.
      mkdirSync(inRoot(name), { recursive: true });
      symlinkSync(inRoot(name), path.join(folder, name));
    }
    for (const name of COMPILED) {
      const from = inRoot('target', name);
      if (existsSync(from))
        cpSync(from, path.join(folder, 'target', name), { recursive: true, preserveTimestamps: true });
    }
  }
  await timed(`building commit ${hash}`, async () => {
    const build = start(PROJECT_NODE, [path.join(folder, 'scripts', 'build.mjs')], {
      cwd: folder,
      stdio: ['ignore', 2, 2],
    });
    if ((await ended(build)) !== 0) throw new Failure(`commit ${hash} cannot be built`);
  });
  return { folder, commit: hash };
}
