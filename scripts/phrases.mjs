// Finds phrases of scripts/phrases.txt in the tracked text files. `npm run lint` runs it.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { command, Failure, inRoot, ROOT } from './run.mjs';

const LIST = 'scripts/phrases.txt';

/** Files that are not prose of this project. */
const EXCLUDED = [LIST, '*.lock', '*package-lock.json', 'fuzz/corpus', 'tests/vectors', 'LICENSE'];

/** The phrases of the list. @returns {string[]} */
export function phrases() {
  const lines = readFileSync(inRoot(...LIST.split('/')), 'utf8').split('\n');
  return lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
}

/**
 * Finds phrases in a text, in any case. A phrase can continue on the next line, after a comment marker.
 * @param {string} text
 * @param {string[]} wanted
 * @returns {{ line: number, phrase: string }[]}
 */
export function findPhrases(text, wanted) {
  // Between two words: white space, and at a line break the marker of a comment, a quotation or a list.
  const gap = String.raw`(?:[ \t]+|[ \t]*\r?\n[ \t]*(?:(?:///?|//!|\*|#|>|--)[ \t]*)?)`;
  const found = wanted.flatMap((phrase) => {
    const words = phrase.split(' ').map((word) => word.replaceAll(/[^\w]/g, String.raw`\$&`));
    const expression = new RegExp(String.raw`\b${words.join(gap)}\b`, 'gi');
    return [...text.matchAll(expression)].map(({ index }) => ({
      line: text.slice(0, index).split('\n').length,
      phrase,
    }));
  });
  return found.sort((one, other) => one.line - other.line);
}

function main() {
  const excluded = EXCLUDED.map(
    (pattern) => `:(exclude,glob)${pattern.includes('*') ? `**/${pattern}` : `${pattern}**`}`,
  );
  const files = execFileSync('git', ['ls-files', '-z', '--', '.', ...excluded], { cwd: ROOT, encoding: 'utf8' });
  const wanted = phrases();
  const hits = files.split('\0').flatMap((file) => {
    if (file === '') return [];
    const text = readFileSync(inRoot(file), 'utf8');
    if (text.includes('\0')) return [];
    return findPhrases(text, wanted).map(({ line, phrase }) => `${file}:${line}: "${phrase}"`);
  });
  if (hits.length > 0) throw new Failure(`reword these phrases, which ${LIST} lists:\n${hits.join('\n')}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(async () => main());
