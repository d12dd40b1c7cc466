// Launches for tests that kill the runtime: the request, how it is sent, and the expected content of the log. A launch depends
// only on its random numbers, so a repeated request is the same, byte for byte.

import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BATCH, bearer, type Reply, SINGLE } from './fixture.js';
import { address, NUMBERED, numbered } from './profiles.js';

const MIB = 1024 * 1024;
/** The number of bytes that are written to a connection at once. */
const PIECE = 64 * 1024;
/** Attachments are slices of these bytes. */
const BYTES = randomBytes(16 * MIB);

/** Pseudorandom numbers (Mulberry32). */
export class Random {
  constructor(private state: number) {}

  /** Returns an integer from 0 to `end` − 1. */
  below(end: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end);
  }

  /** Returns one of the values. */
  of<T>(some: readonly T[]): T {
    return some[this.below(some.length)] as T;
  }
}

/** A recipient in the log. */
export interface Recipient {
  index: number;
  profile_id: string;
  custom_data?: object;
}

/** A file, and its digest in the log. */
export interface File {
  name: string;
  bytes: Buffer;
  sha256: string;
}

/** A launch request, and its expected recipients and files. */
export interface Wish {
  path: string;
  headers: Record<string, string>;
  /** Creates the body. The bodies of all callers would not fit into memory together. */
  body: () => Buffer;
  recipients: Recipient[];
  files: File[];
}

/** Kinds of launches: to one profile, with thousands of items, or with files. */
export type Kind = keyof typeof WISHES;

/** Creates a launch of a kind. */
export const wish = (kind: Kind, campaign: number, random: Random): Wish => WISHES[kind](campaign, random);

const WISHES = {
  single(campaign: number, random: Random): Wish {
    const n = random.below(NUMBERED);
    const body = () => Buffer.from(JSON.stringify({ id: campaign, email: address(n) }));
    const recipients = [{ index: 0, profile_id: numbered(n) }];
    return { path: SINGLE, headers: JSON_TYPE, body, recipients, files: [] };
  },

  bulk(campaign: number, random: Random): Wish {
    const count = 1000 + random.below(9000);
    const first = random.below(NUMBERED);
    // Each profile occurs once, so every known item is a recipient.
    const known = Math.min(count, 1 + random.below(NUMBERED));
    const email = (at: number) => (at < known ? address((first + at) % NUMBERED) : `x${at}@nobody.example`);
    const pad = random.below(100_000);
    const json = () => {
      const data = Array.from({ length: count }, (_, at) => ({ email: email(at) }));
      return Buffer.from(JSON.stringify({ data, content: { pad: 'x'.repeat(pad) }, trigger_id: campaign }));
    };
    const xml = () => {
      const data = Array.from({ length: count }, (_, at) => `<data><email>${email(at)}</email></data>`).join('');
      const head = `<trigger_id>${campaign}</trigger_id><content><pad>${'x'.repeat(pad)}</pad></content>`;
      return Buffer.from(`<xml>${head}${data}</xml>`);
    };
    const [body, headers] = random.of([
      [json, JSON_TYPE],
      [xml, { 'Content-Type': 'application/xml' }],
    ] as const);
    const recipients = Array.from({ length: known }, (_, index) => ({
      index,
      profile_id: numbered((first + index) % NUMBERED),
    }));
    return { path: BATCH, headers, body, recipients, files: [] };
  },

  /** A file of several parts and a small one, or several files of one part. */
  files(campaign: number, random: Random): Wish {
    const sizes =
      random.below(3) > 0
        ? [5 * MIB + random.below(7 * MIB), random.below(1000)]
        : Array.from({ length: 2 + random.below(6) }, () => random.below(400_000));
    const files = sizes.map((size, at) => file(`${at}.bin`, size, random));
    const n = random.below(NUMBERED);
    const custom_data = { at: n };
    const body = () => {
      const attach = files.map(({ name, bytes }) => ({ name, data: bytes.toString('base64') }));
      return Buffer.from(JSON.stringify({ attach, data: [{ email: address(n), custom_data }], trigger_id: campaign }));
    };
    const recipients = [{ index: 0, profile_id: numbered(n), custom_data }];
    return { path: BATCH, headers: JSON_TYPE, body, recipients, files };
  },
} as const;

const JSON_TYPE = { 'Content-Type': 'application/json' };

function file(name: string, size: number, random: Random): File {
  const from = random.below(BYTES.length - size);
  const bytes = BYTES.subarray(from, from + size);
  return { name, bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** Sends a request in pieces, and reports the bytes that were sent. Returns `undefined` if the reply is missing or incomplete. */
export function send(
  url: URL,
  { path, headers }: Wish,
  bytes: Buffer,
  requestId: string,
  sent: (bytes: number) => void = () => {},
): Promise<Reply | undefined> {
  const pieces = function* () {
    for (let at = 0; at < bytes.length; at += PIECE) {
      const piece = bytes.subarray(at, at + PIECE);
      yield piece;
      sent(piece.length);
    }
  };
  return new Promise((resolve) => {
    const lost = () => resolve(undefined);
    const request = http.request(new URL(path, url), {
      method: 'POST',
      agent: false,
      headers: { ...bearer(), ...headers, 'Content-Length': bytes.length, 'Request-ID': requestId },
    });
    request.on('response', (response) => {
      const text: Buffer[] = [];
      response.on('data', (piece: Buffer) => text.push(piece));
      response.on('error', lost);
      response.on('end', () => {
        const head = new Headers(response.headers as Record<string, string>);
        resolve({ status: response.statusCode ?? 0, headers: head, text: Buffer.concat(text).toString() });
      });
    });
    request.on('error', lost);
    pipeline(Readable.from(pieces()), request).catch(lost);
  });
}
