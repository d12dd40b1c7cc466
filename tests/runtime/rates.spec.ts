// Contract §1, *Errors*: rate limits. Callers without a good token are counted by address, good tokens by themselves.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BATCH, bearer, get, GOOD, launch, type Reply, seeded, stop, TOKEN, TRIGGERS } from './fixture.js';
import type { TestWorker } from './harness.js';

/** What the limit of an address lets through in a window, and then some. */
const CALLS = 120;

describe('rate limits', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded({ RATE_LIMITING: 'on' });
  });
  afterAll(() => stop(worker));

  it('an address that guesses tokens is refused, except with a valid token', async () => {
    const guess = (n: number) => {
      const token = `${TOKEN.unknown}-${n}`;
      if (n % 4 === 0) return launch(worker, GOOD, bearer(token));
      if (n % 4 === 1) return launch(worker, { ...GOOD, token }, {});
      if (n % 4 === 2) return launch(worker, GOOD, {}, `${BATCH}?token=${token}`);
      return get(worker, `${TRIGGERS}/8/launches`, bearer(token));
    };
    // Once more where a window has ended in between.
    let replies: Reply[] = [];
    for (let round = 0; round < 10 && replies.every(({ status }) => status === 401); round++) {
      replies = await Promise.all(Array.from({ length: CALLS }, (_, n) => guess(n)));
      expect(new Set([401, 429])).toEqual(new Set([401, 429, ...replies.map(({ status }) => status)]));
    }
    const of = (status: number) => replies.filter((reply) => reply.status === status);
    expect(of(429).length).toBeGreaterThan(0);
    for (const reply of of(429)) {
      expect(reply.headers.get('Retry-After')).toBe('10');
      expect(reply.headers.get('RateLimit-Policy')).toMatch(/1000.*w=10.*100.*w=10/);
      expect(JSON.parse(reply.text)).toMatchObject({ error: 429, error_text: 'Too many requests' });
    }
    // From the same address.
    for (let n = 0; n < 5; n++) expect((await launch(worker, GOOD)).status).toBe(200);
    expect((await get(worker, '/healthz', {})).status).toBe(200);
  });

  it('403 and health checks do not count', async () => {
    const denied = Array.from({ length: CALLS }, () => launch(worker, GOOD, bearer(TOKEN.read)));
    expect(new Set((await Promise.all(denied)).map(({ status }) => status))).toEqual(new Set([403]));
    const alive = Array.from({ length: CALLS }, () => get(worker, '/healthz', bearer(TOKEN.unknown)));
    expect(new Set((await Promise.all(alive)).map(({ status }) => status))).toEqual(new Set([200]));
  });
});
