// The base64 of attachments, in the real runtime: its blocks are decoded by vectors of WebAssembly, which no native test runs.

import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch, logged, seeded, stop } from './fixture.js';
import type { TestWorker } from './harness.js';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
/** Characters that are decoded together. */
const BLOCK = 64;
const HEAD = { trigger_id: 85, matching: 'email', data: [{ email: 'example1@example.com' }] };
const XML_HEAD =
  '<trigger_id>85</trigger_id><matching>email</matching><data><email>example1@example.com</email></data>';

const FORMATS = {
  json: (texts: string[]) =>
    JSON.stringify({ ...HEAD, attach: texts.map((data, at) => ({ name: `${at}`, data: data })) }),
  xml: (texts: string[]) =>
    `<xml>${texts.map((data, at) => `<attach><name>${at}</name><data>${data}</data></attach>`).join('')}${XML_HEAD}</xml>`,
};

describe.each(Object.entries(FORMATS))('base64 in %s', (format, document) => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded();
  });
  afterAll(() => stop(worker));

  /** What the log says of attachments with these texts is what another decoder makes of them. */
  async function expectDecoded(texts: string[]) {
    const { attachments } = await logged(worker, 85, await launch(worker, document(texts)));
    const decoded = texts.map((text) => Buffer.from(text, 'base64'));
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    expect(attachments.map(({ size, sha256 }: { size: number; sha256: string }) => [size, sha256])).toEqual(
      decoded.map((bytes) => [bytes.length, digest(bytes)]),
    );
  }

  it('base64 is decoded with every character at every position of a block', async () => {
    const turned = Array.from(ALPHABET, (_, at) => ALPHABET.slice(at) + ALPHABET.slice(0, at));
    await expectDecoded(turned.map((text) => text.repeat(3)));
  });

  it('base64 of any length is decoded, wherever chunks end', async () => {
    const long = ALPHABET.repeat(3000);
    await expectDecoded(Array.from({ length: 90 }, (_, at) => long.slice(at, at + 4 * at)));
    await expectDecoded([1, 2, 3, 4, 5, 6, 7].map((at) => long.slice(at, at + 4 * (30_000 + at))));
  });

  it('base64 in lines is decoded', async () => {
    const end = format === 'json' ? '\r\n' : '\n';
    const lines = (length: number) => ALPHABET.repeat(100).replace(new RegExp(`.{${length}}`, 'g'), `$&${end}`);
    await expectDecoded([60, 63, 64, 65, 76, 77, 128, 1000].map(lines));
  });

  it('any other character is refused with its position', async () => {
    // What ends a string or an element, or begins an escape, is not for the decoder to refuse; white space is let through.
    const passes = /[A-Za-z0-9+/=\s"\\<&]/;
    const others = Array.from({ length: 0x60 }, (_, at) => String.fromCharCode(0x20 + at)).filter(
      (character) => !passes.test(character),
    );
    for (const [at, character] of [...others, '\u{80}', '\u{ff}', '\u{7ff}', '\u{20ac}', '\u{1f600}'].entries()) {
      const before = ALPHABET + ALPHABET.slice(0, (at * 7) % BLOCK);
      const reply = await launch(worker, document([`${before}${character}${ALPHABET.repeat(3)}`]));
      expect([reply.status, reply.text], character).toEqual([
        400,
        expect.stringContaining(`attach[0].data: a character that is not base64 at byte ${before.length} of the value`),
      ]);
    }
  });
});
