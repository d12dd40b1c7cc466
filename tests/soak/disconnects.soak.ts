// Clients that disconnect at every stage of a request. The memory of the request is released at every stage.

import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { duration } from '../../benches/report.mjs';
import { median } from '../../benches/statistics.mjs';
import { Random } from '../runtime/callers.js';
import { BATCH, bearer, GOOD, launch, logged, TOKEN, TRIGGERS } from '../runtime/fixture.js';
import { address, NUMBERED } from '../runtime/profiles.js';
import { Connection } from './connection.js';
import { excessOf, runConcurrently, mebibytes, progressOf, report, rounds, WatchedWorker } from './soak.js';

const KIB = 1024;
const MIB = 1024 * KIB;
/** The number of disconnects after which the reserved bytes are read. */
const BATCH_SIZE = 100;
/** The default number of connections that are open at once. */
const LANES = 16;
/** Room for unverified callers while some have to wait for it. */
const SCARCE = 512 * KIB;
const random = new Random(1);

/** Where a client is when it disconnects. */
interface Stage {
  name: string;
  /** Sends the part of the request before the disconnect. */
  begin: (connection: Connection) => Promise<void>;
  /** The disconnect follows at a random time up to this many milliseconds later. */
  within: () => number;
  /** The share of disconnects of this stage, relative to the others. Stages that take long have a smaller share. */
  share: number;
  /** Connections that are open at once: requests that take much memory fit into an isolate together. */
  lanes?: number;
  /** Whether room for unverified callers is scarce. */
  scarce?: boolean;
}

const json = (document: object) => Buffer.from(JSON.stringify(document));
const padded = (bytes: number) => ({ ...GOOD, content: { pad: 'x'.repeat(bytes) } });
const attached = (bytes: number) => ({
  attach: [{ name: 'a.bin', data: Buffer.alloc(bytes, 'a').toString('base64') }],
  ...GOOD,
});

/** The duration of a valid launch on this machine, in milliseconds. */
let latency = 0;
/** The duration of a valid launch while all lanes launch, in milliseconds. */
const busyLatency = () => LANES * latency;

/** Sends the head of a launch and the first bytes of its body. */
function post(body: Buffer, bytes: number, headers: Record<string, string>) {
  return async (connection: Connection) => {
    const own = { 'Content-Type': 'application/json', 'Content-Length': body.length, ...headers };
    await connection.head('POST', BATCH, own).send(body.subarray(0, bytes)).sent();
  };
}

/** Sends a whole launch. */
const whole = (body: Buffer, headers: Record<string, string>) => post(body, body.length, headers);

/** Sends a request and reads the beginning of its answer. */
function streamed(begin: Stage['begin']): Stage['begin'] {
  return async (connection) => {
    await begin(connection);
    await connection.begun;
    connection.pause();
  };
}

/** Reads a launch of the log. Its path is known after the Worker has started. */
function reading(target: () => string, headers: Record<string, string> = {}): Stage['begin'] {
  return streamed(async (connection) => {
    await connection.head('GET', target(), { ...bearer(), ...headers }).sent();
  });
}

const small = json(GOOD);
const withToken = json({ ...GOOD, token: TOKEN.all });
const medium = json(padded(200 * KIB));
const many = json({ trigger_id: 8, data: Array.from({ length: NUMBERED }, (_, n) => ({ email: address(n) })) });
const files = json(attached(6 * MIB));
/** The response is much longer than the buffers of a connection. */
const reported = json({
  trigger_id: 8,
  dry_run: true,
  report: true,
  data: Array.from({ length: 500_000 }, () => ({})),
});
const refused = Buffer.alloc(50 * MIB, ' ');
/** The paths of two launches: one with many recipients, and one with a large attachment. */
const launchPath = { recipients: '', attachment: '' };

