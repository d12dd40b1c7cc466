// Exactly once, if the runtime is killed during launches. The test kills the runtime, starts it again with the same storage, and
// repeats the requests. `CRASH_KILLS` is the number of kills (default 7), `CRASH_SEED` selects the moments (default 1). A failure
// names the kill. A moment is a number of events and not a time; the progress of the other requests at that moment depends on the
// machine, which is why the test needs many kills.

import { mkdirSync, watch } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { type Kind, Random, send, type Wish, wish } from './callers.js';
import { bearer, get, ids, read, type Reply, seed, TOKEN, TRIGGERS } from './fixture.js';
import { PersistedWorker } from './persisted.js';

const KILLS = Number(process.env.CRASH_KILLS ?? 7);
const random = new Random(Number(process.env.CRASH_SEED ?? 1));
const CAMPAIGNS = [1, 8];
/** The requests that are in progress when the runtime is killed. */
const SLOTS: Kind[] = ['single', 'files', 'bulk', 'single', 'files', 'bulk', 'single', 'files'];
/** Answered requests that are repeated among the others. */
const REPEATS = 2;

/** A request and its caller's knowledge of it. */
interface Caller extends Wish {
  kind: Kind;
  requestId: string;
  campaign: number;
  /** Whether the caller has received a reply. */
  acknowledged: boolean;
  /** The ID in the reply or in the log. */
  launchId?: string;
}

/** Events that a moment counts. */
type Event = 'sent' | 'answered' | 'answered with files' | 'logged' | 'stored';
/** When to kill the runtime: at this number of events, or of bytes for `sent`. With a kind, only requests of this kind are sent. */
type Moment = [event: Event, count: number, kind?: Kind];

const MOMENTS: ((bytes: number) => Moment)[] = [
  // Between a commit and the completion of its files: at a write of a campaign's object, after the writes when it is opened.
  () => ['logged', 6 + random.below(8), 'files'],
  // During bodies.
  (bytes) => ['sent', 1 + random.below(bytes)],
  // Between parts of files: at a write of the bucket.
  () => ['stored', 1 + random.below(60)],
  // Between a commit and its reply.
  () => ['logged', 1 + random.below(40)],
  () => ['answered', 1 + random.below(SLOTS.length - 1)],
  () => ['logged', 1 + random.below(10)],
  // Directly after the reply to a launch with files.
  () => ['answered with files', 1],
];

it(
  `no acknowledged launch is lost, and no request launches twice, in ${KILLS} kills`,
  { timeout: 120_000 + KILLS * 20_000 },
  async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'trigger-launch-crash-'));
    const tally = {
      kills: 0,
      'kills during a request': 0,
      acknowledged: 0,
      'in the log, not acknowledged': 0,
      'not in the log': 0,
      'in the log, its files not complete': 0,
    };
    const callers: Caller[] = [];
    let worker = await PersistedWorker.start(folder);
    try {
      await seed(worker);
      let pending: Caller[] = [];
      for (let kill = 1; kill <= KILLS; kill++) {
        pending = SLOTS.map((kind, slot) => pending[slot] ?? newCaller(kind));
        callers.push(...pending.filter((caller) => !callers.includes(caller)));
        const done = callers.filter(({ acknowledged }) => acknowledged);
        const repeats = done.length ? Array.from({ length: REPEATS }, () => random.of(done)) : [];
        const all = [...new Set([...pending, ...repeats])];
        const moment = (MOMENTS[(kill - 1) % MOMENTS.length] as (typeof MOMENTS)[number])(bytesOf(all));
        const asked = all.filter(({ kind }) => kind === (moment[2] ?? kind));
        const bodies = asked.map(({ body }) => body());
        const context = `kill ${kill}, at ${moment.join(' ')}`;

        const replies = await crash(worker, folder, asked, bodies, moment);
        asked.forEach((caller, at) => acknowledge(caller, replies[at], context));
        await worker.stop();
        worker = await PersistedWorker.start(folder);
        tally['in the log, its files not complete'] += await check(worker, callers, asked, context);

        const lost = pending.filter(({ acknowledged }) => !acknowledged);
        const logged = lost.filter(({ launchId }) => launchId).length;
        tally.kills += 1;
        tally['kills during a request'] += lost.length > 0 ? 1 : 0;
        tally.acknowledged += pending.length - lost.length;
        tally['in the log, not acknowledged'] += logged;
        tally['not in the log'] += lost.length - logged;
        pending = pending.map((caller) => (caller.acknowledged ? undefined : caller)) as Caller[];
      }
      // Without kills every request gets a reply, and a repeated request gets the same reply.
      for (const caller of callers) {
        const reply = await send(worker.url, caller, caller.body(), caller.requestId);
        acknowledge(caller, reply, 'after the kills');
        expect(reply, caller.requestId).toBeDefined();
      }
      await check(worker, callers, callers, 'after the kills');
      const files = callers.flatMap((caller) => caller.files.map((_, at) => `${caller.launchId}/${at}`));
      expect(await readable(worker)).toEqual(new Set(files));
      expect(tally.acknowledged).toBeGreaterThan(0);
      // A single kill can come too late: the last replies may be on their way to the test.
      expect(tally['kills during a request']).toBeGreaterThanOrEqual(KILLS / 2);
      if (process.env.CRASH_KILLS) console.log({ ...tally, launches: callers.length, files: files.length });
    } finally {
      await worker.stop();
      await rm(folder, { recursive: true });
    }
  },
);

