// Checks that the comparison is fair: the peer must reply to the main vectors of tests/vectors as our Worker does, in both
// formats, and must store the same launch. `cargo test` checks our Worker.

import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { inRoot } from '../../scripts/run.mjs';
import { peerAccess, putPairs, stateOf, TOKEN } from '../state.mjs';
import { BATCH, SINGLE, Worker } from '../workers.mjs';

const FOLDER = inRoot('tests', 'vectors');
/** The token of the vectors, which is replaced by the peer's token. */
const VECTORS_TOKEN = 'abcdefghijklmnqrstuvwxyz';

/** The vectors that the peer does not support, with the reason. */
export const NOT_ATTEMPTED = {
  'bad-attachment': 'it refuses the same attachment, and cannot say at which byte: its base64 decoder does not tell',
  spellings: 'it reads each value in one spelling alone, and no xsi:nil',
};

/** The profiles of the vectors (src/launch/tests/world.rs). A value is the profile's ID, a comma, and the ID of the subscription's profile. */
const [ONE, TWO, BOTH_A, BOTH_B] = [
  '6606e08f10bcdd88297057a7',
  '66101437dc4594c2934da6da',
  '6610000000000000000000aa',
  '6610000000000000000000bb',
];
/** @type {[string, string][]} */
const PAIRS = [
  ['email:example1@example.com', `${ONE},${BOTH_B}`],
  ['email:example2@example.com', TWO],
  ['email:sub2@example.com', `,${TWO}`],
  ['email:both@example.com', `*,${BOTH_A}`],
  ['email:ünï@example.com', BOTH_A],
  ['phone:79000000001', ONE],
  ['phone:79000000002', TWO],
  ['phone:79000000003', BOTH_A],
  ['phone:79000000004', `${BOTH_B},${BOTH_B}`],
  ['phone:79000000012', `,${TWO}`],
  ['push:android-firebase:f00:1', `,${ONE}`],
  ...Object.entries({ '003': ONE, AA: ONE, '002': TWO, YY: TWO, 42: BOTH_A, 43: BOTH_B }).map(
    ([value, id]) => /** @type {[string, string]} */ ([`custom:Custom_ID:${value}`, id]),
  ),
];

/** @param {{ say: (line: string) => void }} options */
export async function checkVectors({ say }) {
  rmSync(stateOf('vectors'), { recursive: true, force: true });
  await putPairs(stateOf('vectors'), [...peerAccess([8]), ...PAIRS]);
  const peer = await Worker.start('vectors', 'benches/peer/wrangler.toml');
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));
  const passed = [];
  /** @type {string[]} */
  const wanted = [];
  for (const name of names.map((file) => path.basename(file, '.json')).filter((name) => !(name in NOT_ATTEMPTED))) {
    const [json, xml, launch] = readFileSync(path.join(FOLDER, `${name}.expected`), 'utf8').split('\n');
    for (const format of ['json', 'xml']) {
      const body = readFileSync(path.join(FOLDER, `${name}.${format}`), 'utf8').replace(VECTORS_TOKEN, TOKEN);
      const type = { 'Content-Type': `application/${format}` };
      const answer = await peer.client.send(name.startsWith('start-') ? SINGLE : BATCH, Buffer.from(body), type);
      const isXml = String(answer.headers['content-type']).includes('xml');
      const text = answer.text().replace(String(answer.headers['launch-id']), 'LAUNCH');
      if (text !== (isXml ? xml : json))
        throw new Error(`${name}.${format}: the peer answers ${text}\nand not ${isXml ? xml : json}`);
      if (launch) wanted.push(launch);
    }
    passed.push(name);
  }
  await peer.stop();
  compareLaunches(wanted);
  say(`the peer passes ${passed.length} of ${names.length} vectors in both formats`);
  for (const [name, why] of Object.entries(NOT_ATTEMPTED)) say(`it does not attempt ${name}: ${why}`);
  return { passed, notAttempted: NOT_ATTEMPTED };
}

/** Compares the stored launches with the vectors, in the columns that the peer has. @param {string[]} wanted */
function compareLaunches(wanted) {
  const folder = path.join(stateOf('vectors'), 'v3', 'do', 'bench-peer-Campaign');
  const file = readdirSync(folder).find((name) => /^[0-9a-f]{64}\.sqlite$/.test(name)) ?? '';
  const database = new DatabaseSync(path.join(folder, file));
  const stored = database.prepare('SELECT record FROM launches ORDER BY sequence').all();
  database.close();
  if (stored.length !== wanted.length)
    throw new Error(`the peer has stored ${stored.length} launches and not ${wanted.length}`);
  stored.forEach(({ record }, at) => {
    /** @type {Record<string, unknown>} */
    const launch = JSON.parse(String(record));
    const expected = JSON.parse(wanted[at] ?? '');
    for (const [field, value] of Object.entries(launch)) {
      if (field === 'token_name') continue;
      if (field === 'attachments') for (const one of expected[field]) delete one.sha256;
      const [has, should] = [value, expected[field]].map((some) => JSON.stringify(some));
      if (has !== should) throw new Error(`the peer has stored ${field} ${has} and not ${should}: ${wanted[at]}`);
    }
  });
}
