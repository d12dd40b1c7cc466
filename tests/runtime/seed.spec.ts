import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { INDEX_KEY, TestWorker } from './harness.js';
import { Operator } from './seed.js';

describe("the operator's command line", () => {
  let worker: TestWorker;
  let operator: Operator;
  beforeAll(async () => {
    [worker, operator] = await Promise.all([TestWorker.start(), Operator.start(INDEX_KEY)]);
  });
  afterAll(() => Promise.all([worker.stop(), operator.stop()]));

  it('the command line writes an index of keyed hashes and digests of tokens that the Worker reads', async () => {
    await operator.importProfiles(1, 'profile_id,email\n6606e08f10bcdd88297057a7,Example1@Example.com\n');
    const token = (await operator.admin('token', 'create', '--name', 'crm')).trim();
    await operator.copyTo(worker.env);

    const profiles = await worker.env.PROFILES.list();
    expect(profiles.keys.length).toBeGreaterThan(1);
    const tokens = await worker.env.ACCESS.list();
    expect(tokens.keys).toHaveLength(1);
    const values = await Promise.all([
      ...profiles.keys.map(({ name }) => worker.env.PROFILES.get(name)),
      ...tokens.keys.map(({ name }) => worker.env.ACCESS.get(name)),
    ]);
    const stored = JSON.stringify([profiles.keys, tokens.keys, values]);
    expect(stored.toLowerCase()).not.toContain('example1');
    expect(stored).not.toContain(token);
  });
});
