// A Worker with tokens, campaigns and profiles: what most suites start from.

import { createHash } from 'node:crypto';
import http from 'node:http';
import { expect, inject } from 'vitest';
import { type Served, TestWorker, type Vars } from './harness.js';
import type { Pair } from './seed.js';

/** Tokens by what they may do. */
export const TOKEN = {
  /** The specification's: everything, everywhere. */
  all: 'abcdefghijklmnqrstuvwxyz',
  launch: 'launch-only-0123456789',
  read: 'read-only-0123456789',
  admin: 'admin-only-0123456789',
  /** Everything, in database 2. */
  elsewhere: 'elsewhere-0123456789',
  revoked: 'revoked-0123456789-0123',
  unknown: 'unknown-0123456789-0123',
} as const;

/** Campaigns by what is special about them. 1, 8, 85 and 96 are active and on database 1, as in the specification. */
export const CAMPAIGN = {
  paused: 2,
  /** On database 2, which has no import. */
  unimported: 3,
  /** On database 3, whose index was made with another key. */
  foreign: 4,
  unknown: 404,
} as const;

export const TRIGGERS = '/api/v1.1/campaigns/triggers';
export const BATCH = `${TRIGGERS}/start_batch`;
export const SINGLE = `${TRIGGERS}/start`;

/** A good launch, of one profile. */
export const GOOD = { trigger_id: 8, data: [{ email: 'example1@example.com' }] };

/** Headers of a caller whose token is in the head. */
export const bearer = (token: string = TOKEN.all) => ({ Authorization: `Bearer ${token}` });

/** A Worker with everything above. */
export async function seeded(vars: Vars = {}): Promise<TestWorker> {
  const worker = await TestWorker.start(vars);
  await seed(worker);
  return worker;
}

/** Writes everything above into the storage of a Worker. */
export async function seed(worker: Served): Promise<void> {
  const { first, foreign } = inject('indexes');
  await Promise.all([put(worker, first), put(worker, foreign), grant(worker)]);
  const campaigns: [number, number, boolean][] = [
    ...[1, 8, 85, 96].map((id): [number, number, boolean] => [id, 1, true]),
    [CAMPAIGN.paused, 1, false],
    [CAMPAIGN.unimported, 2, true],
    [CAMPAIGN.foreign, 3, true],
  ];
  await Promise.all(
    campaigns.map(([id, database, active]) => define(worker, id, { name: `c${id}`, database, active })),
  );
}

/** Writes an index; its manifest last, as an import does. */
export async function put(worker: Served, pairs: Pair[]): Promise<void> {
  const isManifest = ([key]: Pair) => key.startsWith('manifest:');
  const write = (some: Pair[]) => Promise.all(some.map(([key, value]) => worker.env.PROFILES.put(key, value)));
  await write(pairs.filter((pair) => !isManifest(pair)));
  await write(pairs.filter(isManifest));
}

/** `PUT` of a campaign, which must be taken. */
export async function define(worker: Served, id: number, definition: object): Promise<void> {
  const headers = { 'Content-Type': 'application/json', ...bearer() };
  const request = { method: 'PUT', body: JSON.stringify(definition), headers };
  const response = await worker.request(`${TRIGGERS}/${id}`, request);
  expect(await response.text(), `campaign ${id}`).toContain('"active"');
}

async function grant(worker: Served): Promise<void> {
  const everything = ['launch', 'read', 'admin'];
  const records: Record<keyof typeof TOKEN, object | null> = {
    all: { scopes: everything },
    launch: { scopes: ['launch'] },
    read: { scopes: ['read'] },
    admin: { scopes: ['admin'] },
    elsewhere: { scopes: everything, databases: [2] },
    revoked: { scopes: everything, revoked: 1_700_000_001_000 },
    unknown: null,
  };
  for (const [name, record] of Object.entries(records)) {
    if (!record) continue;
    const digest = createHash('sha256')
      .update('trigger-launch token v1\0')
      .update(TOKEN[name as keyof typeof TOKEN]);
    const value = { name, created: 1_700_000_000_000, ...record };
    await worker.env.ACCESS.put(`token:${digest.digest('hex')}`, JSON.stringify(value));
  }
}

