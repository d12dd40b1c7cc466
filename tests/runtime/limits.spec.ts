// The limits of docs/reference/limits.md, to the byte, with and without an announced length.

import net from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  BATCH,
  bearer,
  debug,
  GOOD,
  ids,
  launch,
  logged,
  placeOf,
  read,
  seeded,
  stop,
  stream,
  TOKEN,
  TRIGGERS,
  WAIT,
} from './fixture.js';
import type { TestWorker } from './harness.js';
import { ID } from './profiles.js';

const DATA = GOOD.data;
const BODY_LIMIT = 10_485_760;
const TOO_LARGE = '{"error":400,"error_debug":"http: request body too large","error_text":"Invalid request"}';

/** A JSON request of this size in bytes. An unknown field fills it. */
function sized(bytes: number, fields: object = GOOD): string {
  const [begin, end] = ['{"pad":"', `",${JSON.stringify(fields).slice(1)}`];
  return begin + 'x'.repeat(bytes - begin.length - end.length) + end;
}

/** An XML request of this size in bytes. An unknown field fills it. */
function sizedXml(bytes: number): string {
  const [begin, end] = [
    '<xml><pad>',
    `</pad><trigger_id>8</trigger_id><data><email>${DATA[0]?.email}</email></data></xml>`,
  ];
  return begin + 'x'.repeat(bytes - begin.length - end.length) + end;
}

/** Cuts a text into pieces that are sent one by one. */
function* cut(text: string, size = 100_000) {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
}

/** Writes bytes to a connection, ends it, and reads until it closes. */
function raw(worker: TestWorker, bytes: string, end: 'end' | 'destroy' | 'wait' = 'end'): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(Number(worker.url.port), worker.url.hostname);
    let text = '';
    socket.on('data', (piece) => (text += piece.toString()));
    // `close` follows, as for a connection that is closed in order.
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
    socket.write(bytes, () => {
      if (end === 'end') socket.end();
      if (end === 'destroy') socket.destroy();
    });
  });
}

/** The header lines of a launch request. */
const head = (length: number, id: string) =>
  `POST ${BATCH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN.all}\r\nContent-Type: application/json\r\n` +
  `Content-Length: ${length}\r\nRequest-ID: ${id}\r\nConnection: close\r\n\r\n`;

