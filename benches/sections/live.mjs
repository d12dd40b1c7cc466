// A database whose profiles change between imports: launches in it and in one with the same profiles that does not change, and
// changes while a compaction is running.

import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { ADMIN } from '../../scripts/admin.mjs';
import { address, launchBody, mediaType, profileId, singleBody } from '../data.mjs';
import { CAMPAIGN, DATABASE, MANY, operatorsFolder, prepareLive, stateOf, TOKEN } from '../state.mjs';
import { median, rotated, significant } from '../statistics.mjs';
import { BATCH, BEARER, SINGLE, startOurs } from '../workers.mjs';
import { load } from './rate.mjs';

/** The campaigns of the live database. Those of the other one are `CAMPAIGN.small` and `MANY`. */
const LIVE = { one: 11, first: 200 };
const ITEMS = 300_000;
/** The most pending keys of a database. */
const PENDING = 100_000;
/** Rows in a request with changes. */
const ROWS = 1_000;
/** Profiles that change while a compaction is running. */
const CHANGING = 20_000;
const CHANGES = `/api/v1.1/profiles/${DATABASE.live}/changes`;
const JSON_TYPE = { 'Content-Type': mediaType('json') };

/** @typedef {import('../workers.mjs').Worker} Worker */

/** The indexes of both databases and the pending changes fit: otherwise launches into one would evict what those into the other read. */
const BUCKETS_KEPT = String(16 * 1024 * 1024);

/** @param {boolean} keep */
const start = (keep) =>
  startOurs({ BUCKETS_KEPT }, undefined, {
    keep,
    state: 'live',
    campaigns: [
      [CAMPAIGN.small, DATABASE.small],
      [LIVE.one, DATABASE.live],
      ...Array.from({ length: MANY.count }, (_, n) => [
        /** @type {[number, number]} */ ([MANY.first + n, DATABASE.small]),
        /** @type {[number, number]} */ ([LIVE.first + n, DATABASE.live]),
      ]).flat(),
    ],
  });

/** Runs a command of the operator on the live database. @param {Worker} worker @param {string[]} command */
async function operate(worker, ...command) {
  const folder = operatorsFolder();
  const options = ['--database', String(DATABASE.live), '--url', (await worker.server.url).href];
  const env = { ...process.env, CARGO_MANIFEST_DIR: folder, TRIGGER_LAUNCH_TOKEN: TOKEN };
  await promisify(execFile)(ADMIN, ['profiles', ...command, ...options, '--persist-to', stateOf('live')], {
    cwd: folder,
    env,
  });
}

/** Lets the object accept changes at once. It accepts them five minutes after they were turned on. */
function openNow() {
  const folder = path.join(stateOf('live'), 'v3', 'do', 'trigger-launch-ProfilesObject');
  for (const file of readdirSync(folder).filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name))) {
    const database = new DatabaseSync(path.join(folder, file));
    if (database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'live'").all().length > 0) {
      database.exec("UPDATE live SET settings = json_set(settings, '$.live_since', 1)");
    }
    database.close();
  }
}

/** States the address of profiles anew. @param {Worker} worker @param {number} from @param {number} count @param {(n: number) => string} email */
function change(worker, from, count, email) {
  const rows = Array.from({ length: count }, (_, n) => ({ profile_id: profileId(from + n), email: email(from + n) }));
  return worker.client.must(CHANGES, Buffer.from(JSON.stringify(rows)), { ...BEARER, ...JSON_TYPE });
}

/** @param {import('../main.mjs').Options} options */
export async function live({ quick, say, watch }) {
  await prepareLive();
  let worker = await start(false);
  await operate(worker, 'live', 'on');
  await worker.stop();
  openNow();
  worker = await start(true);
  await change(worker, 0, ROWS, address);
  const one = await singles(worker, quick ? 300 : 2_000, watch);
  say(`a launch of one: ${one.live} ms in a live database, ${one.still} ms in another; ${one.runs} runs`);
  const rate = await rates(worker, quick, watch);
  say(`launches a second to ${MANY.count} campaigns of a live database: ${rate.live}, of another ${rate.still}`);
  const changes = await changeRate(worker, quick ? 10 : 60, watch);
  say(`${changes.perSecond} rows a second for ${changes.seconds} s, at most ${changes.burst} in a second`);
  // A profile and its address count as two.
  for (let from = 0; from < PENDING / 2; from += ROWS) await change(worker, from, ROWS, address);
  const large = await largeLaunches(worker, quick ? 5 : 15, watch);
  say(`${ITEMS} items with ${PENDING} pending keys: ${large.live} ms, in another database ${large.still} ms`);
  await worker.stop();
  return { campaigns: MANY.count, items: ITEMS, pending: PENDING, rows: ROWS, one, rate, changes, large };
}

