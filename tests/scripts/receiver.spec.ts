// The local receiver of webhooks: which messages it accepts, and what it prints.

import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createReceiver, describeMessage, findForgery, parseOptions, parseSecret } from '../../scripts/receiver.mjs';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const KEY = parseSecret(SECRET);
const NOW = Date.parse('2026-11-26T18:00:00.000Z');

const MESSAGE = {
  type: 'launch.created',
  timestamp: '2026-11-26T17:59:59.958Z',
  data: {
    launch: { launch_id: '01a217b5-3a5c-7096-b4dc-784b237992e4', content: { subject: 'private' } },
    page: 2,
    pages: 3,
    recipients: [{ index: 0, profile_id: 'private', custom_data: 'private' }],
  },
};
const BODY = Buffer.from(JSON.stringify(MESSAGE));

/** The headers of a message that this key has signed. */
function signed(body: Buffer, now = NOW, key = KEY): Record<string, string> {
  const timestamp = String(Math.floor(now / 1000));
  const content = Buffer.concat([Buffer.from(`id_1.${timestamp}.`), body]);
  const signature = `v1,${createHmac('sha256', key).update(content).digest('base64')}`;
  return { 'webhook-id': 'id_1', 'webhook-timestamp': timestamp, 'webhook-signature': signature };
}

describe('a message', () => {
  it('a message with a valid signature is authentic, also beside other signatures', () => {
    const headers = signed(BODY);
    expect(findForgery(KEY, headers, BODY, NOW)).toBeUndefined();
    const both = `v1a,AAAA v1,AAAA ${headers['webhook-signature']}`;
    expect(findForgery(KEY, { ...headers, 'webhook-signature': both }, BODY, NOW)).toBeUndefined();
  });

  it('the signature of the published example of Standard Webhooks is valid', () => {
    const headers = {
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    };
    const key = parseSecret('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
    expect(findForgery(key, headers, Buffer.from('{"test": 2432232314}'), 1_614_265_330_000)).toBeUndefined();
  });

  it.each([
    ['another body', {}, Buffer.from('{}'), NOW, 'no signature is valid'],
    ['another ID', { 'webhook-id': 'id_2' }, BODY, NOW, 'no signature is valid'],
    ['another key', signed(BODY, NOW, Buffer.alloc(32, 8)), BODY, NOW, 'no signature is valid'],
    ['a short signature', { 'webhook-signature': 'v1,AAAA' }, BODY, NOW, 'no signature is valid'],
    ['no signature', { 'webhook-signature': '' }, BODY, NOW, 'a webhook header is missing'],
    ['no number', { 'webhook-timestamp': 'now' }, BODY, NOW, 'webhook-timestamp is not a number of seconds'],
    ['an old timestamp', {}, BODY, NOW + 301_000, 'webhook-timestamp is not within 5 minutes'],
    ['a timestamp in the future', {}, BODY, NOW - 301_000, 'webhook-timestamp is not within 5 minutes'],
  ])('a message with %s is refused', (_, changed, body, now, reason) => {
    expect(findForgery(KEY, { ...signed(BODY), ...changed }, body, now)).toBe(reason);
  });

  it('a message of 5 minutes ago is authentic', () => {
    for (const now of [NOW + 300_000, NOW - 300_000]) expect(findForgery(KEY, signed(BODY), BODY, now)).toBeUndefined();
  });

  it('the line of a message has its page and counts, and no data of recipients', () => {
    expect(describeMessage(BODY, NOW)).toBe(
      'launch.created, 01a217b5-3a5c-7096-b4dc-784b237992e4, page 2 of 3, recipients: 1, 42 ms after accepted_at',
    );
    const test = { type: 'webhook.test', timestamp: MESSAGE.timestamp, data: { trigger_id: 8 } };
    expect(describeMessage(Buffer.from(JSON.stringify(test)), NOW)).toBe('webhook.test, 42 ms after timestamp');
    expect(describeMessage(Buffer.from('{"type":"\\u001b[2J"}'), NOW)).toBe('\\u{1b}[2J');
    for (const text of ['null', '5', '[]', '{}']) expect(describeMessage(Buffer.from(text), NOW)).toBe('undefined');
    expect(describeMessage(Buffer.from('{'), NOW)).toBe('a body that is not JSON');
  });
});

it('a receiver answers 204 to authentic messages, and 400 to others', async () => {
  const lines: string[] = [];
  const server = createReceiver(KEY, (line) => lines.push(line));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const send = async (headers: Record<string, string>) =>
    (await fetch(url, { method: 'POST', headers, body: BODY })).status;
  expect(await send(signed(BODY, Date.now()))).toBe(204);
  expect(await send({})).toBe(400);
  expect((await fetch(url)).status).toBe(405);
  expect(lines).toEqual([expect.stringMatching(/^launch\.created, /), 'refused: a webhook header is missing']);
  server.close();
  server.closeAllConnections();
});

it('wrong options are refused', () => {
  expect(parseOptions([])).toMatchObject({ port: 8790 });
  expect(parseOptions(['--port', '9000', '--secret', SECRET])).toEqual({ port: 9000, key: KEY });
  for (const port of ['x', '', '65536', '1.5']) {
    expect(() => parseOptions(['--port', port])).toThrow('--port must be 0 to 65535');
  }
  for (const secret of ['x', 'whsec_', 'whsec_*', SECRET.slice('whsec_'.length)]) {
    expect(() => parseOptions(['--secret', secret])).toThrow('the secret must be whsec_ and base64');
  }
  expect(() => parseOptions(['--verbose'])).toThrow('--verbose');
});
