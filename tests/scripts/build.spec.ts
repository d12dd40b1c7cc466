// The build runs before all tests (tests/runtime/setup.ts).

import { readFileSync, statSync } from 'node:fs';
import { expect, it } from 'vitest';
import { buildWorker } from '../../scripts/build.mjs';
import { inRoot } from '../../scripts/run.mjs';
import { lockedVersion } from '../../scripts/tools.mjs';

it('a build with unchanged inputs writes nothing', async () => {
  const outputs = ['index.js', 'index_bg.wasm', '.inputs'].map((name) => inRoot('build', name));
  const times = () => outputs.map((file) => statSync(file).mtimeMs);
  const before = times();
  await buildWorker();
  expect(times()).toEqual(before);
});

it('scripts/bindgen generates code for the version of wasm-bindgen that the Worker uses', () => {
  const manifest = readFileSync(inRoot('scripts', 'bindgen', 'Cargo.toml'), 'utf8');
  expect(manifest).toContain(`wasm-bindgen-cli-support = "=${lockedVersion('wasm-bindgen')}"`);
});

it('the version of a locked dependency is read, and an unknown crate is an error', () => {
  expect(lockedVersion('wasm-bindgen')).toMatch(/^\d+\.\d+\.\d+$/);
  expect(() => lockedVersion('no-such-crate')).toThrow('no-such-crate');
});
