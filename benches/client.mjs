// The HTTP client that measures all Workers over loopback, on persistent connections.

import http from 'node:http';

/** @typedef {{ ms: number, status: number, headers: http.IncomingHttpHeaders, length: number, text: () => string }} Answer */

/** The address of a Worker, and the headers that all requests to it need. */
export class Origin {
  /** @param {URL} url @param {Record<string, string>} headers */
  constructor(url, headers) {
    this.url = url;
    this.headers = headers;
  }
}

export class Client {
  /** @param {Origin} origin @param {number} [connections] */
  constructor(origin, connections = 1) {
    this.origin = origin;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: connections, noDelay: true });
  }

  /**
   * Sends a request, and measures the time from its first byte to the last byte of the response.
   * @param {string} path @param {Uint8Array} body @param {Record<string, string>} [headers] @param {string} [method] @returns {Promise<Answer>}
   */
  send(path, body, headers = {}, method = 'POST') {
    return new Promise((resolve, reject) => {
      const start = performance.now();
      const own = { ...this.origin.headers, 'Content-Length': body.length, ...headers };
      const request = http.request(
        new URL(path, this.origin.url),
        { method, agent: this.agent, headers: own },
        (response) => {
          /** @type {Buffer[]} */
          const pieces = [];
          let length = 0;
          response.on('data', (piece) => {
            pieces.push(piece);
            length += piece.length;
          });
          response.on('error', reject);
          response.on('end', () => {
            const ms = performance.now() - start;
            const text = () => Buffer.concat(pieces).toString();
            resolve({ ms, status: response.statusCode ?? 0, headers: response.headers, length, text });
          });
        },
      );
      request.on('error', (error) => {
        // The server closes idle connections, sometimes at the moment when one is used again.
        const closed = 'code' in error && error.code === 'ECONNRESET' && request.reusedSocket;
        if (closed) this.send(path, body, headers, method).then(resolve, reject);
        else reject(error);
      });
      request.end(body);
    });
  }

  /** Like `send`, but fails if the status is not 200. @param {string} path @param {Uint8Array} body @param {Record<string, string>} [headers] @param {string} [method] */
  async must(path, body, headers, method) {
    const answer = await this.send(path, body, headers, method);
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.text().slice(0, 500)}`);
    return answer;
  }

  close() {
    this.agent.destroy();
  }
}

/** A duration of `Server-Timing`, in milliseconds. @param {Answer} answer @param {string} name */
export function serverTiming(answer, name) {
  const found = new RegExp(`(?:^|,\\s*)${name};dur=([0-9.]+)`).exec(String(answer.headers['server-timing'] ?? ''));
  if (!found) throw new Error(`Server-Timing has no ${name}`);
  return Number(found[1]);
}
