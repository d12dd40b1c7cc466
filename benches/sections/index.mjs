// Our Worker with a million profiles: its reads of KV, its memory, the time of an item, and the size of a stored launch.

import { DatabaseSync } from 'node:sqlite';
import { launchBody, MANY_PROFILES, mediaType, PROFILES } from '../data.mjs';
import { CAMPAIGN, objectFile, prepareOurs } from '../state.mjs';
import { median, rotated, significant } from '../statistics.mjs';
import { BATCH, startOurs } from '../workers.mjs';

/** @param {import('../main.mjs').Options} options */
export async function index({ quick, say, watch }) {
  await prepareOurs({ many: true });
  const worker = await startOurs();
  const cases = [];
  for (const items of [30_000, 300_000]) {
    for (const format of /** @type {const} */ (['json', 'xml'])) {
      for (const kind of /** @type {const} */ (['matched', 'unmatched'])) {
        const body = launchBody(format, kind, items, { campaign: CAMPAIGN.large, profiles: MANY_PROFILES });
        cases.push({ format, kind, items, body, ms: /** @type {number[]} */ ([]), reads: 0, keys: 0 });
      }
    }
  }
  // Linear memory never shrinks, so the last value is the maximum of these launches.
  let memory = 0;
  const rounds = quick ? 2 : 5;
  for (let round = -1; round < rounds; round++) {
    await watch();
    for (const one of rotated(cases, round + 1)) {
      const { headers, line } = worker.watched();
      const answer = await worker.client.must(BATCH, one.body, { ...headers, 'Content-Type': mediaType(one.format) });
      const { kv_reads, kv_keys, wasm_bytes } = await line;
      if (round >= 0) one.ms.push(answer.ms);
      [one.reads, one.keys, memory] = [kv_reads, kv_keys, wasm_bytes];
    }
  }
  const stored = launchBody('json', 'matched', PROFILES, { campaign: CAMPAIGN.stored });
  await worker.client.must(BATCH, stored, { ...worker.watched().headers, 'Content-Type': mediaType('json') });
  await worker.stop();
  const summary = cases.map(({ format, kind, items, ms, reads, keys }) => {
    say(
      `${items} items of ${MANY_PROFILES} profiles, ${format}, ${kind}: ${significant(median(ms))} ms, ${reads} reads of ${keys} keys; ${ms.length} runs`,
    );
    return { format, kind, items, runs: ms.length, median: significant(median(ms)), reads, keys };
  });
  const bytes = objectBytes(`bench ${CAMPAIGN.stored}`);
  say(`linear memory ${memory / 2 ** 20} MiB; an object with one launch of ${PROFILES} recipients: ${bytes} bytes`);
  return { cases: summary, memory, stored: { recipients: PROFILES, bytes } };
}

/** The size in bytes of the database of the object of a campaign. @param {string} name */
function objectBytes(name) {
  const database = new DatabaseSync(objectFile(name));
  const one = (/** @type {string} */ query) => Number(Object.values(database.prepare(query).get() ?? {})[0]);
  const bytes = one('PRAGMA page_count') * one('PRAGMA page_size');
  database.close();
  return bytes;
}
