// Reads Rust source as text, for scripts/structure.mjs: removes comments, strings and tests, and finds blocks.

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * A source file. Its tests are replaced by spaces in `text` and `code`. In `code`, comments are replaced by spaces too, and
 * the contents of strings by `_`. A position is the same in both.
 * @typedef {{ file: string, module: string[], text: string, code: string, blocks: Block[] }} Source
 */

/** A pair of braces. `header` is the text between it and the end of the previous statement. @typedef {{ header: string, start: number, end: number }} Block */

/** Comments, strings and characters, at the position where each begins. Block comments are not nested in this project. */
const TOKENS =
  /\/\/[^\n]*|\/\*[^]*?\*\/|\b(?:b|c)?r(#*)"[^]*?"\1|"(?:[^"\\]|\\[^])*"|'(?:[^'\\\n]|\\(?:u\{\w+\}|x\w\w|[^]))'/gu;

/** Replaces every character but line breaks. @param {string} text @param {string} by */
const blank = (text, by = ' ') => text.replaceAll(/[^\n]/g, by);

/** Removes comments, and the contents of strings and characters. @param {string} text */
export const withoutComments = (text) =>
  text.replaceAll(TOKENS, (token) => (token.startsWith('/') ? blank(token) : `"${blank(token.slice(1, -1), '_')}"`));

/** @param {string} code @param {number} open the position of a brace @returns {number} the position of its counterpart */
function closing(code, open) {
  let depth = 0;
  for (let at = open; at < code.length; at += 1) {
    depth += Number(code[at] === '{') - Number(code[at] === '}');
    if (depth === 0) return at;
  }
  return code.length - 1;
}

/** Finds the items with `#[cfg(test)]`. @param {string} code @returns {{ name: string | undefined, start: number, end: number }[]} `name` is that of a module */
function testItems(code) {
  return [...code.matchAll(/#\[cfg\(test\)\]([^;{]*[;{])/g)].map(({ index, 0: all, 1: item = '' }) => {
    const last = index + all.length - 1;
    const end = code[last] === '{' ? closing(code, last) : last;
    return { name: /\bmod (\w+)\s*[;{]$/.exec(item)?.[1], start: index, end: end + 1 };
  });
}

/** @param {string} code @returns {Block[]} every pair of braces, the outer ones before the inner */
function blocksOf(code) {
  /** @type {Block[]} */
  const blocks = [];
  /** @type {Block[]} */
  const open = [];
  let header = 0;
  for (const { index, 0: char } of code.matchAll(/[;{}]/g)) {
    if (char === '{') {
      const block = { header: code.slice(header, index).trim(), start: index, end: code.length };
      blocks.push(block);
      open.push(block);
    } else if (char === '}') {
      const block = open.pop();
      if (block) block.end = index;
    }
    header = index + 1;
  }
  return blocks;
}

/** The blocks around a position, the innermost last. @param {Source} source @param {number} at */
export const around = (source, at) => source.blocks.filter(({ start, end }) => start < at && at < end);

/** Whether a block is that of an `impl` or a trait. @param {Block | undefined} block */
export const isImplementation = (block) =>
  /^(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))? )?(?:unsafe )?(?:impl|trait)\b/.test(block?.header ?? '');

/** The module of an item: that of its file, and the modules inside the file. @param {Source} source @param {number} at */
export const moduleAt = (source, at) => [
  ...source.module,
  ...around(source, at).flatMap(({ header }) => /\bmod (\w+)$/.exec(header)?.[1] ?? []),
];

/** @param {Source} source @param {number} at @returns {string} FILE:LINE */
export const place = ({ file, code }, at) => `${file}:${code.slice(0, at).split('\n').length}`;

/** @param {string} root @param {string} folder @returns {string[]} the Rust files below a folder, without tests */
function rustFiles(root, folder) {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`;
    if (/^tests(\.rs)?$/.test(entry.name)) return [];
    if (entry.isDirectory()) return rustFiles(root, name);
    return name.endsWith('.rs') ? [name] : [];
  });
}

/** @param {string} file @returns {string[]} its module path, in which the command line is `bin::admin` */
function moduleOf(file) {
  const parts = file
    .replace(/^src\//, '')
    .replace(/\.rs$/, '')
    .split('/');
  if (['mod', 'lib', 'main'].includes(parts.at(-1) ?? '')) parts.pop();
  return parts;
}

/** Reads the sources of a checkout, without tests. @param {string} root @returns {Source[]} */
export function readSources(root) {
  /** @type {string[]} */
  const tests = [];
  const sources = rustFiles(root, 'src').map((file) => {
    let text = readFileSync(path.join(root, file), 'utf8');
    let code = withoutComments(text);
    const module = moduleOf(file);
    for (const { name, start, end } of testItems(code)) {
      if (name) tests.push([...module, name].join('::'));
      const without = (/** @type {string} */ all) =>
        all.slice(0, start) + blank(all.slice(start, end)) + all.slice(end);
      [text, code] = [without(text), without(code)];
    }
    return { file, module, text, code, blocks: blocksOf(code) };
  });
  return sources.filter(({ module }) =>
    module.every((_, index) => !tests.includes(module.slice(0, index + 1).join('::'))),
  );
}
