// `npm run structure`: prints the structure of src/ without its tests. The measures are import cycles, type names with two
// meanings, public fields, errors, lines, and the files of one iteration of the receive loop.
//
// `--check` prints nothing, and fails on an import cycle or a type name with two meanings.
// `--root DIR` measures another checkout.
// `--start NAME,NAME` names the functions of the receive loop in that checkout.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { command, Failure, ROOT } from './run.mjs';
import { around, isImplementation, moduleAt, place, readSources } from './rust.mjs';

/** @typedef {import('./rust.mjs').Source} Source */

/** Type names that may be defined in several modules, with the reason. @type {Record<string, string>} */
const ALLOWED_NAMES = {};

/** The functions of the receive loop. */
const LOOP = 'receive,read_body';

/** The library crate, as the command line names it. */
const LIBRARY = 'trigger_launch';

const VISIBILITY = String.raw`pub(?:\([^)]*\))?`;

/** The paths of a `use` declaration: `a::{b, c as d}` is `a::b` and `a::c`, imported as `d`. @typedef {{ path: string[], as: string }} Import */

/** @param {string} tree @returns {Import[]} */
function expand(tree) {
  const open = tree.indexOf('{');
  if (open < 0) {
    const [text = '', as] = tree.trim().split(/\s+as\s+/);
    const names = text.split('::').filter(Boolean);
    if (names.at(-1) === 'self') names.pop();
    return [{ path: names, as: as ?? names.at(-1) ?? '' }];
  }
  const prefix = tree
    .slice(0, open)
    .split('::')
    .map((name) => name.trim())
    .filter(Boolean);
  const parts = [''];
  let depth = 0;
  for (const char of tree.slice(open + 1, tree.lastIndexOf('}'))) {
    depth += Number(char === '{') - Number(char === '}');
    if (char === ',' && depth === 0) parts.push('');
    else parts.push(`${parts.pop()}${char}`);
  }
  const inner = parts.filter((part) => part.trim());
  return inner.flatMap((part) =>
    expand(part).map(({ path: rest, as }) => ({ path: [...prefix, ...rest], as: as || (prefix.at(-1) ?? '') })),
  );
}

/** The paths that a file uses: those of its `use` declarations, and those in expressions and types. @param {Source} source */
function pathsOf({ code }) {
  const declarations = [...code.matchAll(/\buse\s+([^;]+);/g)];
  const imported = declarations.flatMap(({ index, 1: tree = '' }) => expand(tree).map((each) => ({ ...each, index })));
  const expressions = code.replaceAll(/\buse\s+[^;]+;/g, (text) => text.replaceAll(/[^\n]/g, ' '));
  const inline = [...expressions.matchAll(/(?<![\w:]|::\s*)([a-z_]\w*(?:::\w+)+)/g)].map(({ index, 1: text = '' }) => ({
    path: text.split('::'),
    as: '',
    index,
  }));
  return [...imported, ...inline];
}

/** The files that each file imports. A re-export counts as a part of the module in which it is written. @param {Source[]} sources */
function importsOf(sources) {
  const byModule = new Map(sources.map((source) => [source.module.join('::'), source.file]));

  /** The file of a path, undefined if the path is one of another crate. @param {string[]} module @param {string[]} used */
  function fileOf(module, used) {
    const crate = module[0] === 'bin' ? module.slice(0, 2) : [];
    const [first = '', ...rest] = used;
    /** @type {string[]} */
    let target;
    if (first === 'crate') target = [...crate, ...rest];
    else if (first === LIBRARY && crate.length > 0) target = rest;
    else if (first === 'self') target = [...module, ...rest];
    else if (first === 'super') {
      const levels = used.findIndex((name) => name !== 'super');
      const up = levels < 0 ? used.length : levels;
      target = [...module.slice(0, module.length - up), ...used.slice(up)];
    } else if (byModule.has([...module, first].join('::'))) target = [...module, ...used];
    else return undefined;
    for (let length = target.length; length >= 0; length -= 1) {
      const file = byModule.get(target.slice(0, length).join('::'));
      if (file) return file;
    }
    return undefined;
  }

  return new Map(
    sources.map((source) => {
      const files = pathsOf(source).map((each) => fileOf(moduleAt(source, each.index), each.path));
      return [source.file, new Set(files.flatMap((file) => (file && file !== source.file ? [file] : [])))];
    }),
  );
}

