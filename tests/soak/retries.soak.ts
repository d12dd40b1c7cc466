// A retry during a slow first attempt. The campaign's object is asked for an earlier request while the retry arrives. The first
// attempt is committed after that, so the answer is out of date when the retry commits. Both must get the result of the first.

import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { BATCH, bearer, define, launch, put, read, TRIGGERS } from '../runtime/fixture.js';
import { Operator, type Pair } from '../runtime/seed.js';
import { ID } from '../runtime/profiles.js';
import { INDEX_KEY } from '../runtime/harness.js';
import { type Answer, Connection } from './connection.js';
import { progressOf, report, rounds, tally, WatchedWorker } from './soak.js';

const CAMPAIGN = 8;
const DATABASE = 1;
/** A body of more than 64 KiB. The campaign's object is asked for an earlier request while the body arrives. */
const PAD = 'x'.repeat(100_000);
/** Small launches, one after the other, that take longer than the lookups of a large one. */
const SMALL_LAUNCHES = 4;

const FORMATS = {
  JSON: {
    type: 'application/json',
    body: (strict: boolean) =>
      JSON.stringify({
        trigger_id: CAMPAIGN,
        strict,
        content: { pad: PAD },
        data: [{ email: 'example1@example.com' }, { email: 'example2@example.com' }],
      }),
  },
  XML: {
    type: 'application/xml',
    body: (strict: boolean) =>
      `<xml><trigger_id>${CAMPAIGN}</trigger_id><strict>${strict}</strict><content><pad>${PAD}</pad></content>` +
      '<data><email>example1@example.com</email></data><data><email>example2@example.com</email></data></xml>',
  },
};

/** A request without its last byte. */
class UnfinishedRequest {
  private constructor(
    private readonly connection: Connection,
    private readonly last: Uint8Array,
  ) {}

  static async send(url: URL, body: Buffer, headers: Record<string, string>): Promise<UnfinishedRequest> {
    const connection = await Connection.open(url);
    connection.head('POST', BATCH, { ...bearer(), ...headers, 'Content-Length': body.length });
    await connection.send(body.subarray(0, -1)).sent();
    return new UnfinishedRequest(connection, body.subarray(-1));
  }

  async finish(): Promise<Answer> {
    const answer = await this.connection.send(this.last).answer;
    this.connection.close();
    if (!answer) throw new Error('the connection ended without an answer');
    return answer;
  }
}

describe('a retry during its first attempt', () => {
  const rows: (string | number)[][] = [];
  let watched: WatchedWorker;
  /** The manifest of an index in which every item of a strict launch matches, and of an index in which one does not. */
  let manifests: { complete: Pair; incomplete: Pair };
  beforeAll(async () => {
    // Launches must use a changed manifest at once.
    watched = await WatchedWorker.start({ vars: { REMEMBER_SECONDS: '0' } });
    const complete = inject('indexes').first.find(([key]) => key === `manifest:${DATABASE}`);
    if (!complete) throw new Error('the index has no manifest');
    manifests = { complete, incomplete: await putIncomplete(watched) };
    await watched.worker.env.PROFILES.put(...complete);
  });
  afterAll(async () => {
    report(
      'Retries during their first attempt',
      [
        'change between the two',
        'format',
        'rounds',
        'first attempts',
        'retries',
        'retries with the same launch',
        'new requests in between',
      ],
      rows,
    );
    await watched.stop();
  });

  const setActive = (active: boolean) => define(watched.worker, CAMPAIGN, { active });
  const setManifest = (pair: Pair) => watched.worker.env.PROFILES.put(...pair);

  const cases = [
    {
      name: 'the campaign is paused and resumed',
      strict: false,
      hinder: () => setActive(false),
      restore: () => setActive(true),
      refused: 409,
    },
    {
      name: 'an import removes a profile, and the launch is strict',
      strict: true,
      hinder: () => setManifest(manifests.incomplete),
      restore: () => setManifest(manifests.complete),
      refused: 400,
    },
  ];
  const all = cases.flatMap((one) => (['JSON', 'XML'] as const).map((format) => ({ ...one, format })));

  it.each(all)('a retry returns the answer of the first attempt although $name ($format)', async (one) => {
    const { name, strict, hinder, restore, refused, format } = one;
    const { type, body } = FORMATS[format];
    const bytes = Buffer.from(body(strict));
    const count = Math.ceil(rounds() / 2);
    const advance = progressOf(`${name} (${format})`, count);
    const seen = { first: [] as number[], retry: [] as number[], fresh: [] as number[], same: 0 };
    for (let round = 1; round <= count; round++) {
      const { headers } = watched.watched();
      const own = { ...headers, 'Content-Type': type };
      const before = await read(watched.worker, `${TRIGGERS}/${CAMPAIGN}`);
      const first = await UnfinishedRequest.send(watched.url, bytes, own);
      await waitForLookups(watched);
      await hinder();
      // A new request shows that the change is in effect.
      seen.fresh.push((await launch(watched.worker, body(strict), { ...bearer(), 'Content-Type': type })).status);
      const retry = await UnfinishedRequest.send(watched.url, bytes, own);
      await waitForLookups(watched);
      // The campaign accepts the first attempt again. The index is not restored before the retry has its response.
      if (!strict) await restore();
      const committed = await first.finish();
      const repeated = await retry.finish();
      if (strict) await restore();
      seen.first.push(committed.status);
      seen.retry.push(repeated.status);
      const id = committed.headers.get('Launch-ID');
      const same =
        id !== null &&
        repeated.headers.get('Launch-ID') === id &&
        repeated.headers.get('Duplicate-Request') === 'true' &&
        repeated.text === committed.text;
      seen.same += same ? 1 : 0;
      const { launches } = await read(watched.worker, `${TRIGGERS}/${CAMPAIGN}`);
      expect(launches, 'launches in the log').toBe(before.launches + 1);
      advance(round);
    }
    const { first, retry, same, fresh } = seen;
    rows.push([name, format, count, tally(first), tally(retry), same, tally(fresh)]);
    expect.soft(new Set(first)).toEqual(new Set([200]));
    expect.soft(new Set(retry)).toEqual(new Set([200]));
    expect.soft(same).toBe(count);
    expect.soft(new Set(fresh)).toEqual(new Set([refused]));
  });
});

/** Waits until the lookups of an earlier request have completed, by sending small launches that make the same lookups. */
async function waitForLookups({ worker }: WatchedWorker): Promise<void> {
  for (let n = 0; n < SMALL_LAUNCHES; n++) await launch(worker, { trigger_id: CAMPAIGN, dry_run: true, data: [{}] });
}

/** Writes another index without one of the two profiles, and returns its manifest. */
async function putIncomplete({ worker }: WatchedWorker): Promise<Pair> {
  const operator = await Operator.start(INDEX_KEY);
  const profile = { profile_id: ID.one, email: 'example1@example.com' };
  await operator.importProfiles(DATABASE, JSON.stringify(profile), 'ndjson');
  const pairs = await operator.contents('PROFILES');
  await operator.stop();
  await put(worker, pairs);
  const manifest = pairs.find(([key]) => key === `manifest:${DATABASE}`);
  if (!manifest) throw new Error('the index has no manifest');
  return manifest;
}
