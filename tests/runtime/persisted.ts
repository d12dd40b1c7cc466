// The Worker in the real runtime, with its storage in a folder. The runtime is a process of its own, which a test can kill at
// any moment and start again with the same folder.

import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import type { Miniflare as Runtime, V4MiniflareOptions } from 'miniflare';
import { unstable_getMiniflareWorkerOptions as workerOptions } from 'wrangler';
import { type Env, INDEX_KEY, type Served, type Vars } from './harness.js';

// The version of miniflare that wrangler uses.
const { Miniflare, convertV4MiniflareOptions } = createRequire(createRequire(import.meta.url).resolve('wrangler'))(
  'miniflare',
) as typeof import('miniflare');

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const NAME = 'trigger-launch';
const COMPATIBILITY_DATE = '2026-11-17';

/** The modules of the Worker, the entry point first. */
const MODULES = ['build/index.js', 'build/index_bg.wasm'];

/** A data point of the Analytics Engine. */
export interface Point {
  indexes: string[];
  blobs: string[];
  doubles: number[];
}

/** Differences from wrangler.toml, and options for observing the Worker. */
export interface Setup {
  /** The checkout whose build and wrangler.toml are used. The default is this checkout. */
  root?: string;
  /** Paths below `root`, the entry point first. */
  modules?: string[];
  vars?: Vars;
  /** Receives every message that the Worker logs. */
  log?: (message: string) => void;
  /** Connects callers to the Worker itself, without Miniflare's entry Worker in between. */
  direct?: boolean;
  /** Answers what the Worker sends to other hosts. */
  outbound?: (request: { text(): Promise<string> }) => Response | Promise<Response>;
  /** Starts the Worker twice, in two isolates that share the storage. */
  twice?: boolean;
}

/** The name of the second Worker. */
const SECOND = 'second';

/** A Worker that logs data points. The local runtime discards those of a dataset. */
const METRICS = {
  name: 'metrics',
  modules: true,
  compatibilityDate: COMPATIBILITY_DATE,
  script: `
    import { WorkerEntrypoint } from 'cloudflare:workers';
    export default class extends WorkerEntrypoint {
      writeDataPoint(point) {
        console.log(JSON.stringify(point));
      }
    }`,
};

/** A running Worker whose storage is in a folder. */
export class PersistedWorker implements Served {
  /** The storage folder, if it is removed when the Worker stops. */
  private passing?: string;
  private killed = false;

  private constructor(
    private readonly runtime: Runtime,
    private readonly process: number,
    readonly url: URL,
    readonly env: Env,
    /** The address of the second isolate, if there is one. */
    readonly second?: URL,
  ) {}

  /**
   * Starts the Worker of wrangler.toml with the storage in `folder`. Rate limiting is off.
   * @param points receives each data point; without it `METRICS` is not bound
   */
  static async start(
    folder: string,
    points?: (point: Point) => void,
    { root = ROOT, modules = MODULES, vars = {}, log, direct = false, outbound, twice = false }: Setup = {},
  ): Promise<PersistedWorker> {
    // Module rules are not needed, because each module is named.
    const { modulesRules: _, ...options } = workerOptions(path.join(root, 'wrangler.toml')).workerOptions;
    const before = new Set(children());
    const main = {
      ...options,
      name: NAME,
      ...modulesOf(root, modules),
      bindings: { ...(options.bindings as Vars), RATE_LIMITING: 'off', PROFILE_INDEX_KEY: INDEX_KEY, ...vars },
      serviceBindings: points ? { METRICS: METRICS.name } : {},
      unsafeDirectSockets: direct ? [{}] : [],
      ...(outbound && { outboundService: outbound }),
    };
    const objects = options.durableObjects as Record<string, { className: string }>;
    const shared = Object.entries(objects).map(([binding, { className }]) => [
      binding,
      { className, scriptName: NAME },
    ]);
    const second = { ...main, name: SECOND, durableObjects: Object.fromEntries(shared), unsafeDirectSockets: [{}] };
    const runtime = new Miniflare(
      convertV4MiniflareOptions({
        workers: [main, ...(twice ? [second] : []), ...(points ? [METRICS] : [])],
        resourcePersistencePath: folder,
        handleStructuredLogs: ({ message }) => {
          log?.(message);
          if (points && message.startsWith('{"indexes"')) points(JSON.parse(message) as Point);
        },
      } as V4MiniflareOptions),
    );
    const entry = await runtime.ready;
    const url = direct ? await runtime.unsafeGetDirectURL(NAME) : entry;
    const [process, ...others] = children().filter((child) => !before.has(child));
    if (process === undefined || others.length > 0) throw new Error('the process of the runtime cannot be identified');
    const other = twice ? await runtime.unsafeGetDirectURL(SECOND) : undefined;
    return new PersistedWorker(runtime, process, url, await runtime.getBindings<Env>(), other);
  }