/** The strongly connected components of more than one file (Tarjan). @param {Map<string, Set<string>>} edges */
function cyclesOf(edges) {
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

/** The types that are defined, without associated types. @param {Source[]} sources */
function typesOf(sources) {
  return sources.flatMap((source) =>
    [...source.code.matchAll(/((?:#\[[^\]]*\]\s*)*)(?:pub(?:\([^)]*\))? )?\b(struct|enum|trait|type|union) (\w+)/g)]
      .map(({ index, 0: all, 1: attributes = '', 2: kind = '', 3: name = '' }) => {
        const at = index + all.length;
        return {
          source,
          attributes,
          kind,
          name,
          at,
          place: place(source, at),
          module: moduleAt(source, at).join('::'),
        };
      })
      .filter(({ kind, at }) => kind !== 'type' || !isImplementation(around(source, at).at(-1))),
  );
}

/** @typedef {ReturnType<typeof typesOf>[number]} Type */

/** Names that several modules define, each with its places. @param {Type[]} types */
function repeatedNames(types) {
  const names = [...new Set(types.map(({ name }) => name))].sort();
  return names
    .map((name) => ({ name, defined: types.filter((type) => type.name === name) }))
    .filter(({ name, defined }) => !(name in ALLOWED_NAMES) && new Set(defined.map(({ module }) => module)).size > 1)
    .map(({ name, defined }) => `${name}: ${defined.map((type) => type.place).join(', ')}`);
}

/** The structs with public fields, those with most fields first. @param {Type[]} types */
function publicFields(types) {
  const structs = types.filter(({ kind }) => kind === 'struct');
  const counted = structs.map(({ source, name, at, place: where }) => {
    const rest = source.code.slice(at);
    const named = /^[^;({]*\{/.test(rest);
    const block = named ? source.blocks.find(({ start }) => start >= at) : undefined;
    const body = block ? source.code.slice(block.start, block.end) : (/^[^;]*/.exec(rest)?.[0] ?? '');
    const field = new RegExp(named ? String.raw`\b${VISIBILITY} \w+:` : String.raw`\b${VISIBILITY} `, 'g');
    return { name: `${name} (${where})`, count: [...body.matchAll(field)].length };
  });
  return counted.filter(({ count }) => count > 0).sort((one, other) => other.count - one.count);
}

/** The types that are named as errors, and the types that implement `Error`. @param {Source[]} sources @param {Type[]} types */
function errorsOf(sources, types) {
  const manual = sources.flatMap(({ code }) =>
    [...code.matchAll(/\bimpl(?:<[^>]*>)? (?:\w+::)*Error for (\w+)/g)].map(([, name = '']) => name),
  );
  const derived = types.filter(({ attributes }) => /derive\([^)]*\bError\b/.test(attributes)).map(({ name }) => name);
  const implemented = new Set([...manual, ...derived]);
  const named = types.filter(({ kind, name }) => kind !== 'trait' && /(?:Error|Fault|Problem|Refused)$/.test(name));
  return { named, lacking: named.filter(({ name }) => !implemented.has(name)), implemented };
}

/** Lines of code and of comments, without empty lines. @param {Source[]} sources */
function linesOf(sources) {
  const count = (/** @type {string} */ text) => text.split('\n').filter((line) => line.trim() !== '').length;
  const sum = (/** @type {(source: Source) => number} */ of) =>
    sources.reduce((total, source) => total + of(source), 0);
  const code = sum((source) => count(source.code));
  return { code, comments: sum((source) => count(source.text)) - code };
}

/** @typedef {{ name: string, file: string, body: string }} RustFunction */

/**
 * The files of the functions of the receive loop and of the functions that they call, directly or through one other function.
 * @param {Source[]} sources
 * @param {Map<string, Set<string>>} imports
 * @param {Type[]} types
 * @param {string[]} start
 */
function receiveLoop(sources, imports, types, start) {
  const functions = sources.flatMap((source) =>
    [...source.code.matchAll(/\bfn (\w+)/g)].map(({ index, 1: name = '' }) => {
      const rest = source.code.slice(index);
      const block = /^[^;{]*\{/.test(rest) ? source.blocks.find((each) => each.start > index) : undefined;
      return { name, file: source.file, body: block ? source.code.slice(block.start, block.end) : '' };
    }),
  );

  /** The functions that a function calls. @param {RustFunction} caller */
  function calledBy({ file, body }) {
    const near = new Set([file, ...(imports.get(file) ?? [])]);
    return [...body.matchAll(/(?:\b(\w+)(?:::<[^>]*>)?::)?\b(\w+)(?:::<[^>]*>)?\(/g)].flatMap(([, owner, name]) => {
      const candidates = functions.filter((each) => each.name === name && near.has(each.file));
      const owners = types.filter((type) => type.name === owner).map((type) => type.source.file);
      const inOwner = owner && owners.length > 0 ? candidates.filter((each) => owners.includes(each.file)) : candidates;
      const own = inOwner.filter((each) => each.file === file);
      const found = own.length > 0 ? own : inOwner;
      return new Set(found.map((each) => each.file)).size === 1 ? found : [];
    });
  }

  let level = functions.filter(({ name, file }) => start.includes(name) && /^src\/launch\/.*receive/.test(file));
  const files = new Set(level.map(({ file }) => file));
  for (let depth = 0; depth < 2; depth += 1) {
    level = [...new Set(level.flatMap(calledBy))];
    level.forEach(({ file }) => files.add(file));
  }
  return [...files].sort();
}

/** @param {string[]} args */
function main(args) {
  const { values } = parseArgs({
    args,
    options: {
      check: { type: 'boolean' },
      root: { type: 'string', default: ROOT },
      start: { type: 'string', default: LOOP },
    },
  });
  const root = path.resolve(values.root);
  if (!existsSync(path.join(root, 'src'))) throw new Failure(`${root} has no folder src`);
  const sources = readSources(root);
  const imports = importsOf(sources);
  const types = typesOf(sources);
  const cycles = cyclesOf(imports);
  const repeated = repeatedNames(types);
  if (values.check) {
    const found = [
      ...cycles.map((files) => `import cycle: ${files.join(', ')}`),
      ...repeated.map((name) => `type name with two meanings: ${name}`),
    ];
    if (found.length > 0) throw new Failure(found.join('\n'));
    return;
  }

  const print = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  const list = (/** @type {string[]} */ items) => items.forEach((item) => print(`  ${item}`));
  print(`import cycles: ${cycles.length}`);
  list(cycles.map((files) => files.join(', ')));
  print(`type names that several modules define: ${repeated.length}`);
  list(repeated);
  const fields = publicFields(types);
  print(`public fields of structs: ${fields.reduce((sum, { count }) => sum + count, 0)}; the structs with most:`);
  list(fields.slice(0, 10).map(({ name, count }) => `${count} ${name}`));
  const { named, lacking, implemented } = errorsOf(sources, types);
  print(`types named as errors: ${named.length}; without an implementation of Error: ${lacking.length}`);
  list(lacking.map(({ name, place: where }) => `${name} (${where})`));
  print(`types that implement Error, whatever their name: ${implemented.size}`);
  const { code, comments } = linesOf(sources);
  print(`lines: ${code} of code, ${comments} of comments, in ${sources.length} files`);
  const loop = receiveLoop(sources, imports, types, values.start.split(','));
  print(`files of one iteration of the receive loop: ${loop.length}`);
  print(
    `  (the files of ${values.start.replaceAll(',', ', ')} and of two levels of calls; a call counts if exactly one file, ` +
      'the same file or one that it imports, defines a function of that name)',
  );
  list(loop);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  await command(async () => main(process.argv.slice(2)));