/** Stops the Worker. What it has logged holds no token, no e-mail address and no phone number. */
export async function stop(worker: TestWorker): Promise<void> {
  const logs = worker.logs().join('\n');
  await worker.stop();
  expect(logs).toContain('"status":');
  for (const token of Object.values(TOKEN)) expect(logs).not.toContain(token);
  expect(logs).not.toMatch(/@(bulk\.)?example/i);
  expect(logs).not.toMatch(/\+?7900000000/);
}

/** A reply, read whole. */
export interface Reply {
  status: number;
  headers: Headers;
  text: string;
}

/** A `POST` of a document that is JSON unless it begins like XML; the token is in the head unless told otherwise. */
export async function launch(
  worker: Served,
  document: unknown,
  headers: Record<string, string> = bearer(),
  path: string = BATCH,
): Promise<Reply> {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  const type = text.startsWith('<') ? 'application/xml' : 'application/json';
  // As bytes: fetch gives text a type of its own.
  const body = new TextEncoder().encode(text);
  const response = await worker.request(path, { method: 'POST', body, headers: { 'Content-Type': type, ...headers } });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** What a refusal says. */
export interface Refusal {
  error: number;
  error_debug: string;
  error_text: string;
}

/** What a refusal in JSON says to whoever has to find out. */
export const debug = ({ text }: Pick<Reply, 'text'>) => (JSON.parse(text) as Refusal).error_debug;

/** A `GET`. */
export async function get(worker: Served, path: string, headers: Record<string, string> = bearer()): Promise<Reply> {
  const response = await worker.request(path, { headers });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** A `GET` of JSON, which must be found. */
export async function read<T = any>(worker: Served, path: string, token: string = TOKEN.all): Promise<T> {
  const reply = await get(worker, path, bearer(token));
  expect(reply.text, path).toMatch(/^\{/);
  expect(reply.status, reply.text).toBe(200);
  return JSON.parse(reply.text) as T;
}

/** The profile ids of a reply in JSON. */
export function ids(reply: Reply): string[] {
  const { result } = JSON.parse(reply.text) as { result?: { profile_id: string }[] };
  if (!result) throw new Error(reply.text);
  return result.map(({ profile_id }) => profile_id);
}

/** Matched, unmatched, invalid, duplicate: the headers of a reply. */
export const counts = ({ headers }: Reply) =>
  ['Matched', 'Unmatched', 'Invalid', 'Duplicate'].map((name) => Number(headers.get(`Launch-${name}`)));

/** The path of a launch in the log. */
export function placeOf(campaign: number, reply: Reply): string {
  expect(reply.status, reply.text).toBe(200);
  return `${TRIGGERS}/${campaign}/launches/${reply.headers.get('Launch-ID')}`;
}

/** The launch of a reply, as the log has it. */
export async function logged(worker: Served, campaign: number, reply: Reply): Promise<any> {
  return read(worker, placeOf(campaign, reply));
}

/** A `POST` whose body goes piece by piece: with the length given, or chunked. */
export function stream(
  worker: Served,
  pieces: Iterable<Uint8Array | string>,
  { length, headers = {}, path = BATCH }: { length?: number; headers?: Record<string, string>; path?: string } = {},
): Promise<Reply> {
  const framing = length === undefined ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': String(length) };
  const options = {
    method: 'POST',
    agent: false,
    headers: { 'Content-Type': 'application/json', ...bearer(), ...framing, ...headers },
  };
  return new Promise((resolve, reject) => {
    const request = http.request(new URL(path, worker.url), options, (response) => {
      const text: Buffer[] = [];
      response.on('data', (piece: Buffer) => text.push(piece));
      response.on('error', reject);
      response.on('end', () => {
        request.destroy();
        const head = new Headers(response.headers as Record<string, string>);
        resolve({ status: response.statusCode ?? 0, headers: head, text: Buffer.concat(text).toString() });
      });
    });
    request.on('error', reject);
    request.flushHeaders();
    for (const piece of pieces) request.write(piece);
    if (length === undefined || length >= 0) request.end();
  });
}
