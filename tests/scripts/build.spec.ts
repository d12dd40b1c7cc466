// The build runs before all tests (tests/runtime/setup.ts).

import { statSync } from 'node:fs';
import { expect, it } from 'vitest';
import { buildWorker } from '../../scripts/build.mjs';
import { inRoot } from '../../scripts/run.mjs';
import { lockedVersion } from '../../scripts/tools.mjs';

it('a build without changed inputs writes nothing', async () => {
  const outputs = ['index.js', 'index_bg.wasm', '.inputs'].map((name) => inRoot('build', name));
  const times = () => outputs.map((file) => statSync(file).mtimeMs);
  const before = times();
  await buildWorker();
  expect(times()).toEqual(before);
});

it('the version of a locked dependency is found', () => {
  expect(lockedVersion('wasm-bindgen')).toMatch(/^\d+\.\d+\.\d+$/);
  expect(() => lockedVersion('no-such-crate')).toThrow('no-such-crate');
});
