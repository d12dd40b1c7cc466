// A Worker with tokens, campaigns and profiles, and functions that send requests to it.

import { createHash } from 'node:crypto';
import http from 'node:http';
import { expect, inject } from 'vitest';
import { type Served, TestWorker, type Vars } from './harness.js';
import type { Pair } from './seed.js';

/** Tokens, named after their permissions. */
export const TOKEN = {
  /** The token of the specification's examples, with all scopes in all databases. */
  all: 'abcdefghijklmnqrstuvwxyz',
  launch: 'launch-only-0123456789',
  read: 'read-only-0123456789',
  admin: 'admin-only-0123456789',
  /** All scopes, in database 2 only. */
  elsewhere: 'elsewhere-0123456789',
  revoked: 'revoked-0123456789-0123',
  unknown: 'unknown-0123456789-0123',
} as const;

/** Campaigns, named after their state. Campaigns 1, 8, 85 and 96 of the specification are active and use database 1. */
export const CAMPAIGN = {
  paused: 2,
  /** Uses database 2, which has no index. */
  unimported: 3,
  /** Uses database 3, whose index was built with another key. */
  foreign: 4,
  unknown: 404,
} as const;

export const TRIGGERS = '/api/v1.1/campaigns/triggers';
export const BATCH = `${TRIGGERS}/start_batch`;
export const SINGLE = `${TRIGGERS}/start`;

/** How long a test waits for a condition, and how often it checks it, in milliseconds. */
export const WAIT = { timeout: 20_000, interval: 20 };

/** A valid launch to one profile. */
export const GOOD = { trigger_id: 8, data: [{ email: 'example1@example.com' }] };

/** The header that contains a token. */
export const bearer = (token: string = TOKEN.all) => ({ Authorization: `Bearer ${token}` });

/** Starts a Worker with these tokens and campaigns. */
export async function seeded(vars: Vars = {}): Promise<TestWorker> {
  const worker = await TestWorker.start(vars);
  await seed(worker);
  return worker;
}

/** Writes these tokens and campaigns, and their indexes, into the storage of a Worker. */
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

/** Writes an index, its manifest last, as an import does. */
export async function put(worker: Served, pairs: Pair[]): Promise<void> {
  const isManifest = ([key]: Pair) => key.startsWith('manifest:');
  const write = (some: Pair[]) => Promise.all(some.map(([key, value]) => worker.env.PROFILES.put(key, value)));
  await write(pairs.filter((pair) => !isManifest(pair)));
  await write(pairs.filter(isManifest));
}

/** Defines a campaign. The definition must be accepted. */
export async function define(worker: Served, id: number, definition: object): Promise<void> {
  const headers = { 'Content-Type': 'application/json', ...bearer() };
  const request = { method: 'PUT', body: JSON.stringify(definition), headers };
  const response = await worker.request(`${TRIGGERS}/${id}`, request);
  expect(await response.text(), `campaign ${id}`).toContain('"active"');
}

async function grant(worker: Served): Promise<void> {
  const everything = ['launch', 'read', 'admin', 'profiles'];
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

/** Stops the Worker, and checks that its log contains no token, no e-mail address and no phone number. */
export async function stop(worker: TestWorker): Promise<void> {
  const logs = worker.logs().join('\n');
  await worker.stop();
  expect(logs).toContain('"status":');
  for (const token of Object.values(TOKEN)) expect(logs).not.toContain(token);
  expect(logs).not.toMatch(/@(bulk\.)?example/i);
  expect(logs).not.toMatch(/\+?7900000000/);
}

/** A reply with its complete body. */
export interface Reply {
  status: number;
  headers: Headers;
  text: string;
}

/** Sends a launch. The type is XML if the document begins with `<`, and JSON otherwise. The token is in the header by default. */
export async function launch(
  worker: Served,
  document: unknown,
  headers: Record<string, string> = bearer(),
  path: string = BATCH,
): Promise<Reply> {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  const type = text.startsWith('<') ? 'application/xml' : 'application/json';
  // Bytes, because fetch adds a Content-Type to text.
  const body = new TextEncoder().encode(text);
  const response = await worker.request(path, { method: 'POST', body, headers: { 'Content-Type': type, ...headers } });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** The body of an error response in JSON. */
export interface Refusal {
  error: number;
  error_debug: string;
  error_text: string;
}

/** Returns `error_debug` of an error response in JSON. */
export const debug = ({ text }: Pick<Reply, 'text'>) => (JSON.parse(text) as Refusal).error_debug;

/** Sends a `GET` request. */
export async function get(worker: Served, path: string, headers: Record<string, string> = bearer()): Promise<Reply> {
  const response = await worker.request(path, { headers });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** Sends a `GET` request, and returns the JSON of its reply, which must have status 200. */
export async function read<T = any>(worker: Served, path: string, token: string = TOKEN.all): Promise<T> {
  const reply = await get(worker, path, bearer(token));
  expect(reply.text, path).toMatch(/^\{/);
  expect(reply.status, reply.text).toBe(200);
  return JSON.parse(reply.text) as T;
}

/** The profile IDs of a reply in JSON. */
export function ids(reply: Reply): string[] {
  const { result } = JSON.parse(reply.text) as { result?: { profile_id: string }[] };
  if (!result) throw new Error(reply.text);
  return result.map(({ profile_id }) => profile_id);
}

/** The numbers of matched, unmatched, invalid and duplicate items, from the headers of a reply. */
export const counts = ({ headers }: Reply) =>
  ['Matched', 'Unmatched', 'Invalid', 'Duplicate'].map((name) => Number(headers.get(`Launch-${name}`)));

/** The path of a reply's launch in the log. */
export function placeOf(campaign: number, reply: Reply): string {
  expect(reply.status, reply.text).toBe(200);
  return `${TRIGGERS}/${campaign}/launches/${reply.headers.get('Launch-ID')}`;
}

/** Reads the launch of a reply from the log. */
export async function logged(worker: Served, campaign: number, reply: Reply): Promise<any> {
  return read(worker, placeOf(campaign, reply));
}

/** Sends a `POST` request with its body in pieces. Without `length` the transfer is chunked. */
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
