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

/** A campaign with launches, so that its log and the console are not empty. */
const SAMPLE = 1001;

/** The launches of the sample campaign. Customers 1 to 10000 are demo profiles. */
const LAUNCHES = [
  { order: 70_001, customers: [17], missed: [] },
  { order: 70_002, customers: [204, 205, 206, 207, 208], missed: [99_001] },
  { order: 70_003, customers: [3_111, 3_112, 3_111], missed: [] },
  {
    order: 70_004,
    customers: Array.from({ length: 250 }, (_, at) => 5_000 + at),
    missed: [99_002, 99_003],
    invoice: true,
  },
];

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
    if (!this.isOutdated) for (const id of CAMPAIGNS) await defineCampaign(worker, id, `Demo campaign ${id}`);
    writeFileSync(this.marker, `loaded ${INDEX_VERSION}`);
  }

  /** Defines a campaign and launches it several times, through the running Worker. @param {URL} worker */
  async launchSamples(worker) {
    await defineCampaign(worker, SAMPLE, 'Demo orders');
    for (const launch of LAUNCHES) {
      const options = { method: 'POST', headers: { 'Request-ID': `demo-${launch.order}` } };
      await send(new URL('/api/v1.1/campaigns/triggers/start_batch', worker), options, sampleOf(launch));
    }
  }
}

/** The body of a sample launch. @param {(typeof LAUNCHES)[number]} launch */
function sampleOf({ order, customers, missed, invoice }) {
  const item = (/** @type {number} */ customer) => ({ field_value: customer });
  const data = Buffer.from(`Invoice for order ${order}\n`).toString('base64');
  return {
    trigger_id: SAMPLE,
    matching: 'custom',
    field_name: 'customer_number',
    content: { subject: 'Your order is on its way', order },
    ...(invoice && { attach: [{ name: 'invoice.txt', data: `data:text/plain;base64,${data}` }] }),
    data: [...customers, ...missed].map(item),
  };
}

/** @param {URL} worker @param {number} id @param {string} name */
function defineCampaign(worker, id, name) {
  const url = new URL(`/api/v1.1/campaigns/triggers/${id}`, worker);
  return send(url, { method: 'PUT' }, { name, database: DATABASE, active: true });
}

/**
 * Sends a request that must be accepted.
 * @param {URL} url
 * @param {https.RequestOptions} options
 * @param {object} body
 * @returns {Promise<void>}
 */
function send(url, { method, headers = {} }, body) {
  const all = { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json', ...headers };
  // With `--local-protocol https` the certificate is self-signed.
  const options = { method, headers: all, rejectUnauthorized: false };
  const failed = (/** @type {string} */ reason) => new Failure(`${method} ${url.pathname} of the demo data: ${reason}`);
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? https : http).request(url, options, (response) => {
      /** @type {Buffer[]} */
      const answer = [];
      response.on('data', (chunk) => answer.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode = 0 } = response;
        if (statusCode >= 200 && statusCode < 300) return resolve();
        reject(failed(`${statusCode} ${escaped(Buffer.concat(answer).toString())}`));
      });
    });
    request.on('error', (error) => reject(failed(error.message)));
    request.end(JSON.stringify(body));
  });
}
