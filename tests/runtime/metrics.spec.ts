// The data points of docs/reference/log.md: one for each request, if `METRICS` is bound.

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { BATCH, bearer, get, launch, seed, TOKEN, TRIGGERS, WAIT } from './fixture.js';
import { PersistedWorker, type Point } from './persisted.js';

describe('with METRICS bound', () => {
  let worker: PersistedWorker;
  const points: Point[] = [];
  beforeAll(async () => {
    worker = await PersistedWorker.passing((point) => points.push(point));
    await seed(worker);
    // The points of these requests are not those of a test.
    await get(worker, `${TRIGGERS}/1`);
    await vi.waitUntil(() => points.at(-1)?.indexes.includes('campaign'), WAIT);
  });
  afterAll(() => worker.stop());

  /** The only data point that the request writes. */
  async function pointOf(request: () => Promise<unknown>): Promise<Point> {
    const count = () => points.length;
    const before = points.length;
    await request();
    // Log lines arrive in order, but after the response: the line of a second request marks the end of the first.
    await worker.request(`${TRIGGERS}/1`, { headers: bearer() });
    await vi.waitUntil(() => count() >= before + 2, WAIT);
    const [point, last, ...more] = points.slice(before);
    expect([last?.indexes, more]).toEqual([['campaign'], []]);
    return point as Point;
  }

  const items = [{ email: 'example1@example.com' }, { email: 'nobody@example.com' }, {}];
  const body = JSON.stringify({ trigger_id: 8, data: [...items, items[0]] });
  const withId = { ...bearer(), 'Request-ID': 'someone@example.com' };

  it.each([
    ['a launch', body, withId, ['start_batch', '200', 'json', 'launched'], [1, 1, 1, 1]],
    ['a repeat', body, withId, ['start_batch', '200', 'json', 'repeated'], [1, 1, 1, 1]],
    [
      'a dry run, in XML',
      '<xml><dry_run>1</dry_run><trigger_id>8</trigger_id><data><email>example1@example.com</email></data></xml>',
      { ...bearer(), Accept: 'application/xml' },
      ['start_batch', '200', 'xml', 'dry run'],
      [1, 0, 0, 0],
    ],
    ['a refusal', '{', bearer(), ['start_batch', '400', 'json', 'Invalid request'], [0, 0, 0, 0]],
    [
      'a caller without a good token',
      body,
      bearer(TOKEN.unknown),
      ['start_batch', '401', 'json', 'API token required'],
      [0, 0, 0, 0],
    ],
  ])(
    '%s writes a data point with its outcome, and without values of the request',
    async (_, document, headers, blobs, counts) => {
      const point = await pointOf(() => launch(worker, document, headers as Record<string, string>));
      expect(point.indexes).toEqual(['start_batch']);
      expect(point.blobs).toEqual(blobs);
      const [total, bytes, parse, match, commit, ...rest] = point.doubles;
      for (const time of [total, parse, match, commit]) expect(time).toBeGreaterThanOrEqual(0);
      expect(bytes).toBe(document.length);
      expect(rest.slice(0, 4)).toEqual(counts);
      expect(point.doubles).toHaveLength(12);
      expect(point.doubles[11]).toBeGreaterThan(1_000_000);
      expect(JSON.stringify(point)).not.toMatch(/@|example|abcdef/);
    },
  );

  it.each([
    ['POST', BATCH, { 'Content-Type': 'text/html' }, ['start_batch', '415', 'json', 'Unsupported media type']],
    ['GET', `${TRIGGERS}/8`, {}, ['campaign', '200', 'json', 'answered']],
    ['GET', `${TRIGGERS}/8/launches?limit=0`, {}, ['launches', '400', 'json', 'Invalid request']],
    ['GET', `/${TOKEN.all}`, {}, ['nowhere', '404', 'json', 'Not found']],
  ])('%s %s writes a data point', async (method, target, headers, blobs) => {
    const init = { method, headers: { ...bearer(), ...headers } as Record<string, string> };
    const point = await pointOf(() => worker.request(target, init));
    expect(point).toEqual({ indexes: [blobs[0]], blobs, doubles: [expect.any(Number)] });
  });
});