const STAGES: Stage[] = [
  { name: 'after the head', begin: post(small, 0, {}), within: busyLatency, share: 4 },
  { name: 'after the head, with a token', begin: post(small, 0, bearer()), within: busyLatency, share: 4 },
  { name: 'in the middle of the body', begin: post(medium, 100 * KIB, {}), within: busyLatency, share: 4 },
  {
    name: 'in the middle of the body, with a token',
    begin: post(medium, 100 * KIB, bearer()),
    within: busyLatency,
    share: 4,
  },
  {
    name: 'in the middle of an attachment, before the token',
    begin: post(files, 300 * KIB, {}),
    within: busyLatency,
    share: 2,
  },
  {
    name: 'in the middle of an attachment, with a token',
    begin: post(files, 7 * MIB, bearer()),
    within: busyLatency,
    share: 1,
    lanes: 4,
  },
  { name: 'before the answer, token in the header', begin: whole(small, bearer()), within: busyLatency, share: 8 },
  { name: 'before the answer, token in the body', begin: whole(withToken, {}), within: busyLatency, share: 8 },
  { name: 'before the answer, body of 200 KiB', begin: whole(medium, bearer()), within: busyLatency, share: 4 },
  { name: 'before the answer, 3,000 items', begin: whole(many, bearer()), within: () => 2 * busyLatency(), share: 4 },
  {
    name: 'before the answer, a file of 6 MiB',
    begin: whole(files, bearer()),
    within: () => 8 * busyLatency(),
    share: 1,
    lanes: 4,
  },
  {
    name: 'while the answer is streamed',
    begin: streamed(whole(reported, bearer())),
    within: busyLatency,
    share: 0.2,
    lanes: 4,
  },
  {
    name: 'while recipients are streamed',
    begin: reading(() => `${launchPath.recipients}/recipients`, { Accept: 'application/x-ndjson' }),
    within: busyLatency,
    share: 2,
  },
  {
    name: 'while an attachment is downloaded',
    begin: reading(() => `${launchPath.attachment}/attachments/0`),
    within: busyLatency,
    share: 1,
  },
  {
    name: 'while a refused body is drained',
    begin: post(refused, 2 * MIB, bearer(TOKEN.unknown)),
    within: busyLatency,
    share: 4,
  },
  {
    name: 'while a refused definition is drained',
    begin: async (connection) => {
      const headers = { ...bearer(), 'Content-Type': 'application/json', 'Content-Length': refused.length };
      await connection.head('PUT', `${TRIGGERS}/8`, headers).send(refused.subarray(0, MIB)).sent();
    },
    within: busyLatency,
    share: 2,
  },
  {
    name: 'while waiting for room',
    begin: post(medium, 1, {}),
    within: () => 500,
    share: 4,
    lanes: BATCH_SIZE,
    scarce: true,
  },
];

const ENDS = {
  FIN: (connection: Connection) => connection.close(),
  RST: (connection: Connection) => connection.reset(),
};

describe('clients that disconnect', () => {
  const total = STAGES.reduce((sum, { share }) => sum + share, 0);
  const rows: (string | number)[][] = [];
  let plenty: WatchedWorker;
  let scarce: WatchedWorker;
  /** The reserved bytes that a launch logs on an idle Worker, for each Worker. */
  const idle = new Map<WatchedWorker, number | undefined>();
  beforeAll(async () => {
    plenty = await WatchedWorker.start();
    scarce = await WatchedWorker.start({ vars: { UNVERIFIED_LIMIT: String(SCARCE) } });
    for (const worker of [plenty, scarce]) idle.set(worker, (await worker.line()).reserved_bytes);
    const [recipients, attachment] = await Promise.all(
      [many, files].map(async (body) => logged(plenty.worker, 8, await launch(plenty.worker, body.toString()))),
    );
    launchPath.recipients = `${TRIGGERS}/8/launches/${recipients.launch_id}`;
    launchPath.attachment = `${TRIGGERS}/8/launches/${attachment.launch_id}`;
    const times: number[] = [];
    for (let n = 0; n < 20; n++) {
      const start = performance.now();
      await plenty.line();
      times.push(performance.now() - start);
    }
    latency = median(times);
  });
  afterAll(async () => {
    const head = ['the client disconnects', 'with', 'disconnects', 'answers that had begun', 'still reserved'];
    report('Disconnects', [...head, 'released within at most', 'linear memory'], rows);
    await plenty.stop();
    await scarce.stop();
  });

  const cases = STAGES.flatMap((stage) =>
    (['FIN', 'RST'] as const).map((end) => {
      // A complete batch is needed to use all the memory for unverified callers.
      const least = stage.scarce ? BATCH_SIZE : 1;
      const count = Math.max(least, Math.round((rounds() * stage.share) / total / 2));
      return { ...stage, end, count };
    }),
  );

  it.each(cases)('no memory stays reserved after $count disconnects $name ($end)', async (stage) => {
    const worker = stage.scarce ? scarce : plenty;
    const advance = progressOf(`${stage.name} (${stage.end})`, stage.count);
    let excess: number | undefined = 0;
    let longest = 0;
    let done = 0;
    let begun = 0;
    while (done < stage.count && excess !== undefined && excess <= 0) {
      const size = Math.min(BATCH_SIZE, stage.count - done);
      await runConcurrently(size, stage.lanes ?? LANES, async () => {
        if (await disconnect(worker.url, stage, ENDS[stage.end])) begun += 1;
      });
      const released = await worker.released(idle.get(worker));
      excess = released.excess;
      longest = Math.max(longest, released.ms);
      done += size;
      advance(done);
    }
    const { wasm_bytes, reserved_bytes } = await worker.line();
    // Bytes that stay reserved are reported once, for the stage that caused them.
    idle.set(worker, reserved_bytes);
    rows.push([
      ...[stage.name, stage.end, done, begun],
      ...[excessOf(excess), duration(longest), mebibytes(wasm_bytes)],
    ]);
    expect(excess ?? Infinity, 'bytes still reserved').toBeLessThanOrEqual(0);
  });
});

/** Runs a stage, disconnects, and returns whether the response had begun. */
async function disconnect(url: URL, { begin, within }: Stage, end: (connection: Connection) => void): Promise<boolean> {
  const connection = await Connection.open(url);
  let begun = false;
  void connection.begun.then((answered) => (begun = answered));
  // A client cannot observe the steps of a request. Disconnects at random times reach all of them.
  await begin(connection);
  await pause((random.below(1000) / 1000) * within());
  const result = begun;
  end(connection);
  return result;
}
