import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestWorker } from './harness.js';

describe('GET /healthz', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.stop());

  it('answers with the version, without a token', async () => {
    const response = await worker.request('/healthz');
    expect(response.status).toBe(200);
    const manifest = await readFile(new URL('../../Cargo.toml', import.meta.url), 'utf8');
    const version = /^version = "(.+)"/m.exec(manifest)?.[1];
    expect(await response.json()).toMatchObject({ version });
  });
});
