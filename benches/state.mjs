// The initial state of the Workers: profiles in local KV. Writing them takes minutes, so they are kept in `.bench`. The logs and
// the bucket are empty at the beginning of every section.

import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { ADMIN, adminConstants } from '../scripts/admin.mjs';
import { Failure, inRoot, PROJECT_NODE, timed } from '../scripts/run.mjs';
import { address, MANY_PROFILES, profileId, PROFILES, SEED } from './data.mjs';

/** The folder of all states. */
export const FOLDER = inRoot('.bench');
/** The token of the benchmark, which no deployment uses. */
export const TOKEN = 'bench-token-0123456789';
/** The index key of the benchmark. It is not a secret. */
export const INDEX_KEY = 'be'.repeat(32);
export const CAMPAIGN = { small: 8, large: 9, stored: 10 };
/** Equal campaigns, with the IDs from `first` on. */
export const MANY = { first: 100, count: 64 };
/** The databases of our Worker. */
export const DATABASE = { small: 1, large: 2 };
/** All campaigns with the databases of their profiles. @type {[number, number][]} */
export const CAMPAIGNS = [
  [CAMPAIGN.small, DATABASE.small],
  [CAMPAIGN.stored, DATABASE.small],
  [CAMPAIGN.large, DATABASE.large],
  ...Array.from({ length: MANY.count }, (_, n) => /** @type {[number, number]} */ ([MANY.first + n, DATABASE.small])),
];

/** The Workers with a state of their own. @typedef {'ours' | 'peer' | 'reference' | 'routed' | 'floor' | 'vectors'} StateName */

/** Returns the state folder of a Worker. @param {StateName} name */
export const stateOf = (name) => path.join(FOLDER, name);

/** Removes the logs and the bucket of a state, and keeps its KV. @param {string} state */
export function clear(state) {
  for (const kind of ['do', 'r2']) rmSync(path.join(state, 'v3', kind), { recursive: true, force: true });
}

/** Runs `work`, unless it has run with the same `stamp`, which describes its result. @param {string} what @param {string} name @param {string} stamp @param {() => Promise<void>} work */
async function made(what, name, stamp, work) {
  const file = path.join(FOLDER, `${name}.stamp`);
  if (existsSync(file) && readFileSync(file, 'utf8') === stamp) return;
  rmSync(file, { force: true });
  mkdirSync(FOLDER, { recursive: true });
  await timed(what, work);
  writeFileSync(file, stamp);
}

const execute = promisify(execFile);

/** Imports the profiles of our Worker with the command line. @param {{ many: boolean }} options */
export async function prepareOurs({ many }) {
  const databases = [{ id: DATABASE.small, count: PROFILES }];
  if (many) databases.push({ id: DATABASE.large, count: MANY_PROFILES });
  for (const { id, count } of databases) {
    const { indexFormat, normalisation, bucketTarget, bucketLimit } = await adminConstants();
    const stamp = [SEED, count, indexFormat, normalisation, bucketTarget, bucketLimit].join(' ');
    await made(`importing ${count} profiles (once)`, `ours-${id}`, stamp, () => importProfiles(id, count));
  }
}

/** @param {number} database @param {number} count */
async function importProfiles(database, count) {
  const folder = operatorsFolder();
  const file = path.join(FOLDER, 'profiles.csv');
  const stream = createWriteStream(file);
  stream.write('profile_id,email\n');
  for (let n = 0; n < count; n++) {
    if (!stream.write(`${profileId(n)},${address(n)}\n`)) await once(stream, 'drain');
  }
  await new Promise((resolve) => stream.end(resolve));
  mkdirSync(stateOf('ours'), { recursive: true });
  const env = { ...process.env, CARGO_MANIFEST_DIR: folder };
  const run = (/** @type {string[]} */ args) =>
    execute(ADMIN, [...args, '--persist-to', stateOf('ours')], { cwd: folder, env, maxBuffer: 1 << 26 });
  await run(['profiles', 'import', file, '--database', String(database)]);
  const list = await run(['token', 'list']);
  if (!list.stdout.includes('bench')) {
    const scopes = ['launch', 'read', 'admin'].flatMap((scope) => ['--scope', scope]);
    await run(['token', 'create', '--name', 'bench', '--value', TOKEN, ...scopes]);
  }
  rmSync(file);
}

