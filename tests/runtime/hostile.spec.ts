// Documents that could use much time or memory. Each gets the expected status, the next request succeeds, and the memory of the
// Worker stays small. The test does not check times; `HOSTILE_TABLE=1` prints them.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BATCH, bearer, debug, seed, stream } from './fixture.js';
import { PersistedWorker } from './persisted.js';

const MILLION = 1_000_000;
/** Close to `BODY_LIMIT`. */
const LONG = 10 * MILLION;
/** `MEMORY_LIMIT` of all requests together. One request stays far below it. */
const LINEAR_MEMORY = 64 * 1024 * 1024;
const GOOD = '"trigger_id":8,"data":[{"email":"example1@example.com"}]';
const GOOD_XML = '<trigger_id>8</trigger_id><data><email>example1@example.com</email></data>';

type Row = [what: string, body: () => string | Uint8Array, expected: number, headers?: Record<string, string>];

/** A valid launch with an unknown field. */
const unknown = (value: string) => `{"u":${value},${GOOD}}`;
const items = (count: number) => `{"trigger_id":8,"data":[${'{},'.repeat(count - 1)}{}]}`;
const xml = (inner: string) => `<xml>${inner}${GOOD_XML}</xml>`;
const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
const elements = (depth: number) => '<a>'.repeat(depth) + '</a>'.repeat(depth);
const encode = (text: string) => new TextEncoder().encode(text);
/** Text with other bytes instead of the `¿`. */
const withBytes = (text: string, ...bytes: number[]) => {
  const [before = '', after = ''] = text.split('¿');
  return Uint8Array.from([...encode(before), ...bytes, ...encode(after)]);
};
const utf16 = (text: string) => new Uint8Array(Buffer.from(`\ufeff${text}`, 'utf16le'));

const JSON_ROWS: Row[] = [
  ['64 levels', () => unknown(nested(63)), 200],
  ['65 levels', () => unknown(nested(64)), 400],
  ['64 levels in content', () => `{"content":{"a":${nested(62)}},${GOOD}}`, 200],
  ['65 levels in content', () => `{"content":{"a":${nested(63)}},${GOOD}}`, 400],
  ['1,000,000 [', () => '['.repeat(MILLION), 400],
  ['1,000,000 [ in a field', () => unknown('['.repeat(MILLION)), 400],
  ['1,000,000 {"a":', () => '{"a":'.repeat(MILLION), 400],
  ['a number of 10,000,000 digits', () => unknown('9'.repeat(LONG)), 200],
  ['trigger_id of 10,000,000 digits', () => `{"trigger_id":${'9'.repeat(LONG)}}`, 400],
  [
    'field_value of 10,000,000 digits',
    () => `{"trigger_id":8,"matching":"custom","field_name":"a","data":[{"field_value":${'9'.repeat(LONG)}}]}`,
    200,
  ],
  ['a name of 10,000,000 characters', () => `{"${'n'.repeat(LONG)}":1,${GOOD}}`, 200],
  ['an item with a name of 10,000,000 characters', () => `{"trigger_id":8,"data":[{"${'n'.repeat(LONG)}":1}]}`, 200],
  ['a string of 1,600,000 escapes', () => unknown(`"${'\\u0041'.repeat(1_600_000)}"`), 200],
  [
    'an address of 1,600,000 escapes',
    () => `{"trigger_id":8,"data":[{"email":"${'\\u0041'.repeat(1_600_000)}"}]}`,
    200,
  ],
  ['10,000,000 spaces', () => ' '.repeat(LONG), 400],
  ['1,000,000 unknown fields', () => `{${'"u":1,'.repeat(MILLION)}${GOOD}}`, 200],
  ['a known field 400,000 times', () => `{${'"trigger_id":8,'.repeat(400_000)}${GOOD}}`, 400],
  ['an item of 1,000,000 fields', () => `{"trigger_id":8,"data":[{${'"u":1,'.repeat(MILLION)}"u":1}]}`, 200],
  ['1,000,000 empty items', () => items(MILLION), 200],
  ['1,000,001 empty items', () => items(MILLION + 1), 400],
  ['2,000,000 numbers as items', () => `{"trigger_id":8,"data":[${'1,'.repeat(2 * MILLION)}1]}`, 400],
  ['101 attachments', () => `{${GOOD},"attach":[${'{"name":"a","data":""},'.repeat(100)}{"name":"a","data":""}]}`, 400],
  ['500,000 attachments that are numbers', () => `{${GOOD},"attach":[${'1,'.repeat(500_000)}1]}`, 400],
  [
    'an attachment with a name of 10,000,000 characters',
    () => `{${GOOD},"attach":[{"name":"${'n'.repeat(LONG)}","data":""}]}`,
    400,
  ],
  [
    'a data URI with an unclosed media type',
    () => `{${GOOD},"attach":[{"name":"a","data":"data:${'x'.repeat(LONG)}"}]}`,
    400,
  ],
  ['NUL in a string', () => withBytes(unknown('"a¿b"'), 0), 400],
  ['NUL as white space', () => withBytes(`{¿${GOOD}}`, 0), 400],
  ['an escaped NUL in an address', () => '{"trigger_id":8,"data":[{"email":"a\\u0000@example.com"}]}', 200],
  ['a byte that is not UTF-8', () => withBytes(unknown('"a¿b"'), 0xff), 400],
  ['an overlong /', () => withBytes(unknown('"a¿b"'), 0xc0, 0xaf), 400],
  ['an incomplete character at the end', () => withBytes(unknown('"a¿"'), 0xe2, 0x82), 400],
  ['a surrogate in UTF-8', () => withBytes(unknown('"a¿b"'), 0xed, 0xa0, 0x80), 400],
  ['an escaped lone surrogate', () => unknown('"\\ud800"'), 200],
  ['an escaped lone surrogate in an address', () => '{"trigger_id":8,"data":[{"email":"\\ud800@example.com"}]}', 200],
  ['UTF-16', () => utf16(`{${GOOD}}`), 400],
  [
    'UTF-16 with its declaration',
    () => utf16(`{${GOOD}}`),
    415,
    { 'Content-Type': 'application/json; charset=utf-16' },
  ],
];

