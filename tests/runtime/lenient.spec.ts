// Requests that differ from the documentation: alternative spellings that are accepted, and refusals whose message names what
// was received and what to send.

import http from 'node:http';
import net from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  BATCH,
  bearer,
  debug,
  GOOD,
  ids,
  launch,
  logged,
  read,
  type Refusal,
  type Reply,
  seeded,
  SINGLE,
  stop,
  TOKEN,
  TRIGGERS,
} from './fixture.js';
import type { TestWorker } from './harness.js';
import { ID } from './profiles.js';

/** Header lines, in which a name can be repeated. */
type Lines = [string, string][];

const JSON_BODY = JSON.stringify(GOOD);
const XML_BODY = '<xml><trigger_id>8</trigger_id><data><email>example1@example.com</email></data></xml>';
const SINGLE_JSON = '{"id":8,"email":"example1@example.com"}';
const SINGLE_XML = '<xml><id>8</id><email>example1@example.com</email></xml>';
const AUTHORIZED: Lines = [['Authorization', `Bearer ${TOKEN.all}`]];

const BODIES = [
  ['start_batch, JSON', BATCH, JSON_BODY, 'application/json'],
  ['start_batch, XML', BATCH, XML_BODY, 'application/xml'],
  ['start, JSON', SINGLE, SINGLE_JSON, 'application/json'],
  ['start, XML', SINGLE, SINGLE_XML, 'application/xml'],
] as const;