const bytesOf = (callers: Caller[]) => callers.reduce((bytes, { body }) => bytes + body().length, 0);

let made = 0;

function newCaller(kind: Kind): Caller {
  const campaign = random.of(CAMPAIGNS);
  return { ...wish(kind, campaign, random), kind, requestId: `${kind}-${made++}`, campaign, acknowledged: false };
}

/** Sends all requests, kills the runtime at the moment, and returns the replies. */
async function crash(
  worker: PersistedWorker,
  folder: string,
  callers: Caller[],
  bodies: Buffer[],
  [event, count]: Moment,
): Promise<(Reply | undefined)[]> {
  let seen = 0;
  // The requests without a reply, except repeated ones.
  let unanswered = callers.filter(({ acknowledged }) => !acknowledged).length;
  const happened = (what: Event, times = 1) => {
    if (what === event) seen += times;
    // The number of events can be higher than this attempt has. The kill comes before the last reply at the latest.
    if (seen >= count || unanswered <= 1) worker.kill();
  };
  const { objects, bucket } = PersistedWorker.kept;
  const places = [
    ['logged', objects(folder, 'CampaignObject')],
    ['stored', bucket(folder, 'trigger-launch-attachments')],
  ] as const;
  const watchers = places.map(([what, place]) => {
    // The bucket creates its folder with its first file.
    mkdirSync(place, { recursive: true });
    return watch(place, () => happened(what));
  });
  const replies = await Promise.all(
    callers.map(async (caller, at) => {
      const body = bodies[at] as Buffer;
      const reply = await send(worker.url, caller, body, caller.requestId, (bytes) => happened('sent', bytes));
      if (reply && !caller.acknowledged) unanswered -= 1;
      if (reply) happened('answered');
      if (reply && caller.files.length > 0) happened('answered with files');
      return reply;
    }),
  );
  for (const watcher of watchers) watcher.close();
  return replies;
}

/** Checks a reply against the request and the earlier replies, and records it. */
function acknowledge(caller: Caller, reply: Reply | undefined, context: string): void {
  if (!reply) return;
  const where = `${context}: ${caller.requestId}`;
  expect(reply.status, `${where}: ${reply.text.slice(0, 300)}`).toBe(200);
  const launchId = reply.headers.get('Launch-ID') ?? '';
  const known = caller.launchId !== undefined;
  expect(reply.headers.get('Duplicate-Request'), where).toBe(known ? 'true' : null);
  if (known) expect(launchId, where).toBe(caller.launchId);
  const replied = reply.text.startsWith('<') ? [...reply.text.matchAll(/[bc][0-9a-f]{23}/g)].map(String) : ids(reply);
  expect(replied, where).toEqual(caller.recipients.map(({ profile_id }) => profile_id));
  caller.acknowledged = true;
  caller.launchId = launchId;
}

