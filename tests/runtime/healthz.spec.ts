import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lockedVersion } from '../../scripts/tools.mjs';
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
    expect(await response.json()).toMatchObject({ version: lockedVersion() });
  });
});
