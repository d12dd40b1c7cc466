// Launches of 100 MiB with attachments through the peer and our Worker, with the local runtime's bucket, and with a bucket that
// takes no time, compared with the floor.

import { randomBytes } from 'node:crypto';
import { Client } from '../client.mjs';
import { address } from '../data.mjs';
import { CAMPAIGN, preparePeer, prepareOurs } from '../state.mjs';
import { median, orders, rotated, significant } from '../statistics.mjs';
import { BATCH, BEARER, startOurs, startPeer, startReference } from '../workers.mjs';

const LIMIT = 100 * 1024 * 1024;
const AT_ONCE = 4;

/** The bodies: how many attachments, in which format. @type {{ files: number, format: 'json' | 'xml' }[]} */
const CASES = [
  { files: 10, format: 'json' },
  { files: 1, format: 'json' },
  { files: 1, format: 'xml' },
];

const FORMATS = {
  json: {
    head: `{"trigger_id":${CAMPAIGN.small},"data":[{"email":"${address(0)}"}],"attach":[`,
    between: ',',
    tail: ']}',
    entry: (/** @type {number} */ at, /** @type {string} */ data) => `{"name":"${at}.bin","data":"${data}"}`,
  },
  xml: {
    head: `<xml><trigger_id>${CAMPAIGN.small}</trigger_id><data><email>${address(0)}</email></data>`,
    between: '',
    tail: '</xml>',
    entry: (/** @type {number} */ at, /** @type {string} */ data) =>
      `<attach><name>${at}.bin</name><data>${data}</data></attach>`,
  },
};

/** A body of almost 100 MiB. @param {typeof CASES[number]} one */
function request({ files, format }) {
  const { head, between, tail, entry } = FORMATS[format];
  const around = head.length + tail.length + files * (entry(files, '').length + between.length);
  const bytes = Math.floor((LIMIT - around) / files / 4) * 3;
  const entries = Array.from({ length: files }, (_, at) => entry(at, randomBytes(bytes).toString('base64')));
  const body = Buffer.from(`${head}${entries.join(between)}${tail}`);
  return { files, format, body, headers: { ...BEARER, 'Content-Type': `application/${format}` } };
}

/** @typedef {ReturnType<typeof request>} Request */

/**
 * Medians of each request through each Worker. The Workers take turns in every order equally often, because a process still
 * frees memory while the next one is measured. Some Workers do not get every request.
 * @template {string} Name
 * @param {Request[]} requests @param {Record<Name, (request: Request) => Promise<number | undefined>>} workers @param {number} cycles
 * @param {() => Promise<void>} watch
 * @returns {Promise<{ medians: Record<Name, number>[], runs: number }>}
 */
async function inTurns(requests, workers, cycles, watch) {
  const names = /** @type {Name[]} */ (Object.keys(workers));
  const rounds = Array.from({ length: cycles }, () => orders(names)).flat();
  const empty = () =>
    /** @type {Record<Name, number[]>} */ (
      Object.fromEntries(names.map((name) => [name, /** @type {number[]} */ ([])]))
    );
  const all = requests.map((request) => ({ request, samples: empty() }));
  for (const { request } of all) for (const name of names) await workers[name](request);
  for (const [round, order] of rounds.entries()) {
    if (round % names.length === 0) await watch();
    for (const { request, samples } of rotated(all, round)) {
      for (const name of order) {
        const ms = await workers[name](request);
        if (ms !== undefined) samples[name].push(ms);
      }
    }
  }
  const medians = all.map(({ samples }) => {
    const each = names.map((name) => [name, significant(median(samples[name]))]);
    return /** @type {Record<Name, number>} */ (Object.fromEntries(each));
  });
  return { medians, runs: rounds.length };
}

/** @param {import('../main.mjs').Options} options */
export async function attachments({ quick, say, watch }) {
  await preparePeer();
  await prepareOurs({ many: false });
  const requests = CASES.map(request);
  const alone = await withoutABucket(requests, quick ? 1 : 4, watch);
  const stored = await withTheBucket(
    requests.filter(({ format }) => format === 'json'),
    quick ? 1 : 5,
    watch,
  );
  const { one, several } = stored.memory;
  say(`linear memory: ${one / 2 ** 20} MiB, ${several / 2 ** 20} MiB with ${AT_ONCE} at once`);
  const cases = alone.medians.map((alone, at) => ({ ...caseOf(requests[at]), ...alone }));
  const withBucket = stored.medians.map((stored, at) => ({ ...caseOf(requests[at]), ...stored }));
  console.table(cases);
  console.table(withBucket);
  return {
    cases,
    runs: alone.runs,
    withBucket,
    runsWithBucket: stored.runs,
    memory: { one, several, atOnce: AT_ONCE },
  };
}

/** @param {Request | undefined} request */
const caseOf = (request) => ({ files: request?.files ?? 0, format: request?.format ?? '' });

/** Compares with the peer, with the local runtime's bucket. @param {Request[]} requests @param {number} cycles @param {() => Promise<void>} watch */
async function withTheBucket(requests, cycles, watch) {
  const [ours, peer] = [await startOurs(), await startPeer()];
  let memory = 0;
  const launch = async (/** @type {Pick<Request, 'body' | 'headers'>} */ { body, headers }) => {
    const { headers: own, line } = ours.watched();
    const { ms } = await ours.client.must(BATCH, body, { ...headers, ...own });
    memory = (await line).wasm_bytes;
    return ms;
  };
  const workers = {
    peer: async (/** @type {Request} */ { body, headers }) => (await peer.client.must(BATCH, body, headers)).ms,
    ours: launch,
  };
  const { medians, runs } = await inTurns(requests, workers, cycles, watch);
  const one = memory;
  const large = /** @type {Request} */ (requests[0]);
  const client = new Client(ours.origin, AT_ONCE);
  await Promise.all(Array.from({ length: AT_ONCE }, () => client.must(BATCH, large.body, large.headers)));
  client.close();
  const { head, tail } = FORMATS.json;
  await launch({ body: Buffer.from(`${head}${tail}`), headers: large.headers });
  await Promise.all([ours.stop(), peer.stop()]);
  return { medians, runs, memory: { one, several: memory } };
}

/** Compares with the floor and the peer, with a bucket that takes no time, so that only the Workers' own time is measured. @param {Request[]} requests @param {number} cycles @param {() => Promise<void>} watch */
async function withoutABucket(requests, cycles, watch) {
  const [ours, peer] = [
    await startOurs({}, 'benches/bucketless/ours.js'),
    await startPeer('benches/bucketless/peer.js'),
  ];
  const floor = await startReference();
  const workers = {
    floor: async (/** @type {Request} */ { body }) => (await floor.client.must('/drain', body)).ms,
    peer: async (/** @type {Request} */ { body, headers, format }) =>
      // The comparison is with `request.json()`. The peer's XML parser takes several times as long.
      format === 'json' ? (await peer.client.must(BATCH, body, headers)).ms : undefined,
    ours: async (/** @type {Request} */ { body, headers }) => (await ours.client.must(BATCH, body, headers)).ms,
  };
  const measured = await inTurns(requests, workers, cycles, watch);
  await Promise.all([ours.stop(), peer.stop(), floor.stop()]);
  return measured;
}
