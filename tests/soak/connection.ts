// A connection whose bytes, times and end are controlled by the caller.

import net from 'node:net';

/** An answer whose body has a known length. */
export interface Answer {
  status: number;
  headers: Headers;
  text: string;
}

export class Connection {
  /** Resolves with the response, or with `undefined` if the connection ends before the response is complete. */
  readonly answer: Promise<Answer | undefined>;
  /** Resolves with true at the first byte of a response, or with false if the connection ends before. */
  readonly begun: Promise<boolean>;
  private received = Buffer.alloc(0);
  private written = Promise.resolve();

  private constructor(
    private readonly socket: net.Socket,
    private readonly host: string,
  ) {
    // `answer` reports the end of the connection.
    socket.on('error', () => {});
    this.answer = new Promise((resolve) => {
      socket.on('data', (piece: Buffer) => {
        this.received = Buffer.concat([this.received, piece]);
        const answer = parse(this.received);
        if (answer) resolve(answer);
      });
      socket.on('close', () => resolve(undefined));
    });
    this.begun = new Promise((resolve) => {
      socket.once('data', () => resolve(true));
      socket.once('close', () => resolve(false));
    });
  }

  static open(url: URL): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host: url.hostname, port: Number(url.port), noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Connection(socket, url.host));
      });
    });
  }

  /** Sends the head of a request. */
  head(method: string, target: string, headers: Record<string, string | number>): this {
    const lines = Object.entries({ Host: this.host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    return this.send(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`);
  }

  /** Sends some bytes, unless the connection has ended. */
  send(bytes: string | Uint8Array): this {
    if (this.socket.writable) {
      this.written = new Promise((resolve) => this.socket.write(bytes, () => resolve()));
    }
    return this;
  }

  /** Resolves when all bytes have been passed to the network, or when the connection has ended. */
  sent(): Promise<void> {
    return this.written;
  }

  /** Stops reading. The other side can send until the buffers between both are full. */
  pause(): void {
    this.socket.pause();
  }

  /** Ends the connection with FIN. */
  close(): void {
    this.socket.destroy();
  }

  /** Ends the connection with RST. */
  reset(): void {
    this.socket.resetAndDestroy();
  }
}

function parse(received: Buffer): Answer | undefined {
  const end = received.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [first = '', ...lines] = received.subarray(0, end).toString('latin1').split('\r\n');
  const headers = new Headers(lines.map((line): [string, string] => cut(line)));
  const length = headers.get('Content-Length');
  const body = received.subarray(end + 4);
  if (length === null || body.length < Number(length)) return undefined;
  return { status: Number(first.split(' ')[1]), headers, text: body.subarray(0, Number(length)).toString() };
}

function cut(line: string): [string, string] {
  const at = line.indexOf(':');
  return [line.slice(0, at), line.slice(at + 1).trim()];
}
