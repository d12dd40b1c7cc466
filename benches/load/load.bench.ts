// `npm run bench:load`: launches of all sizes at once, for a while, on the local real runtime. Prints what was answered, how
// long it took by class, and the isolate's linear memory; fails on an answer that the contract does not name, and if the
// logs hold anything but what was acknowledged. CONNECTIONS (64), SECONDS (60) and SEED (1) are variables.

import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import { expect, it } from 'vitest';
import {
  BATCH,
  bearer,
  type Refusal,
  read,
  type Reply,
  seeded,
  SINGLE,
  TRIGGERS,
} from '../../tests/runtime/fixture.js';
import { Random } from '../../tests/runtime/callers.js';
import type { TestWorker } from '../../tests/runtime/harness.js';
import { address, NUMBERED } from '../../tests/runtime/profiles.js';

const CONNECTIONS = Number(process.env.CONNECTIONS ?? 64);
const SECONDS = Number(process.env.SECONDS ?? 60);
const random = new Random(Number(process.env.SEED ?? 1));
const CAMPAIGNS = [1, 8, 85, 96];
const MB = 1_000_000;
/** Downloads at the end, each compared with what was sent. */
const SAMPLES = 40;
/** The error of a request whose outcome is unknown. */
const UNKNOWN = 'outcome unknown: retry with this Request-ID';

/** One request, but for its id. */
interface Shot {
  campaign: number;
  path: string;
  type: string;
  body: Buffer;
  sha256?: string;
}

/** A class of requests: of a hundred that many. */
interface Class {
  name: string;
  share: number;
  /** Several bodies, so that no two at once need be the same. */
  shots: Shot[];
}

const people = (count: number) => {
  const first = random.below(NUMBERED);
  return Array.from({ length: count }, (_, at) => ({
    email: at < NUMBERED && at % 3 < 2 ? address((first + at) % NUMBERED) : `x${at}@nobody.example`,
  }));
};

const JSON_TYPE = 'application/json';
const XML_TYPE = 'application/xml';

/** In JSON and in XML, for each campaign. */
function batches(count: number, bytes = 0): Shot[] {
  return CAMPAIGNS.flatMap((campaign) => {
    const file = bytes > 0 ? randomBytes(bytes) : undefined;
    const sha256 = file ? { sha256: createHash('sha256').update(file).digest('hex') } : {};
    const data = people(count);
    const attach = file ? { attach: [{ name: 'a.bin', data: file.toString('base64') }] } : {};
    const json = JSON.stringify({ ...attach, data, trigger_id: campaign, content: { title: 'Load' } });
    const items = data.map(({ email }) => `<data><email>${email}</email></data>`).join('');
    const files = file ? `<attach><name>a.bin</name><data>${file.toString('base64')}</data></attach>` : '';
    const xml = `<xml>${files}<trigger_id>${campaign}</trigger_id>${items}</xml>`;
    return [
      { campaign, path: BATCH, type: JSON_TYPE, body: Buffer.from(json), ...sha256 },
      { campaign, path: BATCH, type: XML_TYPE, body: Buffer.from(xml), ...sha256 },
    ];
  });
}

function singles(): Shot[] {
  return CAMPAIGNS.flatMap((campaign) => {
    const email = address(random.below(NUMBERED));
    const json = JSON.stringify({ id: campaign, email });
    const xml = `<xml><id>${campaign}</id><email>${email}</email></xml>`;
    return [
      { campaign, path: SINGLE, type: JSON_TYPE, body: Buffer.from(json) },
      { campaign, path: SINGLE, type: XML_TYPE, body: Buffer.from(xml) },
    ];
  });
}

const classes = (): Class[] => [
  { name: 'single', share: 40, shots: singles() },
  { name: '10 items', share: 28, shots: batches(10) },
  { name: '1,000 items', share: 23, shots: batches(1000) },
  { name: '30,000 items', share: 3, shots: batches(30_000) },
  { name: 'a file of 1 to 20 MB', share: 6, shots: [1, 2, 5, 20].flatMap((size) => batches(1, size * MB).slice(0, 4)) },
];

/** A launch that was acknowledged. */
interface Acknowledged {
  shot: Shot;
  launchId: string;
  matched: number;
}

class Load {
  readonly times: Map<string, number[]>;
  readonly statuses = new Map<string, number>();
  readonly acknowledged: Acknowledged[] = [];
  private readonly agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  private made = 0;

  constructor(
    private readonly worker: TestWorker,
    private readonly classes: Class[],
  ) {
    this.times = new Map(classes.map(({ name }) => [name, []]));
  }