describe('lenient requests', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded();
  });
  afterAll(() => stop(worker));

  /** Sends these header lines, `Host` and `Content-Length`, and no others. */
  function send(method: string, path: string, headers: Lines, body: string | Uint8Array = ''): Promise<Reply> {
    const bytes = Buffer.from(body);
    const lines: Lines = [['Host', worker.url.host], ['Content-Length', String(bytes.length)], ...headers];
    const { hostname, port } = worker.url;
    return new Promise((resolve, reject) => {
      const request = http.request(
        { hostname, port, method, path, agent: false, headers: lines.flat() },
        (response) => {
          const pieces: Buffer[] = [];
          response.on('data', (piece: Buffer) => pieces.push(piece));
          response.on('error', reject);
          response.on('end', () => {
            const head = new Headers(response.headers as Record<string, string>);
            resolve({ status: response.statusCode ?? 0, headers: head, text: Buffer.concat(pieces).toString() });
          });
        },
      );
      request.on('error', reject);
      request.end(bytes);
    });
  }

  const post = (path: string, headers: Lines, body: string | Uint8Array) =>
    send('POST', path, [...AUTHORIZED, ...headers], body);
  const put = (id: number, body: string | Uint8Array, headers: Lines = []) =>
    send('PUT', `${TRIGGERS}/${id}`, [...AUTHORIZED, ...headers], body);

  /** Checks that one profile was launched to. */
  function expectLaunched(reply: Reply) {
    expect(reply.status, reply.text).toBe(200);
    expect(ids(reply)).toEqual([ID.one]);
  }

  const fields = (single: boolean) => (single ? { id: '8', email: '"example1@example.com"' } : { trigger_id: '8' });
  /** A JSON document of `start_batch` or `start`. `more` adds fields, or replaces fields of the same name. */
  function json(more: Record<string, string>, single = false): string {
    const data = single ? {} : { data: '[{"email":"example1@example.com"}]' };
    const members = Object.entries({ ...fields(single), ...data, ...more });
    return `{${members.map(([name, value]) => `"${name}":${value}`).join()}}`;
  }
  /** An XML document of `start_batch` or `start`, with more elements. */
  function xml(elements: string, single = false): string {
    const required = single ? SINGLE_XML : XML_BODY;
    return required.replace('<xml>', `<xml>${elements}`);
  }

  describe('Content-Type', () => {
    describe.each(BODIES)('of %s', (_, path, body, type) => {
      it.each([
        ['text/plain', [['Content-Type', 'text/plain']]],
        ['text/plain with a charset', [['Content-Type', 'text/plain;charset=UTF-8']]],
        [
          'text/plain, twice',
          [
            ['Content-Type', 'text/plain'],
            ['Content-Type', 'text/plain'],
          ],
        ],
        [
          'its type, twice',
          [
            ['Content-Type', type],
            ['Content-Type', type],
          ],
        ],
        [
          'its type, three times in different case',
          [
            ['Content-Type', type],
            ['content-type', type.toUpperCase()],
            ['CONTENT-TYPE', type],
          ],
        ],
        ['its type, joined', [['Content-Type', `${type}, ${type}`]]],
        [
          'its type, with and without a charset',
          [
            ['Content-Type', type],
            ['Content-Type', `${type}; charset=utf-8`],
          ],
        ],
        ['charset=us-ascii', [['Content-Type', `${type}; charset=us-ascii`]]],
        ['charset="US-ASCII"', [['Content-Type', `${type};charset="US-ASCII"`]]],
        ['a quoted parameter with commas', [['Content-Type', `${type}; a="b, c/d; charset=utf-16"`]]],
        [
          'the form type that curl sends, twice',
          [
            ['Content-Type', 'application/x-www-form-urlencoded'],
            ['Content-Type', 'application/x-www-form-urlencoded'],
          ],
        ],
        [
          'the coding identity, twice',
          [
            ['Content-Type', type],
            ['Content-Encoding', 'identity'],
            ['Content-Encoding', 'identity'],
          ],
        ],
      ] as [string, Lines][])('Content-Type can be %s', async (_, headers) => {
        expectLaunched(await post(path, headers, body));
      });
    });

    it('an XML declaration can contain the encoding us-ascii', async () => {
      const declared = `<?xml version="1.0" encoding="US-ASCII"?>${XML_BODY}`;
      expectLaunched(await post(BATCH, [['Content-Type', 'application/xml']], declared));
    });

    it.each([
      ['text/plain', [['Content-Type', 'text/plain']]],
      [
        'application/json, twice',
        [
          ['Content-Type', 'application/json'],
          ['Content-Type', 'application/json'],
        ],
      ],
      ['charset=us-ascii', [['Content-Type', 'application/json; charset=us-ascii']]],
      ['missing', []],
    ] as [string, Lines][])('Content-Type of a definition can be %s', async (_, headers) => {
      const reply = await put(8, '{"active":true}', headers);
      expect(reply.status, reply.text).toBe(200);
    });

    it.each([
      ['application/json; charset=utf-16', 'Content-Type: unsupported charset "utf-16"; send UTF-8'],
      ['text/plain; charset=latin1', 'Content-Type: unsupported charset "latin1"; send UTF-8'],
      ['text/html', 'Content-Type: unsupported media type "text/html"; send application/json'],
      ['multipart/form-data; boundary=x', 'not a multipart body'],
      ['application/soap+xml', 'not SOAP'],
      ['application/gzip', 'not a compressed body'],
      [`x/${'y'.repeat(500)}`, '"x/yyyyyyyyyy'],
    ])('the media type %s is refused', async (type, said) => {
      for (const reply of [
        await post(BATCH, [['Content-Type', type]], JSON_BODY),
        await put(8, '{}', [['Content-Type', type]]),
      ]) {
        expect(reply.status).toBe(415);
        expect(debug(reply)).toContain(said);
        expect(debug(reply).length).toBeLessThan(200);
      }
    });

    it('two different values of Content-Type are refused', async () => {
      const reply = await post(
        BATCH,
        [
          ['Content-Type', 'application/json'],
          ['Content-Type', 'text/xml'],
        ],
        JSON_BODY,
      );
      const said = 'Content-Type: sent with different values, "application/json, text/xml"; send one';
      expect([reply.status, debug(reply)]).toEqual([415, said]);
    });

    it('an XML media type of a definition is refused', async () => {
      const reply = await put(8, '{}', [['Content-Type', 'application/xml']]);
      const said = 'Content-Type: unsupported media type "application/xml"; send application/json';
      expect([reply.status, debug(reply)]).toEqual([415, said]);
    });

    it.each(['gzip', 'br', 'identity, deflate'])('the content coding %s is refused', async (coding) => {
      for (const reply of [
        await post(BATCH, [['Content-Encoding', coding]], gzipSync(JSON_BODY)),
        await put(8, gzipSync('{}'), [['Content-Encoding', coding]]),
      ]) {
        expect(reply.status).toBe(415);
        expect(debug(reply)).toMatch(/^Content-Encoding: unsupported coding "\w+"; send the body uncompressed$/);
      }
    });
  });

  describe('a boolean', () => {
    const TRUE = ['true', '1', '1.0', '"1"', '"true"', '"True"', '"TRUE"', '" true\\n"'];
    const FALSE = ['false', '0', '0.0', '"0"', '"false"', '"False"', '"FALSE"', 'null'];
    const observe = {
      skip_triggers: async (reply: Reply) => (await logged(worker, 8, reply)).skip_triggers as boolean,
      report: async (reply: Reply) => 'report' in JSON.parse(reply.text),
      dry_run: async (reply: Reply) => reply.headers.get('Launch-ID') === null,
      strict: async (reply: Reply) => reply.status === 400,
    };

    describe.each(Object.entries(observe))('%s', (name, observed) => {
      /** `strict` has an effect only if an item matches no profile. */
      const nobody = name === 'strict';
      const sent = async (path: string, text: string) =>
        observed(await launch(worker, nobody ? text.replace('example1@', 'nobody@') : text, bearer(), path));

      it('every spelling of a boolean is accepted in JSON', async () => {
        for (const [values, expected] of [
          [TRUE, true],
          [FALSE, false],
        ] as const) {
          for (const value of values) {
            expect([value, await sent(BATCH, json({ [name]: value }))]).toEqual([value, expected]);
            expect([value, await sent(SINGLE, json({ [name]: value }, true))]).toEqual([value, expected]);
          }
        }
      });

      it('every spelling of a boolean is accepted in XML', async () => {
        for (const [values, expected] of [
          [['true', 'True', 'TRUE', '1', '\n tRuE '], true],
          [['false', 'False', 'FALSE', '0'], false],
        ] as const) {
          for (const value of values) {
            const element = `<${name}>${value}</${name}>`;
            expect([value, await sent(BATCH, xml(element))]).toEqual([value, expected]);
            expect([value, await sent(SINGLE, xml(element, true))]).toEqual([value, expected]);
          }
        }
      });

      it.each([
        ['"yes"', ''],
        ['2', ''],
        ['[]', ', not a JSON array'],
        ['{}', ', not a JSON object'],
      ])('the value %s is refused', async (value, received) => {
        const reply = await launch(worker, json({ [name]: value }));
        expect([reply.status, debug(reply)]).toEqual([400, `${name}: must be true or false${received}`]);
      });
    });

    it('every spelling of a boolean is accepted as active of a campaign', async () => {
      for (const [values, expected] of [
        [FALSE.slice(0, -1), false],
        [TRUE, true],
      ] as const) {
        for (const value of values) {
          const reply = await put(1, `{"active":${value}}`);
          expect([value, reply.status, JSON.parse(reply.text).active]).toEqual([value, 200, expected]);
        }
      }
      for (const value of ['"yes"', '2', '[]']) expect((await put(1, `{"active":${value}}`)).status, value).toBe(400);
    });
  });

  describe('an integer', () => {
    it.each(['8', '8.0', '8.00', '"8"', '" 8\\n"'])('an ID in JSON can be written as %s', async (value) => {
      expectLaunched(await launch(worker, json({ trigger_id: value })));
      expectLaunched(await launch(worker, json({ id: value }, true), bearer(), SINGLE));
    });

    it.each([' 8 ', '<![CDATA[8]]>'])('an ID in XML can be written as %s', async (value) => {
      expectLaunched(await launch(worker, XML_BODY.replace('>8<', `>${value}<`)));
      expectLaunched(await launch(worker, SINGLE_XML.replace('>8<', `>${value}<`), bearer(), SINGLE));
    });

    it.each([
      ['"8.0"', ''],
      ['8e0', ', not a JSON number with a fraction or an exponent'],
      ['8.0e0', ', not a JSON number with a fraction or an exponent'],
      ['8.5', ', not a JSON number with a fraction or an exponent'],
      ['true', ', not a JSON boolean'],
      ['{}', ', not a JSON object'],
      ['[8]', ', not a JSON array'],
    ])('the integer %s is refused', async (value, received) => {
      const expected = `must be an integer from 1 to 9007199254740991${received}`;
      const batch = await launch(worker, json({ trigger_id: value }));
      expect([batch.status, debug(batch)]).toEqual([400, `trigger_id: ${expected}`]);
      const single = await launch(worker, json({ id: value }, true), bearer(), SINGLE);
      expect([single.status, debug(single)]).toEqual([400, `id: ${expected}`]);
      const defined = await put(900, `{"name":"x","database":${value},"active":true}`);
      expect([defined.status, debug(defined)]).toEqual([400, `database: ${expected}`]);
    });

    it('the integer 8.0 is refused in XML', async () => {
      expect((await launch(worker, XML_BODY.replace('>8<', '>8.0<'))).status).toBe(400);
    });

    it('an integer of a definition can be a number with a zero fraction, or a string', async () => {
      for (const [at, one] of ['"1"', '1.0', '1.00', '" 1 "', '1'].entries()) {
        const id = 901 + at;
        for (const own of [String(id), `"${id}"`, `${id}.0`]) {
          const reply = await put(id, `{"id":${own},"name":"x","database":${one},"active":"True"}`);
          expect([one, reply.status], reply.text).toEqual([one, 200]);
          expect(JSON.parse(reply.text)).toMatchObject({ id, database: 1, active: true });
        }
        expect((await put(id, `{"id":"${id + 1}"}`)).status).toBe(400);
      }
    });

    it('field_value is not normalised as an integer', async () => {
      const send = (value: string) =>
        launch(
          worker,
          `{"trigger_id":8,"matching":"custom","field_name":"n","report":true,"data":[{"field_value":${value}}]}`,
        );
      const reasons = async (value: string) => {
        const { report } = JSON.parse((await send(value)).text);
        return [report.unmatched[0]?.reason, report.invalid[0]?.reason];
      };
      expect(await reasons('8')).toEqual(['not_found', undefined]);
      expect(await reasons('8.0')).toEqual([undefined, 'wrong_type']);
      expect(await reasons('"8.0"')).toEqual(['not_found', undefined]);
    });
  });

  describe('xsi:nil', () => {
    const ROOT = [
      'token',
      'format',
      'matching',
      'field_name',
      'skip_triggers',
      'report',
      'strict',
      'dry_run',
      'content',
      'custom_data',
      'attach',
    ];

    it.each(ROOT)('a root field %s with xsi:nil counts as missing', async (name) => {
      for (const nil of [
        "xsi:nil='true'",
        'xsi:nil="1"',
        `xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"`,
      ]) {
        for (const element of [`<${name} ${nil}/>`, `<${name} ${nil}>x<y/></${name}>`]) {
          const batch = await launch(worker, xml(element));
          expectLaunched(batch);
          expect(await logged(worker, 8, batch)).toMatchObject({
            ...{ matching: 'email', skip_triggers: false, content: null, custom_data: null, attachments: [] },
          });
          expectLaunched(await launch(worker, xml(element, true), bearer(), SINGLE));
        }
      }
      if (name === 'attach') return;
      const twice = await launch(worker, xml(`<${name} xsi:nil="true"/><${name}/>`));
      expect([twice.status, debug(twice)]).toEqual([400, `${name}: is given twice`]);
    });

    it('a required field with xsi:nil is reported as missing', async () => {
      const batch = await launch(worker, XML_BODY.replace('<trigger_id>', '<trigger_id xsi:nil="true">'));
      expect([batch.status, debug(batch)]).toEqual([400, 'trigger_id: is required']);
      const single = await launch(worker, SINGLE_XML.replace('<id>', '<id xsi:nil="1">'), bearer(), SINGLE);
      expect([single.status, debug(single)]).toEqual([400, 'id: is required']);
    });

    it('an item with xsi:nil, or a field of an item, counts as missing', async () => {
      for (const data of [
        '<data xsi:nil="true"/>',
        '<data xsi:nil="true"><email>example1@example.com</email></data>',
        '<data><email xsi:nil="1">example1@example.com</email></data>',
      ]) {
        const body = `<xml><trigger_id>8</trigger_id><report>1</report><format>json</format>${data}</xml>`;
        const reply = await launch(worker, body);
        expect(JSON.parse(reply.text).report.invalid).toEqual([{ index: 0, reason: 'missing_field' }]);
      }
      const single = SINGLE_XML.replace('<email>', '<report>1</report><email xsi:nil="true">');
      const reply = await launch(worker, single, bearer(), SINGLE);
      expect(JSON.parse(reply.text).report.invalid).toEqual([{ index: 0, reason: 'missing_field' }]);
      const own = '<data><email>example1@example.com</email><custom_data xsi:nil="true"><a/></custom_data></data>';
      expectLaunched(await launch(worker, `<xml><trigger_id>8</trigger_id>${own}</xml>`));
    });

    it('xsi:nil is ignored inside content and custom_data, and if its value is false', async () => {
      const inner = '<a xsi:nil="true"/><b xsi:nil="1">1</b>';
      const reply = await launch(worker, xml(`<content>${inner}</content><custom_data>${inner}</custom_data>`));
      const expected = { a: '', b: '1' };
      expect(await logged(worker, 8, reply)).toMatchObject({ content: expected, custom_data: expected });
      const not = await launch(worker, xml('<skip_triggers xsi:nil="false">true</skip_triggers>'));
      expect(await logged(worker, 8, not)).toMatchObject({ skip_triggers: true });
    });
  });

  describe('white space around a token', () => {
    it.each([
      ['JSON', BATCH, JSON_BODY.replace('{', `{"token":"${TOKEN.all}\\n",`)],
      ['JSON of start', SINGLE, SINGLE_JSON.replace('{', `{"token":"\\t ${TOKEN.all}\\r\\n",`)],
      ['XML', BATCH, XML_BODY.replace('<xml>', `<xml><token>\n${TOKEN.all}\n</token>`)],
      ['XML of start', SINGLE, SINGLE_XML.replace('<xml>', `<xml><token>&#10;${TOKEN.all}&#32;</token>`)],
    ])('white space around a token is ignored in %s', async (_, path, body) => {
      expectLaunched(await send('POST', path, [], body));
    });

    it.each(BODIES)(
      'white space around a token is ignored in the query and the header of %s',
      async (_, path, body) => {
        expectLaunched(await send('POST', `${path}?token=%20${TOKEN.all}%0A`, [], body));
        expectLaunched(await send('POST', path, [['Authorization', `Bearer  ${TOKEN.all} \t`]], body));
        expectLaunched(await send('POST', path, [['Authorization', `bearer\t${TOKEN.all}`]], body));
      },
    );

    it('tokens that differ in white space around them are the same token', async () => {
      const body = JSON_BODY.replace('{', `{"token":" ${TOKEN.all}\\n",`);
      expectLaunched(await send('POST', `${BATCH}?token=${TOKEN.all}+&token=%09${TOKEN.all}`, AUTHORIZED, body));
    });

    it('white space around a token is ignored on the other paths', async () => {
      for (const path of ['', '/8', '/8/launches']) {
        expect((await send('GET', `${TRIGGERS}${path}?token=%20${TOKEN.all}%0D%0A`, [])).status, path).toBe(200);
        expect((await send('GET', TRIGGERS + path, [['Authorization', `Bearer   ${TOKEN.all}`]])).status, path).toBe(
          200,
        );
      }
      expect((await send('PUT', `${TRIGGERS}/8?token=${TOKEN.all}%20`, [], '{}')).status).toBe(200);
    });

    it('a token with white space inside, or with other than ASCII white space around it, is unknown', async () => {
      const [before, after] = [TOKEN.all.slice(0, 5), TOKEN.all.slice(5)];
      for (const token of [`${before} ${after}`, `\\u00a0${TOKEN.all}`, `${TOKEN.all}\\u2003`]) {
        const reply = await send('POST', BATCH, [], JSON_BODY.replace('{', `{"token":"${token}",`));
        expect([token, reply.status]).toEqual([token, 401]);
      }
    });
  });

  describe('a request ID', () => {
    it('an ID in Idempotency-Key can be quoted, and is the same ID without the quotes', async () => {
      const first = await post(BATCH, [['Idempotency-Key', '"k1"']], JSON_BODY);
      expect([first.status, first.headers.get('Request-ID')]).toEqual([200, 'k1']);
      for (const headers of [
        [['Idempotency-Key', 'k1']],
        [['Request-ID', 'k1']],
        [
          ['Idempotency-Key', '"k1"'],
          ['Idempotency-Key', '"k1"'],
        ],
        [
          ['Request-ID', 'k1'],
          ['Idempotency-Key', '"k1"'],
        ],
      ] as Lines[]) {
        const again = await post(BATCH, headers, JSON_BODY);
        expect([again.status, again.headers.get('Duplicate-Key')], again.text).toEqual([200, 'k1']);
        expect(again.headers.get('Launch-ID')).toBe(first.headers.get('Launch-ID'));
      }
    });

    it('quotes in Request-ID and X-Request-ID are part of the ID', async () => {
      for (const name of ['Request-ID', 'X-Request-ID']) {
        const reply = await post(BATCH, [[name, '"k2"']], JSON_BODY);
        expect([reply.status, reply.headers.get('Request-ID')]).toEqual([200, '"k2"']);
      }
    });

    it.each(['Request-ID', 'Idempotency-Key', 'X-Request-ID'])(
      'an ID can be repeated in %s, and two different IDs are refused',
      async (name) => {
        const reply = await post(
          BATCH,
          [
            [name, `repeated-${name}`],
            [name, `repeated-${name}`],
          ],
          JSON_BODY,
        );
        expect([reply.status, reply.headers.get('Request-ID')]).toEqual([200, `repeated-${name}`]);
        const different = await post(
          BATCH,
          [
            [name, 'a'],
            [name, 'b'],
          ],
          JSON_BODY,
        );
        expect([different.status, debug(different)]).toEqual([400, `${name}: sent with different values; send one`]);
      },
    );

    it.each(['Request-ID', 'Idempotency-Key', 'X-Request-ID'])(
      'an ID can have 256 characters in %s, and not 257',
      async (name) => {
        const id = name.padEnd(256, 'x');
        const reply = await post(BATCH, [[name, id]], JSON_BODY);
        expect([reply.status, reply.headers.get('Request-ID')]).toEqual([200, id]);
        expect(await logged(worker, 8, reply)).toMatchObject({ request_id: id });
        const again = await post(BATCH, [[name, id]], JSON_BODY);
        expect(again.headers.get('Launch-ID')).toBe(reply.headers.get('Launch-ID'));
        const long = await post(BATCH, [[name, `${id}x`]], JSON_BODY);
        expect([long.status, debug(long)]).toEqual([400, `${name}: must be 1 to 256 visible ASCII characters`]);
      },
    );

    it('a quoted ID can have 256 characters inside its quotes, and not 257', async () => {
      const reply = await post(BATCH, [['Idempotency-Key', `"${'q'.repeat(256)}"`]], JSON_BODY);
      expect([reply.status, reply.headers.get('Request-ID')]).toEqual([200, 'q'.repeat(256)]);
      expect((await post(BATCH, [['Idempotency-Key', `"${'q'.repeat(257)}"`]], JSON_BODY)).status).toBe(400);
    });

    it.each(['"', '""', '"a', 'a"', 'a"b', '"a"b"', '"a\\"b"', '"a b"'])(
      'the Idempotency-Key %s is refused',
      async (key) => {
        for (const reply of [
          await post(BATCH, [['Idempotency-Key', key]], JSON_BODY),
          await put(8, '{}', [['Idempotency-Key', key]]),
        ]) {
          expect(reply.status).toBe(400);
          expect(debug(reply)).toMatch(/^Idempotency-Key: /);
        }
      },
    );
  });

  describe('Accept', () => {
    it.each([
      'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
      'application/xml, text/html;q=0.1',
      'text/xml, TEXT/HTML',
    ])('the reply is JSON if Accept contains text/html: %s', async (accept) => {
      for (const [path, body] of [
        [BATCH, JSON_BODY],
        [BATCH, XML_BODY],
        [SINGLE, SINGLE_JSON],
      ] as const) {
        expectLaunched(await post(path, [['Accept', accept]], body));
      }
      const refused = await post(BATCH, [['Accept', accept]], '{');
      expect((JSON.parse(refused.text) as Refusal).error).toBe(400);
      const nowhere = await send('GET', '/nowhere', [['Accept', accept]]);
      expect((JSON.parse(nowhere.text) as Refusal).error).toBe(404);
    });

    it('Accept can be repeated', async () => {
      expectLaunched(
        await post(
          BATCH,
          [
            ['Accept', 'application/xml'],
            ['Accept', 'text/html'],
          ],
          JSON_BODY,
        ),
      );
      const both = await post(
        BATCH,
        [
          ['Accept', 'application/xml'],
          ['Accept', 'application/xml'],
        ],
        JSON_BODY,
      );
      expect(both.text).toMatch(/^<xml><error>0</);
    });

    it('?format= and the field format rank before Accept', async () => {
      const accept: Lines = [['Accept', 'text/html']];
      expect((await post(`${BATCH}?format=xml`, accept, JSON_BODY)).text).toMatch(/^<xml><error>0</);
      const body = JSON_BODY.replace('{', '{"format":"xml",');
      expect((await post(BATCH, accept, body)).text).toMatch(/^<xml><error>0</);
    });
  });

  describe('slashes', () => {
    it.each([
      '/api/v1.1//campaigns/triggers/start_batch',
      '//api/v1.1/campaigns/triggers/start_batch',
      '/api///v1.1/campaigns/triggers//start_batch',
      '/api/v1.1/campaigns/triggers/start_batch//',
    ])('slashes can be repeated: %s', async (path) => {
      expectLaunched(await post(path, [], JSON_BODY));
      expectLaunched(await post(path.replace('start_batch', 'start'), [], SINGLE_JSON));
      const accept: Lines = [['Accept', 'application/xml']];
      expect((await post(path, accept, '{')).text, 'a launch replies in both formats').toMatch(/^<xml><error>400</);
      const campaign = await send('GET', path.replace('start_batch', '8'), [...AUTHORIZED, ...accept]);
      expect([campaign.status, JSON.parse(campaign.text).id]).toEqual([200, 8]);
      const missing = await send('GET', path.replace('start_batch', '404'), [...AUTHORIZED, ...accept]);
      expect((JSON.parse(missing.text) as Refusal).error, 'the other paths reply in JSON only').toBe(404);
      const defined = await send('PUT', path.replace('start_batch', '8'), AUTHORIZED, '{"active":true}');
      expect(defined.status).toBe(200);
      expect((await send('GET', path.replace('start_batch', '8//launches'), AUTHORIZED)).status).toBe(200);
      expect((await send('GET', path, AUTHORIZED)).headers.get('Allow')).toBe('POST');
    });

    it('slashes can be repeated around healthz', async () => {
      expect((await send('GET', '//healthz//', [])).status).toBe(200);
    });

    it('a request with repeated slashes is the same request as without them', async () => {
      const id: Lines = [['Request-ID', 'slashes']];
      const first = await post(BATCH, id, JSON_BODY);
      const again = await post(BATCH.replace('/triggers', '//triggers'), id, JSON_BODY);
      expect(again.headers.get('Duplicate-Request')).toBe('true');
      expect(again.headers.get('Launch-ID')).toBe(first.headers.get('Launch-ID'));
    });
  });

  describe('other headers sent twice', () => {
    it.each(BODIES)('a token that is sent twice counts as one (%s)', async (_, path, body) => {
      expectLaunched(await send('POST', path, [...AUTHORIZED, ...AUTHORIZED], body));
    });

    it('two different tokens are refused', async () => {
      const reply = await send('POST', BATCH, [...AUTHORIZED, ['Authorization', `Bearer ${TOKEN.launch}`]], JSON_BODY);
      expect(reply.status).toBe(401);
    });

    it('Content-Length can be sent twice with one value', async () => {
      const head = [
        `POST ${BATCH} HTTP/1.1`,
        `Host: ${worker.url.host}`,
        `Authorization: Bearer ${TOKEN.all}`,
        `Content-Length: ${JSON_BODY.length}`,
        `Content-Length: ${JSON_BODY.length}`,
        'Connection: close',
      ];
      const reply = await new Promise<string>((resolve, reject) => {
        const socket = net.connect(Number(worker.url.port), worker.url.hostname);
        let text = '';
        socket.on('data', (piece) => (text += piece.toString()));
        socket.on('error', reject);
        socket.on('end', () => resolve(text));
        socket.write(`${head.join('\r\n')}\r\n\r\n${JSON_BODY}`);
      });
      expect(reply).toMatch(/^HTTP\/1.1 200 /);
    });
  });

  describe('a body in another format', () => {
    const utf16 = (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le');
    it.each([
      ['form fields', 'token=abc&trigger_id=8', /not form fields.*send a JSON object or an XML document/],
      ['encoded form fields', '%7B%22token%22', /not form fields/],
      ['a JSON array', '[{"trigger_id":8}]', /not a JSON array; send one object/],
      ['a JSON string', '"x"', /not a JSON string/],
      ['multipart', '--x\r\nContent-Disposition: form-data\r\n', /not a multipart body/],
      ['gzip', gzipSync(JSON_BODY), /not gzip; send the body uncompressed/],
      ['UTF-16', utf16(JSON_BODY), /not UTF-16; send UTF-8/],
      ['UTF-16 without a byte order mark', utf16(JSON_BODY).subarray(2), /not UTF-16/],
      ['XML in UTF-16 without a byte order mark', utf16(XML_BODY).subarray(2), /not UTF-16/],
      [
        'SOAP',
        '<soap:Envelope xmlns:soap="x"><soap:Body/></soap:Envelope>',
        /not a SOAP envelope; send the request without SOAP/,
      ],
      ['HTML', '<html><body/></html>', /root element named xml, not HTML/],
      ['an HTML page', '<!DOCTYPE html><html></html>', /DTD/],
      ['another root element', '<request/>', /root element named xml/],
      ['a root element in capitals', '<XML/>', /root element named xml, in lower case/],
    ])('%s is refused as a body', async (_, body, said) => {
      for (const type of [undefined, 'application/x-www-form-urlencoded', 'text/plain']) {
        const headers: Lines = type ? [['Content-Type', type]] : [];
        for (const path of [BATCH, SINGLE]) {
          const reply = await post(path, headers, body);
          expect(reply.status, reply.text).toBe(400);
          expect(debug(reply)).toMatch(said);
        }
      }
    });

    it.each([
      ['JSON as XML', 'application/xml', JSON_BODY, /not JSON; send Content-Type: application\/json/],
      ['XML as JSON', 'application/json', XML_BODY, /not XML; send Content-Type: application\/xml/],
      ['gzip as JSON', 'application/json', gzipSync(JSON_BODY), /not gzip; send the body uncompressed/],
      ['gzip as XML', 'application/xml', gzipSync(XML_BODY), /not gzip; send the body uncompressed/],
      ['form fields as JSON', 'application/json', 'trigger_id=8', /not form fields/],
    ])('%s is refused', async (_, type, body, said) => {
      const reply = await post(BATCH, [['Content-Type', type]], body);
      expect(reply.status).toBe(400);
      expect(debug(reply)).toMatch(said);
    });

    it.each([
      ['form fields', 'name=x&active=true', /not form fields/],
      ['a JSON array', '[]', /not a JSON array/],
      ['XML', '<xml/>', /not XML/],
      ['gzip', gzipSync('{}'), /not gzip; send the body uncompressed/],
      ['UTF-16', utf16('{}'), /not UTF-16; send UTF-8/],
    ])('%s is refused as a definition', async (_, body, said) => {
      const reply = await put(8, body);
      expect(reply.status).toBe(400);
      expect(debug(reply)).toMatch(/^the body must be a JSON object/);
      expect(debug(reply)).toMatch(said);
    });

    it('an XML declaration with an encoding other than UTF-8 is refused', async () => {
      const reply = await post(BATCH, [], `<?xml version="1.0" encoding="windows-1251"?>${XML_BODY}`);
      const said = 'XML declaration: unsupported encoding "windows-1251"; send UTF-8';
      expect([reply.status, debug(reply)]).toEqual([415, said]);
    });

    it('URL-safe base64 in an attachment is refused', async () => {
      for (const data of ['QUJ-', 'QU_D', 'data:text/plain;base64,QU-D']) {
        const reply = await launch(worker, { ...GOOD, attach: [{ name: 'a', data }] });
        expect(reply.status).toBe(400);
        expect(debug(reply)).toContain("URL-safe base64 is not accepted; send '+' for '-' and '/' for '_'");
        const inXml = await launch(worker, xml(`<attach><name>a</name><data>${data}</data></attach>`));
        expect(debug(inXml)).toBe(debug(reply));
      }
    });

    it.each([
      ['content', '[]', 'content: must be an object, not a JSON array'],
      ['custom_data', '"x"', 'custom_data: must be an object, not a JSON string'],
      ['data', '{}', 'data: must be an array, not a JSON object'],
      ['attach', 'true', 'attach: must be an array, not a JSON boolean'],
      ['attach', '[7]', 'attach[0]: must be an object, not a JSON number'],
      ['attach', '[{"name":{},"data":"QUJD"}]', 'attach[0].name: must be a string, not a JSON object'],
      ['matching', '7', 'matching: must be a string, not a JSON number'],
      ['token', '[]', 'token: must be a string, not a JSON array'],
      ['format', 'true', 'format: must be a string, not a JSON boolean'],
      ['field_name', '{}', 'field_name: must be a string, not a JSON object'],
    ])('the message for a wrong type of %s names the type: %s', async (field, value, said) => {
      const reply = await launch(worker, json({ [field]: value }));
      expect([reply.status, debug(reply)]).toEqual([400, said]);
    });
  });

  it('the name of a campaign has 1 to 256 bytes', async () => {
    for (const [name, status] of [
      ['x'.repeat(256), 200],
      ['é'.repeat(128), 200],
      ['"'.repeat(256), 200],
      ['x'.repeat(257), 400],
      [`${'é'.repeat(128)}x`, 400],
      ['', 400],
    ] as const) {
      const reply = await put(950, JSON.stringify({ name, database: 1, active: true }));
      expect([name, reply.status]).toEqual([name, status]);
      if (status === 200) expect(await read(worker, `${TRIGGERS}/950`)).toMatchObject({ name });
    }
  });
});

