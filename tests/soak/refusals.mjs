// Refusals of large bodies through `npm run dev`. Each must reach its caller.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { table } from '../../benches/report.mjs';
import { ended, Failure, PROJECT_NODE, inRoot, say, start } from '../../scripts/run.mjs';
import { announce, presentClients } from './clients.mjs';
import { startDev } from './dev.mjs';

/** @typedef {import('./clients.mjs').Outcome} Outcome */
/**
 * A refusal: its request, the sizes of its body in MiB, and the documented answer.
 * @typedef {object} Case
 * @property {string} name
 * @property {string} [method]
 * @property {string} [target]
 * @property {Record<string, string>} [headers]
 * @property {(bytes: number) => Buffer} body
 * @property {number[]} mebibytes
 * @property {number} status
 * @property {string} debug a part of `error_debug`
 */

const MIB = 2 ** 20;
const TRIGGERS = '/api/v1.1/campaigns/triggers';
const BATCH = `${TRIGGERS}/start_batch`;
/** The token of the demo data, and a token that this section creates. */
const TOKEN = 'abcdefghijklmnqrstuvwxyz';
const READER = 'soak-reader-0123456789';
/** Campaigns that this section defines, and one that does not exist. */
const CAMPAIGN = { paused: 901, unimported: 902, unknown: 903 };
const REPEATED = 'soak-repeated';
const TOO_LARGE = 'http: request body too large';
/** An announced body of more than twice `FILES_LIMIT` is refused within this time, before any of it is sent. */
const AT_ONCE_MS = 5_000;
/** A number of simultaneous requests that exceeds the rate limit of an address, which is 100 in 10 s. */
const LIMITED_AFTER = 110;
/** The number of characters of an unexpected response that a table shows. */
const SHOWN = 80;
/** Attempts to get a response while the rate limit is exceeded. Its period can end between the requests. */
const PERIODS = 5;

/** A launch that is valid except for its size. @param {number} bytes */
function padded(bytes) {
  return filled('{"trigger_id":8,"data":[{"email":"example1@example.com"}],"pad":"', bytes, '"}');
}

/** A launch with an attachment, which does not count against the limit of a body. @param {number} campaign @param {string} [more] */
const attached = (campaign, more = '') => {
  const head = `{"trigger_id":${campaign},${more}"data":[{"email":"example1@example.com"}],"attach":[{"name":"a","data":"`;
  return (/** @type {number} */ bytes) => filled(head, bytes, '"}]}');
};

/** @param {string} head @param {number} bytes @param {string} tail */
function filled(head, bytes, tail) {
  // The data of an attachment is base64 in groups of four.
  const fill = Math.floor((bytes - head.length - tail.length) / 4) * 4;
  return Buffer.concat([Buffer.from(head), Buffer.alloc(fill, 'A'), Buffer.from(tail)]);
}

/** @param {number} bytes */
const malformed = (bytes) => Buffer.alloc(bytes, '?');

const bearer = (token = TOKEN) => ({ Authorization: `Bearer ${token}` });
const JSON_TYPE = { 'Content-Type': 'application/json' };

/** @type {Case[]} */
const TOO_LARGE_CASES = [
  { name: 'no attachments', body: padded, mebibytes: [12, 20, 50, 101, 150], status: 413, debug: TOO_LARGE },
];

