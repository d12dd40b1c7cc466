// The size of the Worker as it is deployed.

import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { inRoot } from '../../scripts/run.mjs';

/** @param {{ say: (line: string) => void }} options */
export async function size({ say }) {
  const wasm = readFileSync(inRoot('build', 'index_bg.wasm'));
  const [raw, gzip] = [wasm.length, gzipSync(wasm, { level: 9 }).length];
  say(`the Worker: ${(raw / 1024).toFixed(0)} KiB of wasm, ${(gzip / 1024).toFixed(0)} KiB compressed`);
  return { raw, gzip };
}
