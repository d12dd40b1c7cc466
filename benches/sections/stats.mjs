// Totals over time of a campaign with 100,000 launches, whose object an earlier release wrote. The object counts the items of these
// launches in slices of its alarm, while it answers requests.

import { DatabaseSync } from 'node:sqlite';
import { Client } from '../client.mjs';
import { launchBody } from '../data.mjs';
import { CAMPAIGN, objectFile, prepareOurs } from '../state.mjs';
import { median, significant } from '../statistics.mjs';
import { BATCH, BEARER, startOurs, TRIGGERS } from '../workers.mjs';

const LAUNCHES = 100_000;
/** The launches are distributed over this time. */
const PERIOD_MS = 29 * 86_400_000;

const HOURS = `${TRIGGERS}/${CAMPAIGN.stored}/stats?bucket=hour`;
const DAYS = `${TRIGGERS}/${CAMPAIGN.stored}/stats?bucket=day`;

/** @param {import('../main.mjs').Options} options */
export async function stats({ quick, say, watch }) {
  await prepareOurs({ many: false });
  const body = launchBody('json', 'matched', 1, { campaign: CAMPAIGN.stored });
  const before = await startOurs();
  await before.client.must(BATCH, body, BEARER);
  await before.stop();
  const file = objectFile(`bench ${CAMPAIGN.stored}`);
  downgrade(file);

  const worker = await startOurs({}, undefined, { keep: true });
  /** @param {string} path */
  const read = async (path) => (await worker.client.must(path, Buffer.alloc(0), BEARER, 'GET')).ms;
  /** @type {Record<'launch' | 'hours' | 'days', number[]>} */
  const ms = { launch: [], hours: [], days: [] };
  // The first answer waits for the count of its period: all launches. Others go on meanwhile.
  let counted = 0;
  const first = new Client(worker.origin);
  const counting = first.must(DAYS, Buffer.alloc(0), BEARER, 'GET').then((answer) => void (counted = answer.ms));
  while (counted === 0) ms.launch.push((await worker.client.must(BATCH, body, BEARER)).ms);
  await counting;
  first.close();
  const { buckets } = JSON.parse((await worker.client.must(DAYS, Buffer.alloc(0), BEARER, 'GET')).text());
  const sum = buckets.reduce(
    (/** @type {number} */ sum, /** @type {{ recipients: number }} */ one) => sum + one.recipients,
    0,
  );
  if (sum !== LAUNCHES + ms.launch.length) throw new Error(`the totals are ${sum} recipients`);
  await watch();
  for (let round = 0; round < (quick ? 20 : 200); round++) {
    ms.hours.push(await read(HOURS));
    ms.days.push(await read(DAYS));
  }
  await worker.stop();
  const of = /** @type {Record<keyof typeof ms, number>} */ (
    Object.fromEntries(Object.entries(ms).map(([name, values]) => [name, significant(median(values))]))
  );
  const slowest = significant(Math.max(...ms.launch));
  say(
    `stats of ${LAUNCHES} launches: hours ${of.hours} ms, days ${of.days} ms; ${ms.days.length} runs. After a migration the first takes ${significant(counted)} ms, and launches meanwhile ${of.launch} ms, at most ${slowest} ms`,
  );
  return { launches: LAUNCHES, runs: ms.days.length, median: of, counted: significant(counted), slowest };
}

/** Writes the launches, and turns the tables back into those of version 1. @param {string} file */
function downgrade(file) {
  const database = new DatabaseSync(file);
  database.exec(`
    BEGIN;
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${LAUNCHES})
      INSERT OR REPLACE INTO launches (sequence, key, accepted_at, launch_id, recipients, head, payload)
      SELECT n, key, accepted_at - (${LAUNCHES} - n) * ${PERIOD_MS / LAUNCHES}, launch_id, n, head, payload
      FROM numbers, (SELECT * FROM launches LIMIT 1);
    ALTER TABLE launches DROP COLUMN unmatched;
    ALTER TABLE launches DROP COLUMN invalid;
    ALTER TABLE campaign DROP COLUMN removed_unmatched;
    ALTER TABLE campaign DROP COLUMN removed_invalid;
    DROP TABLE webhook;
    UPDATE campaign SET version = 1;
    COMMIT;`);
  database.close();
}