/** @type {Case[]} */
const OTHER_CASES = [
  // The largest body that the Worker drains.
  { name: 'no attachments', body: padded, mebibytes: [200], status: 413, debug: TOO_LARGE },
  {
    name: 'unknown token in the header',
    headers: bearer('unknown-0123456789-0123'),
    body: padded,
    mebibytes: [12, 20, 50],
    status: 401,
    debug: 'token',
  },
  {
    name: 'attachments before the token',
    headers: {},
    body: attached(8),
    mebibytes: [12, 50],
    status: 401,
    debug: 'token',
  },
  {
    name: 'no such path',
    target: '/api/v1.1/nothing',
    body: padded,
    mebibytes: [12, 50],
    status: 404,
    debug: 'no such path',
  },
  { name: 'unknown campaign', body: attached(CAMPAIGN.unknown), mebibytes: [12], status: 404, debug: 'no such' },
  {
    name: 'method not allowed',
    method: 'POST',
    target: `${TRIGGERS}/8`,
    body: padded,
    mebibytes: [12, 50],
    status: 405,
    debug: 'GET',
  },
  {
    name: 'media type',
    headers: { ...bearer(), 'Content-Type': 'application/zip' },
    body: padded,
    mebibytes: [12, 50],
    status: 415,
    debug: 'Content-Type',
  },
  {
    name: 'content coding',
    headers: { ...bearer(), ...JSON_TYPE, 'Content-Encoding': 'br' },
    body: padded,
    mebibytes: [12],
    status: 415,
    debug: 'Content-Encoding',
  },
  { name: 'scope', headers: bearer(READER), body: attached(8), mebibytes: [12, 50], status: 403, debug: 'launch' },
  { name: 'malformed first byte', body: malformed, mebibytes: [30], status: 413, debug: TOO_LARGE },
  { name: 'malformed first byte', body: malformed, mebibytes: [0.01, 9], status: 400, debug: 'byte 0' },
  { name: 'bad field', body: attached(8, '"matching":"none",'), mebibytes: [12], status: 400, debug: 'matching' },
  {
    name: 'Request-ID reused',
    headers: { ...bearer(), 'Request-ID': REPEATED },
    body: attached(8),
    mebibytes: [12],
    status: 422,
    debug: 'Request-ID',
  },
  { name: 'paused', body: attached(CAMPAIGN.paused), mebibytes: [12], status: 409, debug: 'paused' },
  { name: 'no index', body: attached(CAMPAIGN.unimported), mebibytes: [12], status: 503, debug: 'no profile index' },
  {
    name: 'definition',
    method: 'PUT',
    target: `${TRIGGERS}/8`,
    body: padded,
    mebibytes: [12, 50],
    status: 413,
    debug: TOO_LARGE,
  },
];

/** @type {Case} */
const LIMITED = {
  name: 'rate limit of an address',
  headers: bearer('unknown-0123456789-0123'),
  body: padded,
  mebibytes: [0.01, 1],
  status: 429,
  debug: 'rate limit',
};

/** Describes an outcome that is not the documented response. @param {Case} one @param {Outcome} outcome @returns {string | undefined} */
function otherThan({ status, debug }, outcome) {
  if ('failure' in outcome) return outcome.failure;
  const said = debugOf(outcome.text);
  if (outcome.status === status && said?.includes(debug)) return undefined;
  // A response that is not from the Worker is described by its first sentence.
  return `${outcome.status} ${said ?? outcome.text.split(/[.\n]/)[0]}`.slice(0, SHOWN);
}

/** `error_debug` of a refusal. @param {string} text @returns {string | undefined} */
function debugOf(text) {
  try {
    const { error_debug } = JSON.parse(text);
    return typeof error_debug === 'string' ? error_debug : undefined;
  } catch {
    return undefined;
  }
}

/** A cell of a table: the number of tries with the documented response, and the other outcomes. @param {(string | undefined)[]} others */
function cell(others) {
  const good = others.filter((other) => other === undefined).length;
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const other of others) if (other !== undefined) counts.set(other, (counts.get(other) ?? 0) + 1);
  const rest = [...counts].map(([other, count]) => `${count} × ${other.replaceAll('|', '\\|')}`);
  return `${good} of ${others.length}${rest.length ? ` (${rest.join('; ')})` : ''}`;
}

/** The tables, and the requests without the documented response. @typedef {{ tables: string[], failures: string[] }} Result */

class Tries {
  /** @type {string[]} */
  failures = [];

  /** @param {string} folder for bodies @param {Awaited<ReturnType<typeof presentClients>>} clients */
  constructor(folder, clients) {
    this.folder = folder;
    this.clients = clients;
  }

