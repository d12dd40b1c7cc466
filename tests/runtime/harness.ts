// The Worker in the real runtime, from the real wrangler.toml, with storage of its own that goes when the suite ends.

import type { DurableObjectNamespace, KVNamespace, R2Bucket } from '@cloudflare/workers-types';
import { fileURLToPath } from 'node:url';
import { createTestHarness, type TestHarness, type WorkerHandle } from 'wrangler';

/** The bindings that a suite reads or seeds. */
export interface Env {
  CAMPAIGNS: DurableObjectNamespace;
  PROFILES: KVNamespace;
  ACCESS: KVNamespace;
  ATTACHMENTS: R2Bucket;
}

/** What a suite changes of wrangler.toml's `[vars]`. */
export type Vars = Record<string, string>;

/** The key of the tests' index: no secret. */
export const INDEX_KEY = '5e'.repeat(32);

/** The key of an index that is not the tests': no secret either. */
export const FOREIGN_KEY = 'another key, of another deployment';

/** A Worker, as far as it is spoken to and seeded. */
export type Served = Pick<TestWorker, 'url' | 'env' | 'request'>;

/** A running Worker. Tests speak to it over loopback, as callers do. */
export class TestWorker {
  private constructor(
    private readonly harness: TestHarness,
    /** Where it listens. */
    readonly url: URL,
    /** Its storage, from outside. */
    readonly env: Env,
  ) {}

  /** Starts a Worker with empty storage. It counts no requests unless `vars` say so. */
  static async start(vars: Vars = {}): Promise<TestWorker> {
    const harness = createTestHarness({
      root: fileURLToPath(new URL('../..', import.meta.url)),
      workers: [
        {
          configPath: 'wrangler.toml',
          vars: { RATE_LIMITING: 'off', ...vars },
          secrets: { PROFILE_INDEX_KEY: INDEX_KEY },
        },
      ],
    });
    const { url } = await harness.listen();
    return new TestWorker(harness, url, await harness.getWorker<Env>().getEnv());
  }

  /** A request. */
  request(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(new URL(path, this.url), init);
  }

  /** A POST of the bytes given; what is neither text nor bytes goes as JSON. */
  post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    const raw = typeof body === 'string' || body instanceof Uint8Array;
    const type = raw ? {} : { 'Content-Type': 'application/json' };
    const content = raw ? body : JSON.stringify(body);
    return this.request(path, { method: 'POST', body: content, headers: { ...type, ...headers } });
  }

  /** Restarts the object of a campaign: what it held in memory is gone, what it stored is not. */
  async evict(campaign: number): Promise<void> {
    await this.worker.evictDurableObject('CAMPAIGNS', { name: `campaign:${campaign}` });
  }

  /** What the Worker has logged. */
  logs(): string[] {
    return this.harness.getLogs().map((entry) => entry.message);
  }

  /** Stops the Worker; its storage is lost. */
  async stop(): Promise<void> {
    await this.harness.close();
  }

  private get worker(): WorkerHandle<Env> {
    return this.harness.getWorker<Env>();
  }
}