/**
 * Checks that the log contains every acknowledged launch, and no request twice. Reads the recipients and files of the launches of
 * `inQuestion`. Returns the number of launches with incomplete files.
 */
async function check(
  worker: PersistedWorker,
  callers: Caller[],
  inQuestion: Caller[],
  context: string,
): Promise<number> {
  const launches = (await Promise.all(CAMPAIGNS.map((campaign) => log(worker, campaign, context)))).flat();
  // Reading an attachment completes its upload, so the keys are listed before.
  const ofLaunches = new Set(launches.map(({ launch_id }) => launch_id));
  const keys = await readable(worker);
  const isComplete = ({ launch_id, attachments }: any) =>
    attachments.every((_: unknown, at: number) => keys.has(`${launch_id}/${at}`));
  const incomplete = launches.filter((launch) => !isComplete(launch)).length;
  for (const key of keys) {
    expect(ofLaunches, `${context}: each file belongs to a launch`).toContain(key.split('/')[0]);
  }
  const byRequest = new Map(launches.map((launch) => [launch.request_id, launch]));
  expect(byRequest.size, `${context}: each request launched once`).toBe(launches.length);
  for (const caller of callers) {
    const launch = byRequest.get(caller.requestId);
    byRequest.delete(caller.requestId);
    const where = `${context}: ${caller.requestId}`;
    if (caller.acknowledged || caller.launchId) {
      expect(launch, where).toMatchObject({ launch_id: caller.launchId, trigger_id: caller.campaign });
    }
    if (!launch) continue;
    caller.launchId = launch.launch_id;
    if (inQuestion.includes(caller)) await checkLaunch(worker, caller, launch, where);
  }
  expect([...byRequest.keys()], `${context}: each launch belongs to a request`).toEqual([]);
  return incomplete;
}

/** Reads a campaign's log, and checks that its sequence numbers have no gaps. */
async function log(worker: PersistedWorker, campaign: number, context: string): Promise<any[]> {
  const launches = [];
  for (let after: number | null = 0; after !== null;) {
    const page: any = await read(worker, `${TRIGGERS}/${campaign}/launches?limit=1000&after=${after}`);
    launches.push(...page.launches);
    after = page.next;
  }
  const sequences = launches.map(({ sequence }) => sequence);
  expect(sequences, `${context}: campaign ${campaign}`).toEqual(sequences.map((_, at) => at + 1));
  expect((await read(worker, `${TRIGGERS}/${campaign}`)).launches).toBe(launches.length);
  return launches;
}

/** Compares the recipients and the files of a launch, byte for byte. */
async function checkLaunch(worker: PersistedWorker, caller: Caller, launch: any, where: string): Promise<void> {
  expect(launch.recipients, where).toBe(caller.recipients.length);
  const files = caller.files.map(({ name, bytes, sha256 }) => ({ name, size: bytes.length, sha256 }));
  expect(launch.attachments, where).toMatchObject(files);
  expect(launch.attachments, where).toHaveLength(files.length);
  const target = `${TRIGGERS}/${caller.campaign}/launches/${launch.launch_id}`;
  const lines = await get(worker, `${target}/recipients`, { ...bearer(), Accept: 'application/x-ndjson' });
  expect(lines.text, where).toBe(caller.recipients.map((recipient) => `${JSON.stringify(recipient)}\n`).join(''));
  for (const [at, { bytes }] of caller.files.entries()) {
    const response = await worker.request(`${target}/attachments/${at}`, { headers: bearer(TOKEN.read) });
    expect(response.status, `${where}: file ${at}`).toBe(200);
    expect(bytes.equals(Buffer.from(await response.arrayBuffer())), `${where}: file ${at}`).toBe(true);
  }
}

/** The keys of all complete files. */
async function readable(worker: PersistedWorker): Promise<Set<string>> {
  const keys = new Set<string>();
  for (let cursor: string | undefined, more = true; more;) {
    const page = await worker.env.ATTACHMENTS.list(cursor ? { cursor } : {});
    for (const { key } of page.objects) keys.add(key);
    more = page.truncated;
    cursor = page.truncated ? page.cursor : undefined;
  }
  return keys;
}
