// Contract §1, *Exactly once*: request ids, repeats, and what is kept.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  bearer,
  CAMPAIGN,
  counts,
  debug,
  define,
  ids,
  launch,
  logged,
  read,
  seeded,
  SINGLE,
  stop,
  TOKEN,
  TRIGGERS,
} from './fixture.js';
import type { TestWorker } from './harness.js';
import { ID } from './profiles.js';

const GOOD = { trigger_id: 8, data: [{ email: 'example1@example.com' }, { email: 'nobody@example.com' }] };
const withId = (id: string, token: string = TOKEN.all) => ({ ...bearer(token), 'Request-ID': id });

describe('request ids', () => {
  let worker: TestWorker;
  let checksum: TestWorker;
  beforeAll(async () => {
    [worker, checksum] = await Promise.all([seeded(), seeded({ DEDUPLICATION: 'checksum' })]);
  });
  afterAll(() => Promise.all([stop(worker), stop(checksum)]));

  const launches = async () => ((await read(worker, `${TRIGGERS}/8`)) as { launches: number }).launches;

  describe('are read', () => {
    it.each([
      ['Request-ID', { 'Request-ID': 'r1' }, 'r1'],
      ['Idempotency-Key', { 'Idempotency-Key': 'r2' }, 'r2'],
      ['both, where they are the same', { 'Request-ID': 'r3', 'Idempotency-Key': 'r3', 'X-Request-ID': 'z' }, 'r3'],
      ['X-Request-ID where both are absent', { 'X-Request-ID': 'r4' }, 'r4'],
      ['Request-ID before X-Request-ID', { 'Request-ID': 'r5', 'X-Request-ID': 'other' }, 'r5'],
      ['256 visible characters', { 'Request-ID': '~!"#'.padEnd(256, 'x') }, '~!"#'.padEnd(256, 'x')],
    ])('an ID is read from %s', async (_, headers, id) => {
      const reply = await launch(worker, GOOD, { ...bearer(), ...(headers as Record<string, string>) });
      expect([reply.status, reply.headers.get('Request-ID')]).toEqual([200, id]);
      expect(await logged(worker, 8, reply)).toMatchObject({ request_id: id, token_name: 'all' });
    });

    it.each([
      ['two that differ', { 'Request-ID': 'a', 'Idempotency-Key': 'b' }],
      ['257 characters', { 'Request-ID': 'x'.repeat(257) }],
      ['a space', { 'Idempotency-Key': 'a b' }],
      ['another alphabet', { 'Request-ID': '\u00e9' }],
      ['nothing', { 'Request-ID': '' }],
      ['a malformed X-Request-ID', { 'X-Request-ID': 'a b' }],
    ])('an ID is not read from %s', async (_, headers) => {
      const before = await launches();
      const reply = await launch(worker, GOOD, { ...bearer(), ...(headers as Record<string, string>) });
      const named = Object.keys(headers).some((name) => debug(reply).startsWith(name));
      expect([reply.status, named]).toEqual([400, true]);
      // Under a new one.
      expect(reply.headers.get('Request-ID')).toMatch(/^[0-9a-f]{32}$/);
      expect(await launches()).toBe(before);
    });

    it("a request without an ID gets one, which is recorded like a caller's", async () => {
      const [a, b] = [await launch(worker, GOOD), await launch(worker, GOOD)];
      const id = a.headers.get('Request-ID') ?? '';
      expect(id).toMatch(/^[0-9a-f]{32}$/);
      expect(b.headers.get('Request-ID')).not.toBe(id);
      expect(b.headers.get('Launch-ID')).not.toBe(a.headers.get('Launch-ID'));
      const again = await launch(worker, GOOD, withId(id));
      expect(again.headers.get('Launch-ID')).toBe(a.headers.get('Launch-ID'));
      expect(again.headers.get('Duplicate-Key')).toBe(id);
    });
  });

  it.each([
    ['small', {}],
    // Larger than what goes straight to the commit.
    ['large', { content: { pad: 'x'.repeat(100_000) } }],
  ])('a repeated request (%s) gets the same result and launches nothing', async (name, more) => {
    const body = { ...GOOD, ...more, report: true };
    const id = `repeat-${name}`;
    const first = await launch(worker, body, withId(id));
    expect(first.headers.get('Duplicate-Request')).toBeNull();
    const before = await launches();
    for (let again = 0; again < 3; again++) {
      // Kept by the object, not in its memory.
      if (again === 2) await worker.evict(8);
      const reply = await launch(worker, body, withId(id));
      expect([reply.status, reply.text]).toEqual([200, first.text]);
      expect(counts(reply)).toEqual(counts(first));
      expect(reply.headers.get('Launch-ID')).toBe(first.headers.get('Launch-ID'));
      expect(reply.headers.get('Duplicate-Request')).toBe('true');
      expect(reply.headers.get('Duplicate-Key')).toBe(id);
    }
    expect(await launches()).toBe(before);
    // Its format is negotiated afresh, and other headers do not matter.
    const xml = await launch(worker, body, { ...withId(id), Accept: 'application/xml' });
    expect(xml.text).toMatch(/^<xml><error>0<.*<report>/);
    expect(ids(await launch(worker, body, { ...bearer(), 'X-Request-ID': id }))).toEqual([ID.one]);
  });

  it('the same ID with another body or at another path is refused', async () => {
    await launch(worker, GOOD, withId('reused'));
    const before = await launches();
    for (const [document, path] of [
      [{ ...GOOD, skip_triggers: true }, undefined],
      [`${JSON.stringify(GOOD)} `, undefined],
      [{ ...GOOD, dry_run: true }, undefined],
      [{ ...GOOD, content: { pad: 'x'.repeat(100_000) } }, undefined],
      [{ id: 8, email: 'example1@example.com' }, SINGLE],
    ] as const) {
      const reply = await launch(worker, document, withId('reused'), path);
      expect([reply.status, JSON.parse(reply.text).error_text]).toEqual([422, 'Request-ID reused']);
      expect(reply.headers.get('Request-ID')).toBe('reused');
    }
    expect(await launches()).toBe(before);
  });

  it('the same body at the sibling path is another request', async () => {
    const both = { id: 8, trigger_id: 8, email: 'example1@example.com', data: [{ email: 'example1@example.com' }] };
    await launch(worker, both, withId('sibling'));
    expect((await launch(worker, both, withId('sibling'), SINGLE)).status).toBe(422);
    // With and without the slash it is the same path.
    const slash = await launch(worker, both, withId('sibling'), `${TRIGGERS}/start_batch/`);
    expect([slash.status, slash.headers.get('Duplicate-Request')]).toEqual([200, 'true']);
  });

  it("an ID belongs to a token's name and a campaign", async () => {
    const first = await launch(worker, GOOD, withId('scoped'));
    const token = await launch(worker, GOOD, withId('scoped', TOKEN.launch));
    const campaign = await launch(worker, { ...GOOD, trigger_id: 85 }, withId('scoped'));
    const found = [first, token, campaign].map(({ headers }) => headers.get('Launch-ID'));
    expect(new Set(found).size).toBe(3);
  });

  it('of two equal requests at once, one launches and both get its result', async () => {
    for (const [name, more] of [
      ['small', {}],
      ['large', { content: { pad: 'x'.repeat(100_000) } }],
    ] as const) {
      const before = await launches();
      const all = await Promise.all(
        Array.from({ length: 8 }, () => launch(worker, { ...GOOD, ...more }, withId(`at-once-${name}`))),
      );
      expect(new Set(all.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
      expect(new Set(all.map(({ headers }) => headers.get('Launch-ID'))).size).toBe(1);
      expect(all.filter(({ headers }) => headers.get('Duplicate-Request') === null)).toHaveLength(1);
      expect(await launches()).toBe(before + 1);
    }
  });

  it('errors and dry runs do not use up an ID', async () => {
    for (const document of [
      '{"trigger_id":8,"data":[{}',
      { ...GOOD, report: 'perhaps' },
      { ...GOOD, strict: true },
      { ...GOOD, dry_run: true },
      { ...GOOD, dry_run: true },
    ]) {
      await launch(worker, document, withId('free'));
    }
    const reply = await launch(worker, GOOD, withId('free'));
    expect([reply.status, reply.headers.get('Duplicate-Request')]).toEqual([200, null]);
  });

  it('a repeat ranks before a pause and before strict', async () => {
    const strict = { trigger_id: 96, strict: true, data: [{ email: 'example1@example.com' }] };
    const first = await launch(worker, strict, withId('kept'));
    await define(worker, 96, { active: false });
    for (const more of [{}, { Accept: 'application/xml' }]) {
      const reply = await launch(worker, strict, { ...withId('kept'), ...more });
      expect([reply.status, reply.headers.get('Launch-ID')]).toEqual([200, first.headers.get('Launch-ID')]);
    }
    expect((await launch(worker, { ...strict, data: [{}] }, withId('kept'))).status).toBe(422);
    expect((await launch(worker, strict, withId('other'))).status).toBe(409);
    await define(worker, 96, { active: true });
    // Nor does a paused campaign record the id.
    const later = await launch(worker, strict, withId('other'));
    expect([later.status, later.headers.get('Duplicate-Request')]).toEqual([200, null]);
    expect((await launch(worker, { ...strict, trigger_id: CAMPAIGN.paused }, withId('kept'))).status).toBe(409);
  });

  it('with DEDUPLICATION=checksum, a digest of the body is the ID', async () => {
    const first = await launch(checksum, GOOD);
    const id = first.headers.get('Request-ID') ?? '';
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    const again = await launch(checksum, GOOD);
    expect(again.headers.get('Launch-ID')).toBe(first.headers.get('Launch-ID'));
    expect([again.headers.get('Duplicate-Request'), again.headers.get('Duplicate-Key')]).toEqual(['true', id]);
    const spaced = await launch(checksum, ` ${JSON.stringify(GOOD)}`);
    expect(spaced.headers.get('Duplicate-Request')).toBeNull();
    const named = await launch(checksum, GOOD, withId('own'));
    expect([named.headers.get('Duplicate-Request'), named.headers.get('Request-ID')]).toEqual([null, 'own']);
    const large = { ...GOOD, content: { pad: 'x'.repeat(100_000) } };
    const both = [await launch(checksum, large), await launch(checksum, large)];
    expect(both.map(({ headers }) => headers.get('Duplicate-Request'))).toEqual([null, 'true']);
  });
});
