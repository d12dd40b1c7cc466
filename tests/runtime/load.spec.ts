// Many items, many requests and many bytes at once, and launches during an import.

import http from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import {
  BATCH,
  bearer,
  CAMPAIGN,
  counts,
  debug,
  define,
  ids,
  launch,
  placeOf,
  put,
  read,
  type Reply,
  seeded,
  stop,
  stream,
  TOKEN,
  TRIGGERS,
} from './fixture.js';
import { FOREIGN_KEY, type TestWorker } from './harness.js';
import { address, ID, NUMBERED, numbered, phone } from './profiles.js';

/** The limit of a body in bytes. The XML of 300,000 items is larger than the default limit. */
const BODY_LIMIT = 20 * 1024 * 1024;

describe('load', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    // A launch after an import must search the new profiles at once.
    worker = await seeded({ BODY_LIMIT: String(BODY_LIMIT), REMEMBER_SECONDS: '0' });
  });
  afterAll(() => stop(worker));

  describe('300,000 items in one request', () => {
    const ITEMS = 300_000;
    // One address in a hundred belongs to a profile. Some of these addresses occur twice.
    const email = (n: number) => (n % 100 === 0 ? address((n / 100) % 2500) : `x${n}@b.io`);
    const expected = Array.from({ length: 2500 }, (_, n) => numbered(n));

    it.each([
      [
        'JSON',
        () => JSON.stringify({ trigger_id: 8, data: Array.from({ length: ITEMS }, (_, n) => ({ email: email(n) })) }),
      ],
      [
        'XML',
        () =>
          `<xml>${Array.from({ length: ITEMS }, (_, n) => `<data><email>${email(n)}</email></data>`).join('')}` +
          '<trigger_id>8</trigger_id></xml>',
      ],
    ])('each of 300,000 items is matched in %s', async (_, body) => {
      const reply = await launch(worker, body());
      expect(reply.status, reply.text.slice(0, 300)).toBe(200);
      expect(counts(reply)).toEqual([2500, ITEMS - 3000, 0, 500]);
      expect(ids(reply)).toEqual(expected);
      const report = await read(worker, `${placeOf(8, reply)}/report`);
      expect(report.unmatched).toHaveLength(ITEMS - 3000);
      expect(report.unmatched.at(-1)).toEqual({ index: ITEMS - 1, reason: 'not_found' });
      expect(report.duplicates).toHaveLength(500);
    });
  });

  it('each of 64 simultaneous requests launches, and the log has no gaps', async () => {
    await define(worker, 701, { name: 'concurrent', database: 1, active: true });
    const replies = await Promise.all(
      Array.from({ length: 64 }, (_, n) => launch(worker, { trigger_id: 701, data: [{ email: address(n) }] })),
    );
    expect(replies.map(ids)).toEqual(Array.from({ length: 64 }, (_, n) => [numbered(n)]));
    const log = await read(worker, `${TRIGGERS}/701/launches?limit=1000`);
    const sequences = log.launches.map((launch: { sequence: number }) => launch.sequence);
    expect(sequences).toEqual(Array.from({ length: 64 }, (_, n) => n + 1));
    const stored = log.launches.map((launch: { launch_id: string }) => launch.launch_id);
    expect(new Set(stored)).toEqual(new Set(replies.map(({ headers }) => headers.get('Launch-ID'))));
  });

  it('many simultaneous requests of 10 MiB get 200 or 503, at least one gets 200, and their memory is released', async () => {
    await define(worker, 702, { name: 'large', database: 1, active: true });
    // The fields that are needed to decode the items come last, so the whole body is kept in memory.
    const custom_data = { pad: 'x'.repeat(60_000) };
    const data = Array.from({ length: 170 }, (_, n) => ({ email: address(n), custom_data }));
    const body = JSON.stringify({ data, matching: 'email_profile', trigger_id: 702 });
    expect(body.length).toBeGreaterThan(10_000_000);
    const isBusy = (reply: Reply) => {
      expect(reply.headers.get('Retry-After')).toBe('5');
      expect(debug(reply)).toMatch(
        /^too many (large requests at once: retry later|requests wait with a token that is)/,
      );
      return true;
    };
    // In the second round the token comes last, so the limit of unverified callers applies.
    for (const [many, text, headers] of [
      [64, body, bearer()],
      [13, body.replace(/\}$/, `,"token":"${TOKEN.all}"}`), { Authorization: '' }],
    ] as const) {
      const bytes = Buffer.from(text);
      const send = () => stream(worker, [bytes], { length: bytes.length, headers });
      const replies = await Promise.all(Array.from({ length: many }, send));
      const launched = replies.filter(({ status }) => status === 200);
      const others = replies.filter(({ status }) => status !== 200);
      expect(others.every((reply) => reply.status === 503 && isBusy(reply))).toBe(true);
      // At least one of the simultaneous requests completes.
      expect(launched.length).toBeGreaterThan(0);
      for (const reply of launched) expect(counts(reply)).toEqual([170, 0, 0, 0]);
      for (let again = 0; again < 2; again++) expect((await send()).status).toBe(200);
    }
    const { launches, recipients } = await read(worker, `${TRIGGERS}/702`);
    expect(recipients).toBe(launches * 170);
  });

  it('requests that disconnect before the end of the body leave no memory reserved', async () => {
    const { launches } = await read(worker, `${TRIGGERS}/1`);
    const begin = `{"data":[${'{"email":"nobody@example.com"},'.repeat(100_000)}`;
    await Promise.all(Array.from({ length: 40 }, () => abandon(worker, begin)));
    const data = Array.from({ length: 300_000 }, (_, n) => ({ email: `x${n}@b.io` }));
    const large = JSON.stringify({ data, trigger_id: 1, token: TOKEN.all });
    // The runtime can notice disconnects with a delay, so a refused request is retried.
    const again = () => launch(worker, large, {});
    const reply = await vi.waitUntil(async () => [await again()].find(({ status }) => status !== 503), {
      timeout: 45_000,
    });
    expect([reply.status, counts(reply)]).toEqual([200, [0, 300_000, 0, 0]]);
    expect(await read(worker, `${TRIGGERS}/1`)).toMatchObject({ launches: launches + 1 });
  });

  it('a launch during an import uses either the old profiles or the new ones', async () => {
    const data = Array.from({ length: 400 }, (_, n) => ({ email: address(n * 7) }));
    const of = (generation: 'b' | 'c') => data.map((_, n) => numbered(n * 7, generation));
    let imported = false;
    const seen: string[] = [];
    const callers = Array.from({ length: 6 }, async () => {
      for (let last = false; !last;) {
        last = imported;
        const found = ids(await launch(worker, { trigger_id: 85, data }));
        const generation = found[0]?.[0] === 'b' ? 'b' : 'c';
        expect(found).toEqual(of(generation));
        seen.push(generation);
        if (last) expect(generation).toBe('c');
      }
    });
    await launch(worker, { trigger_id: 85, data });
    await put(worker, inject('indexes').second);
    imported = true;
    await Promise.all(callers);
    expect(new Set(seen)).toEqual(new Set(['b', 'c']));
  });
});

