// `npm run bench:attachments`: a body of 100 MiB with attachments, through this Worker and through what one would compare
// it with: all in the local real runtime, in one run and in turn, so that the machine's noise falls on all alike. Prints
// medians, ratios, and the linear memory of the isolate, which never shrinks. RUNS sets how often (5).

import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { createTestHarness } from 'wrangler';
import { expect, it } from 'vitest';
import { BATCH, seeded, TOKEN } from '../../tests/runtime/fixture.js';
import type { TestWorker } from '../../tests/runtime/harness.js';

const LIMIT = 100 * 1024 * 1024;
const RUNS = Number(process.env.RUNS ?? 5);

/** A body of almost 100 MiB with that many attachments. */
function request(files: number) {
  const head = `{"token":"${TOKEN.all}","trigger_id":8,"data":[{"email":"example1@example.com"}],"attach":[`;
  const bytes = Math.floor((LIMIT - head.length - 2 - files * 60) / files / 4) * 3;
  const entry = (at: number) => `{"name":"${at}.bin","data":"${randomBytes(bytes).toString('base64')}"}`;
  const body = Buffer.from(`${head}${Array.from({ length: files }, (_, at) => entry(at)).join(',')}]}`);
  return { files, bytes, body };
}

/** One of the Workers beside this file. */
async function peer(name: string) {
  const configPath = fileURLToPath(new URL(`${name}.toml`, import.meta.url));
  const harness = createTestHarness({ workers: [{ configPath }] });
  const { url } = await harness.listen();
  return { url, stop: () => harness.close() };
}

async function timed(url: URL, body: Uint8Array | string): Promise<number> {
  const start = performance.now();
  const response = await fetch(url, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
  expect(response.status, await response.text()).toBe(200);
  return performance.now() - start;
}

const median = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;

/** The isolate's linear memory, as the last launch logged it. */
function memory(worker: TestWorker): string {
  const lines = worker.logs().flatMap((line) => /"wasm_bytes":(\d+)/.exec(line)?.[1] ?? []);
  return `${(Number(lines.at(-1)) / 2 ** 20).toFixed(1)} MiB`;
}

it('carries 100 MiB of attachments', { timeout: 1_800_000 }, async () => {
  const worker = await seeded();
  const [floor, straightforward, bucket] = await Promise.all(['floor', 'straightforward', 'bucket'].map(peer));
  if (!floor || !straightforward || !bucket) throw new Error('a Worker did not start');
  const rows: Record<string, string>[] = [];
  for (const { files, bytes, body } of [request(10), request(1)]) {
    const times = {
      floor: [] as number[],
      straightforward: [] as number[],
      bucket: [] as number[],
      ours: [] as number[],
    };
    for (let run = 0; run <= RUNS; run++) {
      const once = {
        floor: await timed(floor.url, body),
        ours: await timed(new URL(BATCH, worker.url), body),
        bucket: await timed(bucket.url, JSON.stringify({ files, bytes })),
        straightforward: await timed(straightforward.url, body).catch(() => Infinity),
      };
      // The first run warms up.
      if (run > 0) for (const [name, time] of Object.entries(once)) times[name as keyof typeof times].push(time);
    }
    const own = times.ours.map((time, run) => time - (times.bucket[run] ?? 0));
    rows.push({
      attachments: String(files),
      'floor ms': median(times.floor).toFixed(0),
      'ours ms': median(times.ours).toFixed(0),
      "bucket's own ms": median(times.bucket).toFixed(0),
      'request.json() ms': median(times.straightforward).toFixed(0),
      '(ours − bucket) / floor': (median(own) / median(times.floor)).toFixed(2),
      'request.json() / ours': (median(times.straightforward) / median(times.ours)).toFixed(2),
      'linear memory': memory(worker),
    });
  }
  const { body } = request(10);
  await Promise.all(Array.from({ length: 4 }, () => timed(new URL(BATCH, worker.url), body)));
  console.table(rows);
  console.log(`four at once: ${memory(worker)} of linear memory`);
  await Promise.all([worker.stop(), floor.stop(), straightforward.stop(), bucket.stop()]);
});
