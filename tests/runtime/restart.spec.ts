import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { bearer, GOOD, launch, seed, WAIT } from './fixture.js';
import { PersistedWorker } from './persisted.js';

describe('after a trap in the wasm instance', () => {
  const lines: string[] = [];
  let worker: PersistedWorker;
  beforeAll(async () => {
    const modules = ['tests/runtime/trapping.js', 'build/index.js', 'build/index_bg.wasm'];
    worker = await PersistedWorker.passing(undefined, { modules, log: (line) => lines.push(line) });
    await seed(worker);
  });
  afterAll(() => worker.stop());

  /** Makes the Worker trap when it reads a property of a request. */
  async function trap(property: string): Promise<void> {
    const request = { method: 'POST', body: JSON.stringify(GOOD), headers: bearer() };
    const response = await worker.request(`/trap/${property}`, request);
    expect(await response.text()).not.toContain('error_text');
    expect(response.status).toBe(500);
  }

  /** Launches, and returns the number of bulk reads of KV, which is 0 if the instance has the bucket in its cache. */
  async function launchAndCountReads(requestId: string): Promise<number> {
    const reply = await launch(worker, GOOD, { ...bearer(), 'Request-ID': requestId });
    expect(reply.status, reply.text).toBe(200);
    const find = () => lines.findLast((each) => each.includes(requestId));
    // A line can arrive after the response.
    const line = await vi.waitUntil(find, WAIT);
    return (JSON.parse(line) as { kv_reads: number }).kv_reads;
  }

  it.each(['url', 'body'])(
    'the next launch succeeds in a new instance (trap while reading the %s)',
    async (property) => {
      await launchAndCountReads(`${property}-1`);
      expect(await launchAndCountReads(`${property}-2`)).toBe(0);
      lines.length = 0;
      await trap(property);
      expect(await launchAndCountReads(`${property}-3`)).toBe(1);
      expect(lines).toContain('the wasm instance has ended; a new one was created');
    },
  );

  it('a repeated launch gets its stored reply', async () => {
    const headers = { ...bearer(), 'Request-ID': 'repeated' };
    const first = await launch(worker, GOOD, headers);
    await trap('body');
    const second = await launch(worker, GOOD, headers);
    expect(second.text).toBe(first.text);
    expect(second.headers.get('Launch-ID')).toBe(first.headers.get('Launch-ID'));
  });

  it("a campaign's object replies if it is called before the Worker", async () => {
    await launchAndCountReads('object');
    await trap('body');
    const response = await worker.request(`/campaign/${GOOD.trigger_id}`, { method: 'POST', body: 'x' });
    // The object tried to parse the body as a command.
    expect(await response.text()).toContain('at line 1 column 1');
  });
});