describe('a missing bucket', () => {
  const data = Array.from({ length: NUMBERED }, (_, n) => ({ email: address(n) }));
  let worker: TestWorker;
  // A new Worker for each test, because a Worker caches buckets.
  beforeEach(async () => {
    worker = await seeded();
    await put(worker, inject('indexes').second);
  });
  afterEach(() => stop(worker));

  const bucketsOfSecond = () => {
    const before = new Set(inject('indexes').first.map(([key]) => key));
    return inject('indexes').second.filter(([key]) => !before.has(key) && !key.startsWith('manifest'));
  };

  it('the whole launch uses the previous import if a bucket of the current import is missing', async () => {
    const buckets = bucketsOfSecond();
    expect(buckets.length).toBeGreaterThan(0);
    await worker.env.PROFILES.delete(emailBucket(buckets));
    const older = await launch(worker, { trigger_id: 8, data });
    expect(ids(older)).toEqual(data.map((_, n) => numbered(n, 'b')));
  });

  it('a launch gets 503 if a bucket is missing in both imports', async () => {
    await worker.env.PROFILES.delete(emailBucket(bucketsOfSecond()));
    await worker.env.PROFILES.delete(emailBucket(inject('indexes').first));
    const refused = await launch(worker, { trigger_id: 8, data });
    expect([refused.status, refused.headers.get('Retry-After')]).toEqual([503, '5']);
    const byField = { trigger_id: 8, matching: 'custom', field_name: 'Custom_ID', data: [{ field_value: 'AA' }] };
    expect(ids(await launch(worker, byField, bearer()))).toEqual([ID.one]);
  });

  it('a Worker uses its cached copy of a missing bucket', async () => {
    const before = await launch(worker, { trigger_id: 8, data });
    expect(ids(before)).toEqual(data.map((_, n) => numbered(n, 'c')));
    await worker.env.PROFILES.delete(emailBucket(bucketsOfSecond()));
    expect(ids(await launch(worker, { trigger_id: 8, data }))).toEqual(ids(before));
  });
});

describe('during a rotation of the index key', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded({ PROFILE_INDEX_KEY_PREVIOUS: FOREIGN_KEY });
  });
  afterAll(() => stop(worker));

  it.each([8, CAMPAIGN.foreign])(
    'indexes made with the old key and the new one are both searched (campaign %i)',
    async (id) => {
      const data = [
        { email: address(5) },
        { email: 'nobody@example.com' },
        { email: address(4), custom_data: { n: 1 } },
      ];
      const reply = await launch(worker, { data, trigger_id: id });
      expect(ids(reply)).toEqual([numbered(5), numbered(4)]);
      const items = [{ email: 'nobody@example.com', phone: phone(2) }, { email: 'shared@example.com' }, { email: 5 }];
      const two = await launch(worker, { trigger_id: id, matching: 'email_phone', data: items });
      expect([ids(two), counts(two)]).toEqual([[ID.two], [1, 1, 1, 0]]);
    },
  );
});

/** Begins a request, and closes the connection before the end of the body. */
function abandon(worker: TestWorker, begin: string): Promise<void> {
  return new Promise((resolve) => {
    const headers = { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' };
    const request = http.request(new URL(BATCH, worker.url), { method: 'POST', agent: false, headers });
    // Closing the connection causes this error.
    request.on('error', () => {});
    request.on('close', resolve);
    request.write(begin, () => request.destroy());
  });
}

/** The key of the first bucket of e-mail addresses. */
function emailBucket(pairs: [string, string][]): string {
  const key = pairs.map(([name]) => name).find((name) => /email/.test(name));
  if (!key) throw new Error(`no bucket of e-mail addresses among ${pairs.map(([name]) => name).join(' ')}`);
  return key;
}
