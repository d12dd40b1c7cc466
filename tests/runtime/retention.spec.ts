// Retention: expired launches are removed, and requests for them get 410. The test stops the runtime, and changes the times of
// the launches in the object's database to be older. After the next start the object's alarm removes them.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { define, get, launch, logged, read, seed, TRIGGERS } from './fixture.js';
import { openCampaign, PersistedWorker } from './persisted.js';

const CAMPAIGN = 701;
const LOG = `${TRIGGERS}/${CAMPAIGN}/launches`;
const DAY = 86_400_000;
/** More than `RETENTION_DAYS`. */
const AGE = 31 * DAY;
/** How often the effect of the alarm is checked, and for how long, in milliseconds. */
const POLL = { interval: 20, timeout: 60_000 };

/** Makes the launches up to a sequence number older. */
function age(folder: string, upTo: number): void {
  const database = openCampaign(folder, CAMPAIGN);
  const update = database.prepare('UPDATE launches SET accepted_at = accepted_at - ? WHERE sequence <= ?');
  expect(update.run(AGE, upTo).changes).toBeGreaterThan(0);
  database.close();
}

it('expired launches get 410 with the first sequence of the log, and their files are deleted', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'trigger-launch-retention-'));
  let worker = await PersistedWorker.start(folder);
  /** Restarts the Worker, and waits until the alarm has removed the launches up to a sequence number. */
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
    // A launch ID contains its time. An ID that is not in the log gets 410 if its time is not later than that of the last launch
    // that was removed. This ID is earlier than all launches, and nothing has been removed.
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
    // The totals include removed launches, and sequence numbers are not reused.
    expect(await read(worker, `${TRIGGERS}/${CAMPAIGN}`)).toMatchObject({ launches: 3, recipients: 3 });
    const next = await launch(worker, { trigger_id: CAMPAIGN, data: [{ email: 'example1@example.com' }] });
    expect(await logged(worker, CAMPAIGN, next)).toMatchObject({ sequence: 4 });
  } finally {
    await worker.stop();
    await rm(folder, { recursive: true });
  }
});
