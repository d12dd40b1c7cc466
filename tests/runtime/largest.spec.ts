// Attachments at the default limits: bodies of 100 MiB, to the byte; a hundred files; each way to write base64, from end to end.

import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BATCH, bearer, debug, launch, logged, type Reply, seeded, stop, stream, TOKEN, TRIGGERS } from './fixture.js';
import type { TestWorker } from './harness.js';

/** `FILES_LIMIT`. */
const LIMIT = 100 * 1024 * 1024;
const HEAD = '"trigger_id":85,"matching":"email","data":[{"email":"example1@example.com"}]';
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('the largest bodies', () => {
  let worker: TestWorker;
  let file: Buffer;
  let body: Buffer;
  beforeAll(async () => {
    worker = await seeded();
    // Almost as much as fits in groups of four; white space makes up the rest.
    file = randomBytes(Math.floor((LIMIT - 200) / 4) * 3);
    const text = `{${HEAD},"attach":[{"name":"a.bin","data":"${file.toString('base64')}"}]`;
    body = Buffer.from(`${text}${' '.repeat(LIMIT - text.length - 1)}}`);
  });
  afterAll(() => stop(worker));

  const stored = async () => (await worker.env.ATTACHMENTS.list()).objects.map(({ key }) => key).sort();
  /** In pieces, without their length. */
  const chunked = (bytes: Buffer) => {
    const size = 1024 * 1024;
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      bytes.subarray(at * size, (at + 1) * size),
    );
    return stream(worker, pieces);
  };
  const download = async (reply: Reply, number: number) => {
    const path = `${TRIGGERS}/85/launches/${reply.headers.get('Launch-ID')}/attachments/${number}`;
    const response = await worker.request(path, { headers: bearer(TOKEN.read) });
    return Buffer.from(await response.arrayBuffer());
  };

  it('a body of 100 MiB is launched, and its files are readable byte for byte', async () => {
    expect(body.length).toBe(LIMIT);
    const headers = { 'Content-Type': 'application/json', ...bearer() };
    const response = await worker.request(BATCH, { method: 'POST', headers, body });
    const reply = { status: response.status, headers: response.headers, text: await response.text() };
    const { attachments } = await logged(worker, 85, reply);
    expect(attachments).toMatchObject([{ name: 'a.bin', size: file.length, sha256: sha256(file) }]);
    expect(sha256(await download(reply, 0))).toBe(sha256(file));
  });

  it('a body of one byte more is refused, even if its length is not announced', async () => {
    const before = await stored();
    const reply = await chunked(Buffer.concat([body.subarray(0, -1), Buffer.from(' }')]));
    expect([reply.status, debug(reply)]).toEqual([413, 'http: request body too large']);
    expect(await stored()).toEqual(before);
  });

  it('an invalid character at byte 90,000,000 of a file is refused, and nothing remains', async () => {
    const before = await stored();
    const wrong = Buffer.from(body);
    wrong[wrong.indexOf('"data":"') + '"data":"'.length + 90_000_000] = '*'.charCodeAt(0);
    const reply = await chunked(wrong);
    const told = 'attach[0].data: a character that is not base64 at byte 90000000 of the value';
    expect([reply.status, debug(reply)]).toEqual([400, told]);
    expect(await stored()).toEqual(before);
  });

  it('a hundred files are accepted, and one more is refused', async () => {
    const files = Array.from({ length: 100 }, (_, at) => randomBytes(at * 331));
    const attach = files.map((bytes, at) => ({ name: `${at}.bin`, data: bytes.toString('base64') }));
    const document = (attach: object[]) => `{${HEAD},"attach":${JSON.stringify(attach)}}`;
    const reply = await launch(worker, document(attach));
    const { attachments } = await logged(worker, 85, reply);
    expect(attachments.map(({ sha256 }: { sha256: string }) => sha256)).toEqual(files.map(sha256));
    for (const at of [0, 1, 50, 99]) expect((await download(reply, at)).equals(files[at] as Buffer)).toBe(true);
    const more = await launch(worker, document([...attach, { name: 'more', data: '' }]));
    expect([more.status, debug(more)]).toEqual([400, 'attach: has more than 100 entries']);
  });

  it('base64 can contain every JSON escape', async () => {
    const bytes = randomBytes(300_000);
    const plain = bytes.toString('base64');
    const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
    const ways = [
      plain.replaceAll('/', '\\/'),
      plain.replaceAll('/', '\\u002F'),
      plain.replace(/[A-M]/g, escaped),
      plain.replace(/.{76}/g, '$&\\r\\n'),
      plain.replace(/.{60}/g, '$& \\t'),
      plain.replace(/=+$/, ''),
      `data:application/pdf;base64,${plain.replaceAll('+', '\\u002b')}`,
    ];
    const attach = ways.map((data, at) => `{"data":"${data}","name":"${at}"}`);
    const reply = await launch(worker, `{"attach":[${attach.join(',')}],${HEAD}}`);
    for (const at of ways.keys()) expect((await download(reply, at)).equals(bytes), ways[at]?.slice(0, 80)).toBe(true);
  });
});
