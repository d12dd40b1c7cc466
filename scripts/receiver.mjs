// `npm run receiver`: a receiver of webhooks on this machine. It verifies each message, and prints one line without the
// recipients' data. Options: --port (8790), --secret (or the environment variable WEBHOOK_SECRET). It must run on Node.js 20
// without packages.

import { createHmac, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { command, escaped, Failure } from './run.mjs';

const PORT = 8790;
/** A message with an older or newer timestamp could be a copy that someone else sends again. */
const TOLERANCE_SECONDS = 5 * 60;
/** Largest body that is read. */
const BODY_LIMIT = 64 * 1024 * 1024;
const PREFIX = 'whsec_';

/** Decodes the text of a secret. @param {string} text */
export function parseSecret(text) {
  const encoded = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : '';
  const key = Buffer.from(encoded, 'base64');
  // Buffer skips characters that are not base64.
  if (key.length === 0 || key.toString('base64') !== encoded) {
    throw new Failure(`the secret must be ${PREFIX} and base64, as the reply that created the webhook contains it`);
  }
  return key;
}

/**
 * Returns why a message is not authentic, or `undefined` if it is.
 * @param {Buffer} key
 * @param {http.IncomingHttpHeaders} headers
 * @param {Buffer} body
 * @param {number} now in milliseconds since 1970
 */
export function findForgery(key, headers, body, now) {
  const [id, timestamp, signatures] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map(
    (name) => headers[name],
  );
  if (!id || !timestamp || !signatures) return 'a webhook header is missing';
  if (!/^\d{1,12}$/.test(String(timestamp))) return 'webhook-timestamp is not a number of seconds';
  if (Math.abs(now / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) return 'webhook-timestamp is not within 5 minutes';
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest();
  const isValid = String(signatures)
    .split(' ')
    .filter((signature) => signature.startsWith('v1,'))
    .map((signature) => Buffer.from(signature.slice('v1,'.length), 'base64'))
    .some((signature) => signature.length === expected.length && timingSafeEqual(signature, expected));
  return isValid ? undefined : 'no signature is valid';
}

/** Describes a message without the recipients' data. @param {Buffer} body @param {number} now in milliseconds since 1970 */
export function describeMessage(body, now) {
  let message;
  try {
    message = JSON.parse(body.toString());
  } catch {
    return 'a body that is not JSON';
  }
  const { type, timestamp, data } = message ?? {};
  const parts = [escaped(String(type))];
  if (typeof data?.launch?.launch_id === 'string') parts.push(escaped(data.launch.launch_id));
  if (data?.page !== undefined) parts.push(`page ${Number(data.page)} of ${Number(data.pages)}`);
  if (Array.isArray(data?.recipients)) parts.push(`recipients: ${data.recipients.length}`);
  const age = now - Date.parse(timestamp);
  if (!Number.isNaN(age)) parts.push(`${age} ms after ${data?.launch ? 'accepted_at' : 'timestamp'}`);
  return parts.join(', ');
}

/** Reads a body, or returns `undefined` if it is too large. @param {http.IncomingMessage} request */
async function readBody(request) {
  const pieces = [];
  let length = 0;
  for await (const piece of request) {
    length += piece.length;
    if (length > BODY_LIMIT) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/**
 * Creates a receiver, which answers 204, or 400 to a message that is not authentic. Without a key it accepts every message.
 * @param {Buffer | undefined} key
 * @param {(line: string) => void} print
 */
export function createReceiver(key, print) {
  /** @param {http.IncomingMessage} request */
  const receive = async (request) => {
    if (request.method !== 'POST') return 405;
    const body = await readBody(request);
    if (!body) return 413;
    const now = Date.now();
    const forgery = key && findForgery(key, request.headers, body, now);
    print(forgery ? `refused: ${forgery}` : describeMessage(body, now));
    return forgery ? 400 : 204;
  };
  return http.createServer((request, response) => {
    receive(request).then(
      (status) => response.writeHead(status, status === 413 ? { Connection: 'close' } : {}).end(),
      // The sender has closed the connection before the end of the body.
      () => response.destroy(),
    );
  });
}

/** Reads the options of the command line. @param {string[]} args */
export function parseOptions(args) {
  /** @type {{ port?: string, secret?: string }} */
  let values;
  try {
    ({ values } = parseArgs({ args, options: { port: { type: 'string' }, secret: { type: 'string' } } }));
  } catch (error) {
    throw new Failure(error instanceof Error ? error.message : String(error));
  }
  const port = values.port === undefined ? PORT : Number(values.port || NaN);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Failure('--port must be 0 to 65535');
  const secret = values.secret ?? process.env.WEBHOOK_SECRET;
  return { port, key: secret ? parseSecret(secret) : undefined };
}

async function main() {
  const { port, key } = parseOptions(process.argv.slice(2));
  const server = createReceiver(key, (line) => console.log(line));
  const stopped = Promise.race(['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => once(process, signal)));
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening');
  } catch (error) {
    throw new Failure(`port ${port} cannot be used: ${error instanceof Error ? error.message : error}`);
  }
  const address = server.address();
  const used = typeof address === 'object' && address ? address.port : port;
  console.log(`Receiving webhooks on http://127.0.0.1:${used}/`);
  if (!key) console.log('Signatures are not verified: there is no --secret and no WEBHOOK_SECRET.');
  await stopped;
  server.close();
  server.closeAllConnections();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(main);
