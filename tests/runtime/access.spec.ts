// Contract §1: tokens, the error table, and which of two faults is answered.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  BATCH,
  bearer,
  CAMPAIGN,
  debug,
  GOOD,
  ids,
  launch,
  type Refusal,
  seeded,
  stop,
  stream,
  TOKEN,
  TRIGGERS,
} from './fixture.js';
import type { TestWorker } from './harness.js';
import { ID } from './profiles.js';

/** Small enough that what is left of a larger body is read before an error is answered. */
const BODY_LIMIT = 500_000;
const TEXTS: Record<number, string> = {
  400: 'Invalid request',
  401: 'API token required',
  403: 'Access denied',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Campaign is not active',
  413: 'Invalid request',
  415: 'Unsupported media type',
  422: 'Request-ID reused',
  429: 'Too many requests',
  503: 'Service unavailable',
};

/** A request that is refused: what is wrong with it, by the status, and where it is sent. */
interface Fault {
  status: number;
  headers?: Record<string, string>;
  /** No token in the head. */
  bare?: boolean;
  body?: unknown;
  path?: string;
  method?: string;
  debug?: string | RegExp;
}

/** The faults, in the order in which they are decided. */
const FAULTS: Record<string, Fault> = {
  path: { status: 404, path: '/api/v1.1/campaigns/trigger/start_batch', debug: 'no such path' },
  method: { status: 405, method: 'PUT', debug: 'allowed here: POST' },
  'media type': { status: 415, headers: { 'Content-Type': 'text/html' } },
  'token of the head': { status: 401, headers: bearer(TOKEN.unknown), debug: 'the token is not known' },
  'too large': {
    status: 413,
    body: { content: { pad: 'x'.repeat(BODY_LIMIT) } },
    debug: 'http: request body too large',
  },
  'malformed body': { status: 400, body: '{"trigger_id":8,"data":[{}}', debug: /^byte \d+: / },
  'no token': { status: 401, bare: true, debug: /^no token: / },
  scope: { status: 403, headers: bearer(TOKEN.read), debug: 'the token lacks the scope launch' },
  field: { status: 400, body: { report: 'perhaps' }, debug: /^report: / },
  campaign: { status: 404, body: { trigger_id: CAMPAIGN.unknown }, debug: 'no such trigger campaign' },
  reused: { status: 422, headers: { 'Request-ID': 'taken' }, body: { skip_triggers: true }, debug: /new Request-ID/ },
  paused: { status: 409, body: { trigger_id: CAMPAIGN.paused }, debug: 'the trigger campaign is paused' },
  strict: {
    status: 400,
    body: { strict: true, data: [...GOOD.data, { email: 'nobody@example.com' }, { phone: 'x' }] },
    debug: 'strict: 1 unmatched, 1 invalid; the first is data[1]: not_found',
  },
  index: { status: 503, body: { trigger_id: CAMPAIGN.unimported }, debug: /import profiles first/ },
};
const ORDER = Object.keys(FAULTS);

/** Two faults that no single request can have. */
const IMPOSSIBLE = new Set([
  'token of the head + no token',
  'token of the head + scope',
  'no token + scope',
  'campaign + reused',
  'campaign + paused',
  'campaign + strict',
  'campaign + index',
  'paused + index',
  'reused + index',
  'strict + index',
]);

/** The request with all those faults. */
function request(...faults: Fault[]): { path: string; init: RequestInit } {
  const headers = Object.assign(
    { 'Content-Type': 'application/json' },
    bearer(),
    ...faults.map((fault) => fault.headers),
  );
  if (faults.some(({ bare }) => bare)) delete headers.Authorization;
  const broken = faults.map(({ body }) => body).find((body) => typeof body === 'string');
  const fields = Object.assign({}, GOOD, ...faults.map(({ body }) => (typeof body === 'object' ? body : {})));
  // Of a body that is malformed as well the end is missing.
  const body = broken ? JSON.stringify(fields).replace(/\]?\}$/, '') + ']' : JSON.stringify(fields);
  const find = <K extends 'path' | 'method'>(name: K) => faults.map((fault) => fault[name]).find(Boolean);
  return { path: find('path') ?? BATCH, init: { method: find('method') ?? 'POST', headers, body } };
}