/** @param {Worker} worker @param {number} runs @param {() => Promise<void>} watch */
async function singles(worker, runs, watch) {
  const variants = { live: LIVE.one, still: CAMPAIGN.small };
  /** @type {Record<keyof typeof variants, number[]>} */
  const ms = { live: [], still: [] };
  for (let run = -20; run < runs; run++) {
    if (run % 200 === 0) await watch();
    for (const name of rotated(/** @type {const} */ (['live', 'still']), run + 20)) {
      const answer = await worker.client.must(SINGLE, singleBody(variants[name], run + 20), {
        ...BEARER,
        ...JSON_TYPE,
      });
      if (run >= 0) ms[name].push(answer.ms);
    }
  }
  return { runs, live: significant(median(ms.live)), still: significant(median(ms.still)) };
}

/** @param {Worker} worker @param {boolean} quick @param {() => Promise<void>} watch */
async function rates(worker, quick, watch) {
  const variants = { live: LIVE.first, still: MANY.first };
  /** @type {Record<keyof typeof variants, number[]>} */
  const perSecond = { live: [], still: [] };
  const [rounds, seconds] = quick ? [3, 1] : [7, 2];
  for (let round = -1; round < rounds; round++) {
    await watch();
    for (const name of rotated(/** @type {const} */ (['live', 'still']), round + 1)) {
      const campaign = (/** @type {number} */ n) => variants[name] + (n % MANY.count);
      const result = await load({ origin: worker.origin, path: () => SINGLE, campaign }, seconds * 1000);
      if (round >= 0) perSecond[name].push(result.perSecond);
    }
  }
  return { runs: rounds, live: significant(median(perSecond.live)), still: significant(median(perSecond.still)) };
}

/** Sends changes one request after the other, while compactions run. @param {Worker} worker @param {number} seconds @param {() => Promise<void>} watch */
async function changeRate(worker, seconds, watch) {
  await watch();
  const begin = performance.now();
  const elapsed = () => (performance.now() - begin) / 1000;
  /** The rows applied in each second. @type {number[]} */
  const applied = Array.from({ length: seconds }, () => 0);
  let compactions = 0;
  const compacting = (async () => {
    while (elapsed() < seconds) {
      await operate(worker, 'compact');
      compactions += 1;
    }
  })();
  for (let request = 0; elapsed() < seconds; request++) {
    await change(worker, (request * ROWS) % CHANGING, ROWS, (n) => `c${request}.${n}@ex.io`);
    const second = Math.floor(elapsed());
    if (second < seconds) applied[second] = (applied[second] ?? 0) + ROWS;
  }
  await compacting;
  const total = applied.reduce((sum, rows) => sum + rows, 0);
  return { seconds, perSecond: significant(total / seconds), burst: Math.max(...applied), compactions };
}

/** Launches of the most items in both databases. @param {Worker} worker @param {number} rounds @param {() => Promise<void>} watch */
async function largeLaunches(worker, rounds, watch) {
  const body = (/** @type {number} */ campaign) => launchBody('json', 'matched', ITEMS, { campaign });
  const variants = { live: body(LIVE.one), still: body(CAMPAIGN.small) };
  /** @type {Record<keyof typeof variants, number[]>} */
  const ms = { live: [], still: [] };
  for (let round = -1; round < rounds; round++) {
    await watch();
    for (const name of rotated(/** @type {const} */ (['live', 'still']), round + 1)) {
      const answer = await worker.client.must(BATCH, variants[name], { ...BEARER, ...JSON_TYPE });
      if (round >= 0) ms[name].push(answer.ms);
    }
  }
  return { runs: rounds, live: significant(median(ms.live)), still: significant(median(ms.still)) };
}
