// `npm run structure`: measures the structure of src/: import cycles, type names with two meanings, public fields, errors,
// comments, and the files of one iteration of the receive loop. `--check` fails on a cycle or a type name with two meanings.
// `--root DIR` measures another checkout.
//
// It reads Rust as text: `use` declarations and paths that begin with `crate`, `self` or `super`. Test code is left out.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { command, Failure, ROOT } from './run.mjs';

/** Type names that may be defined in several modules, with the reason. @type {Record<string, string>} */
const ALLOWED_NAMES = {};

/**
 * A source file: its path, its module path, its text without tests, and that text without comments and strings.
 * @typedef {{ file: string, module: string[], text: string, code: string }} Source
 */

/** @param {string} root @param {string} folder @returns {string[]} the Rust files below a folder, without tests */
function rustFiles(root, folder) {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`;
    if (/^tests(\.rs)?$/.test(entry.name)) return [];
    if (entry.isDirectory()) return rustFiles(root, name);
    return name.endsWith('.rs') ? [name] : [];
  });
}

/** @param {string} file @returns {string[]} its module path; the command line is a crate of its own */
function moduleOf(file) {
  const parts = file
    .replace(/^src\//, '')
    .replace(/\.rs$/, '')
    .split('/');
  if (['mod', 'lib', 'main'].includes(parts.at(-1) ?? '')) parts.pop();
  return parts;
}

/** Removes comments and the contents of strings, and keeps line breaks. @param {string} text */
const withoutComments = (text) =>
  text
    .replaceAll(/\/\/[^\n]*/g, '')
    .replaceAll(/"(?:[^"\\]|\\.)*"/gs, (string) => `"${string.replaceAll(/[^\n]/g, '')}"`);

/** @param {string} root @returns {Source[]} */
function readSources(root) {
  return rustFiles(root, 'src').map((file) => {
    const text = readFileSync(path.join(root, file), 'utf8').replace(
      /#\[cfg\(test\)\]\s*(pub\(crate\) )?mod tests \{.*$/s,
      '',
    );
    return { file, module: moduleOf(file), text, code: withoutComments(text) };
  });
}

/** Expands `a::{b, c::{d}}` to its paths. @param {string} tree @returns {string[][]} */
function expand(tree) {
  const open = tree.indexOf('{');
  const name = (/** @type {string} */ text) => text.trim().replace(/\s+as\s+\w+$/, '');
  if (open < 0) return [name(tree).split('::').filter(Boolean)];
  const prefix = tree.slice(0, open).split('::').map(name).filter(Boolean);
  const inner = tree.slice(open + 1, tree.lastIndexOf('}'));
  const parts = [''];
  let depth = 0;
  for (const char of inner) {
    depth += Number(char === '{') - Number(char === '}');
    if (char === ',' && depth === 0) parts.push('');
    else parts.push(`${parts.pop()}${char}`);
  }
  return parts.filter((part) => part.trim()).flatMap((part) => expand(part).map((rest) => [...prefix, ...rest]));
}

/** The paths that a file uses, and those that it re-exports. @param {Source} source */
function pathsOf({ code }) {
  const declared = [...code.matchAll(/^\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);/gm)];
  const uses = declared.flatMap(([, , tree = '']) => expand(tree));
  const exports = declared.filter(([, visibility]) => visibility).flatMap(([, , tree = '']) => expand(tree));
  const inline = [...code.matchAll(/\b(?:crate|super|self)(?:::\w+)+/g)].map(([text]) => text.split('::'));
  return { used: [...uses, ...inline], exported: exports };
}

/** Edges from each file to the files that it imports. @param {Source[]} sources @returns {Map<string, Set<string>>} */
function imports(sources) {
  const byModule = new Map(sources.map((source) => [source.module.join('::'), source]));
  const paths = new Map(sources.map((source) => [source.file, pathsOf(source)]));

  /** @param {Source} source @param {string[]} used @returns {string[] | undefined} the absolute path, inside this crate */
  function absolute(source, used) {
    const crate = source.module[0] === 'bin' ? source.module.slice(0, 2) : [];
    const [first = '', ...rest] = used;
    if (first === 'crate') return [...crate, ...rest];
    if (first === 'trigger_launch' && crate.length > 0) return rest;
    if (first === 'self') return [...source.module, ...rest];
    if (first === 'super') {
      let module = source.module.slice(0, -1);
      let tail = rest;
      while (tail[0] === 'super') [module, tail] = [module.slice(0, -1), tail.slice(1)];
      return [...module, ...tail];
    }
    const child = [...source.module, first].join('::');
    return byModule.has(child) ? [...source.module, ...used] : undefined;
  }

  /** The file in which a path is defined. Re-exports are followed. @param {string[]} target @returns {Source | undefined} */
  function resolve(target, hops = 0) {
    for (let length = target.length; length >= 0; length -= 1) {
      const source = byModule.get(target.slice(0, length).join('::'));
      if (!source) continue;
      const name = target[length];
      const reexport = (paths.get(source.file)?.exported ?? []).find((exported) => exported.at(-1) === name);
      const next = name && reexport && hops < 8 ? absolute(source, reexport) : undefined;
      return next ? resolve([...next, ...target.slice(length + 1)], hops + 1) : source;
    }
    return undefined;
  }

  return new Map(
    sources.map((source) => {
      const targets = (paths.get(source.file)?.used ?? []).map((used) => absolute(source, used));
      const files = targets.flatMap((target) => (target && resolve(target)?.file) ?? []);
      return [source.file, new Set(files.filter((file) => file !== source.file))];
    }),
  );
}

/** The strongly connected components of more than one file (Tarjan). @param {Map<string, Set<string>>} edges */
function cycles(edges) {
  /** @type {Map<string, { index: number, low: number, open: boolean }>} */
  const seen = new Map();
  /** @type {string[]} */
  const stack = [];
  /** @type {string[][]} */
  const found = [];
  /** @param {string} file */
  function visit(file) {
    const node = { index: seen.size, low: seen.size, open: true };
    seen.set(file, node);
    stack.push(file);
    for (const next of edges.get(file) ?? []) {
      const other = seen.get(next);
      if (!other) node.low = Math.min(node.low, visit(next));
      else if (other.open) node.low = Math.min(node.low, other.index);
    }
    if (node.low === node.index) {
      const component = stack.splice(stack.indexOf(file));
      for (const member of component) {
        const other = seen.get(member);
        if (other) other.open = false;
      }
      if (component.length > 1) found.push(component.sort());
    }
    return node.low;
  }
  [...edges.keys()].forEach((file) => seen.has(file) || visit(file));
  return found;
}

/** Names of types, with the files that define them. Associated types do not count. @param {Source[]} sources */
function typeNames(sources) {
  /** @type {Map<string, Set<string>>} */
  const names = new Map();
  for (const { file, code } of sources) {
    for (const [, name = ''] of code.matchAll(/^(?:pub(?:\([^)]*\))? )?(?:struct|enum|trait|type) (\w+)/gm)) {
      names.set(name, (names.get(name) ?? new Set()).add(file));
    }
  }
  return names;
}

/** The structs with public fields, most fields first. @param {Source[]} sources */
function publicFields(sources) {
  const structs = sources.flatMap(({ file, code }) =>
    [...code.matchAll(/struct (\w+)[^;{(]*\{([^}]*)\}/g)].map(([, name, body = '']) => {
      return { name: `${name} (${file})`, count: [...body.matchAll(/^\s*pub(?:\([^)]*\))? \w+:/gm)].length };
    }),
  );
  return structs.filter(({ count }) => count > 0).sort((one, other) => other.count - one.count);
}

/** The types that are errors by their name, and those that implement `Error`. @param {Source[]} sources */
function errors(sources) {
  const all = sources.flatMap(({ code }) => [
    ...code.matchAll(
      /((?:#\[[^\]]*\]\s*)*)(?:pub(?:\([^)]*\))? )?(?:struct|enum) (\w*(?:Error|Fault|Invalid\w*|Malformed\w*|OutOfMemory))\b/g,
    ),
  ]);
  const implemented = new Set(
    sources.flatMap(({ code }) =>
      [...code.matchAll(/impl (?:std::error::|error::)?Error for (\w+)/g)].map(([, name]) => name),
    ),
  );
  const withError = all.filter(([, attributes = '', name]) => /Error/.test(attributes) || implemented.has(name));
  return { all: all.length, withError: withError.length };
}

/** Lines of code and of comments. @param {Source[]} sources */
function lines(sources) {
  const all = sources
    .flatMap(({ text }) => text.split('\n'))
    .map((line) => line.trim())
    .filter(Boolean);
  const comments = all.filter((line) => line.startsWith('//')).length;
  return { code: all.length - comments, comments };
}

/**
 * The files of functions that the receive loop calls, directly or through one other function. A call is a name followed by
 * `(` that exactly one module of src/launch, src/memory.rs or src/wire defines.
 * @param {Source[]} sources
 */
function receiveLoop(sources) {
  const near = sources.filter(({ file }) => /^src\/(launch\/|memory\.rs|wire\/(mod|json|xml)\.rs)/.test(file));
  /** @type {Map<string, { file: string, body: string }[]>} */
  const functions = new Map();
  for (const { file, code } of near) {
    for (const match of code.matchAll(/fn (\w+)/g)) {
      const body = code.slice(match.index, code.indexOf('\n    }\n', match.index) + 1);
      const name = match[1] ?? '';
      functions.set(name, [...(functions.get(name) ?? []), { file, body }]);
    }
  }
  const start = ['read_body', 'take_in']
    .map((name) => functions.get(name)?.find(({ file }) => file.includes('receive')))
    .find(Boolean);
  const files = new Set(start ? [start.file] : []);
  let bodies = start ? [start.body] : [];
  for (let level = 0; level < 2; level += 1) {
    const called = bodies.flatMap((body) =>
      [...body.matchAll(/\b(\w+)(?:::<[^>]*>)?\(/g)].map(([, name = '']) => name),
    );
    const found = [...new Set(called)]
      .map((name) => functions.get(name) ?? [])
      .filter((list) => list.length === 1)
      .flat();
    found.forEach(({ file }) => files.add(file));
    bodies = found.map(({ body }) => body);
  }
  return [...files].sort();
}

/** @param {string[]} args */
function main(args) {
  const root = args.includes('--root') ? path.resolve(args[args.indexOf('--root') + 1] ?? '') : ROOT;
  if (!existsSync(path.join(root, 'src'))) throw new Failure(`${root} has no folder src`);
  const sources = readSources(root);
  const circles = cycles(imports(sources));
  const names = [...typeNames(sources)].filter(([name, files]) => files.size > 1 && !(name in ALLOWED_NAMES));
  if (args.includes('--check')) {
    const wrong = [
      ...circles.map((files) => `import cycle: ${files.join(', ')}`),
      ...names.map(([name, files]) => `type name with two meanings: ${name} (${[...files].join(', ')})`),
    ];
    if (wrong.length > 0) throw new Failure(wrong.join('\n'));
    return;
  }
  const print = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  print(`import cycles: ${circles.length}`);
  circles.forEach((files) => print(`  ${files.join(', ')}`));
  print(`type names with two meanings: ${names.length}`);
  names.forEach(([name, files]) => print(`  ${name}: ${[...files].join(', ')}`));
  const fields = publicFields(sources);
  print(`public fields: ${fields.reduce((sum, { count }) => sum + count, 0)}; most:`);
  fields.slice(0, 10).forEach(({ name, count }) => print(`  ${count} ${name}`));
  const { all, withError } = errors(sources);
  print(`error types: ${all}, of which ${withError} implement Error`);
  const { code, comments } = lines(sources);
  print(`lines: ${code} of code, ${comments} of comments in ${sources.length} files`);
  const loop = receiveLoop(sources);
  print(
    `files of one iteration of the receive loop (functions with unique names, two levels of calls): ${loop.length}`,
  );
  loop.forEach((file) => print(`  ${file}`));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  await command(async () => main(process.argv.slice(2)));