  /** Starts the Worker with a new storage folder, which is removed when the Worker stops. */
  static async passing(points?: (point: Point) => void, setup?: Setup): Promise<PersistedWorker> {
    const folder = await mkdtemp(path.join(tmpdir(), 'trigger-launch-'));
    const worker = await PersistedWorker.start(folder, points, setup);
    worker.passing = folder;
    return worker;
  }

  /** The folders of the databases of a class of objects, and of the files of a bucket. */
  static readonly kept = {
    objects: (folder: string, className: string) => path.join(folder, 'do', `${NAME}-${className}`),
    bucket: (folder: string, name: string) => path.join(folder, 'r2', name, 'blobs'),
  };

  request(target: string, init: RequestInit = {}): Promise<Response> {
    return fetch(new URL(target, this.url), init);
  }

  /** Kills the runtime with SIGKILL, so that none of its code runs after this call. Further calls do nothing. */
  kill(): void {
    if (this.killed) return;
    this.killed = true;
    process.kill(this.process, 'SIGKILL');
  }

  /** Stops the runtime, if it runs, and releases its resources. */
  async stop(): Promise<void> {
    await this.runtime.dispose();
    if (this.passing) await rm(this.passing, { recursive: true });
  }
}

/** Modules by their paths below a folder, the entry point first. */
function modulesOf(root: string, paths: string[]) {
  const type = (name: string) => (name.endsWith('.wasm') ? 'CompiledWasm' : 'ESModule');
  return { rootPath: root, modulesRoot: root, modules: paths.map((name) => ({ type: type(name), path: name })) };
}

/** Starts a Worker of one module, without bindings. Callers connect to the Worker itself. */
export async function startModule(module: string): Promise<{ url: URL; stop: () => Promise<void> }> {
  const worker = {
    name: 'module',
    compatibilityDate: COMPATIBILITY_DATE,
    ...modulesOf(ROOT, [module]),
    unsafeDirectSockets: [{}],
  };
  const runtime = new Miniflare(convertV4MiniflareOptions({ workers: [worker] } as V4MiniflareOptions));
  await runtime.ready;
  return { url: await runtime.unsafeGetDirectURL(worker.name), stop: () => runtime.dispose() };
}

/** The running child processes of this process. */
function children(): number[] {
  const numbers = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return numbers.map(Number).filter((id) => parent(id) === process.pid);
}

function parent(id: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, 'utf8');
    // After the program's name, which can contain any character: state, parent.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    // The process has ended.
    return undefined;
  }
}

/** Opens the database of a campaign's object, in the storage folder of a Worker that does not run. */
export function openCampaign(folder: string, campaign: number): DatabaseSync {
  const objects = PersistedWorker.kept.objects(folder, 'CampaignObject');
  for (const name of readdirSync(objects).filter((file) => file.endsWith('.sqlite'))) {
    const database = new DatabaseSync(path.join(objects, name));
    const tables = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'campaign'").all();
    if (tables.length && database.prepare('SELECT 1 FROM campaign WHERE id = ?').get(campaign)) return database;
    database.close();
  }
  throw new Error(`campaign ${campaign} has no object`);
}
