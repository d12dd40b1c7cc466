// The Worker normalises addresses with the Unicode functions of the runtime, and the command line with crates. Both must agree:
// otherwise a launch would not find a profile that was imported.

import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ids, launch, seeded, stop } from './fixture.js';
import { INDEX_KEY, type TestWorker } from './harness.js';
import { Operator } from './seed.js';

/** Local parts and domains that have a rule of their own. */
const LOCAL = [
  'ä',
  'JOSÉ',
  'jose\u0301',
  'mi\u212ae',
  '\u0130',
  'ΟΔΥΣΣΕΥΣ',
  'straße',
  'a\u037eb',
  '\u1fef',
  'A\u030a',
  'mu\u0308ller.o\u0308U\u0308\u0304x',
  '\u212a\u0327e\u0301\u0130\u0307',
  '\u212b',
  '\u1100\u1161',
  '가\u11a8',
  'ก\u0e33',
  '\u0958',
  'a\u0315\u0300\u05ae\u0300b',
  '\u2adc',
  '\ufb1d',
  '\u{1d15e}',
  '名前',
  '😀',
  '\u{e0101}',
  'x\u00ad\u200dy\u00e4',
];
const DOMAINS = [
  'example.com',
  'EXAMPLE.com.',
  'bücher.example',
  'BÜCHER.example',
  'bu\u0308cher.example',
  'ÄÖÜ.öäü-x1ä.日本語abc日本.example.',
  'xnü--a.example',
  'faß.de',
  'ΣΊΣΥΦΟΣ.gr',
  'xn--bcher-kva.example',
  'xn--a',
  'xn--',
  'XN--BCHER-KVA.example',
  'xn--a.ü',
  'ü.xn--',
  'ü.xn--bcher-kva',
  'ü.XN--BCHER-KVA',
  'ü.xn--bcher-kva-',
  'xn--ls8h.example',
  '例え.jp',
  '例え。jp',
  'ｅｘａｍｐｌｅ.com',
  'a\uff0fb.com',
  'a\u2100b.com',
  'א.example',
  'אa.example',
  '1א.example',
  'ا\u200cب.example',
  '\u0301a.example',
  'a-.example',
  '-ü.example',
  'ab--ü.example',
  'a..b',
  '.a',
  '.',
  'ü_a.example',
  "ü!$&'*+=`{}~a",
  'ü^',
  'ü|',
  'a%62',
  'a/b',
  'a?b',
  'a#b',
  'a:80',
  'a[b',
  '127.0.0.1',
  '１２７.0.0.1',
  '0x7f.1',
  '256.256.256.256',
  'ü.1',
  'ü.0x',
  'ü.09a',
  'mi\u212ae.example',
  '😀.example',
  '\u{2f868}.example',
  '\u{1f1e6}\u{e0020}.example',
  `${'ü'.repeat(64)}.example`,
  `${'ü'.repeat(60)}.`.repeat(4),
];

/** Ranges of characters that generated addresses consist of. */
const RANGES: [number, number][] = [
  [0x21, 0x7e],
  [0x61, 0x7a],
  [0xa0, 0x24f],
  [0x300, 0x36f],
  [0x370, 0x3ff],
  [0x400, 0x52f],
  [0x590, 0x5f4],
  [0x620, 0x6ff],
  [0x900, 0x97f],
  [0xe00, 0xe5b],
  [0x1100, 0x11ff],
  [0x1e00, 0x1fff],
  [0x2000, 0x206f],
  [0x20a0, 0x218b],
  [0x2460, 0x24ff],
  [0x3040, 0x30ff],
  [0x4e00, 0x4eff],
  [0xac00, 0xacff],
  [0xf900, 0xfaff],
  [0xfb00, 0xfbb1],
  [0xfe00, 0xffef],
  [0x1d400, 0x1d4ff],
  [0x1f600, 0x1f64f],
];

/** Returns a function that returns the same pseudorandom numbers below a limit in every run. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function generated(count: number): string[] {
  const roll = dice(7);
  const text = () => {
    const [first, last] = RANGES[roll(RANGES.length)] ?? [0x61, 0x7a];
    const characters = Array.from({ length: 1 + roll(4) }, () => first + roll(last - first + 1));
    return String.fromCodePoint(...characters);
  };
  const some = () => Array.from({ length: 1 + roll(3) }, text).join('');
  // Names in angle brackets and separators mean more in files than in launches.
  const address = () => `${some()}@${some()}${roll(2) ? '.example' : ''}`;
  // The tables of the runtime and of the crates are of different versions, and differ in recent characters.
  return Array.from({ length: count }, address).filter((text) => !/[<>,;"]|\p{Cn}/u.test(text));
}

describe('Unicode', () => {
  let worker: TestWorker;
  let operator: Operator;
  beforeAll(async () => {
    [worker, operator] = await Promise.all([seeded(), Operator.start(INDEX_KEY)]);
  });
  afterAll(() => Promise.all([stop(worker), operator.stop()]));

  it('the Worker and the command line accept the same addresses, and normalise them to the same keys', async () => {
    const pairs = LOCAL.flatMap((local) => DOMAINS.map((domain) => `${local}@${domain}`));
    // The number makes every address different.
    const addresses = [...pairs, ...generated(6000)].map((address, number) => `${number}.${address}`);
    const id = (number: number) => (number + 1).toString(16).padStart(24, '0');
    const importAll = async (some: string[], ...more: string[]) => {
      const rows = some.map((email, number) => JSON.stringify({ profile_id: id(number), email }));
      const file = path.join(operator.folder, 'addresses.ndjson');
      await writeFile(file, rows.join('\n'));
      const command = ['profiles', 'import', file, '--database', '1', '--max-bad', '100%', '--allow-shrink', '--json'];
      const printed = await operator.admin(...command, ...more);
      return (JSON.parse(printed) as { values: { used: number; skipped: number } }).values;
    };
    const values = await importAll(addresses);
    await operator.copyTo(worker.env);

    const data = addresses.map((email) => ({ email }));
    const reply = await launch(worker, { trigger_id: 8, matching: 'email', report: true, data });
    const { unmatched, invalid } = JSON.parse(reply.text).report as Record<string, { index: number; reason: string }[]>;
    const escaped = (text: string | undefined) =>
      JSON.stringify(text ?? '').replace(/[^ -~]/gu, (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`);
    const describeItems = (items: { index: number; reason: string }[] = []) =>
      items.map(({ index, reason }) => `${escaped(addresses[index])}: ${reason}`);
    expect(describeItems(unmatched)).toEqual([]);
    const rejected = new Set(invalid?.map(({ index }) => index));
    expect(ids(reply)).toEqual(addresses.flatMap((_, number) => (rejected.has(number) ? [] : [id(number)])));
    expect([ids(reply).length, rejected.size]).toEqual([values.used, values.skipped]);
    expect(values.used).toBeGreaterThan(2000);
    expect(values.skipped).toBeGreaterThan(500);
  });
});
