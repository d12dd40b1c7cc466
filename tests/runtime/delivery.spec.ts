// At least once, if the runtime is killed while it delivers. The test launches, kills the runtime, starts it again with the same
// storage, and goes on. The receiver outlives the runtime. `DELIVERY_KILLS` is the number of kills (default 6), `DELIVERY_SEED`
// selects the moments (default 1). A failure names the kill.

import { mkdirSync, watch } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, vi } from 'vitest';
import { Random } from './callers.js';
import { bearer, define, launch, read, seed, TOKEN, TRIGGERS } from './fixture.js';
import { PersistedWorker } from './persisted.js';
import { address } from './profiles.js';
import { isSigned, type Received, Receiver } from './receiver.js';

const KILLS = Number(process.env.DELIVERY_KILLS ?? 6);
const random = new Random(Number(process.env.DELIVERY_SEED ?? 1));
/** One of the launches of a round in each campaign has several pages. */
const LAUNCHES = 4;
const RECIPIENTS = 2500;

const ORDERINGS = { strict: 900, relaxed: 901 } as const;
type Ordering = keyof typeof ORDERINGS;

/** Events that a moment counts: a launch was answered, an object wrote to its database, a message arrived, or was answered. */
type Event = 'launched' | 'written' | 'received' | 'answered';
const EVENTS: Event[] = ['received', 'answered', 'written', 'received', 'answered', 'launched'];

/** The webhook of a campaign, and its receiver. */
class Hook {
  readonly receiver = new Receiver();
  /** The first message with each `webhook-id`, in the order of their arrival. */
  readonly first = new Map<string, Received>();
  repeated = 0;
  secret = '';
  url = '';

  constructor(
    readonly ordering: Ordering,
    happened: (event: Event) => void,
  ) {
    this.receiver.answer = (response, message) => {
      this.check(message);
      happened('received');
      // The connection may have ended with the runtime.
      response.writeHead(204).end(() => happened('answered'));
    };
  }

  get campaign(): number {
    return ORDERINGS[this.ordering];
  }

  /** Checks the signature, and that a repeated message has the same content. */
  private check(message: Received): void {
    const id = String(message.headers['webhook-id']);
    const known = this.first.get(id);
    if (!isSigned(message, this.secret)) this.failures.push(`${id} is not signed`);
    if (known && known.body !== message.body) this.failures.push(`${id} arrived with another content`);
    if (known) this.repeated += 1;
    else this.first.set(id, message);
  }

  /** What was wrong with a message. */
  readonly failures: string[] = [];

  /** The sequence and the page of each message, in the order of their first arrival. */
  pages(): [sequence: number, page: number, pages: number][] {
    return [...this.first.values()].map(({ body }) => {
      const { launch, page, pages } = JSON.parse(body).data;
      return [launch.sequence, page, pages];
    });
  }
}

