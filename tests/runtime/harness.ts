// The Worker of wrangler.toml in the real runtime, with storage that is removed at the end of the suite.

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

/** Differences from `[vars]` of wrangler.toml. */
export type Vars = Record<string, string>;

/** The index key of the tests. It is not a secret. */
export const INDEX_KEY = '5e'.repeat(32);

/** The key of an index that the Worker of the tests cannot read. It is not a secret. */
export const FOREIGN_KEY = 'another key, of another deployment';

/** A Worker that receives requests and whose storage can be written. */
export type Served = Pick<TestWorker, 'url' | 'env' | 'request'>;

/** A running Worker. Tests send requests to it over loopback, as callers do. */
export class TestWorker {
  private constructor(
    private readonly harness: TestHarness,
    /** The address of the Worker. */
    readonly url: URL,
    /** The bindings of the Worker, for direct access to its storage. */
    readonly env: Env,
  ) {}

  /** Starts a Worker with empty storage. Rate limiting is off unless `vars` turns it on. */
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

  /** Sends a request. */
  request(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(new URL(path, this.url), init);
  }

  /** Sends a `POST` request. A body that is neither text nor bytes is sent as JSON. */
  post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    const raw = typeof body === 'string' || body instanceof Uint8Array;
    const type = raw ? {} : { 'Content-Type': 'application/json' };
    const content = raw ? body : JSON.stringify(body);
    return this.request(path, { method: 'POST', body: content, headers: { ...type, ...headers } });
  }

  /** Restarts the object of a campaign, which loses its memory and keeps its storage. */
  async evict(campaign: number): Promise<void> {
    await this.worker.evictDurableObject('CAMPAIGNS', { name: `campaign:${campaign}` });
  }

  /** The messages that the Worker has logged. */
  logs(): string[] {
    return this.harness.getLogs().map((entry) => entry.message);
  }

  /** Stops the Worker, and removes its storage. */
  async stop(): Promise<void> {
    await this.harness.close();
  }

  private get worker(): WorkerHandle<Env> {
    return this.harness.getWorker<Env>();
  }
}
