// The state folder of `npm run dev`, and the escaping of other programs' messages.

import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { callerFolder, escaped, inRoot } from '../../scripts/run.mjs';
import { createState, takeState } from '../../scripts/state.mjs';

describe('the state folder of npm run dev', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'trigger-launch-state-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('the folder is removed from the arguments, and is relative to the folder of the caller', () => {
    const state = path.resolve(callerFolder(), 'there');
    expect(takeState(['--port', '1'])).toEqual({ state: inRoot('.wrangler', 'state'), rest: ['--port', '1'] });
    expect(takeState(['--persist-to', 'there', '--port', '1'])).toEqual({ state, rest: ['--port', '1'] });
    expect(takeState(['--port', '1', '--persist-to=there'])).toEqual({ state, rest: ['--port', '1'] });
    for (const args of [['--persist-to'], ['--persist-to='], ['--persist-to', '']]) {
      expect(() => takeState(args)).toThrow('--persist-to needs a folder');
    }
  });

  it('the folder is created with its parents, and a second start changes nothing', () => {
    const state = path.join(folder, 'a', 'b');
    createState(state);
    createState(state);
    expect(statSync(state).isDirectory()).toBe(true);
  });

  it('the error names the folder and the reason if the folder cannot be created or written', () => {
    const file = path.join(folder, 'file');
    writeFileSync(file, '');
    for (const state of [file, path.join(file, 'state')]) {
      expect(() => createState(state)).toThrow(`the state folder ${state} cannot be created: E`);
    }
    // A folder in which nobody can create a file, not even root.
    if (existsSync('/proc/self')) {
      expect(() => createState('/proc/state')).toThrow('the state folder /proc/state cannot be created: E');
      expect(() => createState('/proc')).toThrow('the state folder /proc cannot be written: E');
    }
  });
});

it('a message of another program is shortened to one line without control characters', () => {
  expect(escaped('a\u001b[2J\n\u009b\u202e\u2028é')).toBe('a\\u{1b}[2J\\u{a}\\u{9b}\\u{202e}\\u{2028}é');
  expect(escaped('x'.repeat(1000))).toHaveLength(401);
});
