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
/** The versions of the profile index: its format and its normalisation. A test compares them with the code. */
export const INDEX_VERSION = '2.3';

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
    const marked = existsSync(this.marker) ? readFileSync(this.marker, 'utf8') : undefined;
    this.isCurrent = marked === `loaded ${INDEX_VERSION}`;
    /** Whether an earlier version has loaded the data. Then only the profiles are loaded again. */
    this.isOutdated = !this.isCurrent && !!marked?.startsWith('loaded');
    this.isInterrupted = marked === 'loading';
  }

  /** Whether the data must be loaded: the state is empty, an earlier load was interrupted, or the data is outdated. */
  isWanted() {
    if (this.isCurrent || this.isOutdated || this.isInterrupted) return !this.isCurrent;
    return !DATA_FOLDERS.some((folder) => hasFiles(path.join(this.state, folder)));
  }

  /** Loads the token and the profiles, before the Worker runs. @param {string} admin the command line */
  async load(admin) {
    if (!this.isOutdated) writeFileSync(this.marker, 'loading');
    const options = ['demo', '--persist-to', this.state];
    await runPart('demo', () => run(admin, options, { env: adminEnv(), quiet: true }));
  }

  /** Defines the campaigns through the running Worker, unless they have been defined. @param {URL} worker */
  async defineCampaigns(worker) {
    if (!this.isOutdated) for (const id of CAMPAIGNS) await defineCampaign(worker, id);
    writeFileSync(this.marker, `loaded ${INDEX_VERSION}`);
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
