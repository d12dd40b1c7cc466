// scripts/structure.mjs, on small crates.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { inRoot } from '../../scripts/run.mjs';

describe('npm run structure', () => {
  const folders: string[] = [];
  afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })));

  /** Writes a crate, and returns the exit code and the output of the script for it. */
  function measure(files: Record<string, string>, ...options: string[]): { code: number | null; output: string } {
    const root = mkdtempSync(path.join(tmpdir(), 'trigger-launch-structure-'));
    folders.push(root);
    for (const [name, text] of Object.entries(files)) {
      const file = path.join(root, 'src', name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
    const args = [inRoot('scripts', 'structure.mjs'), '--root', root, ...options];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    return { code: status, output: stdout + stderr };
  }

  const check = (files: Record<string, string>) => measure(files, '--check');

  it.each([
    ['through `crate`', { 'a.rs': 'use crate::b::B;\nstruct A;', 'b.rs': 'use crate::a::A;\nstruct B;' }],
    ['in a group', { 'a.rs': 'use crate::{\n    x,\n    b::{B, C},\n};', 'b.rs': 'use crate::a;' }],
    ['in an expression', { 'a.rs': 'fn a() { crate::b::b() }', 'b.rs': 'fn b() { super::a::a() }' }],
    ['between a module and its child', { 'a.rs': 'mod b;\nfn a() { b::b() }', 'a/b.rs': 'use super::a;\nfn b() {}' }],
    ['through a re-export', { 'a.rs': 'pub use b::B;', 'a/b.rs': 'use super::{c::C};', 'a/c.rs': 'use super::B;' }],
    [
      'after a string that contains a comment marker',
      { 'a.rs': 'const A: &str = "http://x";\nuse crate::b::B;', 'b.rs': 'use crate::a::A;' },
    ],
  ])('rejects an import cycle %s', (_, files: Record<string, string>) => {
    const { code, output } = check({ 'lib.rs': 'mod a;\nmod b;', ...files });
    expect(output).toContain('import cycle: src/a');
    expect(code).toBe(1);
  });

  it.each([
    ['in one direction', { 'a.rs': 'use crate::b::B;', 'b.rs': 'struct B;' }],
    ['that are declarations of modules', { 'a.rs': 'mod b;\nstruct A;', 'a/b.rs': 'use super::A;' }],
    ['in a comment', { 'a.rs': '//! See [`crate::b`].\n/* use crate::b; */', 'b.rs': 'use crate::a;' }],
    ['in a string', { 'a.rs': 'const A: &str = r#"use crate::b::B;"#;', 'b.rs': 'use crate::a::A;' }],
    ['in tests', { 'a.rs': '#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}', 'b.rs': 'use crate::a;' }],
  ])('accepts imports %s', (_, files: Record<string, string>) => {
    expect(check({ 'lib.rs': 'mod a;\nmod b;', ...files })).toEqual({ code: 0, output: '' });
  });

  it('rejects a type name that two modules define, and prints both places', () => {
    const { code, output } = check({ 'a.rs': 'pub struct State;', 'b.rs': '\nfn b() {\n    enum State {}\n}' });
    expect(output).toContain('type name with two meanings: State: src/a.rs:1, src/b.rs:3');
    expect(code).toBe(1);
  });

  it('accepts a name of associated types, of types in tests, and of one type for each target', () => {
    const files = {
      'a.rs': 'trait A {\n    type Output;\n}\nstruct B;',
      'b.rs': 'impl A for X {\n    type Output = u8;\n}\n#[cfg(test)]\nmod tests {\n    struct B;\n}',
      'c.rs': '#[cfg(unix)]\nstruct C;\n#[cfg(not(unix))]\nstruct C;',
    };
    expect(check(files)).toEqual({ code: 0, output: '' });
  });

  it('prints public fields, errors, lines and the files of the receive loop', () => {
    const { code, output } = measure({
      'errors.rs': '#[derive(Debug, Error)]\n#[error("{0}")]\nstruct ReadError(pub u8);\nenum WriteError {}',
      'launch/receive.rs': 'use super::pace;\nasync fn read_body() {\n    // reads\n    pace::read();\n}',
      'launch/pace.rs': 'pub struct Pace {\n    pub rate: u64,\n    time: u64,\n}\npub fn read() {}',
      'launch/reply.rs': 'fn reply() {}',
    });
    expect(output).toBe(
      [
        'import cycles: 0',
        'type names that several modules define: 0',
        'public fields of structs: 2; the structs with most:',
        '  1 ReadError (src/errors.rs:3)',
        '  1 Pace (src/launch/pace.rs:1)',
        'types named as errors: 2; without an implementation of Error: 1',
        '  WriteError (src/errors.rs:4)',
        'types that implement Error, whatever their name: 1',
        'lines: 14 of code, 1 of comments, in 4 files',
        'files of one iteration of the receive loop: 2',
        '  (the files of receive, read_body and of two levels of calls; a call counts if exactly one file, the same file or ' +
          'one that it imports, defines a function of that name)',
        '  src/launch/pace.rs',
        '  src/launch/receive.rs',
        '',
      ].join('\n'),
    );
    expect(code).toBe(0);
  });

  it('rejects a folder without src', () => {
    expect(check({}).output).toContain('has no folder src');
  });
});
