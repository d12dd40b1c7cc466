// Refusals of large bodies reach their callers, and each has a line in the operator's log.

import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  BATCH,
  bearer,
  CAMPAIGN,
  debug,
  define,
  get,
  GOOD,
  launch,
  type Reply,
  seeded,
  SINGLE,
  stop,
  stream,
  TOKEN,
  TRIGGERS,
  WAIT,
} from './fixture.js';
import type { TestWorker } from './harness.js';

const MIB = 1024 * 1024;
const DAMAGED = 'damaged-token-0123456789';

/** A launch of this size in bytes. The data of an attachment fills it, because attachments do not count against `BODY_LIMIT`. */
function large(bytes: number, fields: object = GOOD): Buffer {
  const [begin, end] = ['{"attach":[{"name":"a","data":"', `"}],${JSON.stringify(fields).slice(1)}`];
  return Buffer.from(`${begin}${'A'.repeat(Math.ceil((bytes - begin.length - end.length) / 4) * 4)}${end}`);
}

const padded = (bytes: number) => Buffer.from(`{"pad":"${'x'.repeat(bytes)}"}`);

interface LogLine {
  request_id: string | null;
  status?: number;
  error?: string;
  cause?: string;
  failure?: string;
}

describe('refusals', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded();
    const digest = createHash('sha256').update('trigger-launch token v1\0').update(DAMAGED).digest('hex');
    await worker.env.ACCESS.put(`token:${digest}`, '{"name":"damaged","scopes":["launch"],"created":"yesterday"}');
    // Database 6 has an invalid manifest, and database 7 has no manifest.
    await worker.env.PROFILES.put('manifest:6', '{"format":2}');
    await define(worker, 606, { name: 'damaged', database: 6, active: true });
    await define(worker, 607, { name: 'empty', database: 7, active: true });
  });
  afterAll(() => stop(worker));

  const lines = () =>
    worker
      .logs()
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as LogLine);
  const lineOf = (reply: Reply) =>
    vi.waitUntil(
      () => lines().find((line) => line.status && line.request_id === reply.headers.get('Request-ID')),
      WAIT,
    );

  /** Sends a body with `fetch`. */
  async function send(path: string, method: string, body: Buffer, headers: Record<string, string>): Promise<Reply> {
    const response = await worker.request(path, { method, body, headers });
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  const json = { ...bearer(), 'Content-Type': 'application/json' };

  it.each([12, 20, 50, 101, 150])('a body of %i MiB over BODY_LIMIT gets 413', async (size) => {
    const body = padded(size * MIB);
    for (const reply of [
      await send(BATCH, 'POST', body, json),
      await stream(worker, [body], { length: body.length }),
      await stream(worker, [body]),
    ]) {
      expect([reply.status, debug(reply)]).toEqual([413, 'http: request body too large']);
    }
  });

  it.each<[string, number, string, string, Record<string, string>, object?]>([
    ['an unknown path', 404, 'POST', '/nowhere', json],
    ['an unsupported method', 405, 'DELETE', BATCH, json],
    ['an unsupported media type', 415, 'POST', BATCH, { ...json, 'Content-Type': 'text/html' }],
    ['an unknown token in the header', 401, 'POST', BATCH, { ...json, ...bearer(TOKEN.unknown) }],
    ['an unknown token in the query', 401, 'POST', `${BATCH}?token=${TOKEN.unknown}`, { 'Content-Type': 'text/plain' }],
    ['an unknown token in the header of the single launch', 401, 'POST', SINGLE, { ...json, ...bearer(TOKEN.revoked) }],
    ['a token without the scope', 403, 'POST', BATCH, { ...json, ...bearer(TOKEN.read) }],
    ['an unknown campaign', 404, 'POST', BATCH, json, { ...GOOD, trigger_id: CAMPAIGN.unknown }],
    ['a paused campaign', 409, 'POST', BATCH, json, { ...GOOD, trigger_id: CAMPAIGN.paused }],
    ['an invalid field', 400, 'POST', BATCH, json, { ...GOOD, skip_triggers: 'maybe' }],
    ['an invalid request ID', 400, 'POST', BATCH, { ...json, 'Request-ID': 'a b' }],
    ['a definition that is too large', 413, 'PUT', `${TRIGGERS}/8`, json],
    [
      'a definition with an unsupported media type',
      415,
      'PUT',
      `${TRIGGERS}/8`,
      { ...json, 'Content-Type': 'text/xml' },
    ],
    ['a database without an index', 503, 'POST', BATCH, json, { ...GOOD, trigger_id: 607 }],
  ])(
    'the refusal of a body of 12 MiB is received and logged, with the fault: %s',
    async (_, status, method, path, headers, fields) => {
      const reply = await send(path, method, large(12 * MIB, fields), headers);
      expect(reply.status, reply.text).toBe(status);
      const line = await lineOf(reply);
      expect(line).toMatchObject({ status, error: JSON.parse(reply.text).error_text });
      expect(typeof line.cause).toBe(status >= 500 ? 'string' : 'undefined');
    },
  );

  it('the refusal of a body announced with more than 200 MiB is sent at once', async () => {
    const reply = await stream(worker, ['{'], { length: 200 * MIB + 1 });
    expect([reply.status, debug(reply)]).toEqual([413, 'http: request body too large']);
  });

  it('the log names the damaged record that caused a refusal', async () => {
    for (const [fields, token, said, cause] of [
      [GOOD, DAMAGED, 'tokens cannot be looked up now: retry later', /^KV ACCESS token:[0-9a-f]{12}…: damaged: /],
      [
        { ...GOOD, trigger_id: 606 },
        TOKEN.all,
        'profile index of database 6 is damaged: import profiles again',
        /^KV PROFILES manifest:6: damaged: missing field `current`/,
      ],
      [
        { ...GOOD, trigger_id: 607 },
        TOKEN.all,
        'database 7 has no profile index: import profiles first',
        /^KV PROFILES manifest:7: not found$/,
      ],
      [
        { ...GOOD, trigger_id: CAMPAIGN.foreign },
        TOKEN.all,
        'profile index of database 3 was built with another key: import profiles again',
        /^KV PROFILES manifest:3: the current generation was built with a key that is not configured$/,
      ],
    ] as const) {
      const reply = await launch(worker, fields, bearer(token));
      expect([reply.status, debug(reply)]).toEqual([503, said]);
      const line = await lineOf(reply);
      expect(line).toMatchObject({ status: 503, error: 'Service unavailable' });
      expect(line.cause).toMatch(cause);
    }
    const read = await get(worker, `${TRIGGERS}/8/launches`, bearer(DAMAGED));
    expect(read.status).toBe(503);
    expect((await lineOf(read)).cause).toMatch(/^KV ACCESS token:/);
  });
});