/** The database of the object of one of our campaigns. @param {string} name the campaign's name */
export function objectFile(name) {
  const folder = path.join(stateOf('ours'), 'v3', 'do', 'trigger-launch-CampaignObject');
  const files = readdirSync(folder).filter((file) => /^[0-9a-f]{64}\.sqlite$/.test(file));
  const found = files
    .map((file) => path.join(folder, file))
    .find((file) => {
      const database = new DatabaseSync(file, { readOnly: true });
      const campaigns = database.prepare('SELECT count(*) AS found FROM campaign WHERE name = ?').get(name);
      database.close();
      return campaigns?.found === 1;
    });
  if (!found) throw new Failure(`no object of the campaign ${name}`);
  return found;
}

/** Creates a folder with the files that the command line needs, and with the index key. */
function operatorsFolder() {
  const folder = path.join(FOLDER, 'operator');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of ['scripts', 'node_modules', 'wrangler.toml']) symlinkSync(inRoot(name), path.join(folder, name));
  writeFileSync(path.join(folder, '.dev.vars'), `PROFILE_INDEX_KEY=${INDEX_KEY}\n`, { mode: 0o600 });
  return folder;
}

/** Writes the peer's profiles, token and campaigns. */
export async function preparePeer() {
  const stamp = `${SEED} ${PROFILES}`;
  await made(`writing ${PROFILES} pairs for the peer (once)`, 'peer', stamp, async () => {
    rmSync(stateOf('peer'), { recursive: true, force: true });
    await putPairs(stateOf('peer'), [
      ...peerAccess(CAMPAIGNS.map(([id]) => id)),
      [`email:${address(0)}`, profileId(0)],
    ]);
    function* rest() {
      for (let n = 1; n < PROFILES; n++) yield /** @type {[string, string]} */ ([`email:${address(n)}`, profileId(n)]);
    }
    writeDirectly(stateOf('peer'), rest());
  });
}

/** The peer's token and campaigns. @param {number[]} campaigns @returns {[string, string][]} */
export function peerAccess(campaigns) {
  const digest = createHash('sha256').update(TOKEN).digest('hex');
  return [
    [`token:${digest}`, '{"name":"bench"}'],
    ...campaigns.map((id) => /** @type {[string, string]} */ ([`campaign:${id}`, '{"active":true}'])),
  ];
}

/** Writes pairs with the simulator of KV. @param {string} state @param {[string, string][]} pairs */
export async function putPairs(state, pairs) {
  mkdirSync(state, { recursive: true });
  const helper = execute(PROJECT_NODE, [inRoot('scripts', 'kv.mjs'), state], { cwd: inRoot('benches', 'peer') });
  helper.child.stdin?.end(`${JSON.stringify({ op: 'put', namespace: 'KV', pairs })}\n`);
  const { stdout } = await helper;
  if (!stdout.includes('"ok"')) throw new Failure(`KV was not written: ${stdout}`);
}

/**
 * Writes pairs directly to the files of the KV simulator: a table of names, and a file for each value. The simulator itself takes
 * twenty times as long, because it commits each pair. @param {string} state @param {Iterable<[string, string]>} pairs
 */
function writeDirectly(state, pairs) {
  const folder = path.join(state, 'v3', 'kv');
  const tables = path.join(folder, 'miniflare-KVNamespaceObject');
  const file = readdirSync(tables).find((name) => /^[0-9a-f]{64}\.sqlite$/.test(name));
  if (!file)
    throw new Failure('the tables of the KV simulator were not found: adapt benches/state.mjs to its new layout');
  const database = new DatabaseSync(path.join(tables, file));
  const insert = database.prepare(
    'INSERT INTO _mf_entries (key, blob_id, expiration, metadata) VALUES (?, ?, NULL, NULL)',
  );
  database.exec('BEGIN');
  for (const [key, value] of pairs) {
    const blob = randomBytes(40).toString('hex');
    writeFileSync(path.join(folder, 'KV', 'blobs', blob), value);
    insert.run(key, blob);
  }
  database.exec('COMMIT');
  database.close();
}