const XML_ROWS: Row[] = [
  ['64 levels', () => xml(elements(63)), 200],
  ['65 levels', () => xml(elements(64)), 400],
  ['1,000,000 nested elements', () => xml('<a>'.repeat(MILLION)), 400],
  [
    '1,000,000 attributes in a tag',
    () => xml(`<u${Array.from({ length: MILLION }, (_, n) => ` a${n.toString(36)}=''`).join('')}/>`),
    400,
  ],
  ['1,000,000 times the same attribute', () => xml(`<u${" a=''".repeat(MILLION)}/>`), 400],
  ['an attribute of 10,000,000 characters', () => xml(`<u a='${'x'.repeat(LONG)}'/>`), 400],
  ['a tag of 10,000,000 characters', () => xml(`<${'u'.repeat(LONG / 2)}></${'u'.repeat(LONG / 2)}>`), 400],
  ['an unclosed tag', () => xml(`<u ${' '.repeat(LONG)}`), 400],
  ['1,000,000 <data/>', () => `<xml><trigger_id>8</trigger_id>${'<data/>'.repeat(MILLION)}</xml>`, 200],
  ['1,000,001 <data/>', () => `<xml><trigger_id>8</trigger_id>${'<data/>'.repeat(MILLION + 1)}</xml>`, 400],
  ['a comment of 10,000,000 characters', () => xml(`<!--${'x'.repeat(LONG)}-->`), 200],
  ['CDATA of 10,000,000 characters', () => xml(`<u><![CDATA[${']'.repeat(LONG)}]]></u>`), 200],
  ['1,600,000 references', () => xml(`<u>${'&#65;'.repeat(1_600_000)}</u>`), 200],
  ['a DTD', () => `<!DOCTYPE xml SYSTEM "file:///etc/passwd">${xml('')}`, 400],
  [
    'a DTD of nested entities',
    () => `<!DOCTYPE xml [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>${xml('<u>&b;</u>')}`,
    400,
  ],
  ['an undeclared entity', () => xml('<u>&a;</u>'), 400],
  ['a reference to NUL', () => xml('<u>&#0;</u>'), 400],
  ['NUL', () => withBytes(xml('<u>¿</u>'), 0), 400],
  ['a reference to a surrogate', () => xml('<u>&#xD800;</u>'), 400],
  ['a byte that is not UTF-8', () => withBytes(xml('<u>¿</u>'), 0xff), 400],
  ['UTF-16', () => utf16(xml('')), 400],
  ['UTF-16 with its declaration', () => `<?xml version="1.0" encoding="UTF-16"?>${xml('')}`, 415],
];

describe('hostile documents', () => {
  let worker: PersistedWorker;
  const table: object[] = [];
  const memory: number[] = [];
  beforeAll(async () => {
    // Callers do not connect through wrangler's proxy, which can lose the response to a body that is not read to its end.
    worker = await PersistedWorker.passing(({ doubles }) => memory.push(doubles[11] ?? 0));
    await seed(worker);
  });
  afterAll(async () => {
    await worker.stop();
    if (process.env.HOSTILE_TABLE) console.table(table);
    expect(memory.length).toBeGreaterThan(JSON_ROWS.length + XML_ROWS.length);
    expect(Math.max(...memory)).toBeLessThan(LINEAR_MEMORY);
  });

  describe.each([
    ['JSON', 'application/json', JSON_ROWS],
    ['XML', 'application/xml', XML_ROWS],
  ] as const)('%s', (format, type, rows) => {
    it.each(rows)(
      'the document gets the expected status, and the next request succeeds: %s',
      async (what, body, expected, headers = {}) => {
        const bytes = body();
        const head = { ...bearer(), 'Content-Type': type, Accept: 'application/json', ...headers };
        const start = performance.now();
        const response = await worker.request(BATCH, { method: 'POST', body: bytes, headers: head });
        const { status } = response;
        const text = await response.text();
        const ms = Math.round(performance.now() - start);
        const said = status === 200 ? '' : debug({ text }).slice(0, 80);
        table.push({ format, what, bytes: bytes.length, status, ms, said });
        expect(status, text.slice(0, 300)).toBe(expected);
        // The next request, on another connection, succeeds.
        expect((await stream(worker, [`{${GOOD}}`])).status).toBe(200);
      },
    );
  });
});
