// The campaign's object decides who may use the campaign, and writes the copy in KV from which campaigns are listed.

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { bearer, CAMPAIGN, define, get, launch, read, seeded, stop, TOKEN, TRIGGERS } from './fixture.js';
import type { TestWorker } from './harness.js';

interface Listed {
  id: number;
  name: string;
  database: number;
  active?: boolean;
}

/** How long the list may take to catch up. */
const CATCH_UP = { timeout: 10_000, interval: 100 };

describe('access and the list', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded();
  });
  afterAll(() => stop(worker));

  async function put(id: number, definition: object, token: string = TOKEN.admin) {
    const body = new TextEncoder().encode(JSON.stringify(definition));
    const headers = { 'Content-Type': 'application/json', ...bearer(token) };
    const response = await worker.request(`${TRIGGERS}/${id}`, { method: 'PUT', body, headers });
    return { status: response.status, text: await response.text() };
  }

  async function list(token: string = TOKEN.admin): Promise<Map<number, Listed>> {
    const { campaigns } = await read<{ campaigns: Listed[] }>(worker, `${TRIGGERS}?limit=1000`, token);
    return new Map(campaigns.map((campaign) => [campaign.id, campaign]));
  }

  const key = (id: number) => `campaign:${String(id).padStart(16, '0')}`;

  it('a token of another database never changes a campaign that is being defined', async () => {
    const ids = Array.from({ length: 60 }, (_, round) => 7000 + round);
    const foreign = await Promise.all(
      ids.map(async (id, round) => {
        const pauses = Array.from({ length: 4 }, () => put(id, { active: false }, TOKEN.elsewhere));
        const renames = [put(id, { name: 'taken' }, TOKEN.elsewhere), put(id, {}, TOKEN.elsewhere)];
        if (round % 2) await renames[0];
        const defined = await put(id, { name: 'theirs', database: 1, active: true });
        expect(defined.status, defined.text).toBe(200);
        return Promise.all([...pauses, ...renames]);
      }),
    );
    expect(foreign.flat().filter(({ status }) => status !== 404)).toEqual([]);
    for (const id of ids)
      expect(await read(worker, `${TRIGGERS}/${id}`)).toMatchObject({ name: 'theirs', active: true });
  });

  it('of two tokens that define a campaign at once, one defines it and the other gets 404 or 409', async () => {
    for (let id = 7100; id < 7120; id++) {
      const [ours, theirs] = await Promise.all([
        put(id, { name: 'ours', database: 1, active: true }),
        put(id, { name: 'theirs', database: 2, active: true }, TOKEN.elsewhere),
      ]);
      const { database } = await read(worker, `${TRIGGERS}/${id}`);
      expect([ours.status, theirs.status]).toEqual(database === 1 ? [200, 404] : [409, 200]);
    }
  });

  it('a token of another database gets the same answers for a foreign and an unknown campaign', async () => {
    const launched = await launch(worker, { trigger_id: 8, data: [{ email: 'example1@example.com' }] });
    const held = `launches/${launched.headers.get('Launch-ID')}`;
    const answers = async (id: number) => {
      const definitions = [
        {},
        { active: false },
        { name: 'x' },
        { database: 2 },
        { database: 1 },
        { name: 'x', database: 2 },
        { name: 'x', active: true },
        { name: 'x', database: 1, active: true },
        { database: 0 },
        { actve: true },
      ];
      const paths = [
        '',
        '/launches',
        '/launches?limit=0',
        '/launches?after=1000',
        '/launches/x',
        `/launches/${crypto.randomUUID()}`,
        `/${held}`,
        `/${held}/recipients`,
        `/${held}/report`,
        `/${held}/attachments/0`,
        `/${held}/attachments/x`,
      ];
      const puts = await Promise.all(definitions.map((definition) => put(id, definition, TOKEN.elsewhere)));
      const gets = await Promise.all(
        paths.map((path) => get(worker, `${TRIGGERS}/${id}${path}`, bearer(TOKEN.elsewhere))),
      );
      return [...puts, ...gets.map(({ status, text }) => ({ status, text }))];
    };
    const foreign = await answers(8);
    expect(foreign).toEqual(await answers(CAMPAIGN.unknown));
    const statuses = foreign.map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([400, 404]));
    expect(statuses.slice(0, 8)).toEqual(Array(8).fill(404));
    expect((await get(worker, `${TRIGGERS}/${CAMPAIGN.unknown}`)).status).toBe(404);
  });

  it('a token of some databases learns which launch of its own campaign does not exist', async () => {
    for (const [path, what] of [
      ['/launches/x', 'no such launch'],
      [`/launches/${crypto.randomUUID().replace(/-4/, '-7')}`, 'no such launch'],
    ]) {
      const reply = await get(worker, `${TRIGGERS}/${CAMPAIGN.unimported}${path}`, bearer(TOKEN.elsewhere));
      expect([reply.status, JSON.parse(reply.text).error_debug]).toEqual([404, what]);
    }
  });

  it('a token of some databases cannot move its own campaign, and gets the reason', async () => {
    for (const database of [1, 3]) {
      const moved = await put(CAMPAIGN.unimported, { database }, TOKEN.elsewhere);
      expect([moved.status, JSON.parse(moved.text).error_text]).toEqual([409, 'Database cannot be changed']);
    }
  });

  it('the list shows a definition and a pause at once, and names the state', async () => {
    await define(worker, 7200, { name: 'listed', database: 2, active: true });
    expect((await list(TOKEN.elsewhere)).get(7200)).toEqual({ id: 7200, name: 'listed', database: 2, active: true });
    // A second change within a second is listed a second later.
    await define(worker, 7200, { active: false });
    await vi.waitFor(async () => expect((await list()).get(7200)).toMatchObject({ active: false }), CATCH_UP);
  });

  it('the list agrees with the objects after definitions at once', async () => {
    const ids = Array.from({ length: 30 }, (_, round) => 7300 + round);
    await Promise.all(ids.map((id) => define(worker, id, { name: 'first', database: 1, active: true })));
    for (let round = 0; round < 3; round++) {
      const puts = ids.flatMap((id) =>
        [0, 1, 2].map((change) => put(id, { name: `name ${round}.${change}`, active: (round + change) % 2 === 0 })),
      );
      expect((await Promise.all(puts)).filter(({ status }) => status !== 200)).toEqual([]);
      if (round === 1) await Promise.all(ids.slice(0, 10).map((id) => worker.evict(id)));
    }
    const objects = await Promise.all(ids.map((id) => read(worker, `${TRIGGERS}/${id}`)));
    const expected = objects.map(({ id, name, database, active }: Listed) => ({ id, name, database, active }));
    await vi.waitFor(async () => {
      const listed = await list();
      expect(ids.map((id) => listed.get(id))).toEqual(expected);
    }, CATCH_UP);
  });

  it('a name of 256 bytes is listed, whatever its characters, and a longer one is refused', async () => {
    let id = 7400;
    for (const character of ['x', '"', '\\', 'é', '…', '😀', '\u2028']) {
      const bytes = new TextEncoder().encode(character).length;
      const name = character.repeat(256 / bytes) + 'x'.repeat(256 % bytes);
      await define(worker, ++id, { name, database: 1, active: true });
      expect((await list()).get(id)).toEqual({ id, name, database: 1, active: true });
      const longer = await put(++id, { name: `${name}x`, database: 1, active: true });
      expect([longer.status, JSON.parse(longer.text).error_debug]).toEqual([
        400,
        expect.stringMatching(/^name: .*256/),
      ]);
      expect((await get(worker, `${TRIGGERS}/${id}`)).status).toBe(404);
    }
  });

  it('a PUT that changes nothing writes a copy that is missing, or that an earlier version wrote', async () => {
    const record = { id: 7500, name: 'kept', database: 1 };
    await define(worker, 7500, { ...record, active: false });
    const lost = [
      () => worker.env.ACCESS.delete(key(7500)),
      () => worker.env.ACCESS.put(key(7500), JSON.stringify(record), { metadata: record }),
    ];
    for (const lose of lost) {
      // The object has removed its task by now, or an alarm of it would write the copy.
      await lose();
      await vi.waitFor(async () => {
        expect((await put(7500, {})).status).toBe(200);
        expect((await list()).get(7500)).toEqual({ ...record, active: false });
      }, CATCH_UP);
    }
    await worker.env.ACCESS.put(key(7501), JSON.stringify({ ...record, id: 7501 }), {
      metadata: { ...record, id: 7501 },
    });
    expect((await list()).get(7501)).toEqual({ ...record, id: 7501 });
  });
});
