// Contract §3: defining, pausing and listing campaigns; §2: the launch log (attachments have a suite of their own).

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bearer, CAMPAIGN, define, get, launch, logged, read, seeded, stop, TOKEN, TRIGGERS } from './fixture.js';
import type { TestWorker } from './harness.js';
import { address, numbered } from './profiles.js';

const DATA = [{ email: 'example1@example.com' }, { email: 'nobody@example.com' }, {}, { email: 'twice@example.com' }];

describe('campaigns', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded();
  });
  afterAll(() => stop(worker));

  async function change(
    id: number,
    definition: unknown,
    token: string = TOKEN.admin,
    type: Record<string, string> = { 'Content-Type': 'application/json' },
  ) {
    const text = typeof definition === 'string' ? definition : JSON.stringify(definition);
    // As bytes: fetch gives text a type of its own.
    const body = new TextEncoder().encode(text);
    const headers = { ...type, ...bearer(token) };
    const response = await worker.request(`${TRIGGERS}/${id}`, { method: 'PUT', body, headers });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  it('a campaign can be launched directly after its definition', async () => {
    const definition = { name: 'New «campaign»', database: 1, active: true };
    const defined = { id: 501, ...definition, launches: 0, recipients: 0 };
    expect(await change(501, definition)).toEqual({ status: 200, body: defined });
    const reply = await launch(worker, { trigger_id: 501, data: DATA });
    expect(reply.status, reply.text).toBe(200);
    expect(await read(worker, `${TRIGGERS}/501`)).toEqual({ ...defined, launches: 1, recipients: 1 });
    expect(await read(worker, `${TRIGGERS}/501/`)).toMatchObject({ launches: 1 });
  });

  it('a first definition needs all three fields, and a later one keeps the fields that it omits', async () => {
    for (const partial of [
      {},
      { name: 'x' },
      { name: 'x', database: 1 },
      { name: 'x', active: true },
      { active: true },
    ]) {
      expect([partial, (await change(502, partial)).status]).toEqual([partial, 400]);
    }
    expect((await get(worker, `${TRIGGERS}/502`)).status).toBe(404);
    await change(502, { name: 'x', database: 1, active: false });
    expect((await change(502, { active: true })).body).toMatchObject({ name: 'x', database: 1, active: true });
    expect((await change(502, { name: 'y', database: 1 })).body).toMatchObject({ name: 'y', active: true });
    expect((await change(502, {})).body).toMatchObject({ name: 'y', database: 1, active: true });
    const moved = await change(502, { database: 2, name: 'z' });
    expect([moved.status, moved.body.error]).toEqual([409, 409]);
    expect(await read(worker, `${TRIGGERS}/502`)).toMatchObject({ name: 'y', database: 1 });
  });

  it.each([
    ['', 'the body'],
    ['[]', 'the body'],
    ['null', 'the body'],
    ['{"name":', 'the body'],
    ['{"name":"","database":1,"active":true}', 'name: '],
    [`{"name":"${'x'.repeat(257)}","database":1,"active":true}`, 'name: '],
    ['{"name":"a\\u0000b","database":1,"active":true}', 'name: '],
    ['{"name":5,"database":1,"active":true}', 'name: '],
    ['{"database":1,"active":true}', 'name: '],
    ['{"name":"x","database":"one","active":true}', 'database: '],
    ['{"name":"x","database":0,"active":true}', 'database: '],
    ['{"name":"x","database":-1,"active":true}', 'database: '],
    ['{"name":"x","database":9007199254740992,"active":true}', 'database: '],
    ['{"name":"x","active":true}', 'database: '],
    ['{"name":"x","database":1,"active":"yes"}', 'active: '],
    ['{"name":"x","database":1}', 'active: '],
    ['{"name":"x","database":1,"active":true,"actve":false}', 'actve: '],
    ['{"id":504,"name":"x","database":1,"active":true}', 'id: '],
  ])('a definition cannot be %s', async (definition, named) => {
    const { status, body } = await change(503, definition);
    expect([status, body.error, body.error_text]).toEqual([400, 400, 'Invalid request']);
    expect(body.error_debug).toMatch(new RegExp(`^${named}`));
    expect((await get(worker, `${TRIGGERS}/503`)).status).toBe(404);
  });

  it('a definition of another type, charset or coding gets 415, whatever else is wrong', async () => {
    const definition = { name: 'typed', database: 1, active: true };
    for (const type of ['application/xml', 'text/xml', 'text/html', 'application/json; charset=latin1']) {
      const { status, body } = await change(505, definition, TOKEN.unknown, { 'Content-Type': type });
      expect([type, status, body.error_text]).toEqual([type, 415, 'Unsupported media type']);
    }
    const coded = await change(505, definition, TOKEN.admin, { 'Content-Encoding': 'br' });
    expect([coded.status, coded.body.error]).toEqual([415, 415]);
    expect((await get(worker, `${TRIGGERS}/505`)).status).toBe(404);
    for (const type of [
      'application/json; charset=utf-8',
      'application/x-www-form-urlencoded',
      'text/plain;charset=UTF-8',
      '',
    ]) {
      const headers: Record<string, string> = type ? { 'Content-Type': type } : {};
      expect([type, (await change(505, definition, TOKEN.admin, headers)).status]).toEqual([type, 200]);
    }
    expect((await change(505, '\ufeff{"active":false}')).body).toMatchObject({ name: 'typed', active: false });
    const large = await change(505, `{"name":"y"}${' '.repeat(65_536)}`, TOKEN.unknown);
    expect([large.status, large.body.error_debug]).toEqual([413, 'http: request body too large']);
  });

  it('the response of GET is a valid definition', async () => {
    const read = JSON.parse((await get(worker, `${TRIGGERS}/8`)).text);
    expect(await change(8, read)).toEqual({ status: 200, body: read });
  });

  it('a campaign of another database is not visible to a token', async () => {
    expect((await change(504, { name: 'x', database: 1, active: true }, TOKEN.elsewhere)).status).toBe(404);
    expect((await change(504, { name: 'x', database: 2, active: true }, TOKEN.elsewhere)).status).toBe(200);
    expect((await change(8, { active: false }, TOKEN.elsewhere)).status).toBe(404);
    expect((await change(8, { active: false }, TOKEN.launch)).status).toBe(403);
    expect(await read(worker, `${TRIGGERS}/8`)).toMatchObject({ active: true });
    const listed = await read(worker, TRIGGERS, TOKEN.elsewhere);
    expect(listed.campaigns.map(({ database }: { database: number }) => database)).toEqual([2, 2]);
  });

  it.each([
    ['small', {}],
    ['large', { content: { pad: 'x'.repeat(100_000) } }],
  ])('a pause applies from its answer on (%s)', async (_, more) => {
    for (let round = 0; round < 5; round++) {
      await define(worker, 85, { active: false });
      const paused = await launch(worker, { trigger_id: 85, ...more, data: DATA });
      expect([paused.status, JSON.parse(paused.text).error_text]).toEqual([409, 'Campaign is not active']);
      await define(worker, 85, { active: true });
      expect((await launch(worker, { trigger_id: 85, ...more, data: DATA })).status).toBe(200);
    }
  });

  it('no launch is accepted after the answer to a pause, while launches run', async () => {
    let paused = false;
    const late: number[] = [];
    const callers = Array.from({ length: 8 }, async () => {
      for (let call = 0; call < 12; call++) {
        const begunAfter = paused;
        const { status } = await launch(worker, { trigger_id: 96, data: DATA });
        if (begunAfter) late.push(status);
        if (status !== 200) break;
      }
    });
    await define(worker, 96, { active: false });
    paused = true;
    await Promise.all(callers);
    expect(late.filter((status) => status !== 409)).toEqual([]);
    expect((await launch(worker, { trigger_id: 96, data: DATA })).status).toBe(409);
    await define(worker, 96, { active: true });
  });

  it('campaigns are listed by ID, page by page', async () => {
    const all: { id: number; name: string; database: number }[] = (await read(worker, TRIGGERS)).campaigns;
    const found = all.map(({ id }) => id);
    expect(found).toEqual([...found].sort((a, b) => a - b));
    expect(found).toEqual(expect.arrayContaining([1, 2, 3, 4, 8, 85, 96]));
    expect(all.find(({ id }) => id === 8)).toEqual({ id: 8, name: 'c8', database: 1, active: true });
    const paged: number[] = [];
    for (let after: number | null = 0; after !== null;) {
      const page: { campaigns: { id: number }[]; next: number | null } = await read(
        worker,
        `${TRIGGERS}?after=${after}&limit=3`,
      );
      expect(page.campaigns.length).toBeLessThanOrEqual(3);
      paged.push(...page.campaigns.map(({ id }) => id));
      after = page.next;
    }
    expect(paged).toEqual(found);
    expect(await read(worker, `${TRIGGERS}?after=${found.at(-1)}`)).toEqual({ campaigns: [], next: null });
    for (const query of [
      'limit=0',
      'limit=1001',
      'limit=x',
      'limit=',
      'after=-1',
      'after=1.5',
      'after=9007199254740992',
    ]) {
      const reply = await get(worker, `${TRIGGERS}?${query}`);
      expect([query, reply.status]).toEqual([query, 400]);
    }
  });

  describe('the launch log', () => {
    const LOG = `${TRIGGERS}/601/launches`;
    const launched: string[] = [];
    beforeAll(async () => {
      await define(worker, 601, { name: 'logged', database: 1, active: true });
      for (let n = 0; n < 5; n++) {
        const document = {
          trigger_id: 601,
          skip_triggers: n === 1,
          content: { n },
          ...(n === 2
            ? { matching: 'custom', field_name: 'Custom_ID', data: [{ field_value: 'AA' }] }
            : { data: DATA }),
        };
        const reply = await launch(worker, document, { ...bearer(TOKEN.launch), 'Request-ID': `log-${n}` });
        launched.push(reply.headers.get('Launch-ID') ?? '');
      }
    });

    it('the log contains a launch with all its documented fields', async () => {
      const first = await read(worker, `${LOG}/${launched[0]}`, TOKEN.read);
      expect(Object.keys(first)).toEqual([
        ...['launch_id', 'sequence', 'trigger_id', 'accepted_at', 'request_id', 'token_name', 'matching'],
        ...[
          'recipients',
          'unmatched',
          'invalid',
          'duplicates',
          'skip_triggers',
          'content',
          'custom_data',
          'attachments',
        ],
      ]);
      expect(first).toMatchObject({
        launch_id: launched[0],
        sequence: 1,
        trigger_id: 601,
        accepted_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        request_id: 'log-0',
        token_name: 'launch',
        matching: 'email',
        recipients: 1,
        unmatched: 1,
        invalid: 1,
        duplicates: 1,
        skip_triggers: false,
        content: { n: 0 },
        custom_data: null,
        attachments: [],
      });
      expect(await read(worker, `${LOG}/${launched[1]}`)).toMatchObject({ skip_triggers: true, sequence: 2 });
      expect(await read(worker, `${LOG}/${launched[2]!.toUpperCase()}`)).toMatchObject({ matching: 'custom' });
    });

    it('the log is read in commit order, page by page', async () => {
      const whole = await read(worker, LOG, TOKEN.read);
      expect(whole).toMatchObject({ first: 1, next: null });
      expect(whole.launches.map((one: { launch_id: string }) => one.launch_id)).toEqual(launched);
      expect(whole.launches[3]).toEqual(await read(worker, `${LOG}/${launched[3]}`));
      const times = whole.launches.map((one: { accepted_at: string }) => one.accepted_at);
      expect(times).toEqual([...times].sort());
      for (const limit of [1, 2, 3, 4, 5, 1000]) {
        const sequences: number[] = [];
        let query = `limit=${limit}`;
        for (let pages = 0; ; pages++) {
          const page = await read(worker, `${LOG}?${query}`);
          sequences.push(...page.launches.map((one: { sequence: number }) => one.sequence));
          if (page.next === null) break;
          expect(page.launches).toHaveLength(limit);
          expect(pages).toBeLessThan(5);
          query = `limit=${limit}&after=${page.next}`;
        }
        expect(sequences).toEqual([1, 2, 3, 4, 5]);
      }
      expect(await read(worker, `${LOG}?after=4`)).toMatchObject({ launches: [{ sequence: 5 }], next: null });
      expect(await read(worker, `${LOG}?after=0&limit=1`)).toMatchObject({ launches: [{ sequence: 1 }], next: 1 });
      for (const after of [5, 6, 1_000_000]) {
        expect(await read(worker, `${LOG}?after=${after}`)).toEqual({ launches: [], first: 1, next: null });
      }
    });

    it('the log of a campaign without launches is empty', async () => {
      await define(worker, 602, { name: 'empty', database: 1, active: false });
      expect(await read(worker, `${TRIGGERS}/602/launches`)).toEqual({ launches: [], first: null, next: null });
    });

    it('the log survives a restart of the object', async () => {
      const before = await read(worker, LOG);
      await worker.evict(601);
      expect(await read(worker, LOG)).toEqual(before);
    });

    it('the recipients are read page by page, or all of them as NDJSON', async () => {
      await define(worker, 603, { name: 'many', database: 1, active: true });
      const data = Array.from({ length: 2500 }, (_, n) => ({
        email: address(n),
        ...(n % 1000 === 7 ? { custom_data: { n } } : {}),
      }));
      const launch_id = (await launch(worker, { trigger_id: 603, data })).headers.get('Launch-ID');
      const recipients = data.map(({ custom_data }, index) => ({
        index,
        profile_id: numbered(index),
        ...(custom_data ? { custom_data } : {}),
      }));
      const path = `${TRIGGERS}/603/launches/${launch_id}/recipients`;
      expect(await read(worker, path, TOKEN.read)).toEqual({ recipients: recipients.slice(0, 1000), next: 999 });
      expect(await read(worker, `${path}?after=999`)).toEqual({ recipients: recipients.slice(1000, 2000), next: 1999 });
      expect(await read(worker, `${path}?after=1999`)).toEqual({ recipients: recipients.slice(2000), next: null });
      expect(await read(worker, `${path}?limit=50000`)).toEqual({ recipients, next: null });
      expect(await read(worker, `${path}?after=0&limit=1`)).toEqual({ recipients: [recipients[1]], next: 1 });
      expect(await read(worker, `${path}?after=2498&limit=1`)).toEqual({ recipients: [recipients[2499]], next: null });
      expect(await read(worker, `${path}?after=2499`)).toEqual({ recipients: [], next: null });
      const lines = await get(worker, path, { ...bearer(TOKEN.read), Accept: 'application/x-ndjson' });
      expect(lines.headers.get('Content-Type')).toContain('application/x-ndjson');
      expect(lines.text.endsWith('\n')).toBe(true);
      expect(
        lines.text
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line)),
      ).toEqual(recipients);
    });

    it('a launch without recipients has an empty list', async () => {
      const reply = await launch(worker, { trigger_id: 8, data: [{}] });
      const path = `${TRIGGERS}/8/launches/${reply.headers.get('Launch-ID')}/recipients`;
      expect(await read(worker, path)).toEqual({ recipients: [], next: null });
      expect((await get(worker, path, { ...bearer(), Accept: 'application/x-ndjson' })).text).toBe('');
    });

    it('a page ends at 8 MiB', async () => {
      await define(worker, 604, { name: 'large', database: 1, active: true });
      const content = { pad: 'x'.repeat(1_000_000) };
      const launches = 10;
      for (let n = 0; n < launches; n++) {
        expect((await launch(worker, { trigger_id: 604, content, data: DATA })).status).toBe(200);
      }
      const sequences: number[] = [];
      let pages = 0;
      for (let after: number | null = 0; after !== null; pages++) {
        const { text } = await get(worker, `${TRIGGERS}/604/launches?after=${after}`);
        expect(text.length).toBeLessThanOrEqual(8 * 1024 * 1024 + 1024);
        const page: { launches: { sequence: number }[]; next: number | null } = JSON.parse(text);
        sequences.push(...page.launches.map(({ sequence }) => sequence));
        after = page.next;
      }
      expect([sequences, pages]).toEqual([Array.from({ length: launches }, (_, n) => n + 1), 2]);
    });

    it.each([
      ...[
        'limit=0',
        'limit=1001',
        'limit=-1',
        'limit=x',
        'limit=',
        'after=x',
        'after=-1',
        'after=',
        'after=9007199254740992',
      ],
    ])('the parameter ?%s is refused', async (query) => {
      const page = await get(worker, `${LOG}?${query}`);
      expect([page.status, JSON.parse(page.text).error]).toEqual([400, 400]);
      const recipients = `${LOG}/${launched[0]}/recipients?${query.replace('1001', '50001')}`;
      expect((await get(worker, recipients)).status).toBe(400);
    });

    it('a log contains the launches of its own campaign only', async () => {
      const other = (await logged(worker, 8, await launch(worker, { trigger_id: 8, data: DATA }))).launch_id;
      for (const id of [other, '01890000-0000-7000-8000-000000000000', 'x', '1']) {
        for (const rest of ['', '/recipients', '/report', '/attachments/0']) {
          const reply = await get(worker, `${LOG}/${id}${rest}`);
          expect([id, rest, reply.status, JSON.parse(reply.text).error_text]).toEqual([id, rest, 404, 'Not found']);
        }
      }
      expect((await get(worker, `${LOG}/${launched[0]}/attachments/0`)).status).toBe(404);
      expect((await get(worker, `${LOG}/${launched[0]}/nothing`)).status).toBe(404);
      expect((await get(worker, `${TRIGGERS}/${CAMPAIGN.unknown}/launches`)).status).toBe(404);
    });

    it("the log and the operator's paths answer in JSON only, errors included", async () => {
      for (const path of [
        LOG,
        `${LOG}/x`,
        `${LOG}?limit=0`,
        `${TRIGGERS}/601`,
        TRIGGERS,
        `${TRIGGERS}/404`,
        '/healthz',
      ]) {
        for (const token of [TOKEN.all, TOKEN.unknown]) {
          const separator = path.includes('?') ? '&' : '?';
          const reply = await get(worker, `${path}${separator}format=xml`, {
            ...bearer(token),
            Accept: 'application/xml',
          });
          expect(reply.headers.get('Content-Type')).toContain('application/json');
          expect(() => JSON.parse(reply.text)).not.toThrow();
          expect(reply.headers.get('Request-ID')).toMatch(/^[0-9a-f]{32}$/);
        }
      }
      const echoed = await get(worker, LOG, { ...bearer(), 'Request-ID': 'mine' });
      expect(echoed.headers.get('Request-ID')).toBe('mine');
    });
  });

  it('a campaign has the totals of its launches', async () => {
    await define(worker, 605, { name: 'totals', database: 1, active: true });
    for (const count of [3, 0, 200]) {
      const data = [...Array.from({ length: count }, (_, n) => ({ email: address(n) })), {}];
      await launch(worker, { trigger_id: 605, data });
      await launch(worker, { trigger_id: 605, dry_run: true, data });
    }
    expect(await read(worker, `${TRIGGERS}/605`)).toMatchObject({ launches: 3, recipients: 203 });
    await worker.evict(605);
    expect(await read(worker, `${TRIGGERS}/605`)).toMatchObject({ launches: 3, recipients: 203 });
  });
});
