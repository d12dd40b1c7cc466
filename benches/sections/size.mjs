// The size of the Worker as it is deployed.

import { builtSize } from '../../scripts/build.mjs';

/** @param {{ say: (line: string) => void }} options */
export async function size({ say }) {
  const { raw, gzip } = builtSize();
  say(`the Worker: ${(raw / 1024).toFixed(0)} KiB of wasm, ${(gzip / 1024).toFixed(0)} KiB compressed`);
  return { raw, gzip };
}