  /**
   * Sends each size of each case with each client, and returns the rows of a table.
   * @param {URL} dev @param {Case[]} cases @param {number} count @param {(send: () => Promise<Outcome>) => Promise<Outcome>} [around]
   */
  async rows(dev, cases, count, around = (send) => send()) {
    const rows = [];
    for (const one of cases) {
      for (const size of one.mebibytes) {
        const file = path.join(this.folder, 'body');
        writeFileSync(file, one.body(Math.round(size * MIB)));
        const cells = [];
        for (const client of this.clients) {
          const others = [];
          for (let n = 0; n < count; n++) {
            const headers = { ...JSON_TYPE, ...(one.headers ?? bearer()) };
            const url = new URL(one.target ?? BATCH, dev);
            const request = { url, method: one.method ?? 'POST', headers, file };
            others.push(otherThan(one, await around(() => client.send(request))));
          }
          cells.push(this.#cell(`${one.name}, ${size} MiB, ${client.name}`, others));
        }
        rows.push([`${one.status} ${one.name}`, `${size} MiB`, ...cells]);
        say(`refusals: ${rows.at(-1)?.join(' | ')}`);
      }
    }
    return rows;
  }

  /** Announces a body that is too large to be drained. @param {URL} dev @param {number} count */
  async announced(dev, count) {
    const one = { ...LIMITED, status: 413, debug: TOO_LARGE };
    const rows = [];
    for (const size of [201, 1024]) {
      const others = [];
      for (let n = 0; n < count; n++) {
        const request = { url: new URL(BATCH, dev), method: 'POST', headers: { ...JSON_TYPE, ...bearer() } };
        others.push(otherThan(one, await announce(request, size * MIB, AT_ONCE_MS)));
      }
      rows.push([`${size} MiB`, this.#cell(`announced, ${size} MiB`, others)]);
    }
    return rows;
  }

  /** @param {string} what @param {(string | undefined)[]} others */
  #cell(what, others) {
    const text = cell(others);
    if (others.some((other) => other !== undefined)) this.failures.push(`${what}: ${text}`);
    return text;
  }
}

/** Creates a token without the scope `launch`, campaigns that cannot be launched, and a launched request. @param {URL} dev @param {string} state */
async function prepare(dev, state) {
  const create = ['token', 'create', '--name', 'soak-reader', '--scope', 'read', '--value', READER];
  const admin = start(PROJECT_NODE, [inRoot('scripts', 'admin.mjs'), '--persist-to', state, ...create], {
    stdio: 'ignore',
  });
  if ((await ended(admin)) !== 0) throw new Failure('the token without the scope launch was not created');
  await must(dev, 'PUT', `${TRIGGERS}/${CAMPAIGN.paused}`, { name: 'paused', database: 1, active: false });
  await must(dev, 'PUT', `${TRIGGERS}/${CAMPAIGN.unimported}`, { name: 'unimported', database: 902, active: true });
  const launch = { trigger_id: 8, data: [{ email: 'example1@example.com' }] };
  await must(dev, 'POST', BATCH, launch, { 'Request-ID': REPEATED });
}

/** @param {URL} dev @param {string} method @param {string} target @param {object} document @param {Record<string, string>} [headers] */
async function must(dev, method, target, document, headers = {}) {
  const own = { ...JSON_TYPE, ...bearer(), ...headers };
  const response = await fetch(new URL(target, dev), { method, body: JSON.stringify(document), headers: own });
  const text = await response.text();
  if (response.status !== 200) throw new Failure(`${method} ${target}: ${response.status} ${text}`);
}

/** Sends a request after its address has reached its rate limit. @param {URL} dev */
const afterRateLimit = (dev) => async (/** @type {() => Promise<Outcome>} */ send) => {
  /** @type {Outcome} */
  let outcome = { failure: 'the rate limit was not reached' };
  for (let period = 0; period < PERIODS; period++) {
    const bad = () =>
      fetch(new URL(BATCH, dev), { method: 'POST', body: '{}', headers: { ...JSON_TYPE, ...LIMITED.headers } });
    const answers = await Promise.all(Array.from({ length: LIMITED_AFTER }, bad));
    await Promise.all(answers.map((answer) => answer.arrayBuffer()));
    outcome = await send();
    // A response with 401 means that a new period has begun.
    if (!('status' in outcome) || outcome.status !== 401) break;
  }
  return outcome;
};

/** @param {{ rounds: number }} options `rounds`: tries of each size of a body that is too large; a quarter of it for other refusals @returns {Promise<Result>} */
export async function refusals({ rounds }) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'trigger-launch-soak-'));
  const state = path.join(folder, 'state');
  const clients = await presentClients();
  const tries = new Tries(folder, clients);
  const few = Math.ceil(rounds / 4);
  const head = ['refusal', 'body', ...clients.map(({ name }) => name)];
  try {
    say('refusals: starting npm run dev');
    let dev = await startDev(state, { RATE_LIMITING: 'off' });
    /** @type {string[]} */
    let tables;
    try {
      await prepare(dev.url, state);
      tables = [
        `**Bodies that are too large**\n\n${table(head, await tries.rows(dev.url, TOO_LARGE_CASES, rounds))}`,
        `**Other refusals**\n\n${table(head, await tries.rows(dev.url, OTHER_CASES, few))}`,
        `**More announced than is drained**\n\n${table(['announced', 'answered at once'], await tries.announced(dev.url, few))}`,
      ];
    } finally {
      await dev.stop();
    }
    say('refusals: starting npm run dev with rate limiting');
    dev = await startDev(state);
    try {
      const rows = await tries.rows(dev.url, [LIMITED], few, afterRateLimit(dev.url));
      tables.push(`**With rate limiting**\n\n${table(head, rows)}`);
    } finally {
      await dev.stop();
    }
    return { tables, failures: tries.failures };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
