import { describe, expect, it } from 'vitest';
import { findPhrases, phrases } from '../../scripts/phrases.mjs';

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

  it('has a list to look for', () => {
    expect(phrases().length).toBeGreaterThan(0);
    expect(phrases().every((phrase) => !phrase.startsWith('#'))).toBe(true);
  });
});
