// The Worker in the real runtime, with storage in a folder that outlives it: the runtime is one process, which can be
// killed in the middle of everything and started again on the same folder.

import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Miniflare as Runtime, V4MiniflareOptions } from 'miniflare';
import { unstable_getMiniflareWorkerOptions as workerOptions } from 'wrangler';
import { type Env, INDEX_KEY, type Served, type Vars } from './harness.js';

// Wrangler's own.
const { Miniflare, convertV4MiniflareOptions } = createRequire(createRequire(import.meta.url).resolve('wrangler'))(
  'miniflare',
) as typeof import('miniflare');

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BUILD = path.join(ROOT, 'build');
const NAME = 'trigger-launch';

/** A data point, as the Analytics Engine takes it. */
export interface Point {
  indexes: string[];
  blobs: string[];
  doubles: number[];
}

/** Stands in for the dataset, which nobody can look into here. */
const METRICS = {
  name: 'metrics',
  modules: true,
  compatibilityDate: '2026-11-17',
  script: `
    import { WorkerEntrypoint } from 'cloudflare:workers';
    export default class extends WorkerEntrypoint {
      writeDataPoint(point) {
        console.log(JSON.stringify(point));
      }
    }`,
};

/** A running Worker on storage that is kept. */
export class PersistedWorker implements Served {
  /** A folder that goes when the Worker stops. */
  private passing?: string;

  private constructor(
    private readonly runtime: Runtime,
    private readonly process: number,
    readonly url: URL,
    readonly env: Env,
  ) {}

  /**
   * Starts the Worker as wrangler.toml has it, on what is stored below that folder. It counts no requests.
   * @param points binds `METRICS`, and is given what is written there
   */
  static async start(folder: string, points?: (point: Point) => void): Promise<PersistedWorker> {
    // How modules are told apart has no use where each is named.
    const { modulesRules: _, ...options } = workerOptions(path.join(ROOT, 'wrangler.toml')).workerOptions;
    const before = new Set(children());
    const main = {
      ...options,
      name: NAME,
      rootPath: BUILD,
      modulesRoot: BUILD,
      modules: [
        { type: 'ESModule', path: 'index.js' },
        { type: 'CompiledWasm', path: 'index_bg.wasm' },
      ],
      bindings: { ...(options.bindings as Vars), RATE_LIMITING: 'off', PROFILE_INDEX_KEY: INDEX_KEY },
      serviceBindings: points ? { METRICS: METRICS.name } : {},
    };
    const runtime = new Miniflare(
      convertV4MiniflareOptions({
        workers: points ? [main, METRICS] : [main],
        resourcePersistencePath: folder,
        handleStructuredLogs: ({ message }) => {
          if (points && message.startsWith('{"indexes"')) points(JSON.parse(message) as Point);
        },
      } as V4MiniflareOptions),
    );
    const url = await runtime.ready;
    const [process, ...others] = children().filter((child) => !before.has(child));
    if (process === undefined || others.length > 0) throw new Error('which process the runtime is cannot be told');
    return new PersistedWorker(runtime, process, url, await runtime.getBindings<Env>());
  }

  /** The same, for once: what is stored goes when it stops. */
  static async passing(points?: (point: Point) => void): Promise<PersistedWorker> {
    const folder = await mkdtemp(path.join(tmpdir(), 'trigger-launch-'));
    const worker = await PersistedWorker.start(folder, points);
    worker.passing = folder;
    return worker;
  }

  /** Where the databases of a class of objects are kept, and where the files of a bucket are. */
  static readonly kept = {
    objects: (folder: string, className: string) => path.join(folder, 'do', `${NAME}-${className}`),
    bucket: (folder: string, name: string) => path.join(folder, 'r2', name, 'blobs'),
  };

  request(target: string, init: RequestInit = {}): Promise<Response> {
    return fetch(new URL(target, this.url), init);
  }

  /** SIGKILL, at once: nothing of the runtime runs behind this call. */
  kill(): void {
    process.kill(this.process, 'SIGKILL');
  }

  /** Gives back what the runtime, killed or not, has in this process. */
  async stop(): Promise<void> {
    await this.runtime.dispose();
    if (this.passing) await rm(this.passing, { recursive: true });
  }
}

/** The processes that this one has started and that still run. */
function children(): number[] {
  const numbers = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return numbers.map(Number).filter((id) => parent(id) === process.pid);
}

function parent(id: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, 'utf8');
    // Behind the program's name, which may hold anything: state, parent.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    // It has ended meanwhile.
    return undefined;
  }
}
