// Webhooks in a runtime that connects to the receiver itself, without a proxy in between. Messages are also verified with the
// libraries of Standard Webhooks.

import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { inRoot } from '../../scripts/run.mjs';
import { bearer, define, launch, seed, TOKEN, TRIGGERS, WAIT } from './fixture.js';
import { PersistedWorker } from './persisted.js';
import { address } from './profiles.js';
import { PythonEnvironment, skipsPython } from './python.js';
import { type Received, Receiver } from './receiver.js';

const MIB = 1024 * 1024;
/** Text that JSON escapes, and of characters with one to four bytes. */
const TEXT = 'Größe 日本語 😀 "quoted" \\ \u2028 \u0000';

describe('receivers of webhooks', () => {
  let worker: PersistedWorker;
  let receiver: Receiver;
  let campaign = 800;
  let hook: string;
  let secret: string;

  const python = new PythonEnvironment('python', 'tests', 'runtime', 'requirements.txt');

  beforeAll(async () => {
    // The installation blocks this process, so that idle connections to a running Worker would be closed.
    if (!skipsPython) python.install();
    worker = await PersistedWorker.passing(undefined, { direct: true, vars: { WEBHOOK_HOSTS: 'any' } });
    await seed(worker);
  }, 300_000);
  afterAll(() => worker.stop());

  async function send(method: string, suffix = '', body?: unknown): Promise<Record<string, any>> {
    const headers = { ...bearer(TOKEN.admin), 'Content-Type': 'application/json' };
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const response = await worker.request(`${hook}${suffix}`, { method, headers, ...content });
    const text = await response.text();
    expect(response.status, text).toBe(200);
    return JSON.parse(text) as Record<string, any>;
  }

  const start = (more: object = {}) =>
    launch(worker, { trigger_id: campaign, data: [{ email: 'example1@example.com' }], ...more });
  const wait = (condition: () => void | Promise<void>, timeout = WAIT.timeout) =>
    vi.waitFor(condition, { ...WAIT, timeout });
  const state = async () => (await send('GET')).state as Record<string, any>;

  beforeEach(async () => {
    receiver = new Receiver();
    const url = await receiver.start();
    campaign += 1;
    hook = `${TRIGGERS}/${campaign}/webhook`;
    await define(worker, campaign, { name: 'Receivers', database: 1, active: true });
    secret = (await send('PUT', '', { url })).secret;
    return () => receiver.stop();
  });

  it.each([301, 302, 303, 307, 308])('a redirect (%i) is a failure, and is not followed', async (status) => {
    const other = new Receiver();
    const location = await other.start();
    receiver.answer = (response) => response.writeHead(status, { Location: location }).end();
    await start();
    await wait(async () => expect(await state()).toMatchObject({ status: 'retrying', last_status: status }));
    expect([receiver.received.length, other.received.length]).toEqual([1, 0]);
    expect(await send('POST', '/test')).toMatchObject({ status, error: null });
    expect(other.received).toHaveLength(0);
    other.stop();
  });

  it('a body that never ends delays nothing, and its connection is closed', async () => {
    let closed = 0;
    receiver.answer = (response) => {
      response.on('close', () => (closed += 1));
      response.writeHead(200).write('x');
    };
    for (let count = 1; count <= 3; count += 1) {
      await start();
      await wait(async () => expect(await state()).toMatchObject({ status: 'idle', delivered_through: count }));
      await wait(() => expect(closed).toBe(count));
    }
    expect(new Set(receiver.ids()).size).toBe(receiver.received.length);
  });

  it('a body of 100 MiB is not read', async () => {
    let written = 0;
    receiver.answer = (response) => {
      const piece = Buffer.alloc(MIB);
      response.writeHead(200, { 'Content-Length': 100 * MIB });
      const next = () => {
        if (written === 100 * MIB) return void response.end();
        if (!response.destroyed) response.write(piece, () => ((written += MIB), next()));
      };
      next();
    };
    await start();
    await wait(async () => expect(await state()).toMatchObject({ status: 'idle', last_status: 200 }));
    // The buffers of a loopback connection have a few MiB.
    expect(written).toBeLessThan(50 * MIB);
    expect(receiver.received).toHaveLength(1);
  });

  it.each([
    ['before the status line', (response) => void response.destroy()],
    ['in the middle of the status line', (response) => void response.socket?.end('HTTP/1.1 20')],
    ['in the middle of the headers', (response) => void response.socket?.end('HTTP/1.1 200 OK\r\nA')],
    ['with bytes that are not HTTP', (response) => void response.socket?.end('hello\r\n\r\n')],
  ] as [string, Receiver['answer']][])('a connection that ends %s is a failure', async (_, answer) => {
    receiver.answer = answer;
    await start();
    await wait(async () => expect(await state()).toMatchObject({ status: 'retrying', last_status: null }));
    const { last_error } = await state();
    expect(last_error).toMatch(/^the request failed: /);
    expect(last_error).not.toContain('127.0.0.1');
    receiver.answer = (response) => response.writeHead(204).end();
    await send('POST', '/resume');
    await wait(async () => expect((await state()).status).toBe('idle'));
    expect(new Set(receiver.ids()).size).toBe(1);
  });

  it('an address at which nobody listens is a failure', async () => {
    receiver.stop();
    await start();
    await wait(async () => expect(await state()).toMatchObject({ status: 'retrying', last_status: null }));
  });

  it('an attempt without a status line ends after 15 s, and the message is sent again', async () => {
    const begun = performance.now();
    receiver.answer = () => {};
    await start();
    await wait(async () => expect((await state()).status).toBe('retrying'), 40_000);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(14_900);
    expect(await state()).toMatchObject({ last_status: null, last_error: 'no status line within 15 s' });
    receiver.answer = (response) => response.writeHead(204).end();
    // The alarm starts the second attempt.
    await wait(() => expect(receiver.received).toHaveLength(2), 40_000);
    await wait(async () => expect((await state()).status).toBe('idle'));
    const [first, second] = receiver.received as [Received, Received];
    expect([second.body, receiver.ids()[1]]).toEqual([first.body, receiver.ids()[0]]);
  });

  it('the message contains the bytes that were signed', async () => {
    await signed();
    for (const { headers, body } of receiver.received) {
      const own = headers as Record<string, string>;
      for (const one of secrets()) expect(new Webhook(one).verify(body, own)).toEqual(JSON.parse(body));
      expect(() => new Webhook(secret).verify(`${body} `, own)).toThrow();
      expect(() => new Webhook(OTHER).verify(body, own)).toThrow();
    }
  });

  it.skipIf(skipsPython)('the Python library verifies the messages', async () => {
    await signed();
    const lines: object[] = receiver.received.flatMap(({ headers, body }) => [
      ...secrets().map((one) => ({ secret: one, headers, body })),
      { secret, headers, body: `${body} ` },
      { secret: OTHER, headers, body },
    ]);
    const input = lines.map((line) => JSON.stringify(line)).join('\n');
    const printed = python
      .run([inRoot('tests', 'runtime', 'verify.py')], input)
      .trim()
      .split('\n');
    const refused = 'WebhookVerificationError';
    expect(printed).toEqual(receiver.received.flatMap(() => ['valid', 'valid', refused, refused]));
  });

  const OTHER = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
  let rotated: string;
  const secrets = () => [secret, rotated];

  /** Delivers messages of every kind, each with two signatures: a test, an empty launch, a large one, and one with odd text. */
  async function signed(): Promise<void> {
    rotated = (await send('POST', '/rotate')).secret;
    await send('POST', '/test');
    await start({ data: [{}], custom_data: { [TEXT]: TEXT } });
    const data = Array.from({ length: 2500 }, (_, n) => ({ email: address(n), custom_data: { text: TEXT } }));
    await start({ content: { [TEXT]: TEXT }, data });
    await wait(async () => expect((await state()).status).toBe('idle'));
    expect(receiver.received).toHaveLength(5);
  }
});
