// The command line's access to the local KV: one process for many reads and writes of wrangler's local state, with wrangler's
// simulator. `wrangler kv bulk put --local` takes nine times as long, because it writes one value after another, and each start
// of wrangler takes more than a second. The command line writes the deployed KV with `wrangler kv`.
//
// Usage: `node scripts/kv.mjs STATE_FOLDER`. The folder must exist. A request is a line of JSON on stdin, and its response is a
// line of JSON on stdout: {"op":"get"|"put"|"delete"|"list","namespace":BINDING,…} → {"ok":…} or {"error":TEXT}.

import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** A Worker that runs the operations, because a write from outside the runtime needs a round trip. */
const WORKER = `
const AT_ONCE = 64;

async function all(entries, each) {
  const results = new Array(entries.length);
  let next = 0;
  const work = async () => {
    while (next < entries.length) {
      const at = next++;
      results[at] = await each(entries[at]);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return results;
}

async function list(kv, prefix) {
  const names = [];
  for (let cursor; ; ) {
    const page = await kv.list({ prefix, cursor });
    names.push(...page.keys.map((key) => key.name));
    if (page.list_complete) return names;
    cursor = page.cursor;
  }
}

async function run(kv, { op, keys, pairs, prefix }) {
  if (kv === undefined) throw new Error('no such namespace in wrangler.toml');
  if (op === 'get') return all(keys, (key) => kv.get(key, 'text'));
  if (op === 'list') return list(kv, prefix);
  if (op === 'put') await all(pairs, ([key, value]) => kv.put(key, value));
  else if (op === 'delete') await all(keys, (key) => kv.delete(key));
  else throw new Error('no such operation');
  return null;
}

export default {
  async fetch(request, env) {
    try {
      const operation = await request.json();
      return Response.json({ ok: await run(env[operation.namespace], operation) });
    } catch (error) {
      return Response.json({ error: String(error?.message ?? error) });
    }
  },
};
`;

// Checked here, because the simulator would create the folder.
const state = path.resolve(process.argv[2] ?? '');
if (!process.argv[2] || !statSync(state, { throwIfNoEntry: false })?.isDirectory()) {
  process.stderr.write(`Error: ${state} is not a folder\n`);
  process.exit(1);
}

// Standard output contains responses only.
console.log = console.info = console.warn = () => {};

const wrangler = createRequire(import.meta.url).resolve('wrangler');
const { unstable_readConfig: readConfig } = await import(wrangler);
const { Miniflare, convertV4MiniflareOptions } = createRequire(wrangler)('miniflare');

/** @type {{ binding: string, id?: string }[]} */
const namespaces = readConfig({ config: 'wrangler.toml' }).kv_namespaces;
const simulator = new Miniflare(
  convertV4MiniflareOptions({
    modules: true,
    script: WORKER,
    resourcePersistencePath: path.join(state, 'v3'),
    kvNamespaces: Object.fromEntries(namespaces.map(({ binding, id }) => [binding, id ?? binding])),
  }),
);
try {
  for await (const body of createInterface({ input: process.stdin })) {
    const response = await simulator.dispatchFetch('http://localhost/', { method: 'POST', body });
    process.stdout.write(`${await response.text()}\n`);
  }
} finally {
  await simulator.dispose();
}
