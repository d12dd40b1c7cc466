// `npm run bench:base64`: measures decoding 100 MiB of base64 in WebAssembly, in chunks of the size that the Worker reads: with
// the Worker's blocks, and with a library after the searches that it needs.

import { readFileSync } from 'node:fs';
import { childEnv, command, inRoot, run } from '../../scripts/run.mjs';
import { installToolchain } from '../../scripts/tools.mjs';
import { median, orders } from '../statistics.mjs';

const CHUNKS = (100 * 1024 * 1024) / (64 * 1024);
const CYCLES = 5;
const TARGET = 'wasm32-unknown-unknown';

/** @typedef {Record<'blocks' | 'library' | 'searches_and_library', (times: number) => number>} Exports */

async function main() {
  await installToolchain();
  const manifest = inRoot('benches', 'base64', 'Cargo.toml');
  const options = ['build', '--release', '--quiet', '--locked', '--target', TARGET, '--manifest-path', manifest];
  await run('cargo', [...options, '--target-dir', inRoot('target')], { env: childEnv() });
  const wasm = readFileSync(inRoot('target', TARGET, 'release', 'trigger_launch_base64.wasm'));
  // The types of the Workers runtime do not permit bytes, because that runtime cannot compile them.
  const { instance } = await /** @type {any} */ (WebAssembly).instantiate(wasm);
  const { blocks, library, searches_and_library } = /** @type {Exports} */ (instance.exports);
  const each = { blocks, library, 'searches and library': searches_and_library };
  const names = /** @type {(keyof typeof each)[]} */ (Object.keys(each));
  const samples = Object.fromEntries(names.map((name) => [name, /** @type {number[]} */ ([])]));
  for (let cycle = -1; cycle < CYCLES; cycle++) {
    for (const name of orders(names).flat()) {
      const start = performance.now();
      const bytes = each[name](CHUNKS);
      if (bytes !== 75 * 1024 * 1024) throw new Error(`${name} made ${bytes} bytes`);
      if (cycle >= 0) samples[name]?.push(performance.now() - start);
    }
  }
  console.table(names.map((name) => ({ by: name, 'ms for 100 MiB': Number(median(samples[name] ?? []).toFixed(1)) })));
}

await command(main);