describe('converting XML to JSON', () => {
  const MIB = 1024 * 1024;
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded({
      MEMORY_LIMIT: String(4 * MIB),
      UNVERIFIED_LIMIT: String(3 * MIB),
      BODY_LIMIT: String(3 * MIB),
    });
  });
  afterAll(() => stop(worker));

  const root = (more: string, item = '') =>
    `<xml><trigger_id>8</trigger_id><matching>email</matching>${more}<data><email>example1@example.com</email>${item}</data></xml>`;

  it.each(['content', 'custom_data'])(
    'many elements in %s need more memory than a text of the same size',
    async (field) => {
      const elements = `<${field}>${'<a/>'.repeat(MIB / 8)}</${field}>`;
      const text = `<${field}><a>${'x'.repeat(MIB / 2)}</a></${field}>`;
      for (let round = 0; round < 3; round++) {
        const refused = await launch(worker, root(elements));
        expect([refused.status, refused.headers.get('Retry-After')], refused.text).toEqual([503, '5']);
        expect((await launch(worker, root(text))).status).toBe(200);
      }
    },
  );

  it('the custom_data of an item is refused if its JSON is too long', async () => {
    const reply = await launch(worker, root('', `<custom_data>${'<a/>'.repeat(MIB / 4)}</custom_data>`));
    expect([reply.status, debug(reply)]).toEqual([400, 'data[0].custom_data: longer than 65536 bytes']);
  });
});
