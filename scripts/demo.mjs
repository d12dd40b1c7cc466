// The demo data: it goes into a local state that is empty, whole or (after an interruption) again. `admin demo` writes the
// token and the profiles before the Worker runs; the campaigns are defined by the Worker itself, as an operator would.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { Failure, timed } from './run.mjs';
import { runAdmin } from './admin.mjs';

/** The specification's examples: its token, and the campaigns that it launches. */
const TOKEN = 'abcdefghijklmnqrstuvwxyz';
const CAMPAIGNS = [1, 8, 85, 96];
const DATABASE = 1;

/** What wrangler keeps of this Worker below a state's folder. */
const KEPT = ['v3/kv/PROFILES', 'v3/kv/ACCESS', 'v3/do/trigger-launch-CampaignObject'];

/** @param {string} folder */
const hasFiles = (folder) => existsSync(folder) && readdirSync(folder).length > 0;

/** The demo data of one state. */
export class Demo {
  /** @param {string} state the folder, wrangler's `--persist-to` */
  constructor(state) {
    this.state = state;
    this.marker = path.join(state, 'demo-data');
  }

  /** Whether the data is to be loaded: the state is empty, or loading it was begun and not finished. */
  isWanted() {
    if (existsSync(this.marker)) return readFileSync(this.marker, 'utf8') === 'loading';
    return !KEPT.some((folder) => hasFiles(path.join(this.state, folder)));
  }

  /** What is loaded before the Worker runs: the token and the profiles. */
  async load() {
    mkdirSync(this.state, { recursive: true });
    writeFileSync(this.marker, 'loading');
    await timed('loading the demo data', async () => {
      const code = await runAdmin(['demo', '--persist-to', this.state]);
      if (code !== 0) throw new Failure('the demo data could not be loaded', code);
    });
  }

  /** What the running Worker is told: the campaigns. @param {URL} worker */
  async defineCampaigns(worker) {
    for (const id of CAMPAIGNS) await defineCampaign(worker, id);
    writeFileSync(this.marker, 'loaded');
  }
}

/** @param {URL} worker @param {number} id @returns {Promise<void>} */
function defineCampaign(worker, id) {
  const url = new URL(`/api/v1.1/campaigns/triggers/${id}`, worker);
  const body = JSON.stringify({ name: `Demo campaign ${id}`, database: DATABASE, active: true });
  const headers = { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json' };
  // `--local-protocol https` has a certificate of its own making.
  const options = { method: 'PUT', headers, rejectUnauthorized: false };
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? https : http).request(url, options, (response) => {
      /** @type {Buffer[]} */
      const answer = [];
      response.on('data', (chunk) => answer.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode = 0 } = response;
        if (statusCode >= 200 && statusCode < 300) return resolve();
        reject(new Failure(`campaign ${id} was not accepted: ${statusCode} ${Buffer.concat(answer)}`));
      });
    });
    request.on('error', (error) => reject(new Failure(`campaign ${id} could not be defined: ${error.message}`)));
    request.end(body);
  });
}
