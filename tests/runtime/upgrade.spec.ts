// An object that an earlier release wrote, in the real runtime. The native tests migrate stored databases of every version.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { define, launch, read, seed, TOKEN, TRIGGERS } from './fixture.js';
import { openCampaign, PersistedWorker } from './persisted.js';

const CAMPAIGN = 703;
const DATA = [{ email: 'example1@example.com' }, { email: 'nobody@example.com' }, {}];

/** Turns the tables back into those of version 1. */
function downgrade(folder: string): void {
  const database = openCampaign(folder, CAMPAIGN);
  database.exec(`ALTER TABLE launches DROP COLUMN unmatched; ALTER TABLE launches DROP COLUMN invalid;
    ALTER TABLE campaign DROP COLUMN removed_unmatched; ALTER TABLE campaign DROP COLUMN removed_invalid;
    DROP TABLE webhook; UPDATE campaign SET version = 1`);
  database.close();
}

it('the object of version 1 launches, and has the totals of all launches', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'trigger-launch-upgrade-'));
  let worker = await PersistedWorker.start(folder);
  try {
    await seed(worker);
    await define(worker, CAMPAIGN, { name: 'old', database: 1, active: true });
    const launched = async () => expect((await launch(worker, { trigger_id: CAMPAIGN, data: DATA })).status).toBe(200);
    for (let n = 0; n < 3; n++) await launched();
    await worker.stop();
    downgrade(folder);
    worker = await PersistedWorker.start(folder);
    expect(await read(worker, `${TRIGGERS}/${CAMPAIGN}`)).toMatchObject({ launches: 3, recipients: 3 });
    await launched();
    const { buckets } = await read(worker, `${TRIGGERS}/${CAMPAIGN}/stats?bucket=day`, TOKEN.read);
    const sum = (name: string) => buckets.reduce((total: number, one: Record<string, number>) => total + one[name]!, 0);
    const totals = { launches: sum('launches'), unmatched: sum('unmatched'), invalid: sum('invalid') };
    expect(totals).toEqual({ launches: 4, unmatched: 4, invalid: 4 });
  } finally {
    await worker.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
