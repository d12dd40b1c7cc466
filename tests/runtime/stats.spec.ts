// Totals over time, launches newest first, the token, and the description of the API.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bearer, get, launch, read, seeded, stop, TOKEN, TRIGGERS } from './fixture.js';
import type { TestWorker } from './harness.js';

const DATA = [{ email: 'example1@example.com' }, { email: 'nobody@example.com' }, {}];

interface Bucket {
  at: string;
  launches: number;
  recipients: number;
  unmatched: number;
  invalid: number;
}

describe('reads of a campaign', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded();
    for (let at = 0; at < 3; at++) expect((await launch(worker, { trigger_id: 8, data: DATA })).status).toBe(200);
  });
  afterAll(() => stop(worker));

  it.each([
    ['', 24],
    ['?bucket=hour', 24],
    ['?bucket=day', 30],
    ['?bucket=day&offset=+05:30', 30],
  ])('the totals with %s end at the present, and count each launch in the bucket of its time', async (query, count) => {
    const log = await read<{ launches: { accepted_at: string }[] }>(worker, `${TRIGGERS}/8/launches`);
    const times = log.launches.map(({ accepted_at }) => Date.parse(accepted_at));
    expect(times).toHaveLength(3);
    const length = (query.includes('day') ? 24 : 1) * 60 * 60 * 1000;
    const before = Date.now();
    const { buckets } = await read<{ buckets: Bucket[] }>(worker, `${TRIGGERS}/8/stats${query}`, TOKEN.read);
    const last = Date.parse(buckets.at(-1)!.at);
    expect(last).toBeGreaterThan(before - length);
    expect(last).toBeLessThanOrEqual(Date.now());
    const expected = Array.from({ length: count }, (_, at) => {
      const start = last - (count - 1 - at) * length;
      const launches = times.filter((time) => start <= time && time < start + length).length;
      return [start, { launches, recipients: launches, unmatched: launches, invalid: launches }];
    });
    expect(buckets.map(({ at, ...totals }) => [Date.parse(at), totals])).toEqual(expected);
  });

  it('a period of more than 1,000 buckets is rejected', async () => {
    const query = 'from=2026-01-01T00:00:00Z&to=2027-01-01T00:00:00Z';
    expect((await get(worker, `${TRIGGERS}/8/stats?${query}`)).status).toBe(400);
    expect((await get(worker, `${TRIGGERS}/404/stats`)).status).toBe(404);
  });

  it('launches are listed newest first, page by page', async () => {
    const list = (query: string) => read(worker, `${TRIGGERS}/8/launches?order=desc&limit=2${query}`);
    const first = await list('');
    expect(first.launches.map(({ sequence }: { sequence: number }) => sequence)).toEqual([3, 2]);
    expect(first.next).toBe(2);
    const second = await list(`&before=${first.next}`);
    expect(second.launches.map(({ sequence }: { sequence: number }) => sequence)).toEqual([1]);
    expect(second.next).toBeNull();
  });

  it('a token is described to its bearer', async () => {
    expect(await read(worker, '/api/v1.1/token', TOKEN.elsewhere)).toEqual({
      name: 'elsewhere',
      scopes: ['launch', 'read', 'admin', 'profiles'],
      databases: [2],
    });
    expect((await get(worker, '/api/v1.1/token', bearer(TOKEN.revoked))).status).toBe(401);
  });

  it('the description of the API is served as a file', async () => {
    const response = await worker.request('/openapi.json');
    expect(response.status).toBe(200);
    expect(response.headers.get('Content-Type')).toContain('application/json');
    const file = fileURLToPath(new URL('../../assets/openapi.json', import.meta.url));
    expect(await response.text()).toBe(readFileSync(file, 'utf8'));
    expect((await worker.request('/openapi')).status).toBe(404);
  });
});
