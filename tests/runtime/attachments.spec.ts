// Contract §1 *Attachments*, §2 attachments.

import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bearer, CAMPAIGN, launch, logged, type Reply, seeded, stop, stream, TOKEN, TRIGGERS } from './fixture.js';
import type { TestWorker } from './harness.js';

const MIB = 1024 * 1024;
/** `FILES_LIMIT` of this suite. */
const LIMIT = 24 * MIB;
const PEOPLE = [{ email: 'example1@example.com' }];
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** A launch of files by their names; `attach` comes first. */
const withFiles = (files: Record<string, Uint8Array>, more: object = {}) => ({
  attach: Object.entries(files).map(([name, bytes]) => ({ name, data: Buffer.from(bytes).toString('base64') })),
  trigger_id: 85,
  matching: 'email',
  data: PEOPLE,
  ...more,
});

describe('attachments', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded({ FILES_LIMIT: String(LIMIT) });
  });
  afterAll(() => stop(worker));

  const path = (reply: Reply, number: number | string) =>
    `${TRIGGERS}/85/launches/${reply.headers.get('Launch-ID')}/attachments/${number}`;
  const download = (reply: Reply, number: number | string, headers: Record<string, string> = {}, method = 'GET') =>
    worker.request(path(reply, number), { method, headers: { ...bearer(TOKEN.read), ...headers } });
  const bytesOf = async (response: Response) => Buffer.from(await response.arrayBuffer());
  const stored = async () => (await worker.env.ATTACHMENTS.list()).objects.map(({ key }) => key).sort();

  it('attachments are readable byte for byte directly after the launch: small, empty, and in several parts', async () => {
    const files = {
      'prices.bin': randomBytes(12 * MIB + 1),
      'empty.txt': Buffer.alloc(0),
      'b.bin': randomBytes(70_000),
    };
    const reply = await launch(worker, withFiles(files));
    const { attachments } = await logged(worker, 85, reply);
    expect(attachments).toEqual(
      Object.entries(files).map(([name, bytes]) => ({
        name,
        content_type: 'application/octet-stream',
        size: bytes.length,
        sha256: sha256(bytes),
      })),
    );
    for (const [number, bytes] of Object.values(files).entries()) {
      const response = await download(reply, number);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-length')).toBe(String(bytes.length));
      expect(sha256(await bytesOf(response))).toBe(sha256(bytes));
    }
  });

  it('attachments in XML can be data URIs, with white space, CDATA and references', async () => {
    const file = randomBytes(300_000);
    const lines = file.toString('base64').replace(/.{76}/g, '$&\r\n');
    const reply = await launch(
      worker,
      `<xml><attach><data>data:application/pdf;base64,${lines}</data><name>a &amp; &#x431;.pdf</name></attach>` +
        `<attach><name>b.txt</name><data><![CDATA[aGVs]]>bG8&#61;</data></attach>` +
        `<trigger_id>85</trigger_id><matching>email</matching><data><email>example1@example.com</email></data></xml>`,
    );
    const first = await download(reply, 0);
    expect(first.headers.get('content-type')).toBe('application/pdf');
    expect(first.headers.get('content-disposition')).toBe(
      `attachment; filename="a & _.pdf"; filename*=UTF-8''a%20&%20%D0%B1.pdf`,
    );
    expect((await bytesOf(first)).equals(file)).toBe(true);
    expect((await bytesOf(await download(reply, 1))).toString()).toBe('hello');
  });

  it('ranges and conditional requests of attachments are answered with 206 and 304', async () => {
    const file = randomBytes(6 * MIB);
    const reply = await launch(worker, withFiles({ 'a.bin': file }));
    const whole = await download(reply, 0);
    await whole.arrayBuffer();
    expect(Object.fromEntries(whole.headers)).toMatchObject({
      'accept-ranges': 'bytes',
      'cache-control': 'private, no-store',
      'content-disposition': 'attachment; filename="a.bin"',
      'content-security-policy': "sandbox; default-src 'none'",
      'content-type': 'application/octet-stream',
      etag: `"${sha256(file)}"`,
      'x-content-type-options': 'nosniff',
    });

    const end = file.length;
    for (const [range, from, to] of [
      ['bytes=0-0', 0, 1],
      ['bytes=5242870-5242890', 5_242_870, 5_242_891],
      ['bytes=6000000-', 6_000_000, end],
      ['bytes=-7', end - 7, end],
    ] as const) {
      const part = await download(reply, 0, { Range: range });
      expect(part.status, range).toBe(206);
      expect(part.headers.get('content-range')).toBe(`bytes ${from}-${to - 1}/${end}`);
      expect(part.headers.get('content-length')).toBe(String(to - from));
      expect((await bytesOf(part)).equals(file.subarray(from, to)), range).toBe(true);
    }
    const beyond = await download(reply, 0, { Range: `bytes=${end}-` });
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${end}`]);
    expect(await beyond.json()).toMatchObject({ error: 416 });
    const several = await download(reply, 0, { Range: 'bytes=0-1,4-5' });
    expect([several.status, (await bytesOf(several)).length]).toEqual([200, end]);

    for (const tag of [`"${sha256(file)}"`, `"x", W/"${sha256(file)}"`, '*']) {
      const known = await download(reply, 0, { 'If-None-Match': tag });
      expect([known.status, (await bytesOf(known)).length, known.headers.get('etag')]).toEqual([
        304,
        0,
        `"${sha256(file)}"`,
      ]);
    }
    const other = await download(reply, 0, { Range: 'bytes=0-0', 'If-Range': '"x"' });
    expect([other.status, (await bytesOf(other)).length]).toEqual([200, end]);
    // A range is of GET alone (RFC 9110, §14.2).
    for (const headers of [{}, { Range: 'bytes=0-0' }]) {
      const head = await download(reply, 0, headers, 'HEAD');
      const { status } = head;
      expect([status, head.headers.get('content-length'), (await bytesOf(head)).length]).toEqual([200, String(end), 0]);
    }
  });

  it('attachments are read by number, with the scope read, in the database of the campaign', async () => {
    const reply = await launch(worker, withFiles({ 'a.bin': randomBytes(10) }));
    for (const [token, status] of [
      [TOKEN.launch, 403],
      [TOKEN.elsewhere, 404],
      [TOKEN.unknown, 401],
    ] as const) {
      expect((await download(reply, 0, bearer(token))).status).toBe(status);
    }
    for (const number of [1, 'x', '+0', '99999999999999999999']) {
      const missing = await download(reply, number);
      expect([missing.status, await missing.json()]).toMatchObject([404, { error_debug: 'no such attachment' }]);
    }
  });

  it('a refused launch leaves no readable attachment', async () => {
    const before = await stored();
    const files = { 'a.bin': randomBytes(6 * MIB), 'b.bin': randomBytes(1000) };
    const [entry] = withFiles(files).attach;
    const late = `${entry?.data.slice(0, -8)}*AAAAAAA`;
    for (const [status, document] of [
      [400, withFiles(files, { skip_triggers: 'maybe' })],
      [400, withFiles(files, { attach: [{ name: 'a.bin', data: late }] })],
      [400, withFiles(files, { attach: [entry, { data: 'AAAA' }] })],
      [400, withFiles(files, { strict: true, data: [{ email: 'nobody@example.com' }] })],
      [401, withFiles(files, { token: TOKEN.unknown })],
      [404, withFiles(files, { trigger_id: CAMPAIGN.unknown })],
      [409, withFiles(files, { trigger_id: CAMPAIGN.paused })],
      [200, withFiles(files, { dry_run: true })],
    ] as const) {
      expect((await launch(worker, document)).status).toBe(status);
    }
    expect(await stored()).toEqual(before);
  });

  it('attachments over FILES_LIMIT are refused, announced or not', async () => {
    const before = await stored();
    const announced = await stream(worker, ['{'], { length: LIMIT + 1 });
    const body = Buffer.from(JSON.stringify(withFiles({ 'a.bin': Buffer.alloc(17 * MIB) })));
    const chunked = await stream(worker, [body, Buffer.alloc(LIMIT + 1 - body.length, ' ')]);
    for (const { status, text } of [announced, chunked]) {
      expect(status).toBe(413);
      expect(JSON.parse(text)).toMatchObject({ error: 400, error_debug: 'http: request body too large' });
    }
    expect(await stored()).toEqual(before);
  });

  it('attachments over BODY_LIMIT before the token are refused and not stored', async () => {
    const before = await stored();
    const document = { ...withFiles({ 'a.bin': randomBytes(11 * MIB) }), token: TOKEN.all };
    const refused = await launch(worker, document, {});
    expect([refused.status, refused.text]).toEqual([401, expect.stringContaining('Authorization')]);
    expect(await stored()).toEqual(before);
    const held = { ...withFiles({ 'a.bin': randomBytes(MIB) }), token: TOKEN.all };
    expect((await launch(worker, held, {})).status).toBe(200);
  });
});