describe('access', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded({ BODY_LIMIT: String(BODY_LIMIT) });
    // The id `taken` of the fault `reused`, in both campaigns that a request with it may name.
    for (const trigger_id of [8, CAMPAIGN.paused]) {
      const paused = trigger_id === CAMPAIGN.paused;
      const set = (active: boolean) =>
        worker.request(`${TRIGGERS}/${trigger_id}`, {
          method: 'PUT',
          headers: { 'Content-Type': 'application/json', ...bearer() },
          body: JSON.stringify({ active }),
        });
      if (paused) await set(true);
      const reply = await launch(worker, { ...GOOD, trigger_id }, { ...bearer(), 'Request-ID': 'taken' });
      expect(reply.status, reply.text).toBe(200);
      if (paused) await set(false);
    }
  });
  afterAll(() => stop(worker));

  describe('a token', () => {
    it.each([
      ['the body', { ...GOOD, token: TOKEN.launch }, {}, ''],
      ['the last field of the body', { ...GOOD, token: TOKEN.launch }, {}, ''],
      ['the header', GOOD, bearer(TOKEN.launch), ''],
      ['the header, in another case', GOOD, { Authorization: `bearer ${TOKEN.launch}` }, ''],
      ['the query', GOOD, {}, `?token=${TOKEN.launch}`],
      ['all three', { ...GOOD, token: TOKEN.launch }, bearer(TOKEN.launch), `?token=${TOKEN.launch}`],
    ])('a token is read from %s', async (_, body, headers, query) => {
      expect(ids(await launch(worker, body, headers as Record<string, string>, BATCH + query))).toEqual([ID.one]);
    });

    it.each([
      ['the request has no token', GOOD, {}, ''],
      ['it is empty', { ...GOOD, token: '' }, {}, '?token='],
      ['it is null', { ...GOOD, token: null }, {}, ''],
      ['it is of another scheme', GOOD, { Authorization: `Basic ${TOKEN.all}` }, ''],
      ['it is unknown', GOOD, bearer(TOKEN.unknown), ''],
      ['it is unknown in the body', { token: TOKEN.unknown, ...GOOD }, {}, ''],
      ['it is unknown in the query', GOOD, {}, `?token=${TOKEN.unknown}`],
      ['it is revoked', GOOD, bearer(TOKEN.revoked), ''],
      ['it is revoked in the body', { ...GOOD, token: TOKEN.revoked }, {}, ''],
      ['it is a kilobyte long', GOOD, bearer('x'.repeat(1025)), ''],
      ['it is a digest', GOOD, bearer('token:0000'), ''],
      ['header and query differ', GOOD, bearer(), `?token=${TOKEN.launch}`],
      ['header and body differ', { ...GOOD, token: TOKEN.launch }, bearer(), ''],
      ['the query has two that differ', GOOD, {}, `?token=${TOKEN.launch}&token=${TOKEN.all}`],
      ['query and body differ', { token: TOKEN.launch, ...GOOD }, {}, `?token=${TOKEN.all}`],
    ])('a token is required if %s', async (_, body, headers, query) => {
      const reply = await launch(worker, body, headers as Record<string, string>, BATCH + query);
      expect(reply.status, reply.text).toBe(401);
      const { error, error_text, error_debug } = JSON.parse(reply.text) as Refusal;
      expect([error, error_text]).toEqual([401, 'API token required']);
      for (const token of Object.values(TOKEN)) expect(error_debug).not.toContain(token);
    });

    it('a token of another database does not see the campaign', async () => {
      const known = await launch(worker, GOOD, bearer(TOKEN.elsewhere));
      const unknown = await launch(worker, { ...GOOD, trigger_id: CAMPAIGN.unknown }, bearer(TOKEN.elsewhere));
      expect([known.status, known.text]).toEqual([404, unknown.text]);
      for (const path of ['/8', '/8/launches', `/8/launches/${crypto.randomUUID()}`]) {
        const response = await worker.request(TRIGGERS + path, { headers: bearer(TOKEN.elsewhere) });
        expect(response.status, path).toBe(404);
      }
    });

    it('a token has its scopes and no others', async () => {
      const calls = {
        launch: () => launch(worker, GOOD, bearer(TOKEN.launch)),
        read: () => worker.request(`${TRIGGERS}/8/launches`, { headers: bearer(TOKEN.read) }),
        admin: () => worker.request(`${TRIGGERS}/8`, { headers: bearer(TOKEN.admin) }),
      };
      for (const call of Object.values(calls)) expect((await call()).status).toBe(200);
      for (const [path, tokens] of [
        ['/8/launches', [TOKEN.launch, TOKEN.admin]],
        ['/8', [TOKEN.launch, TOKEN.read]],
        ['', [TOKEN.launch, TOKEN.read]],
      ] as const) {
        for (const token of tokens) {
          const response = await worker.request(TRIGGERS + path, { headers: bearer(token) });
          expect([path, response.status]).toEqual([path, 403]);
        }
      }
      expect((await launch(worker, GOOD, bearer(TOKEN.admin))).status).toBe(403);
    });
  });

  describe('an error', () => {
    it.each(ORDER)('an error has its status, code and text: %s', async (name) => {
      const fault = FAULTS[name]!;
      const { path, init } = request(fault);
      for (const format of ['json', 'xml']) {
        const headers = {
          'Request-ID': `of ${name}`.replaceAll(' ', '-'),
          ...(init.headers as Record<string, string>),
        };
        const response = await worker.request(`${path}?format=${format}`, { ...init, headers });
        const text = await response.text();
        expect(response.status, text).toBe(fault.status);
        expect(response.headers.get('Request-ID')).toBe(headers['Request-ID']);
        expect(response.headers.get('Content-Type')).toContain(`application/${format}`);
        expect(response.headers.get('Launch-ID')).toBeNull();
        const code = fault.status === 413 ? 400 : fault.status;
        if (format === 'xml') {
          const [begin, end] = [
            `<xml><error>${code}</error><error_debug>`,
            `</error_debug><error_text>${TEXTS[fault.status]}`,
          ];
          expect(text.startsWith(begin) && text.endsWith(`${end}</error_text></xml>`), text).toBe(true);
          continue;
        }
        const refusal = JSON.parse(text) as Refusal;
        expect(Object.keys(refusal)).toEqual(['error', 'error_debug', 'error_text']);
        expect([refusal.error, refusal.error_text]).toEqual([code, TEXTS[fault.status]]);
        if (fault.debug) expect(refusal.error_debug).toMatch(fault.debug);
      }
    });

    it('a 405 names the allowed methods', async () => {
      for (const [path, method, allow] of [
        [BATCH, 'GET', 'POST'],
        [`${TRIGGERS}/start`, 'DELETE', 'POST'],
        [`${TRIGGERS}/8`, 'POST', 'GET, HEAD, PUT'],
        [TRIGGERS, 'POST', 'GET, HEAD'],
        [`${TRIGGERS}/8/launches`, 'POST', 'GET, HEAD'],
        ['/healthz', 'POST', 'GET, HEAD'],
      ] as const) {
        const response = await worker.request(path, { method, headers: bearer() });
        expect([path, response.status, response.headers.get('Allow')]).toEqual([path, 405, allow]);
        expect(await response.json()).toMatchObject({ error: 405, error_text: 'Method not allowed' });
      }
    });

    it('a temporary error has Retry-After', async () => {
      const reply = await launch(worker, { ...GOOD, trigger_id: CAMPAIGN.unimported });
      expect([reply.status, reply.headers.get('Retry-After')]).toEqual([503, '5']);
    });

    it('an index error names the database and the remedy', async () => {
      for (const [trigger_id, told] of [
        [CAMPAIGN.unimported, 'database 2 has no profile index: import profiles first'],
        [CAMPAIGN.foreign, 'profile index of database 3 was built with another key: import profiles again'],
      ] as const) {
        const reply = await launch(worker, { ...GOOD, trigger_id });
        expect(reply.status).toBe(503);
        expect(debug(reply)).toContain(told);
      }
    });
  });

  describe('of two faults, the first in the documented order is answered', () => {
    const pairs = ORDER.flatMap((first, at) => ORDER.slice(at + 1).map((second): [string, string] => [first, second]));
    const possible = pairs.filter(([first, second]) => !IMPOSSIBLE.has(`${first} + ${second}`));

    it.each(possible)('%s ranks before %s', async (first, second) => {
      const fault = FAULTS[first]!;
      const { path, init } = request(fault, FAULTS[second]!);
      const response = await worker.request(path, init);
      const text = await response.text();
      expect(response.status, text).toBe(fault.status);
      // Where the statuses are the same, the words tell.
      if (fault.debug && first !== 'malformed body') expect(debug({ text })).toMatch(fault.debug);
    });

    it('the announced length ranks before a token in the header and after the media type', async () => {
      const reply = await stream(worker, ['{'], { length: 104_857_601, headers: bearer(TOKEN.unknown) });
      expect(reply.status).toBe(413);
      const typed = await stream(worker, ['{'], { length: 104_857_601, headers: { 'Content-Type': 'text/html' } });
      expect(typed.status).toBe(415);
    });
  });
});