  async run(): Promise<void> {
    const end = performance.now() + SECONDS * 1000;
    const caller = async () => {
      while (performance.now() < end) await this.launch(this.pick());
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, caller));
    this.agent.destroy();
  }

  private pick(): Class {
    let at = random.below(100);
    return this.classes.find(({ share }) => (at -= share) < 0) as Class;
  }

  private async launch({ name, shots }: Class): Promise<void> {
    const shot = random.of(shots);
    const id = `load-${this.made++}`;
    for (let again = true; again;) {
      const start = performance.now();
      const reply = await this.send(shot, id);
      const time = performance.now() - start;
      again = reply.status === 503 && reply.text.includes(UNKNOWN);
      this.check(reply);
      if (reply.status !== 200) continue;
      this.times.get(name)?.push(time);
      const launchId = reply.headers.get('Launch-ID') ?? '';
      this.acknowledged.push({ shot, launchId, matched: Number(reply.headers.get('Launch-Matched')) });
    }
  }

  /** Counts the answer, which has to be one that the contract names. */
  private check(reply: Reply): void {
    let what = String(reply.status);
    if (reply.status !== 200) {
      what += ` ${(JSON.parse(reply.text) as Refusal).error_debug}`;
      expect([reply.status, reply.headers.get('Retry-After')], reply.text).toEqual([503, '5']);
    }
    this.statuses.set(what, (this.statuses.get(what) ?? 0) + 1);
  }

  private send({ path, type, body }: Shot, id: string): Promise<Reply> {
    const headers = {
      ...bearer(),
      'Content-Type': type,
      'Content-Length': body.length,
      Accept: JSON_TYPE,
      'Request-ID': id,
    };
    const options = { method: 'POST', agent: this.agent, headers };
    return new Promise((resolve, reject) => {
      const request = http.request(new URL(path, this.worker.url), options, (response) => {
        const text: Buffer[] = [];
        response.on('data', (piece: Buffer) => text.push(piece));
        response.on('error', reject);
        response.on('end', () => {
          const head = new Headers(response.headers as Record<string, string>);
          resolve({ status: response.statusCode ?? 0, headers: head, text: Buffer.concat(text).toString() });
        });
      });
      request.on('error', reject);
      request.end(body);
    });
  }
}

/** The launches of a campaign, whose sequences have no gap. */
async function log(worker: TestWorker, campaign: number): Promise<any[]> {
  const launches: any[] = [];
  for (let after: number | null = 0; after !== null;) {
    const page: any = await read(worker, `${TRIGGERS}/${campaign}/launches?limit=1000&after=${after}`);
    launches.push(...page.launches);
    after = page.next;
  }
  expect(launches.every(({ sequence }, at) => sequence === at + 1)).toBe(true);
  return launches;
}

const percentile = (sorted: number[], share: number) => sorted[Math.floor((sorted.length - 1) * share)] ?? NaN;

it(`${CONNECTIONS} connections, ${SECONDS} s`, { timeout: (SECONDS + 600) * 1000 }, async () => {
  const worker = await seeded();
  const load = new Load(worker, classes());
  await load.run();

  const seconds = [...load.times].map(([name, times]) => {
    const sorted = times.sort((a, b) => a - b);
    const ms = [0.5, 0.99, 1].map((share) => percentile(sorted, share).toFixed(0));
    return { class: name, launches: times.length, 'p50 ms': ms[0], 'p99 ms': ms[1], 'longest ms': ms[2] };
  });
  console.table(seconds);
  console.log(Object.fromEntries(load.statuses));
  const memory = worker.logs().flatMap((line) => /"wasm_bytes":(\d+)/.exec(line)?.[1] ?? []);
  console.log(`linear memory: ${(Number(memory.at(-1)) / 2 ** 20).toFixed(1)} MiB`);

  for (const campaign of CAMPAIGNS) {
    const launches = await log(worker, campaign);
    const told = load.acknowledged.filter(({ shot }) => shot.campaign === campaign);
    expect(launches.map(({ launch_id }) => launch_id).sort()).toEqual(told.map(({ launchId }) => launchId).sort());
    const recipients = told.reduce((sum, { matched }) => sum + matched, 0);
    expect(await read(worker, `${TRIGGERS}/${campaign}`)).toMatchObject({ launches: told.length, recipients });
    console.log(`campaign ${campaign}: ${told.length} launches to ${recipients} recipients, each in its log once`);
  }
  const files = load.acknowledged.filter(({ shot }) => shot.sha256);
  for (let sample = 0; sample < Math.min(SAMPLES, files.length); sample++) {
    const { shot, launchId } = random.of(files);
    const path = `${TRIGGERS}/${shot.campaign}/launches/${launchId}/attachments/0`;
    const response = await worker.request(path, { headers: bearer() });
    const digest = createHash('sha256').update(new Uint8Array(await response.arrayBuffer()));
    expect(digest.digest('hex')).toBe(shot.sha256);
  }
  await worker.stop();
});
