// A body of 100 MiB with attachments, through the peer and our Worker: with the local runtime's bucket, and beside the floor with
// one that takes no time.

import { randomBytes } from 'node:crypto';
import { Client } from '../client.mjs';
import { address } from '../data.mjs';
import { CAMPAIGN, preparePeer, prepareOurs } from '../state.mjs';
import { median, rotated, significant } from '../statistics.mjs';
import { BATCH, BEARER, startOurs, startPeer, startReference } from '../workers.mjs';

const LIMIT = 100 * 1024 * 1024;
const AT_ONCE = 4;
const JSON_TYPE = { 'Content-Type': 'application/json' };
const HEAD = { ...BEARER, ...JSON_TYPE };

/** A body of almost 100 MiB with that many attachments. @param {number} files */
function request(files) {
  const head = `{"trigger_id":${CAMPAIGN.small},"data":[{"email":"${address(0)}"}],"attach":[`;
  const bytes = Math.floor((LIMIT - head.length - 2 - files * 60) / files / 4) * 3;
  const entry = (/** @type {number} */ at) => `{"name":"${at}.bin","data":"${randomBytes(bytes).toString('base64')}"}`;
  return {
    files,
    body: Buffer.from(`${head}${Array.from({ length: files }, (_, at) => entry(at)).join(',')}]}`),
  };
}

/** @typedef {ReturnType<typeof request>} Request */

/** Medians of each request through each Worker, in turns. @param {Request[]} requests @param {Record<string, (body: Buffer) => Promise<number>>} workers @param {number} rounds */
async function inTurns(requests, workers, rounds) {
  const names = Object.keys(workers);
  const all = requests.map(({ body }) => ({ body, samples: names.map(() => /** @type {number[]} */ ([])) }));
  for (let round = -1; round < rounds; round++) {
    for (const { body, samples } of rotated(all, round + 1)) {
      for (const at of rotated([...names.keys()], round + 1)) {
        const ms = (await workers[names[at] ?? '']?.(body)) ?? NaN;
        if (round >= 0) samples[at]?.push(ms);
      }
    }
  }
  const medians = (/** @type {number[][]} */ samples) => samples.map((ms, at) => [names[at], significant(median(ms))]);
  return all.map(({ samples }) => /** @type {Record<string, number>} */ (Object.fromEntries(medians(samples))));
}

/** @param {{ quick: boolean, say: (line: string) => void }} options */
export async function attachments({ quick, say }) {
  await preparePeer();
  await prepareOurs({ many: false });
  const runs = quick ? 2 : 15;
  const requests = [10, 1].map(request);
  const stored = await withTheBucket(requests, runs);
  const alone = await withoutABucket(requests, runs);
  const cases = requests.map(({ files }, at) => ({ files, runs, alone: alone[at], stored: stored.medians[at] }));
  for (const { files, alone, stored } of cases) {
    say(
      `${files} attachments, ms: ${JSON.stringify(alone)} without a bucket, ${JSON.stringify(stored)} with it; ${runs} runs`,
    );
  }
  const { one, several } = stored.memory;
  say(`linear memory: ${one / 2 ** 20} MiB, ${several / 2 ** 20} MiB with ${AT_ONCE} at once`);
  return { cases, memory: { one, several, atOnce: AT_ONCE } };
}

/** Beside the peer, with the local runtime's bucket. @param {Request[]} requests @param {number} rounds */
async function withTheBucket(requests, rounds) {
  const [ours, peer] = [await startOurs(), await startPeer()];
  let memory = 0;
  const launch = async (/** @type {Buffer} */ body) => {
    const { headers, line } = ours.watched();
    const { ms } = await ours.client.must(BATCH, body, { ...headers, ...JSON_TYPE });
    memory = (await line).wasm_bytes;
    return ms;
  };
  const workers = {
    peer: async (/** @type {Buffer} */ body) => (await peer.client.must(BATCH, body, HEAD)).ms,
    ours: launch,
  };
  const medians = await inTurns(requests, workers, rounds);
  const one = memory;
  const body = requests[0]?.body ?? Buffer.alloc(0);
  const client = new Client(ours.origin, AT_ONCE);
  await Promise.all(Array.from({ length: AT_ONCE }, () => client.must(BATCH, body, HEAD)));
  client.close();
  await launch(Buffer.from(`{"trigger_id":${CAMPAIGN.small},"data":[{"email":"${address(0)}"}]}`));
  await Promise.all([ours.stop(), peer.stop()]);
  return { medians, memory: { one, several: memory } };
}

/** Beside the floor and the peer, with a bucket that takes no time: what is left is the Workers' own. @param {Request[]} requests @param {number} rounds */
async function withoutABucket(requests, rounds) {
  const [ours, peer] = [
    await startOurs({}, 'benches/bucketless/ours.js'),
    await startPeer('benches/bucketless/peer.js'),
  ];
  const floor = await startReference();
  const workers = {
    floor: async (/** @type {Buffer} */ body) => (await floor.client.must('/drain', body)).ms,
    peer: async (/** @type {Buffer} */ body) => (await peer.client.must(BATCH, body, HEAD)).ms,
    ours: async (/** @type {Buffer} */ body) => (await ours.client.must(BATCH, body, HEAD)).ms,
  };
  const medians = await inTurns(requests, workers, rounds);
  await Promise.all([ours.stop(), peer.stop(), floor.stop()]);
  return medians;
}
