// Totals over time of a campaign with 100,000 launches, whose object an earlier release wrote. The object counts the items of these
// launches in slices of its alarm, while it answers requests.

import { DatabaseSync } from 'node:sqlite';
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
  /** @type {Record<'first' | 'counting' | 'launch' | 'hours' | 'days', number[]>} */
  const ms = { first: [await read(DAYS)], counting: [], launch: [], hours: [], days: [] };
  // Until the alarm has counted all launches.
  while (uncounted(file) > 0) {
    ms.counting.push(await read(DAYS));
    ms.launch.push((await worker.client.must(BATCH, body, BEARER)).ms);
  }
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
  const of = Object.fromEntries(Object.entries(ms).map(([name, values]) => [name, significant(median(values))]));
  const worst = significant(Math.max(...ms.counting, ...ms.launch));
  say(
    `stats of ${LAUNCHES} launches: first ${of.first} ms; while counting ${of.counting} ms, a launch ${of.launch} ms, the slowest of both ${worst} ms (${ms.launch.length} of each); then hours ${of.hours} ms, days ${of.days} ms`,
  );
  return { launches: LAUNCHES, runs: ms.days.length, median: of, worst };
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

/** The number of launches whose items the object has not counted. @param {string} file */
function uncounted(file) {
  const database = new DatabaseSync(file, { readOnly: true });
  const [row] = database.prepare('SELECT count(*) AS left FROM launches WHERE unmatched IS NULL').all();
  database.close();
  return Number(row?.left);
}
