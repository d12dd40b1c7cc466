// Real answers of every operation, which the description of the API has to allow.

import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, vi } from 'vitest';
import { bearer, BATCH, get, seed, SINGLE, TRIGGERS, WAIT } from './fixture.js';
import { openCampaign, PersistedWorker } from './persisted.js';
import { ID } from './profiles.js';

/** An answer of an operation, or a message to a receiver. */
export interface Answer {
  operation: string;
  status: number;
  type: string;
  body: unknown;
}

const CAMPAIGN = `${TRIGGERS}/8`;
const HOOK = `${CAMPAIGN}/webhook`;
const DATABASE = '/api/v1.1/profiles/1';
/** A campaign whose only launch expires. */
const EXPIRING = 85;
/** More than `RETENTION_DAYS`. */
const AGE = 31 * 86_400_000;

/** A launch with a recipient, an unmatched, an invalid and a duplicate item. */
const LAUNCH = {
  trigger_id: 8,
  report: true,
  content: { text: 'Hello' },
  custom_data: { a: 1 },
  attach: [{ name: 'a.txt', data: 'aGVsbG8=' }],
  data: [
    { email: 'example1@example.com', custom_data: { name: 'Jo' } },
    { email: 'nobody@example.com' },
    {},
    { email: 'example1@example.com' },
  ],
};

/** Sends requests to a new Worker, and returns its answers. */
export async function recordAnswers(): Promise<Answer[]> {
  const answers: Answer[] = [];
  /** The status with which receivers answer. */
  let received = 204;
  const outbound = async (request: { text(): Promise<string> }) => {
    const body = JSON.parse(await request.text()) as { type: string };
    if (body.type === 'launch.created') {
      answers.push({ operation: 'delivery', status: 200, type: 'application/json', body });
    }
    return new Response(null, { status: received });
  };
  const folder = await mkdtemp(path.join(tmpdir(), 'trigger-launch-answers-'));
  const start = () => PersistedWorker.start(folder, undefined, { direct: true, outbound });
  let worker = await start();

  async function record(operation: string, method: string, target: string, body?: unknown, expected = 200) {
    const headers = { ...bearer(), ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) };
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const response = await worker.request(target, { method, headers, ...content });
    const text = await response.text();
    expect(response.status, `${operation}: ${text}`).toBe(expected);
    const [type = ''] = (response.headers.get('Content-Type') ?? '').split(';');
    const lines = () =>
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown);
    const parsed = type === 'application/x-ndjson' ? lines() : (JSON.parse(text) as any);
    answers.push({ operation, status: expected, type, body: parsed });
    return { body: parsed, launchId: response.headers.get('Launch-ID') };
  }

  try {
    await seed(worker);
    await record('start', 'POST', SINGLE, { id: EXPIRING, email: 'example1@example.com' });
    // The object accepts changes five minutes after they were turned on, and an object that starts removes old launches.
    const manifest = { ...JSON.parse((await worker.env.PROFILES.get('manifest:1')) ?? ''), live: true };
    await worker.env.PROFILES.put('manifest:1', JSON.stringify(manifest));
    await record('live', 'PUT', `${DATABASE}/live`, { live: true, manifest });
    await worker.stop();
    acceptChanges(folder);
    const log = openCampaign(folder, EXPIRING);
    log.exec(`UPDATE launches SET accepted_at = accepted_at - ${AGE}`);
    log.close();
    worker = await start();

    await record('healthz', 'GET', '/healthz');
    await record('token', 'GET', '/api/v1.1/token');
    await record('campaigns', 'GET', TRIGGERS);
    await record('define', 'PUT', CAMPAIGN, { active: true });
    await record('webhook_define', 'PUT', HOOK, { url: 'https://receiver.example/', headers: { 'X-A': 'b' } });
    const { launchId } = await record('start_batch', 'POST', BATCH, LAUNCH);
    await record('campaign', 'GET', CAMPAIGN);
    await record('stats', 'GET', `${CAMPAIGN}/stats`);
    await record('launches', 'GET', `${CAMPAIGN}/launches`);
    const launch = `${CAMPAIGN}/launches/${launchId}`;
    await record('launch', 'GET', launch);
    await record('recipients', 'GET', `${launch}/recipients`);
    await record('report', 'GET', `${launch}/report`);
    await vi.waitFor(() => expect(answers.some(({ operation }) => operation === 'delivery')).toBe(true), WAIT);
    await record('webhook_test', 'POST', `${HOOK}/test`);
    await record('webhook_rotate', 'POST', `${HOOK}/rotate`);
    await record('webhook_replay', 'POST', `${HOOK}/replay`, { after: 0 });
    await record('webhook_resume', 'POST', `${HOOK}/resume`);
    await vi.waitFor(async () => {
      const { attempts } = (await record('webhook_attempts', 'GET', `${HOOK}/attempts`)).body;
      expect(attempts.length).toBeGreaterThan(0);
    }, WAIT);
    await record('webhook', 'GET', HOOK);
    await record('webhook_skip', 'POST', `${HOOK}/skip`, undefined, 409);
    received = 500;
    await record('start', 'POST', SINGLE, { id: 8, email: 'example1@example.com' });
    await vi.waitFor(async () => expect((await get(worker, HOOK)).text).toContain('"status":"retrying"'), WAIT);
    await record('webhook_skip', 'POST', `${HOOK}/skip`);
    await record('webhook_remove', 'DELETE', HOOK);
    await record('launch', 'GET', `${TRIGGERS}/404/launches/${launchId}`, undefined, 404);
    await vi.waitFor(
      async () => expect((await get(worker, `${TRIGGERS}/${EXPIRING}/launches?after=0`)).status).toBe(410),
      { timeout: 60_000, interval: 20 },
    );
    await record('launches', 'GET', `${TRIGGERS}/${EXPIRING}/launches?after=0`, undefined, 410);

    await record('profiles', 'GET', DATABASE);
    await record('entries', 'GET', `${DATABASE}/entries`);
    await record('change_profiles', 'POST', `${DATABASE}/changes`, [{ profile_id: ID.one }, { profile_id: 'x' }]);
    // The buckets of these generations do not exist, and nothing reads them any more.
    for (const name of ['second', 'third', 'fourth']) {
      const { body } = await record('manifest', 'GET', `${DATABASE}/manifest`);
      const { current } = body.manifest;
      const generation = { ...current, name };
      const contents = { changes_through: body.version };
      await record('publish', 'POST', `${DATABASE}/generations`, { replaces: current.name, generation, contents });
    }
    return answers;
  } finally {
    await worker.stop();
    await rm(folder, { recursive: true });
  }
}

/** Lets the objects of databases accept changes at once. */
function acceptChanges(folder: string): void {
  const objects = PersistedWorker.kept.objects(folder, 'ProfilesObject');
  for (const name of readdirSync(objects).filter((file) => file.endsWith('.sqlite'))) {
    const database = new DatabaseSync(path.join(objects, name));
    if (database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'live'").all().length) {
      database.exec("UPDATE live SET settings = json_set(settings, '$.live_since', 1)");
    }
    database.close();
  }
}