it(
  `no launch is lost, and first messages arrive in order, in ${KILLS} kills`,
  { timeout: 120_000 + KILLS * 20_000 },
  async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'trigger-launch-delivery-'));
    let happened: (event: Event) => void = () => {};
    const hooks = (Object.keys(ORDERINGS) as Ordering[]).map((one) => new Hook(one, (event) => happened(event)));
    const start = () => PersistedWorker.start(folder, undefined, { direct: true, vars: { WEBHOOK_HOSTS: 'any' } });
    let worker = await start();
    let kills = 0;
    let unfinished = 0;
    try {
      await seed(worker);
      for (const hook of hooks) {
        hook.url = await hook.receiver.start();
        await define(worker, hook.campaign, { name: hook.ordering, database: 1, active: true });
        const created = await put(worker, hook, { url: hook.url, ordering: hook.ordering });
        hook.secret = created.secret;
      }
      for (let kill = 0; kill < KILLS; kill++) {
        const event = EVENTS[kill % EVENTS.length] as Event;
        const count = 1 + random.below(event === 'written' ? 20 : 8);
        const context = `kill ${kill}, at ${event} ${count}`;
        let seen = 0;
        const moment = new Promise<void>((resolve) => {
          happened = (what) => {
            if (what !== event) return;
            seen += 1;
            if (seen !== count) return;
            worker.kill();
            resolve();
          };
        });
        const place = PersistedWorker.kept.objects(folder, 'CampaignObject');
        mkdirSync(place, { recursive: true });
        const watcher = watch(place, () => happened('written'));
        await Promise.all(hooks.map((hook) => launchSome(worker, hook, kill, () => happened('launched'))));
        // If everything is delivered before the moment, the runtime is stopped and not killed.
        const idle = vi.waitUntil(() => isIdle(worker, hooks).catch(() => true), { timeout: 60_000, interval: 5 });
        await Promise.race([moment, idle]);
        watcher.close();
        happened = () => {};
        kills += seen >= count ? 1 : 0;
        await worker.stop();
        worker = await start();
        for (const hook of hooks) expect(hook.failures, context).toEqual([]);
        unfinished += (await isIdle(worker, hooks)) ? 0 : 1;
      }
      await vi.waitUntil(() => isIdle(worker, hooks), { timeout: 60_000, interval: 50 });
      for (const hook of hooks) await checkAll(worker, hook);
      expect(kills).toBeGreaterThanOrEqual(KILLS / 2);
      const received = hooks.map(({ first, repeated }) => ({ messages: first.size, repeated }));
      if (process.env.DELIVERY_KILLS)
        console.log({ kills, 'with launches to deliver afterwards': unfinished, received });
    } finally {
      await worker.stop();
      hooks.forEach(({ receiver }) => receiver.stop());
      await rm(folder, { recursive: true });
    }
  },
);

async function put(worker: PersistedWorker, { campaign }: Hook, body: object): Promise<any> {
  const headers = { ...bearer(TOKEN.admin), 'Content-Type': 'application/json' };
  const init = { method: 'PUT', headers, body: JSON.stringify(body) };
  return (await worker.request(`${TRIGGERS}/${campaign}/webhook`, init)).json();
}

/** Sends launches to a campaign. Requests fail after the runtime has ended. */
async function launchSome(
  worker: PersistedWorker,
  { campaign }: Hook,
  round: number,
  launched: () => void,
): Promise<void> {
  for (let count = 0; count < LAUNCHES; count++) {
    const items = (round + count) % LAUNCHES === 0 ? RECIPIENTS : 1 + random.below(3);
    const document = {
      trigger_id: campaign,
      content: { round, count },
      data: Array.from({ length: items }, (_, n) => ({ email: address(n), custom_data: { n } })),
    };
    const reply = await launch(worker, document).catch(() => undefined);
    if (!reply) return;
    expect(reply.status, reply.text).toBe(200);
    launched();
  }
}

/** Whether all launches are delivered. */
async function isIdle(worker: PersistedWorker, hooks: Hook[]): Promise<boolean> {
  const states = await Promise.all(
    hooks.map(({ campaign }) => read(worker, `${TRIGGERS}/${campaign}/webhook`, TOKEN.admin)),
  );
  return states.every(({ state }) => state.status === 'idle');
}

/** Checks that every launch of the log has arrived completely, and in order. */
async function checkAll(worker: PersistedWorker, hook: Hook): Promise<void> {
  const { launches: last } = await read(worker, `${TRIGGERS}/${hook.campaign}`);
  expect(last).toBeGreaterThan(0);
  const { state } = await read(worker, `${TRIGGERS}/${hook.campaign}/webhook`, TOKEN.admin);
  expect(state).toMatchObject({ status: 'idle', delivered_through: last, expired: 0 });
  const pages = hook.pages();
  const arrived = new Map<number, number[]>();
  pages.forEach(([sequence, page, of], at) => {
    const places = arrived.get(sequence) ?? Array.from({ length: of }, () => Infinity);
    places[page - 1] = at;
    arrived.set(sequence, places);
  });
  expect([...arrived.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: last }, (_, at) => at + 1));
  /** Up to four launches are delivered at once in the relaxed order. */
  const distance = hook.ordering === 'strict' ? 1 : 4;
  for (const [sequence, places] of arrived) {
    expect(Math.max(...places), `every page of launch ${sequence} arrived`).toBeLessThan(Infinity);
    const before = arrived.get(sequence - distance);
    if (before) expect(Math.min(...places), `launch ${sequence}`).toBeGreaterThan(Math.max(...before));
  }
}
