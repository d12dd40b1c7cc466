import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findPhrases, phrases } from '../../scripts/phrases.mjs';
import { inRoot } from '../../scripts/run.mjs';

describe('the check of phrases', () => {
  it.each([
    ['within a line', 'this RED HERRING distracts', 1],
    ['across two lines of a Rust comment', '//! a\n/// This red\n    /// herring distracts.', 2],
    ['across two lines of a block comment', '/**\n * this red\n * herring distracts\n */', 2],
    ['across two lines of a Markdown list', '- this red\n  herring distracts', 1],
    ['across two lines of a shell comment', '# this red\n# herring distracts', 1],
  ])('finds a phrase %s', (_, text, line) => {
    expect(findPhrases(text, ['red herring'])).toEqual([{ line, phrase: 'red herring' }]);
  });

  it('finds whole words only', () => {
    expect(findPhrases('infrared herring, red herrings, red-herring', ['red herring'])).toEqual([]);
  });

  it('prints each place, and reads no lock files, vectors or untracked files', () => {
    const root = mkdtempSync(path.join(tmpdir(), 'trigger-launch-phrases-'));
    try {
      const [phrase = ''] = phrases();
      const files = [
        'src/a.rs',
        'README.md',
        'fuzz/Cargo.lock',
        'package-lock.json',
        'tests/vectors/a.json',
        'LICENSE',
      ];
      for (const file of [...files, 'untracked.md']) {
        mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
        writeFileSync(path.join(root, file), `first\nThis ${phrase}.\n`);
      }
      execFileSync('git', ['init', '--quiet'], { cwd: root });
      execFileSync('git', ['add', ...files], { cwd: root });
      const script = [inRoot('scripts', 'phrases.mjs'), '--root', root];
      const { status, stderr } = spawnSync(process.execPath, script, { encoding: 'utf8' });
      const [, ...lines] = stderr.trim().split('\n');
      expect(lines).toEqual([`README.md:2: "${phrase}"`, `src/a.rs:2: "${phrase}"`]);
      expect(status).toBe(1);
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  it('has a list of phrases', () => {
    expect(phrases().length).toBeGreaterThan(0);
    expect(phrases().every((phrase) => !phrase.startsWith('#'))).toBe(true);
  });
});
