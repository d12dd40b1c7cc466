// A token of one database that calls a campaign while it is defined in another database, and simultaneous definitions of one
// campaign.

import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { duration } from '../../benches/report.mjs';
import { bearer, type Reply, TOKEN, TRIGGERS } from '../runtime/fixture.js';
import { runConcurrently, progressOf, report, rounds, tally, waitFor, WatchedWorker } from './soak.js';

/** Campaigns that are defined at once. */
const LANES = 4;
/** The list agrees with a campaign's object within this time. */
const LISTED_MS = 10_000;
/** The first of the campaigns that these rounds define. */
const FIRST = 100_000;
const NAMED_FIRST = 2 * FIRST;
/** A campaign that is never defined. */
const UNDEFINED = 3 * FIRST;
/** Bodies that the limited token sends in a round, spread over the time of the definition. */
const INCOMPLETE = [{ active: false }, {}, { active: false }, {}];

describe('access to campaigns', () => {
  let watched: WatchedWorker;
  beforeAll(async () => {
    watched = await WatchedWorker.start();
  });
  afterAll(() => watched.stop());

  const request = async (method: string, id: number, token: string, body?: object): Promise<Reply> => {
    const init = { method, headers: { ...bearer(token), 'Content-Type': 'application/json' } };
    const own = body ? { ...init, body: JSON.stringify(body) } : init;
    const response = await watched.worker.request(`${TRIGGERS}/${id}`, own);
    return { status: response.status, headers: response.headers, text: await response.text() };
  };

  it('a limited token neither reads nor changes a campaign that is being defined in another database', async () => {
    const count = rounds();
    const advance = progressOf('definitions with a limited token', count);
    const seen = { statuses: [] as number[], definitions: [] as number[], names: 0, paused: 0, differ: 0, done: 0 };
    let longest = 10;
    await runConcurrently(count, LANES, async (n) => {
      const id = FIRST + n;
      const name = `foreign ${n}`;
      const start = performance.now();
      const definition = request('PUT', id, TOKEN.all, { name, database: 1, active: true });
      const limited = INCOMPLETE.map(async (body, at) => {
        await pause(((at + (n % LANES) / LANES) / INCOMPLETE.length) * longest);
        return request('PUT', id, TOKEN.elsewhere, body);
      });
      const defined = await definition;
      longest = 0.8 * longest + 0.2 * (performance.now() - start);
      const replies = await Promise.all(limited);
      seen.definitions.push(defined.status);
      seen.statuses.push(...replies.map(({ status }) => status));
      seen.names += replies.filter(({ text }) => text.includes(name)).length;
      const { text } = await request('GET', id, TOKEN.all);
      seen.paused += (JSON.parse(text) as { active?: boolean }).active === true ? 0 : 1;
      for (const [method, body] of [
        ['PUT', {}],
        ['PUT', { active: false }],
        ['GET', undefined],
      ] as const) {
        const foreign = await request(method, id, TOKEN.elsewhere, body);
        const unknown = await request(method, UNDEFINED, TOKEN.elsewhere, body);
        seen.differ += JSON.stringify(visible(foreign)) === JSON.stringify(visible(unknown)) ? 0 : 1;
        seen.statuses.push(foreign.status, unknown.status);
      }
      advance(++seen.done);
    });
    const head = ['rounds', 'definitions', 'answers to the limited token', 'with the foreign name'];
    report(
      'A limited token during definitions in another database',
      [...head, 'campaigns not active afterwards', 'foreign and unknown differ'],
      [[count, tally(seen.definitions), tally(seen.statuses), seen.names, seen.paused, seen.differ]],
    );
    expect.soft(new Set(seen.definitions)).toEqual(new Set([200]));
    expect.soft(new Set(seen.statuses)).toEqual(new Set([404]));
    expect.soft([seen.names, seen.paused, seen.differ]).toEqual([0, 0, 0]);
  });

  it('the list agrees with a campaign that received two names at once', async () => {
    const count = Math.max(4, Math.round(rounds() / 20));
    const advance = progressOf('two names at once', count);
    const times: number[] = [];
    const statuses: number[] = [];
    let differ = 0;
    let done = 0;
    /** Whether the list has the same name as the campaign's object. */
    const agrees = async (id: number) => {
      const own = JSON.parse((await request('GET', id, TOKEN.all)).text) as { name: string };
      const listed = await watched.worker.request(`${TRIGGERS}?after=${id - 1}&limit=1`, { headers: bearer() });
      const { campaigns } = (await listed.json()) as { campaigns: { id: number; name: string }[] };
      return campaigns[0]?.id === id && campaigns[0].name === own.name;
    };
    await runConcurrently(count, LANES, async (n) => {
      const id = NAMED_FIRST + n;
      // Half of the campaigns exist already.
      if (n % 2 === 0) await request('PUT', id, TOKEN.all, { name: `before ${n}`, database: 1, active: true });
      const names = [`one ${n}`, `other ${n}`];
      const replies = await Promise.all(
        names.map((name) => request('PUT', id, TOKEN.all, { name, database: 1, active: true })),
      );
      statuses.push(...replies.map(({ status }) => status));
      const start = performance.now();
      const agreed = await waitFor(LISTED_MS, async () => ((await agrees(id)) ? true : undefined));
      if (agreed) times.push(performance.now() - start);
      else differ += 1;
      advance(++done);
    });
    // Checks again at the end, because a late write of the copy in KV could change the list.
    let undone = -differ;
    for (let n = 0; n < count; n++) undone += (await agrees(NAMED_FIRST + n)) ? 0 : 1;
    const longest = times.length ? duration(Math.max(...times)) : '–';
    const head = ['rounds', 'answers', `list and object differ after ${LISTED_MS / 1000} s`, 'agree after at most'];
    report(
      'Two names for one campaign at once',
      [...head, 'differ again at the end'],
      [[count, tally(statuses), differ, longest, undone]],
    );
    expect.soft(new Set(statuses)).toEqual(new Set([200]));
    expect.soft([differ, undone]).toEqual([0, 0]);
  });
});

/** A response without the parts that differ in every response. */
function visible({ status, headers, text }: Reply) {
  const ignored = ['request-id', 'date'];
  return { status, text, headers: [...headers].filter(([name]) => !ignored.includes(name)) };
}
