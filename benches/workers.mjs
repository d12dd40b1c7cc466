// Starts each Worker in its own local runtime. wrangler's test harness is not used for two reasons. It removes its storage when
// it ends, and seeding takes longer than measuring. It also puts a proxy, another runtime, before the Worker, which takes most of
// the time of a small request. This file starts the same environment as the harness, and connects to the Worker's runtime.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { unstable_DevEnv as DevEnv } from 'wrangler';
import { childEnv, Failure, inRoot } from '../scripts/run.mjs';
import { Client, Origin } from './client.mjs';
import { LogLines } from './lines.mjs';
import { CAMPAIGNS, clear, FOLDER, INDEX_KEY, stateOf, TOKEN } from './state.mjs';

Object.assign(process.env, childEnv());

/** Paths of the API. */
export const TRIGGERS = '/api/v1.1/campaigns/triggers';
export const BATCH = `${TRIGGERS}/start_batch`;
export const SINGLE = `${TRIGGERS}/start`;
/** The headers of every request. */
export const BEARER = { Authorization: `Bearer ${TOKEN}` };

/** The address of a runtime, and the headers that identify its proxy. @typedef {{ userWorkerUrl: { hostname: string, port: string }, headers: Record<string, string> }} ProxyData */

/** A running Worker, and a client that has one connection to it. */
export class Worker {
  /**
   * @param {import('./state.mjs').StateName} name
   * @param {string} config
   * @param {Record<string, string>} [variables]
   * @param {string} [entrypoint] replaces that of the configuration
   * @param {{ keep?: boolean }} [options] whether the logs of the Worker before are kept
   */
  static async start(name, config, variables = {}, entrypoint, { keep = false } = {}) {
    if (!keep) clear(stateOf(name));
    const lines = new LogLines();
    const bindings = Object.entries(variables).map(([key, value]) => [key, { type: 'plain_text', value }]);
    const devEnv = new DevEnv();
    /** @type {Promise<{ proxyData: ProxyData }>} */
    const loaded = new Promise((resolve, reject) => {
      devEnv.once('reloadComplete', resolve);
      devEnv.once('error', reject);
      devEnv.once('buildFailed', reject);
    });
    const server = await devEnv.startWorker({
      config: inRoot(config),
      entrypoint: entrypoint && inRoot(entrypoint),
      bindings: Object.fromEntries(bindings),
      dev: {
        server: { hostname: '127.0.0.1', port: 0 },
        logLevel: 'none',
        watch: false,
        persist: stateOf(name),
        inspector: false,
        structuredLogsHandler: (/** @type {{ message: string }} */ { message }) => lines.record(message),
      },
    });
    const { userWorkerUrl, headers } = (await loaded).proxyData;
    await server.ready;
    const url = new URL(`http://${userWorkerUrl.hostname}:${userWorkerUrl.port}`);
    return new Worker(server, new Origin(url, headers), lines);
  }

  #requests = 0;

  /** @param {{ dispose: () => Promise<void> }} server @param {Origin} origin @param {LogLines} lines */
  constructor(server, origin, lines) {
    this.server = server;
    this.origin = origin;
    this.lines = lines;
    this.client = new Client(origin);
  }

  /** Returns headers for a launch, and its log line. */
  watched() {
    const id = `bench-${process.pid}-${++this.#requests}`;
    return { headers: { ...BEARER, 'Request-ID': id }, line: this.lines.of(id) };
  }

  async stop() {
    this.client.close();
    await this.server.dispose();
  }
}

/**
 * Writes the configuration of our Worker without its static assets, and returns its path. With assets, the local runtime runs a
 * router, itself a Worker, before each request. The other Workers of the comparison have no assets; `router_ms` is the router's time.
 */
function withoutAssets() {
  const config = readFileSync(inRoot('wrangler.toml'), 'utf8');
  const table = /^(?:#.*\n)*\[assets\]\n(?:.+\n)*/m;
  if (!table.test(config)) throw new Failure('wrangler.toml has no table [assets]');
  // The Worker is built before, and paths are relative to the file.
  const other = config.replace(table, '').replace(/^\[build\]\n(?:.+\n)*/m, '');
  const file = path.join(FOLDER, 'wrangler.toml');
  writeFileSync(file, other.replace(/^main = "/m, 'main = "../'));
  return path.relative(inRoot('.'), file);
}

/** The variables of our Worker in the bench. */
const VARIABLES = { RATE_LIMITING: 'off', BODY_LIMIT: String(20 * 1024 * 1024), PROFILE_INDEX_KEY: INDEX_KEY };

/** Our Worker in a fresh runtime that has handled no request, with the campaigns of the previous one. */
export const restartOurs = () => Worker.start('ours', withoutAssets(), VARIABLES, undefined, { keep: true });

/**
 * Our Worker, with its campaigns.
 * @param {Record<string, string>} [more] variables of its deployment @param {string} [entrypoint] @param {{ keep?: boolean }} [options]
 */
export async function startOurs(more = {}, entrypoint, options) {
  const variables = { ...VARIABLES, ...more };
  const worker = await Worker.start('ours', withoutAssets(), variables, entrypoint, options);
  for (const [id, database] of CAMPAIGNS) {
    const definition = Buffer.from(JSON.stringify({ name: `bench ${id}`, database, active: true }));
    await worker.client.must(`${TRIGGERS}/${id}`, definition, BEARER, 'PUT');
  }
  return worker;
}

/** The peer. @param {string} [entrypoint] */
export const startPeer = (entrypoint) => Worker.start('peer', 'benches/peer/wrangler.toml', {}, entrypoint);

/** Starts the reference Worker, which measures the platform only. @param {'reference' | 'floor' | 'routed'} [name] that of its state */
export function startReference(name = 'reference') {
  rmSync(stateOf(name), { recursive: true, force: true });
  const config = name === 'routed' ? 'wrangler.routed.toml' : 'wrangler.toml';
  return Worker.start(name, `benches/reference/${config}`);
}
