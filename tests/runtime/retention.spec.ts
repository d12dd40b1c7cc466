// Contract §2, *Retention*: what has expired is gone, and said to be. Days cannot pass here: the launches are made older in
// the object's own database, while nothing runs. At its next start the object finds them so, and its alarm removes them.

import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { define, get, launch, logged, read, seed, TRIGGERS } from './fixture.js';
import { PersistedWorker } from './persisted.js';

const CAMPAIGN = 701;
const LOG = `${TRIGGERS}/${CAMPAIGN}/launches`;
const DAY = 86_400_000;
/** More than `RETENTION_DAYS`. */
const AGE = 31 * DAY;
/** How often and how long the alarm is waited for, in milliseconds. */
const POLL = { interval: 20, timeout: 60_000 };

/** Makes the launches up to that sequence older. */
function age(folder: string, upTo: number): void {
  const objects = PersistedWorker.kept.objects(folder, 'CampaignObject');
  let aged = 0;
  for (const name of readdirSync(objects).filter((file) => file.endsWith('.sqlite'))) {
    const database = new DatabaseSync(path.join(objects, name));
    const tables = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'campaign'").all();
    if (tables.length && database.prepare('SELECT 1 FROM campaign WHERE id = ?').get(CAMPAIGN)) {
      const update = database.prepare('UPDATE launches SET accepted_at = accepted_at - ? WHERE sequence <= ?');
      aged += Number(update.run(AGE, upTo).changes);
    }
    database.close();
  }
  expect(aged).toBeGreaterThan(0);
}

it('expired launches get 410 with the first sequence of the log, and their files are deleted', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'trigger-launch-retention-'));
  let worker = await PersistedWorker.start(folder);
  /** Waits until the alarm has removed the launches up to that sequence. */
  const restart = async (upTo: number) => {
    await worker.stop();
    age(folder, upTo);
    worker = await PersistedWorker.start(folder);
    await expect.poll(async () => (await get(worker, `${LOG}?after=${upTo - 1}`)).status, POLL).toBe(410);
  };
  const expired = async (rest: string) => {
    const { status, text } = await get(worker, LOG + rest);
    const { error, error_text, first } = JSON.parse(text) as Record<string, unknown>;
    return { rest, status, error, error_text, first };
  };
  const gone = (rest: string, first: number | null) => ({
    rest,
    status: 410,
    error: 410,
    error_text: 'Launches expired',
    first,
  });
  try {
    await seed(worker);
    await define(worker, CAMPAIGN, { name: 'expires', database: 1, active: true });
    let last = '';
    for (let n = 0; n < 3; n++) {
      const attach = [{ name: 'a.txt', data: 'aGVsbG8=' }];
      const document = {
        trigger_id: CAMPAIGN,
        ...(n < 2 ? { attach } : {}),
        data: [{ email: 'example1@example.com' }],
      };
      last = (await launch(worker, document)).headers.get('Launch-ID') ?? '';
    }
    expect(await read(worker, `${LOG}?after=0`)).toMatchObject({ first: 1, next: null });
    // An id tells its time, by which one that is not held has expired. These ids are younger than what they name now is.
    const time = (Date.now() - AGE - DAY).toString(16).padStart(12, '0');
    const old = `/${time.slice(0, 8)}-${time.slice(8)}${last.slice(13)}`;
    expect((await get(worker, LOG + old)).status).toBe(404);

    await restart(2);
    for (const rest of ['?after=0', '?after=1', old, `${old}/recipients`, `${old}/report`, `${old}/attachments/0`]) {
      expect(await expired(rest)).toEqual(gone(rest, 3));
    }
    for (const rest of ['', '?after=2']) {
      expect(await read(worker, LOG + rest)).toMatchObject({ launches: [{ sequence: 3 }], first: 3, next: null });
    }
    expect(await read(worker, `${LOG}/${last}`)).toMatchObject({ sequence: 3 });
    expect((await worker.env.ATTACHMENTS.list()).objects).toEqual([]);

    await restart(3);
    for (const rest of ['?after=0', '?after=2', old]) expect(await expired(rest)).toEqual(gone(rest, null));
    for (const rest of ['', '?after=3']) {
      expect(await read(worker, LOG + rest)).toEqual({ launches: [], first: null, next: null });
    }
    // The totals stay, and no number is used again.
    expect(await read(worker, `${TRIGGERS}/${CAMPAIGN}`)).toMatchObject({ launches: 3, recipients: 3 });
    const next = await launch(worker, { trigger_id: CAMPAIGN, data: [{ email: 'example1@example.com' }] });
    expect(await logged(worker, CAMPAIGN, next)).toMatchObject({ sequence: 4 });
  } finally {
    await worker.stop();
    await rm(folder, { recursive: true });
  }
});
