// Contract §1: `content` and `custom_data` are kept as the text that came; XML becomes JSON. Read back through the log.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bearer, debug, get, launch, placeOf, seeded, stop, TRIGGERS } from './fixture.js';
import type { TestWorker } from './harness.js';

const DATA = '"data":[{"email":"example1@example.com"}]';

describe('content and custom_data', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded();
  });
  afterAll(() => stop(worker));

  /** The text of a launch in the log. */
  async function launchText(document: string): Promise<string> {
    const reply = await launch(worker, document);
    return (await get(worker, placeOf(8, reply))).text;
  }
  async function recipientsText(document: string): Promise<string> {
    const reply = await launch(worker, document);
    return (await get(worker, `${placeOf(8, reply)}/recipients`)).text;
  }

  it.each([
    '{}',
    '{"a":1.0,"b":1e400,"c":-0,"d":0.10,"e":123456789012345678901234567890,"f":1E+2}',
    '{"z":1,"a":2,"z":3,"10":4,"2":5}',
    '{"text":"\\u0041\\ud83d\\ude00\\/ \\"é😀\\"","":null,"__proto__":[true,false,null,[],{}]}',
    // Half of a surrogate pair: well-formed, though no character.
    '{"half":"\\ud83d"}',
    '{"nested":{"deep":[[[{"x":[]}]]]}}',
  ])('content in JSON is stored as sent: %s', async (text) => {
    const stored = await launchText(`{"trigger_id":8,"content":${text},"custom_data":${text},${DATA}}`);
    expect(stored).toContain(`"content":${text},`);
    expect(stored).toContain(`"custom_data":${text},`);
    const recipients = await recipientsText(
      `{"trigger_id":8,"data":[{"custom_data":${text},"email":"example1@example.com"}]}`,
    );
    expect(recipients).toContain(`"custom_data":${text}}`);
  });

  it('content in JSON can contain any white space', async () => {
    const stored = await launchText(`{"trigger_id":8,"content": {\n "a" :\t[ 1 , 2 ]\r\n} ,${DATA}}`);
    expect(JSON.parse(stored).content).toEqual({ a: [1, 2] });
  });

  it.each([
    ['[]', 'array'],
    ['"text"', 'string'],
    ['1', 'number'],
    ['true', 'boolean'],
    ['""', 'string'],
    ['[{}]', 'array'],
  ])('content in JSON must be an object, not %s', async (value, type) => {
    for (const field of ['content', 'custom_data']) {
      const reply = await launch(worker, `{"trigger_id":8,"${field}":${value},${DATA}}`);
      expect([reply.status, debug(reply)]).toEqual([400, `${field}: must be an object, not a JSON ${type}`]);
    }
  });

  it.each([
    ['text', '<a>b</a>', { a: 'b' }],
    ['text as it is', '<a> b\n c </a>', { a: ' b\n c ' }],
    ['numbers are text', '<a>1.0</a><b>true</b>', { a: '1.0', b: 'true' }],
    ['children', '<a><b>1</b><c>2</c></a>', { a: { b: '1', c: '2' } }],
    ['white space between children', '\n <a>\n  <b>1</b>\n </a>\n', { a: { b: '1' } }],
    ['repeated siblings', '<a>1</a><b>x</b><a>2</a>', { a: ['1', '2'], b: 'x' }],
    ['repeated siblings of any kind', '<a>1</a><a><b/></a><a/>', { a: ['1', { b: '' }, ''] }],
    ['an array of one', "<a array='true'>1</a>", { a: ['1'] }],
    ['an array of objects', '<a array="true"><b>1</b></a>', { a: [{ b: '1' }] }],
    ['empty elements', '<a/><b></b>', { a: '', b: '' }],
    ['an empty root', '', {}],
    ['other attributes', '<a x="1" y="&lt;">b</a>', { a: 'b' }],
    ['references', '<a>&lt;&amp;&gt;&quot;&apos;&#65;&#x1F600;</a>', { a: '<&>"\'A😀' }],
    ['CDATA', '<a><![CDATA[<b>&amp;]]> x</a>', { a: '<b>&amp; x' }],
    ['comments and instructions', '<a>1<!-- <x> -->2<?pi x?>3</a><!-- y -->', { a: '123' }],
    ['names of any script', '<имя>Ёж</имя><a-b.c_1>x</a-b.c_1>', { имя: 'Ёж', 'a-b.c_1': 'x' }],
  ])('content in XML becomes JSON: %s', async (_, markup, expected) => {
    const stored = await launchText(
      `<xml><trigger_id>8</trigger_id><content>${markup}</content><custom_data>${markup}</custom_data>` +
        '<data><email>example1@example.com</email></data></xml>',
    );
    expect(JSON.parse(stored)).toMatchObject({ content: expected, custom_data: expected });
    const recipients = await recipientsText(
      `<xml><trigger_id>8</trigger_id><data><email>example1@example.com</email><custom_data>${markup}</custom_data>` +
        '</data></xml>',
    );
    expect(JSON.parse(recipients).recipients[0].custom_data).toEqual(expected);
  });

  it.each([
    ['text beside children', '<a>x<b>1</b></a>'],
    ['text behind children', '<a><b>1</b>x</a>'],
    ['text at the root, beside children', 'x<a>1</a>'],
    ['an unknown entity', '<a>&nbsp;</a>'],
    ['a bare ampersand', '<a>a & b</a>'],
    ['a reference to no character', '<a>&#0;</a>'],
    ['tags that do not match', '<a><b></a></b>'],
    ['an attribute twice', '<a x="1" x="2"/>'],
  ])('content in XML is refused with %s', async (_, markup) => {
    const reply = await launch(
      worker,
      `<xml><trigger_id>8</trigger_id><content>${markup}</content><data><email>a</email></data></xml>`,
    );
    expect([reply.status, JSON.parse(reply.text).error_text]).toEqual([400, 'Invalid request']);
  });

  it.each([
    ['a DTD', '<!DOCTYPE xml [<!ENTITY e "x">]><xml><trigger_id>8</trigger_id><data/></xml>'],
    [
      'a DTD from elsewhere',
      '<!DOCTYPE xml SYSTEM "http://127.0.0.1:1/x"><xml><trigger_id>8</trigger_id><data/></xml>',
    ],
    ['a second root', '<xml><trigger_id>8</trigger_id><data/></xml><xml/>'],
    ['text after the root element', '<xml><trigger_id>8</trigger_id><data/></xml>x'],
    ['another root', '<request><trigger_id>8</trigger_id><data/></request>'],
  ])('a document with %s is refused', async (_, document) => {
    expect((await launch(worker, document)).status).toBe(400);
  });

  it.each([
    [
      'content in JSON',
      (depth: number) => `{"trigger_id":8,"content":${'{"a":'.repeat(depth - 2)}{}${'}'.repeat(depth - 2)},${DATA}}`,
    ],
    [
      'an unknown field in JSON',
      (depth: number) => `{"trigger_id":8,"u":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)},${DATA}}`,
    ],
    [
      'content in XML',
      (depth: number) =>
        `<xml><trigger_id>8</trigger_id><content>${'<a>'.repeat(depth - 2)}${'</a>'.repeat(depth - 2)}</content><data><email>a@example.com</email></data></xml>`,
    ],
  ])('a document can have 64 levels, and not 65: %s', async (_, document) => {
    expect((await launch(worker, document(64))).status).toBe(200);
    const reply = await launch(worker, document(65));
    expect([reply.status, debug(reply)]).toEqual([400, expect.stringMatching(/64/)]);
  });

  it.each(['{"a":1,}', '{"a":01}', '{a:1}', "{'a':1}", '{"a":"\t"}', '{"a":NaN}', '{"a":1}}'])(
    'malformed JSON is refused, by its byte: %s',
    async (text) => {
      const reply = await launch(worker, `{"trigger_id":8,"content":${text},${DATA}}`, bearer());
      expect(reply.status).toBe(400);
      expect(debug(reply)).toMatch(/^byte \d+: /);
    },
  );

  it('bytes that are not UTF-8 are refused', async () => {
    for (const type of ['application/json', 'application/xml']) {
      const json = type.endsWith('json');
      const [begin, end] = json
        ? ['{"trigger_id":8,"content":{"a":"', `"},${DATA}}`]
        : ['<xml><trigger_id>8</trigger_id><content><a>', '</a></content><data/></xml>'];
      for (const bytes of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xe2, 0x82]]) {
        const body = Buffer.concat([Buffer.from(begin), Buffer.from(bytes), Buffer.from(end)]);
        const headers = { ...bearer(), 'Content-Type': type };
        const response = await worker.request(`${TRIGGERS}/start_batch`, { method: 'POST', body, headers });
        expect([type, bytes, response.status]).toEqual([type, bytes, 400]);
      }
    }
  });
});
