// A receiver of webhooks on this machine, which outlives the runtime that sends to it.

import { createHmac } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** A message that arrived completely. */
export interface Received {
  headers: http.IncomingHttpHeaders;
  body: string;
}

/** A receiver that answers as `answer` does, and records what it has received. */
export class Receiver {
  received: Received[] = [];
  answer: (response: http.ServerResponse, message: Received) => void = (response) => response.writeHead(204).end();
  private readonly server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const message = { headers: request.headers, body: Buffer.concat(chunks).toString() };
      this.received.push(message);
      this.answer(response, message);
    });
  });

  /** Starts to listen. Returns the URL for a webhook. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/hook`;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  ids(): unknown[] {
    return this.received.map((message) => message.headers['webhook-id']);
  }
}

/** Whether a message has a signature by this secret. */
export function isSigned({ headers, body }: Received, secret: string): boolean {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const content = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  const expected = `v1,${createHmac('sha256', key).update(content).digest('base64')}`;
  return String(headers['webhook-signature']).split(' ').includes(expected);
}
