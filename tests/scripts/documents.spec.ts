// The documents: their links and the files that they name exist, and their commands print what the documents show.
//
// Each `sh` block of the README, the guides and the reference runs in bash against a local Worker with the demo data. If
// another code block follows directly, it is the expected output. Identifiers, times and dates may differ.

import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, cp, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Demo } from '../../scripts/demo.mjs';
import { INDEX_KEY } from '../runtime/harness.js';
import { PersistedWorker } from '../runtime/persisted.js';
import { Operator } from '../runtime/seed.js';
import { anchors, type Block, blocks, COMMANDS, links } from './markdown.js';
import { compare } from './output.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** The address that the documents name. */
const ADDRESS = 'http://localhost:8787';

const DEMO_TOKEN = 'abcdefghijklmnqrstuvwxyz';

const ACCOUNT = 'needs a Cloudflare account';
const INSTALLS = 'installs or builds what this suite has installed and built';
const DEPLOYED = 'needs a deployed Worker';
const EXAMPLES = 'needs a receiver; examples.spec.ts runs it with each receiver of the guide';
/** The address of a deployment in the guides. */
const HOST = 'https://trigger-launch.example.workers.dev';

/** Blocks that do not run here, by their first line, with the reason. */
const NOT_RUN: Record<string, [firstLine: string, reason: string][]> = {
  'README.md': [['npm run dev', 'starts the server that this suite replaces; `npm test` runs this suite']],
  'docs/guides/call-the-api.md': [
    [
      'export WEBHOOK_SECRET=$(curl -s -X PUT $API/8/webhook -H "$AUTH" -H \'Content-Type: application/json\' \\',
      EXAMPLES,
    ],
    ['curl -s -X POST $API/8/webhook/test -H "$AUTH"', EXAMPLES],
  ],
  'docs/guides/deploy.md': [
    ['npm ci', INSTALLS],
    ['npx wrangler r2 bucket create trigger-launch-attachments', ACCOUNT],
    ['npm run build', INSTALLS],
    ['openssl rand -hex 32', ACCOUNT],
    ['curl https://HOST/healthz', DEPLOYED],
    ['export PROFILE_INDEX_KEY=KEY', ACCOUNT],
    ['npm run admin -- --remote token list', ACCOUNT],
    ['npx wrangler deploy', ACCOUNT],
  ],
  'docs/guides/keep-profiles-current.md': [
    [
      'export TRIGGER_LAUNCH_TOKEN=$(npm run --silent admin -- token create --name profiles --scope profiles --remote)',
      ACCOUNT,
    ],
    [`npm run admin -- profiles live on --database 1 --url ${HOST} --remote`, ACCOUNT],
    [`curl "${HOST}/api/v1.1/profiles/1/changes" \\`, DEPLOYED],
    [`npm run admin -- profiles apply changes.ndjson --database 1 --url ${HOST}`, DEPLOYED],
    [`npm run admin -- profiles compact --database 1 --url ${HOST} --remote`, ACCOUNT],
    [`npm run admin -- profiles import export.csv --database 1 --url ${HOST} \\`, ACCOUNT],
    [`npm run admin -- profiles live off --database 1 --url ${HOST} --remote`, ACCOUNT],
  ],
  'docs/guides/monitor.md': [
    ['npx wrangler tail --format json', DEPLOYED],
    ['npx wrangler deploy', ACCOUNT],
  ],
  'docs/guides/rotate-keys.md': [
    ['npx wrangler secret put PROFILE_INDEX_KEY_PREVIOUS', ACCOUNT],
    ['openssl rand -hex 32', ACCOUNT],
    ['export PROFILE_INDEX_KEY=KEY', ACCOUNT],
    ['npx wrangler secret delete PROFILE_INDEX_KEY_PREVIOUS', ACCOUNT],
  ],
  'docs/guides/upgrade.md': [
    ['npm ci', INSTALLS],
    ['curl -s https://HOST/api/v1.1/campaigns/triggers -H "Authorization: Bearer $TOKEN"', DEPLOYED],
    ['export PROFILE_INDEX_KEY=KEY', ACCOUNT],
    ['npx wrangler deploy', ACCOUNT],
    ['npm run admin -- --remote profiles import profiles.csv --database 1', ACCOUNT],
    ['curl -s https://HOST/api/v1.1/campaigns/triggers/start_batch -H "Authorization: Bearer $TOKEN" \\', DEPLOYED],
  ],
};

