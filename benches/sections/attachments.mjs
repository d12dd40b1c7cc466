// A body of 100 MiB with attachments, through the floor, the peer and our Worker; and the bucket's own time, which is that
// of multipart uploads of as many bytes.

import { randomBytes } from 'node:crypto';
import { Client } from '../client.mjs';
import { address } from '../data.mjs';
import { CAMPAIGN, preparePeer, prepareOurs } from '../state.mjs';
import { median, rotated, significant } from '../statistics.mjs';
import { BATCH, BEARER, startOurs, startPeer, startReference } from '../workers.mjs';

const LIMIT = 100 * 1024 * 1024;
const AT_ONCE = 4;
const JSON_TYPE = { 'Content-Type': 'application/json' };

/** A body of almost 100 MiB with that many attachments. @param {number} files */
function request(files) {
  const head = `{"trigger_id":${CAMPAIGN.small},"data":[{"email":"${address(0)}"}],"attach":[`;
  const bytes = Math.floor((LIMIT - head.length - 2 - files * 60) / files / 4) * 3;
  const entry = (/** @type {number} */ at) => `{"name":"${at}.bin","data":"${randomBytes(bytes).toString('base64')}"}`;
  return {
    files,
    bytes,
    body: Buffer.from(`${head}${Array.from({ length: files }, (_, at) => entry(at)).join(',')}]}`),
  };
}

/** @returns {Record<'floor' | 'bucket' | 'peer' | 'ours', number[]>} */
const samples = () => ({ floor: [], bucket: [], peer: [], ours: [] });

/** @param {{ quick: boolean, say: (line: string) => void }} options */
export async function attachments({ quick, say }) {
  await preparePeer();
  await prepareOurs({ many: false });
  const [ours, peer, reference] = [await startOurs(), await startPeer(), await startReference()];
  let memory = 0;
  const launch = async (/** @type {Buffer} */ body) => {
    const { headers, line } = ours.watched();
    const { ms } = await ours.client.must(BATCH, body, { ...headers, ...JSON_TYPE });
    memory = (await line).wasm_bytes;
    return ms;
  };
  const rounds = quick ? 2 : 11;
  const cases = [10, 1].map((files) => ({ ...request(files), all: samples() }));
  for (let round = -1; round < rounds; round++) {
    for (const { files, bytes, body, all } of rotated(cases, round + 1)) {
      const turns = {
        floor: async () => (await reference.client.must('/drain', body)).ms,
        bucket: async () => (await reference.client.must('/upload', Buffer.from(JSON.stringify({ files, bytes })))).ms,
        peer: async () => (await peer.client.must(BATCH, body, { ...BEARER, ...JSON_TYPE })).ms,
        ours: () => launch(body),
      };
      for (const name of rotated(/** @type {(keyof typeof turns)[]} */ (Object.keys(turns)), round + 1)) {
        const ms = await turns[name]();
        if (round >= 0) all[name].push(ms);
      }
    }
  }
  const one = memory;
  const body = cases[0]?.body ?? Buffer.alloc(0);
  const client = new Client(ours.origin, AT_ONCE);
  await Promise.all(Array.from({ length: AT_ONCE }, () => client.must(BATCH, body, { ...BEARER, ...JSON_TYPE })));
  client.close();
  await launch(Buffer.from(`{"trigger_id":${CAMPAIGN.small},"data":[{"email":"${address(0)}"}]}`));
  const several = memory;
  await Promise.all([ours.stop(), peer.stop(), reference.stop()]);
  const summary = cases.map(({ files, all }) => {
    const of = {
      floor: significant(median(all.floor)),
      bucket: significant(median(all.bucket)),
      peer: significant(median(all.peer)),
      ours: significant(median(all.ours)),
    };
    const own = median(all.ours.map((ms, run) => ms - (all.bucket[run] ?? 0)));
    say(
      `${files} attachments: floor ${of.floor} ms, bucket ${of.bucket} ms, peer ${of.peer} ms, ours ${of.ours} ms; ${all.ours.length} runs`,
    );
    return { files, runs: all.ours.length, median: of, own: significant(own) };
  });
  say(`linear memory: ${one / 2 ** 20} MiB, ${several / 2 ** 20} MiB with ${AT_ONCE} at once`);
  return { cases: summary, memory: { one, several, atOnce: AT_ONCE } };
}
