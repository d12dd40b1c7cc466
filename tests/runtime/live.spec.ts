// Profiles that change between imports: a change is sent to one isolate, and the launch to another. The runtime is killed between
// a change and its reply, and during compactions. `LIVE_CHANGES` is the number of changes (default 200), `LIVE_KILLS` the number of
// kills (default 4).

import { readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bearer, launch, type Reply, seed, SINGLE, TOKEN } from './fixture.js';
import { INDEX_KEY } from './harness.js';
import { PersistedWorker } from './persisted.js';
import { address, ID, numbered, profiles as allProfiles } from './profiles.js';
import { Operator } from './seed.js';

const CHANGES = Number(process.env.LIVE_CHANGES ?? 200);
const KILLS = Number(process.env.LIVE_KILLS ?? 4);
const DATABASE = '/api/v1.1/profiles/1';

let operator: Operator;
let worker: PersistedWorker;

const start = () => PersistedWorker.start(path.join(operator.state, 'v3'), undefined, { twice: true });

/** Lets the object accept changes at once. It accepts them five minutes after they were turned on. */
function openNow(): void {
  const objects = PersistedWorker.kept.objects(path.join(operator.state, 'v3'), 'ProfilesObject');
  for (const name of readdirSync(objects).filter((file) => file.endsWith('.sqlite'))) {
    const database = new DatabaseSync(path.join(objects, name));
    if (database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'live'").all().length) {
      database.exec("UPDATE live SET settings = json_set(settings, '$.live_since', 1)");
    }
    database.close();
  }
}

/** Runs a command of the operator that uses the API. */
async function profiles(command: string, ...args: string[]): Promise<string> {
  const all = ['profiles', command, ...args, '--database', '1', '--url', worker.url.href];
  const { code, stdout, stderr } = await operator.run(all, { TRIGGER_LAUNCH_TOKEN: TOKEN.all });
  expect(code, stderr).toBe(0);
  return stdout;
}

/** Sends changes to the first isolate. */
async function change(rows: object[], headers: Record<string, string> = {}): Promise<Reply> {
  const body = JSON.stringify(rows);
  const init = { method: 'POST', body, headers: { 'Content-Type': 'application/json', ...bearer(), ...headers } };
  const response = await worker.request(`${DATABASE}/changes`, init);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** Returns the ID of the profile that a launch through the second isolate finds, or undefined. */
async function find(email: string): Promise<string | undefined> {
  const second = {
    ...worker,
    request: (target: string, init?: RequestInit) => fetch(new URL(target, worker.second), init),
  };
  const reply = await launch(second, { id: 8, email, dry_run: true }, bearer(), SINGLE);
  expect(reply.status, reply.text).toBe(200);
  return /"profile_id":"([0-9a-f]{24})"/.exec(reply.text)?.[1];
}

async function status(): Promise<Record<string, unknown>> {
  return (await (await worker.request(DATABASE, { headers: bearer() })).json()) as Record<string, unknown>;
}

beforeAll(async () => {
  operator = await Operator.start(INDEX_KEY);
  worker = await start();
  await seed(worker);
  expect(await profiles('live', 'on')).toContain('live changes are on');
  expect((await change([{ profile_id: ID.one }])).status).toBe(409);
  await worker.stop();
  openNow();
  worker = await start();
}, 120_000);

afterAll(async () => {
  await worker?.stop();
  await operator?.stop();
});

it('a launch through another isolate sees every change that was answered before it', { timeout: 600_000 }, async () => {
  expect(await find(address(1))).toBe(numbered(1));
  for (let n = 0; n < CHANGES; n++) {
    const reply = await change([{ profile_id: numbered(n % 100), email: `change${n}@live.example` }]);
    expect(reply.status, reply.text).toBe(200);
    expect(await find(`change${n}@live.example`)).toBe(numbered(n % 100));
  }
  expect(await find(address(1))).toBeUndefined();
  await change([{ profile_id: numbered(1), deleted: true }]);
  expect(await find(`change${CHANGES - 99}@live.example`)).toBeUndefined();
});

it('a compaction changes nothing that launches find', { timeout: 120_000 }, async () => {
  const before = await status();
  expect(before).toMatchObject({ live: true, limit: 100_000 });
  await change([{ profile_id: ID.two, email: ['two@live.example'], 'custom:New': '7' }]);
  expect(await profiles('find', '--email', 'two@live.example')).toBe(`${ID.two} (profile)\n`);
  expect(await profiles('compact')).toContain('compacted');
  expect(await profiles('find', '--email', 'two@live.example')).toBe(`${ID.two} (profile)\n`);
  const after = await status();
  expect(after).toMatchObject({ pending: 0 });
  expect(after.generation).not.toBe(before.generation);
  expect(await find('two@live.example')).toBe(ID.two);
  expect(await find('example2@example.com')).toBeUndefined();
  expect(await find(address(2000))).toBe(numbered(2000));
  expect(await profiles('compact')).toContain('no pending changes');
});

it('an import keeps the changes that were made after its export', { timeout: 120_000 }, async () => {
  const exported = new Date().toISOString();
  await change([{ profile_id: ID.two, email: 'later@live.example' }]);
  const file = path.join(operator.folder, 'export.ndjson');
  await writeFile(file, allProfiles('b'));
  const plain = await operator.run(['profiles', 'import', file, '--database', '1']);
  expect(plain.code).toBe(1);
  expect(plain.stderr).toContain('the changes of database 1 are live: add --url, and --as-of');
  expect(await profiles('import', file, '--as-of', exported)).toContain('later changes of 1 profile are kept');
  expect(await find('later@live.example')).toBe(ID.two);
  expect(await find(address(1))).toBe(numbered(1));
  expect(await find('example2@example.com')).toBeUndefined();
});

it(
  `no acknowledged change is lost, and none is applied twice, in ${KILLS} kills`,
  { timeout: 60_000 + KILLS * 20_000 },
  async () => {
    for (let kill = 0; kill < KILLS; kill++) {
      const rows = [{ profile_id: numbered(200 + kill), email: `kill${kill}@live.example` }];
      const id = { 'Request-ID': `kill-${kill}` };
      const { version } = await status();
      const sent = change(rows, id).catch(() => undefined);
      // Before, during or after the change, by the number of other requests that are answered first.
      for (let other = 0; other < kill % 3; other++) await worker.request('/healthz').catch(() => undefined);
      worker.kill();
      const first = await sent;
      await worker.stop();
      worker = await start();
      const repeat = await change(rows, id);
      expect(repeat.status, repeat.text).toBe(200);
      expect((JSON.parse(repeat.text) as { version: number }).version).toBe(Number(version) + 1);
      if (first?.status === 200) expect(repeat.text).toBe(first.text);
      expect(await find(`kill${kill}@live.example`)).toBe(numbered(200 + kill));
    }
  },
);

it('a compaction that was cut off can be run again', { timeout: 120_000 }, async () => {
  const args = ['profiles', 'compact', '--database', '1', '--url', worker.url.href];
  const compacting = operator.run(args, { TRIGGER_LAUNCH_TOKEN: TOKEN.all });
  await status();
  worker.kill();
  await worker.stop();
  worker = await start();
  await compacting.catch(() => undefined);
  for (let kill = 0; kill < KILLS; kill++) expect(await find(`kill${kill}@live.example`)).toBe(numbered(200 + kill));
  await profiles('compact');
  for (let kill = 0; kill < KILLS; kill++) expect(await find(`kill${kill}@live.example`)).toBe(numbered(200 + kill));
  expect(await find(address(2000))).toBe(numbered(2000));
});
