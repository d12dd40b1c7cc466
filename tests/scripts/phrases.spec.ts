import { describe, expect, it } from 'vitest';
import { findPhrases, phrases } from '../../scripts/phrases.mjs';

describe('the check of phrases', () => {
  it.each([
    ['within a line', 'the caller IS TOLD why', 1],
    ['across two lines of a Rust comment', '//! a\n/// The caller is\n    /// told why.', 2],
    ['across two lines of a block comment', '/**\n * the caller is\n * told why\n */', 2],
    ['across two lines of a Markdown list', '- the caller is\n  told why', 1],
    ['across two lines of a shell comment', '# the caller is\n# told why', 1],
  ])('finds a phrase %s', (_, text, line) => {
    expect(findPhrases(text, ['is told'])).toEqual([{ line, phrase: 'is told' }]);
  });

  it('finds whole words only', () => {
    expect(findPhrases('this toldest, is tolderable, was is-told', ['is told'])).toEqual([]);
  });

  it('has a list to look for', () => {
    expect(phrases()).toContain('under way');
    expect(phrases().every((phrase) => !phrase.startsWith('#'))).toBe(true);
  });
});
