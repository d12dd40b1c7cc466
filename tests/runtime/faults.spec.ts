// What is refused for want of room or of patience.

import net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BATCH, GOOD, launch, seeded, stop, TOKEN } from './fixture.js';
import type { TestWorker } from './harness.js';

describe('a full log', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded({ LOG_LIMIT: '1' });
  });
  afterAll(() => stop(worker));

  it.each(['json', 'xml'])('a launch to a full log gets 507 in %s', async (format) => {
    const reply = await launch(worker, { ...GOOD, format });
    expect(reply.status).toBe(507);
    expect(reply.text).toContain('Launch log full');
  });

  it('a full log does not affect a dry run', async () => {
    expect((await launch(worker, { ...GOOD, dry_run: true })).status).toBe(200);
  });
});

describe('a body that stops arriving', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded();
  });
  afterAll(() => stop(worker));

  it('a stalled body gets 408 after 30 seconds, and delays no other request', async () => {
    const socket = net.connect(Number(worker.url.port), worker.url.hostname);
    const answer = new Promise<string>((resolve, reject) => {
      let text = '';
      socket.on('error', reject);
      socket.on('data', (piece) => {
        text += piece.toString();
        if (text.includes('error_text')) resolve(text);
      });
    });
    const head = `POST ${BATCH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n`;
    socket.write(head);
    // A byte at a time, and then nothing more: meanwhile others are served.
    for (const byte of `{"token":"${TOKEN.all}",`) {
      socket.write(byte);
      expect((await launch(worker, GOOD)).status).toBe(200);
    }
    expect(await answer).toMatch(/ 408 [^]*Request timeout/);
    socket.destroy();
  });
});
