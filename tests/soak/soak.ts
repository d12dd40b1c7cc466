// Functions for the sections: their rounds, their tables, and launches whose log line is read.

import { appendFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Client, Origin } from '../../benches/client.mjs';
import { LogLines, type LogLine } from '../../benches/lines.mjs';
import { table } from '../../benches/report.mjs';
import { BATCH, bearer, GOOD, seed } from '../runtime/fixture.js';
import { PersistedWorker, type Setup } from '../runtime/persisted.js';

/** The interval at which a condition is checked. */
const POLL_MS = 25;
/** The memory of a request is released within this time after its end. */
const RELEASED_MS = 20_000;

/** A setting that `npm run soak` passes to its sections. */
export function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: start this section by npm run soak`);
  return value;
}

/** The count of the section: `--rounds`. */
export const rounds = () => Number(setting('SOAK_ROUNDS'));

/** Adds a table to the output of `npm run soak`. */
export function report(title: string, head: string[], rows: (string | number)[][]): void {
  appendFileSync(setting('SOAK_TABLES'), `**${title}**\n\n${table(head, rows)}\n\n`);
}

/** Prints progress on stderr. */
export const progress = (line: string) => console.error(`[soak] ${line}`);

/** Prints progress at every tenth of `total`. */
export function progressOf(what: string, total: number): (done: number) => void {
  const step = Math.max(1, Math.ceil(total / 10));
  return (done) => {
    if (done % step === 0 || done === total) progress(`${what}: ${done} of ${total}`);
  };
}

/** Runs `work` for the numbers from 0 to `count`, at most `lanes` of them at once. */
export async function runConcurrently(count: number, lanes: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(lanes, count) }, lane));
}

/** Polls until `read` returns a value. Returns `undefined` if that takes longer than `bound` milliseconds. */
export async function waitFor<T>(bound: number, read: () => T | Promise<T>): Promise<NonNullable<T> | undefined> {
  const end = performance.now() + bound;
  for (;;) {
    const value = await read();
    if (value !== undefined && value !== null) return value;
    if (performance.now() > end) return undefined;
    await pause(POLL_MS);
  }
}

export const mebibytes = (bytes: number | undefined) =>
  bytes === undefined ? 'not logged' : `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Formats the number of bytes that are reserved beyond those of one launch. */
export const excessOf = (bytes: number | undefined) => (bytes === undefined ? 'not logged' : bytes);

/** Formats the number of occurrences of each value. */
export function tally(values: Iterable<string | number>): string {
  const counts = new Map<string | number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].map(([value, count]) => `${count} × ${value}`).join(', ') || '–';
}

/** A seeded Worker without a proxy, whose log lines are read. */
export class WatchedWorker {
  private readonly client: Client;
  private launches = 0;

  private constructor(
    readonly worker: PersistedWorker,
    private readonly lines: LogLines,
  ) {
    this.client = new Client(new Origin(worker.url, {}));
  }

  static async start(setup: Setup = {}): Promise<WatchedWorker> {
    const lines = new LogLines();
    const log = (message: string) => lines.record(message);
    const worker = await PersistedWorker.passing(undefined, { direct: true, log, ...setup });
    await seed(worker);
    return new WatchedWorker(worker, lines);
  }

  get url(): URL {
    return this.worker.url;
  }

  /** Returns headers for a request, and its log line. */
  watched(): { headers: Record<string, string>; line: Promise<LogLine> } {
    // All IDs have the same length, so that equal launches reserve the same number of bytes.
    const id = `soak-${String(this.launches++).padStart(8, '0')}`;
    return { headers: { 'Request-ID': id }, line: this.lines.of(id) };
  }

  /** Launches for one profile and returns the log line of the launch. */
  async line(): Promise<LogLine> {
    const { headers, line } = this.watched();
    const body = Buffer.from(JSON.stringify(GOOD));
    await this.client.must(BATCH, body, { ...bearer(), ...headers, 'Content-Type': 'application/json' });
    return line;
  }

  /**
   * Launches until a launch logs no more reserved bytes than `idle`, the number that a launch on an idle Worker logs, or until
   * the time limit. Returns the excess of the last launch, and the time that has passed.
   */
  async released(idle: number | undefined): Promise<{ excess: number | undefined; ms: number }> {
    const start = performance.now();
    let excess: number | undefined;
    await waitFor(RELEASED_MS, async () => {
      const { reserved_bytes } = await this.line();
      excess = reserved_bytes === undefined || idle === undefined ? undefined : reserved_bytes - idle;
      return excess === undefined || excess <= 0 ? true : undefined;
    });
    return { excess, ms: performance.now() - start };
  }

  async stop(): Promise<void> {
    this.client.close();
    await this.worker.stop();
  }
}