describe('limits', () => {
  let worker: TestWorker;
  let small: TestWorker;
  beforeAll(async () => {
    const limits = { BODY_LIMIT: '4000', FILES_LIMIT: '2000', ITEMS_LIMIT: '3', CONTENT_LIMIT: '100' };
    [worker, small] = await Promise.all([seeded(), seeded(limits)]);
  });
  afterAll(() => Promise.all([stop(worker), stop(small)]));

  describe('BODY_LIMIT', () => {
    it.each([
      ['JSON', sized],
      ['XML', sizedXml],
    ])('10,485,760 bytes of %s pass, and one more does not', async (name, body) => {
      const headers = { 'Content-Type': name === 'XML' ? 'application/xml' : 'application/json' };
      for (const [bytes, status] of [
        [BODY_LIMIT, 200],
        [BODY_LIMIT + 1, 413],
      ] as const) {
        const text = body(bytes);
        for (const length of [text.length, undefined]) {
          const reply = await stream(worker, cut(text), { headers, ...(length ? { length } : {}) });
          expect([bytes, length, reply.status, reply.text]).toEqual([
            bytes,
            length,
            status,
            status === 413 ? TOO_LARGE : expect.stringContaining(ID.one),
          ]);
        }
      }
    });

    it('the error message in XML has no quotation marks', async () => {
      const reply = await stream(worker, cut(sized(BODY_LIMIT + 1)), { path: `${BATCH}?format=xml` });
      expect(reply.text).toBe(
        '<xml><error>400</error><error_debug>http: request body too large</error_debug>' +
          '<error_text>Invalid request</error_text></xml>',
      );
    });

    it('the limit applies even if the token is the last field of a body of 10 MiB', async () => {
      const data = Array.from({ length: 20_000 }, (_, n) => ({ email: `nobody${n}@example.com` }));
      const text = sized(BODY_LIMIT, { data: [...data, ...DATA], trigger_id: 8, token: TOKEN.all });
      expect(ids(await launch(worker, text, {}))).toEqual([ID.one]);
      const unknown = await launch(worker, text.replace(TOKEN.all, TOKEN.unknown), {});
      expect(unknown.status).toBe(401);
    });

    it('the limit applies to a value without an end', async () => {
      const endless = function* () {
        yield '{"trigger_id":8,"u":"';
        for (let n = 0; n < 110; n++) yield 'x'.repeat(100_000);
      };
      const reply = await stream(worker, endless());
      expect([reply.status, reply.text]).toEqual([413, TOO_LARGE]);
    });
  });

  describe('FILES_LIMIT', () => {
    it('an announced length over the limit is refused before the body is read', async () => {
      const reply = await stream(worker, ['{'], { length: 104_857_601 });
      expect([reply.status, reply.text]).toEqual([413, TOO_LARGE]);
    });

    it('the limit counts the whole body', async () => {
      for (const [bytes, status] of [
        [2000, 200],
        [2001, 413],
      ] as const) {
        for (const length of [bytes, undefined]) {
          const reply = await stream(small, cut(sized(bytes), 700), length ? { length } : {});
          expect([bytes, length, reply.status]).toEqual([bytes, length, status]);
        }
      }
    });
  });

  it('a request with as many items as ITEMS_LIMIT passes, and one with another item is refused', async () => {
    const items = (count: number) => ({ trigger_id: 8, data: Array.from({ length: count }, () => DATA[0]) });
    expect((await launch(small, items(3))).status).toBe(200);
    const reply = await launch(small, items(4));
    expect([reply.status, debug(reply)]).toEqual([400, 'data: has more than 3 items']);
  });

  it.each(['content', 'custom_data'])(
    '%s of 1 MiB (CONTENT_LIMIT) passes, and a byte more is refused',
    async (field) => {
      const object = (bytes: number) => `{"a":"${'x'.repeat(bytes - 8)}"}`;
      const body = (bytes: number) => `{"trigger_id":8,"${field}":${object(bytes)},"data":${JSON.stringify(DATA)}}`;
      const reply = await launch(worker, body(1_048_576));
      expect((await logged(worker, 8, reply))[field].a).toHaveLength(1_048_568);
      for (const [server, bytes, limit] of [
        [worker, 1_048_577, 1_048_576],
        [small, 101, 100],
      ] as const) {
        const refused = await launch(server, body(bytes));
        expect([refused.status, debug(refused)]).toEqual([400, `${field}: is longer than ${limit} bytes`]);
      }
      expect((await launch(small, body(100))).status).toBe(200);
    },
  );

  it("an item's custom_data of 64 KiB passes, and a byte more is refused", async () => {
    const item = (bytes: number) => ({ ...DATA[0], custom_data: { a: 'x'.repeat(bytes - 8) } });
    const reply = await launch(worker, { trigger_id: 8, data: [item(65_536)] });
    const { recipients } = await read(worker, `${placeOf(8, reply)}/recipients`);
    expect(recipients[0].custom_data.a).toHaveLength(65_528);
    const refused = await launch(worker, { trigger_id: 8, data: [...DATA, item(65_537)] });
    expect([refused.status, debug(refused)]).toEqual([400, 'data[1].custom_data: longer than 65536 bytes']);
  });

  it('other root fields have at most 16 KiB', async () => {
    for (const field of ['token', 'format', 'trigger_id', 'matching', 'field_name', 'report']) {
      const reply = await launch(worker, { [field]: '1'.repeat(20_000), data: DATA });
      expect([reply.status, debug(reply)]).toEqual([400, `${field}: is longer than 16384 bytes`]);
    }
  });

  describe('an incomplete body', () => {
    const body = JSON.stringify(GOOD);
    const launches = async () => ((await read(worker, `${TRIGGERS}/8`)) as { launches: number }).launches;

    it.each([
      ['is a complete document, but shorter than its length', `${head(body.length + 1, 'short-1')}${body}`],
      ['is much shorter than its length', `${head(200_000, 'short-2')}${body}`],
      ['ends before its length', `${head(body.length, 'short-3')}${body.slice(0, -10)}`],
      ['is missing', head(body.length, 'short-4')],
      [
        'ends inside a chunk',
        `${head(0, 'short-5').replace('Content-Length: 0', 'Transfer-Encoding: chunked')}ff\r\n${body}`,
      ],
      [
        'ends between chunks',
        `${head(0, 'short-6').replace('Content-Length: 0', 'Transfer-Encoding: chunked')}5\r\n${body.slice(0, 5)}\r\n`,
      ],
    ])('an incomplete body launches nothing: it %s', async (_, bytes) => {
      const before = await launches();
      for (const end of ['end', 'destroy'] as const) {
        const answer = await raw(worker, bytes, end);
        // After the client has ended the connection, it may receive nothing, or a response of the local runtime's proxy.
        expect(answer).not.toMatch(/^HTTP\/1\.1 2/);
      }
      expect(await launches()).toBe(before);
      // The ID can be used for another request.
      const id = /short-\d/.exec(bytes)?.[0] ?? '';
      const reply = await launch(worker, body, { ...bearer(), 'Request-ID': id });
      expect([reply.status, reply.headers.get('Duplicate-Request')]).toEqual([200, null]);
    });

    it('bytes after the announced length are read as the next request', async () => {
      const answer = await raw(worker, `${head(body.length, 'long-1')}${body}garbage\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 200 /);
      const cut = await raw(worker, `${head(body.length - 1, 'long-2')}${body}`);
      expect(cut).toMatch(/^HTTP\/1\.1 400 /);
    });

    it('a document that ends early is reported as malformed', async () => {
      for (const text of [
        body.slice(0, -1),
        '{',
        '{"trigger_id":8',
        '<xml>',
        '<xml><data>',
        '<xml><trigger_id>8</trigger',
      ]) {
        const reply = await launch(worker, text);
        expect([text, reply.status]).toEqual([text, 400]);
        expect(debug(reply)).toMatch(/^byte \d+: /);
      }
    });
  });

  it('a client that sends its whole body before it reads receives the refusal', async () => {
    // The headers are enough to refuse both requests.
    for (const [headers, status] of [
      [bearer(TOKEN.unknown), 401],
      [{ 'Content-Type': 'text/html' }, 415],
    ] as const) {
      const text = sized(1_000_000);
      const request = `${Object.entries({ ...bearer(), 'Content-Type': 'application/json', ...headers }).reduce(
        (lines, [name, value]) => `${lines}${name}: ${value}\r\n`,
        `POST ${BATCH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${text.length}\r\n`,
      )}\r\n${text}`;
      const answer = await raw(worker, request, 'wait');
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    }
  });

  it('a slow client with an unknown token can send the rest of its body and reuse its connection', async () => {
    const socket = net.connect(Number(worker.url.port), worker.url.hostname);
    socket.setEncoding('latin1');
    let answers = '';
    socket.on('data', (piece: string) => (answers += piece));
    const refused = { ...bearer(TOKEN.unknown), 'Content-Type': 'application/json', 'Content-Length': '900000' };
    const lines = Object.entries(refused).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`POST ${BATCH} HTTP/1.1\r\nHost: localhost\r\n${lines.join('')}\r\n{"a":"`);
    // The token is refused while a read of the body is in progress.
    for (let at = 0; at < 5; at++) expect((await launch(worker, GOOD, bearer(TOKEN.unknown))).status).toBe(401);
    expect(answers).toBe('');
    socket.write('x'.repeat(900_000 - 6));
    await vi.waitUntil(() => answers.includes('API token required'), WAIT);
    socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await vi.waitUntil(() => answers.includes('"status":"ok"'), WAIT);
    expect(answers).toMatch(/^HTTP\/1\.1 401 /);
    socket.destroy();
  });
});
