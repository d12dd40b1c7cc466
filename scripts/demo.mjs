// The demo data of an empty local state. `admin demo` writes the token and the profiles before the Worker runs. The campaigns
// are defined through the Worker's API. If loading is interrupted, the next start loads the data again.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { adminEnv } from './admin.mjs';
import { runPart } from './progress.mjs';
import { escaped, Failure, run } from './run.mjs';

/** The token of the specification's examples, and the campaigns that they launch. */
const TOKEN = 'abcdefghijklmnqrstuvwxyz';
const CAMPAIGNS = [1, 8, 85, 96];
const DATABASE = 1;

/** The folders of this Worker's data, relative to the state folder. */
const DATA_FOLDERS = [
  'v3/kv/PROFILES',
  'v3/kv/ACCESS',
  'v3/do/trigger-launch-CampaignObject',
  'v3/do/trigger-launch-ProfilesObject',
];

/** @param {string} folder */
const hasFiles = (folder) => existsSync(folder) && readdirSync(folder).length > 0;

/** The demo data of one local state. */
export class Demo {
  /** @param {string} state the state folder, which exists */
  constructor(state) {
    this.state = state;
    this.marker = path.join(state, 'demo-data');
  }

  /** Whether the data must be loaded: the state is empty, or an earlier load was interrupted. */
  isWanted() {
    if (existsSync(this.marker)) return readFileSync(this.marker, 'utf8') === 'loading';
    return !DATA_FOLDERS.some((folder) => hasFiles(path.join(this.state, folder)));
  }

  /** Loads the token and the profiles, before the Worker runs. @param {string} admin the command line */
  async load(admin) {
    writeFileSync(this.marker, 'loading');
    const options = ['demo', '--persist-to', this.state];
    await runPart('demo', () => run(admin, options, { env: adminEnv(), quiet: true }));
  }

  /** Defines the campaigns through the running Worker. @param {URL} worker */
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
  // With `--local-protocol https` the certificate is self-signed.
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
        reject(
          new Failure(`campaign ${id} was not accepted: ${statusCode} ${escaped(Buffer.concat(answer).toString())}`),
        );
      });
    });
    request.on('error', (error) => reject(new Failure(`campaign ${id} could not be defined: ${error.message}`)));
    request.end(body);
  });
}
