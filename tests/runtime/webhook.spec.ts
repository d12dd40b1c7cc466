// Webhooks in the real runtime, with receivers on the same machine. The harness sends outgoing requests through a proxy that
// follows redirects and waits for a body, so these two cases are in receivers.spec.ts.

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { inRoot } from '../../scripts/run.mjs';
import { bearer, launch, seeded, stop, TOKEN, TRIGGERS, WAIT } from './fixture.js';
import type { TestWorker } from './harness.js';
import { address } from './profiles.js';
import { isSigned, type Received, Receiver } from './receiver.js';

/** Addresses, and why they are refused. The native tests use the same table. */
const addresses = JSON.parse(readFileSync(inRoot('tests', 'addresses.json'), 'utf8')) as [string, string][];

describe('webhooks', () => {
  let worker: TestWorker;
  let receiver: Receiver;
  let url: string;
  let campaign = 700;
  let hook: string;
  let secret: string;

  beforeAll(async () => {
    worker = await seeded({ WEBHOOK_HOSTS: 'any' });
  });
  afterAll(() => stop(worker));

  async function send(method: string, suffix = '', body?: unknown) {
    const headers = { ...bearer(TOKEN.admin), 'Content-Type': 'application/json' };
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const response = await worker.request(`${hook}${suffix}`, { method, headers, ...content });
    return { status: response.status, body: (await response.json()) as Record<string, any> };
  }

  const start = (data: unknown = [{ email: 'example1@example.com' }]) => launch(worker, { trigger_id: campaign, data });
  const wait = (condition: () => void | Promise<void>) => vi.waitFor(condition, WAIT);
  const state = async () => (await send('GET')).body.state;

  beforeEach(async () => {
    receiver = new Receiver();
    url = await receiver.start();
    campaign += 1;
    hook = `${TRIGGERS}/${campaign}/webhook`;
    const headers = { ...bearer(TOKEN.admin), 'Content-Type': 'application/json' };
    const body = JSON.stringify({ name: 'Webhooks', database: 1, active: true });
    await worker.request(`${TRIGGERS}/${campaign}`, { method: 'PUT', headers, body });
    const created = await send('PUT', '', { url, headers: { Authorization: 'Bearer receiver' } });
    expect(created.status).toBe(200);
    secret = created.body.secret;
    return () => receiver.stop();
  });

  it('a launch arrives signed, and only the first reply contains the secret', async () => {
    const launched = await start();
    await wait(() => expect(receiver.received).toHaveLength(1));
    const [message] = receiver.received as [Received];
    expect(message.headers).toMatchObject({ 'content-type': 'application/json', authorization: 'Bearer receiver' });
    expect(message.headers['webhook-id']).toBe(`${launched.headers.get('Launch-ID')}_1`);
    expect(isSigned(message, secret)).toBe(true);
    const { type, data } = JSON.parse(message.body);
    expect([type, data.page, data.pages]).toEqual(['launch.created', 1, 1]);
    expect(data.recipients).toEqual([{ index: 0, profile_id: '6606e08f10bcdd88297057a7' }]);
    await wait(async () =>
      expect(await state()).toMatchObject({ status: 'idle', delivered_through: 1, last_status: 204 }),
    );
    const read = await send('GET');
    expect(read.body).toMatchObject({ url, headers: ['Authorization'], recipients: 'inline', ordering: 'strict' });
    expect(read.body).not.toHaveProperty('secret');
  });

  it('a large launch arrives in pages', async () => {
    await start(Array.from({ length: 2500 }, (_, n) => ({ email: address(n) })));
    await wait(() => expect(receiver.received).toHaveLength(3));
    const pages = receiver.received.map((message) => JSON.parse(message.body).data);
    expect(pages.map((data) => data.page).sort()).toEqual([1, 2, 3]);
    expect(pages.reduce((sum, data) => sum + data.recipients.length, 0)).toBe(pages[0].launch.recipients);
  });

  it('a receiver that fails is tried again with the same message', async () => {
    receiver.answer = (response) => response.writeHead(503).end();
    await start();
    await wait(async () => expect(await state()).toMatchObject({ status: 'retrying', last_status: 503 }));
    expect((await state()).next_attempt_at).not.toBeNull();
    expect(receiver.received).toHaveLength(1);
    receiver.answer = (response) => response.writeHead(200).end();
    await send('POST', '/resume');
    await wait(() => expect(receiver.received).toHaveLength(2));
    const [first, second] = receiver.received as [Received, Received];
    expect(second.body).toBe(first.body);
    expect(receiver.ids()[1]).toBe(receiver.ids()[0]);
    await wait(async () => expect(await state()).toMatchObject({ status: 'idle', last_status: 200 }));
    expect((await send('GET', '/attempts?limit=1')).body.attempts).toMatchObject([
      { sequence: 1, page: 1, status: 200 },
    ]);
  });

  it('the status line decides, whatever the receiver does with the body', async () => {
    const answers: Receiver['answer'][] = [
      (response) => void response.writeHead(200, { 'Content-Length': 100 }).write('a', () => response.destroy()),
      (response) => void response.writeHead(200).write('x'.repeat(1_000_000)),
    ];
    for (const [index, answer] of answers.entries()) {
      receiver.answer = answer;
      await start();
      await wait(async () => expect(await state()).toMatchObject({ status: 'idle', delivered_through: index + 1 }));
    }
  });

  it('a receiver that hangs delays neither launches nor reads', async () => {
    receiver.answer = () => {};
    for (let count = 0; count < 5; count += 1) {
      expect((await start()).status).toBe(200);
    }
    await wait(() => expect(receiver.received).toHaveLength(1));
    expect(await state()).toMatchObject({ status: 'delivering', delivered_through: null });
    expect(receiver.received).toHaveLength(1);
  });

  it('launches arrive in order', async () => {
    const launched: unknown[] = [];
    for (let count = 0; count < 5; count += 1) launched.push((await start()).headers.get('Launch-ID'));
    await wait(() => expect(receiver.received).toHaveLength(5));
    expect(receiver.ids()).toEqual(launched.map((id) => `${id}_1`));
    expect(receiver.received.every((message) => isSigned(message, secret))).toBe(true);
  });

  it('an answer that arrives byte by byte is a success', async () => {
    receiver.answer = (response) => {
      const socket = response.socket!;
      const bytes = [...'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'];
      const next = () => {
        const byte = bytes.shift();
        if (byte !== undefined) socket.write(byte, () => setImmediate(next));
      };
      socket.setNoDelay(true);
      next();
    };
    await start();
    await wait(async () => expect(await state()).toMatchObject({ status: 'idle', last_status: 200 }));
    expect(receiver.received).toHaveLength(1);
  });

  it('a delivery that fails continues in another instance after resume', async () => {
    receiver.answer = (response) => response.writeHead(500).end();
    await start();
    await wait(async () => expect(await state()).toMatchObject({ status: 'retrying', last_status: 500 }));
    const [id] = receiver.ids();
    await worker.evict(campaign);
    receiver.answer = (response) => response.writeHead(204).end();
    expect((await send('POST', '/resume')).status).toBe(200);
    await wait(async () => expect(await state()).toMatchObject({ status: 'idle', delivered_through: 1 }));
    expect(new Set(receiver.ids())).toEqual(new Set([id]));
  });

  it('a page that fails is skipped, and the next launch is delivered', async () => {
    receiver.answer = (response) => response.writeHead(500).end();
    await start();
    await wait(async () => expect((await state()).status).toBe('retrying'));
    receiver.answer = (response) => response.writeHead(204).end();
    const second = await start();
    expect((await send('POST', '/skip')).status).toBe(200);
    await wait(async () => expect(await state()).toMatchObject({ status: 'idle', delivered_through: 2 }));
    expect(receiver.ids().at(-1)).toBe(`${second.headers.get('Launch-ID')}_1`);
    expect((await send('POST', '/skip')).status).toBe(409);
  });

  it('410 stops the delivery until resume', async () => {
    receiver.answer = (response) => response.writeHead(410).end();
    await start();
    await wait(async () => expect(await state()).toMatchObject({ status: 'stopped', last_status: 410 }));
    receiver.answer = (response) => response.writeHead(204).end();
    await send('POST', '/resume');
    await wait(async () => expect(await state()).toMatchObject({ status: 'idle', delivered_through: 1 }));
  });

  it('without a webhook every action gets 404', async () => {
    expect((await send('DELETE')).status).toBe(200);
    for (const [method, suffix, body] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/test'],
      ['POST', '/rotate'],
      ['POST', '/skip'],
      ['POST', '/resume'],
      ['POST', '/replay', { after: 0 }],
      ['GET', '/attempts'],
    ] as [string, string, unknown?][]) {
      expect([method, suffix, (await send(method, suffix, body)).status]).toEqual([method, suffix, 404]);
    }
    expect((await send('GET', '/attempts?limit=101')).status).toBe(400);
  });

  it('every action has its effect', async () => {
    expect((await send('POST', '/test')).body).toMatchObject({ status: 204, error: null });
    expect(JSON.parse(receiver.received[0]!.body).type).toBe('webhook.test');
    receiver.received = [];
    expect((await send('POST', '/skip')).status).toBe(409);
    const rotated = await send('POST', '/rotate');
    expect((await send('POST', '/rotate')).status).toBe(409);
    await start();
    await wait(() => expect(receiver.received).toHaveLength(1));
    expect([secret, rotated.body.secret].map((text) => isSigned(receiver.received[0]!, text))).toEqual([true, true]);
    await send('POST', '/replay', { after: 0 });
    await wait(() => expect(receiver.received).toHaveLength(2));
    expect(receiver.ids()[1]).toBe(receiver.ids()[0]);
    await send('PUT', '', { active: false });
    await start();
    expect((await state()).status).toBe('paused');
    await worker.evict(campaign);
    await send('PUT', '', { active: true });
    await wait(() => expect(receiver.received).toHaveLength(3));
    expect((await send('DELETE')).status).toBe(200);
    expect((await send('GET')).status).toBe(404);
  });
});

describe('the webhooks of a deployment', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded();
  });
  afterAll(() => stop(worker));

  const put = async (url: string) => {
    const headers = { ...bearer(TOKEN.admin), 'Content-Type': 'application/json' };
    const response = await worker.request(`${TRIGGERS}/8/webhook`, {
      method: 'PUT',
      headers,
      body: JSON.stringify({ url }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  it.each(addresses)('an address that is %j is accepted, or refused with the reason (%j)', async (url, reason) => {
    const { status, body } = await put(url);
    expect([status, body.error_debug ?? '']).toEqual(reason ? [400, `url: ${reason}`] : [200, '']);
  });
});
