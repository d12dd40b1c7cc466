// What the Worker is built from, and that a start which changes nothing writes nothing.

import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { workerManifest, writeChanged } from '../../scripts/build.mjs';

const manifest = readFileSync(new URL('../../Cargo.toml', import.meta.url), 'utf8');

it('the Worker is a cdylib alone, of the same sources', () => {
  const made = workerManifest(manifest);
  expect(made).toContain('path = "../../src/lib.rs"\ncrate-type = ["cdylib"]\n');
  expect(made).not.toContain('"rlib"');
  expect(made).not.toMatch(/^path = "(?!\.\.\/\.\.\/)/m);
});

it('a Cargo.toml without what is replaced is an error that says so', () => {
  const other = manifest.replace('["cdylib", "rlib"]', '["rlib", "cdylib"]');
  expect(() => workerManifest(other)).toThrow('Cargo.toml does not hold `crate-type = ["cdylib", "rlib"]`');
});

it('a file is written only if it changes', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'trigger-launch-build-'));
  try {
    const file = path.join(folder, 'Cargo.toml');
    writeChanged(file, 'one');
    utimesSync(file, 1, 1);
    writeChanged(file, 'one');
    expect(statSync(file).mtimeMs).toBe(1000);
    writeChanged(file, 'two');
    expect(readFileSync(file, 'utf8')).toBe('two');
    expect(statSync(file).mtimeMs).toBeGreaterThan(1000);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
