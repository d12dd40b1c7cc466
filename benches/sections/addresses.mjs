// Large launches of addresses that are not ASCII, compared with one of ASCII addresses. No address has a profile.

import { CAMPAIGN, prepareOurs } from '../state.mjs';
import { mediaType } from '../data.mjs';
import { median, rotated, significant } from '../statistics.mjs';
import { BATCH, startOurs } from '../workers.mjs';

const ITEMS = 300_000;

/** The addresses of each launch. @type {Record<string, (n: number) => string>} */
const KINDS = {
  ascii: (n) => `mueller.${100_000 + n}@example.com`,
  letters: (n) => `müller.${100_000 + n}@example.com`,
  'letters with marks': (n) => `mu\u0308ller.${100_000 + n}@example.com`,
  'one domain': (n) => `mueller.${100_000 + n}@bücher.example`,
  'many domains': (n) => `mueller@bücher${100_000 + n}.example`,
};

/** @param {import('../main.mjs').Options} options */
export async function addresses({ quick, say, watch }) {
  await prepareOurs({ many: false });
  const worker = await startOurs();
  const cases = Object.entries(KINDS).map(([kind, address]) => {
    const data = Array.from({ length: ITEMS }, (_, n) => `{"email":"${address(n)}"}`).join(',');
    const body = Buffer.from(`{"trigger_id":${CAMPAIGN.small},"matching":"email","data":[${data}]}`);
    return { kind, body, ms: /** @type {number[]} */ ([]) };
  });
  const rounds = quick ? 3 : 9;
  for (let round = -1; round < rounds; round++) {
    await watch();
    for (const one of rotated(cases, round + 1)) {
      const headers = { ...worker.watched().headers, 'Content-Type': mediaType('json') };
      const { ms } = await worker.client.must(BATCH, one.body, headers);
      if (round >= 0) one.ms.push(ms);
    }
  }
  await worker.stop();
  const summary = cases.map(({ kind, ms }) => ({ kind, runs: ms.length, median: significant(median(ms)) }));
  for (const { kind, median, runs } of summary) say(`${ITEMS} addresses, ${kind}: ${median} ms; ${runs} runs`);
  return { items: ITEMS, cases: summary };
}