/** Documents that need the state which another one has created. Each other document starts with the demo data. */
const CONTINUES: Record<string, string> = {
  'docs/guides/manage-tokens-and-campaigns.md': 'docs/guides/import-profiles.md',
};

const tracked = execFileSync('git', ['ls-files', '*.md'], { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
const withCommands = tracked.filter((name) => /^(README\.md|docs\/(guides|reference)\/.*)$/.test(name));
const read = (name: string) => readFileSync(path.join(ROOT, name), 'utf8');
const commandsOf = (name: string) => blocks(read(name)).filter(({ language }) => language === COMMANDS);

/** The first line of a block, without its comment. */
const firstLine = ({ text }: Block) => (text.split('\n')[0] ?? '').replace(/ +# .*/, '');

const reasonNotToRun = (name: string, block: Block) => NOT_RUN[name]?.find(([line]) => line === firstLine(block))?.[1];

describe('links', () => {
  it.each(tracked)('the links of %s lead to files and headings that exist', (name) => {
    const broken = links(read(name)).filter(({ target }) => {
      if (/^[a-z]+:/.test(target)) return false;
      const [file = '', anchor] = target.split('#');
      const to = file === '' ? name : path.posix.join(path.posix.dirname(name), file);
      if (!existsSync(path.join(ROOT, to))) return true;
      return anchor !== undefined && !anchors(read(to)).has(anchor);
    });
    expect(broken).toEqual([]);
  });
});

describe('paths', () => {
  it.each(tracked)('the paths that %s names exist', (name) => {
    const paths = read(name).matchAll(/`((?:src|tests|benches|fuzz|scripts|docs)\/[\w./-]*)`/g);
    const missing = [...paths].map(([, file = '']) => file).filter((file) => !existsSync(path.join(ROOT, file)));
    // Fuzzing creates these two.
    expect(missing.filter((file) => !['fuzz/found/', 'fuzz/artifacts/'].includes(file))).toEqual([]);
  });
});

describe('the list of blocks that do not run', () => {
  it.each(Object.entries(NOT_RUN))('each block of %s on the list is in the page', (name, entries) => {
    const lines = commandsOf(name).map(firstLine);
    for (const [line] of entries) expect(lines).toContain(line);
  });
});

const missing = ['bash', 'curl'].filter((program) => spawnSync(program, ['--version']).error);

describe.skipIf(missing.length > 0)('commands', () => {
  let prepared: Operator;
  const states = new Map<string, Operator>();

  beforeAll(async () => {
    prepared = await Operator.start(INDEX_KEY);
    await prepared.admin('demo');
    const worker = await start(prepared);
    const demo = new Demo(prepared.state);
    await demo.defineCampaigns(worker.url);
    await demo.launchSamples(worker.url);
    await worker.stop();
  });
  afterAll(async () => {
    await Promise.all([prepared, ...states.values()].map((operator) => operator.stop()));
  });

  /** A checkout with the demo data, or with the state that another document has left. */
  async function checkout(name: string): Promise<Operator> {
    const before = CONTINUES[name];
    const known = before === undefined ? undefined : states.get(before);
    if (known) return known;
    const operator = await Operator.start(INDEX_KEY);
    await cp(prepared.state, operator.state, { recursive: true });
    states.set(name, operator);
    return operator;
  }

  it('the common mistakes get the error messages of their table', async () => {
    const worker = await start(prepared);
    try {
      const [, table = ''] = read('docs/reference/errors.md').split('## Common mistakes');
      const [, ...rows] = [...table.matchAll(/^\| (.*?) +\| `(.*)` +\|$/gm)].map(([, mistake = '', message = '']) => [
        mistake,
        message,
      ]);
      expect(rows.map(([mistake]) => mistake)).toEqual(Object.keys(MISTAKES));
      for (const [mistake = '', message] of rows) {
        const request = { method: 'POST', ...MISTAKES[mistake] };
        const response = await worker.request('/api/v1.1/campaigns/triggers/start_batch?format=json', request);
        expect(await response.json(), mistake).toMatchObject({ error_debug: message });
      }
    } finally {
      await worker.stop();
    }
  });

  it.each(withCommands.filter((name) => commandsOf(name).length > 0))(
    'the commands of %s print what the page shows',
    async (name) => {
      const before = CONTINUES[name];
      if (before !== undefined) expect(states.has(before), `${before} runs first`).toBe(true);
      const runnable = commandsOf(name).filter((block) => reasonNotToRun(name, block) === undefined);
      if (runnable.length === 0) return;
      const operator = await checkout(name);
      const worker = await start(operator);
      try {
        const results = await run(operator, worker.url, runnable);
        for (const [at, block] of runnable.entries()) {
          const { output, failed } = results[at] ?? { output: '', failed: 'did not run' };
          const place = `${name}:${block.line}\n${output}`;
          expect(failed, place).toBe('');
          if (block.output) compare(block.output, output, place);
          else expect(output, place).not.toMatch(/"error":[1-9]/);
        }
      } finally {
        await worker.stop();
      }
    },
  );
});

/** The requests of the table of common mistakes, by the first cell of its rows. */
const MISTAKES: Record<string, { headers?: Record<string, string>; body: string | Uint8Array<ArrayBuffer> }> = {
  '`charset=utf-16`': { headers: { 'Content-Type': 'application/json; charset=utf-16' }, body: '{}' },
  'a multipart body': { headers: { 'Content-Type': 'multipart/form-data; boundary=x' }, body: '--x--' },
  'form fields': { headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: 'trigger_id=8' },
  'a JSON array': { body: '[{}]' },
  '`Content-Encoding: gzip`': { headers: { 'Content-Encoding': 'gzip' }, body: gzipSync('{}') },
  'a compressed body without `Content-Encoding`': { body: gzipSync('{}') },
  'UTF-16': { body: Uint8Array.from([0xff, 0xfe, 0x7b, 0, 0x7d, 0]) },
  SOAP: {
    headers: { 'Content-Type': 'application/xml' },
    body: '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"/>',
  },
  'URL-safe base64': {
    headers: { Authorization: `Bearer ${DEMO_TOKEN}` },
    body: '{"trigger_id":8,"data":[{"email":"a@b.example"}],"attach":[{"name":"a","data":"ab-_"}]}',
  },
};

/** Starts the Worker on the local state of a checkout. */
const start = (operator: Operator) => PersistedWorker.start(path.join(operator.state, 'v3'));

/** What a block printed, and the command of it that failed. */
interface Result {
  output: string;
  failed: string;
}

/** Runs blocks one after the other in one shell, in the folder of a checkout. */
async function run(operator: Operator, url: URL, commands: Block[]): Promise<Result[]> {
  const programs = await shims(operator);
  const script = [
    'set -o pipefail',
    String.raw`trap 'printf "\n@failed %s\n" "${'$'}{BASH_COMMAND%%${'$'}'"'\n'"'*}"' ERR`,
    ...commands.flatMap(({ text }) => ["printf '\\n@block\\n'", text.replaceAll(ADDRESS, url.origin)]),
  ].join('\n');
  const env = { ...process.env, PATH: `${programs}:${process.env.PATH}`, CARGO_MANIFEST_DIR: operator.folder };
  const printed = await new Promise<string>((resolve) => {
    const shell = execFile('bash', ['-c', `exec 2>&1\n${script}`], { cwd: operator.folder, env }, (_, stdout) =>
      resolve(stdout),
    );
    shell.stdin?.end();
  });
  return printed
    .split('\n@block\n')
    .slice(1)
    .map((text) => {
      const output = text.replaceAll(/\n@failed .*\n/g, '');
      return { output: output.trim(), failed: /\n@failed (.*)\n/.exec(text)?.[1] ?? '' };
    });
}

/** Creates programs that replace those of the documents. Returns their folder. */
async function shims(operator: Operator): Promise<string> {
  const folder = path.join(operator.folder, 'shims');
  await mkdir(folder, { recursive: true });
  const npm = `#!/usr/bin/env bash
if [ "$1 $2 $3 $4" = 'run --silent admin --' ]; then shift 4; exec '${operator.program}' "$@"; fi
echo "npm $*: not available to this suite; see NOT_RUN" >&2
exit 1
`;
  const none = '#!/usr/bin/env bash\necho "$0: not available to this suite; see NOT_RUN" >&2\nexit 1\n';
  const programs = { npm, npx: none, wrangler: none, cargo: none, node: none };
  for (const [name, text] of Object.entries(programs)) {
    const file = path.join(folder, name);
    await writeFile(file, text);
    await chmod(file, 0o755);
  }
  return folder;
}
