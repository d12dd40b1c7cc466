// `npm run screenshots`: starts `npm run dev` with a new state, fills it, and writes a picture of each view of the console to
// docs/images. Chromium must be installed.
//
// `--widths 360,768,1440` and `--schemes light,dark` select the variants, and `--out DIR` the folder. The default is one picture of
// each view, 1440 pixels wide, and a dark one of the campaign.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { command, Failure, inRoot, PROJECT_NODE, say, start } from './run.mjs';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const TOKEN = 'abcdefghijklmnqrstuvwxyz';
const TRIGGERS = '/api/v1.1/campaigns/triggers';
const PORT = 8795;

/** The largest height of a picture. The rest of the page is cut off. */
const TALLEST = 1500;

/** The campaigns that the pictures show. */
const CAMPAIGNS = [
  { id: 101, name: 'Order confirmations', launches: 46 },
  { id: 102, name: 'Password reset', launches: 31 },
  { id: 103, name: 'Weekly offers', launches: 3, paused: true },
  { id: 104, name: 'Abandoned cart, second reminder', launches: 9, fails: true },
];

/** A receiver of webhooks, whose path `/fails` answers 503. */
async function startReceiver() {
  const server = http.createServer((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(request.url === '/fails' ? 503 : 204).end());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { server, url: `http://127.0.0.1:${address.port}` };
}

/** Starts `npm run dev`. @param {string} state */
async function startWorker(state) {
  const dev = [inRoot('scripts', 'dev.mjs'), '--persist-to', state, '--port', String(PORT)];
  const inspector = ['--inspector-port', String(PORT + 1)];
  const child = start(PROJECT_NODE, [...dev, ...inspector], { stdio: ['ignore', 'pipe', 'inherit'] });
  if (!child.stdout) throw new Failure('npm run dev has no output');
  const url = await new Promise((resolve, reject) => {
    child.once('close', () => reject(new Failure('npm run dev ended early')));
    createInterface({ input: /** @type {NodeJS.ReadableStream} */ (child.stdout) }).on('line', (line) => {
      const address = /Ready on (https?:\/\/\S+)/.exec(line)?.[1];
      if (address) resolve(address);
    });
  });
  const stop = async () => {
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGINT');
    await ended;
  };
  return { url: /** @type {string} */ (url), stop };
}

/** Sends a request that must succeed. @param {string} url @param {string} method @param {object} body */
async function send(url, method, body) {
  const headers = { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json' };
  const response = await fetch(url, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Failure(`${method} ${url}: ${response.status} ${await response.text()}`);
}

/** Numbers that look irregular, and are the same in each run. @param {number} seed */
const irregular = (seed) => Math.abs(Math.sin(seed * 12.9898) * 43758.5453) % 1;

/** The body of one launch. @param {number} campaign @param {number} at */
function launchOf(campaign, at) {
  const size = Math.round(2 + irregular(campaign + at) * (campaign === 101 ? 60 : 14));
  const first = Math.round(irregular(at * 7 + campaign) * 9_000) + 1;
  const data = Array.from({ length: size }, (_, n) => ({ field_value: first + n }));
  const missed = at % 3 === 0 ? [{ field_value: 99_000 + at }, { field_value: 99_100 + at }] : [];
  const invalid = at % 7 === 0 ? [{}] : [];
  return {
    trigger_id: campaign,
    matching: 'custom',
    field_name: 'customer_number',
    content: { subject: 'Your order is on its way', order: 70_000 + at, carrier: 'DHL', total: '49.90' },
    ...(at % 5 === 0 && { custom_data: { source: 'shop', locale: 'en-GB' } }),
    ...(at % 4 === 2 && {
      attach: [{ name: 'invoice.pdf', data: `data:application/pdf;base64,${'JVBERi0xLjcK'.repeat(900)}` }],
    }),
    data: [...data, ...missed, ...invalid, ...(at % 2 ? data.slice(0, 1) : [])],
  };
}

/** @param {string} worker @param {string} receiver */
async function fill(worker, receiver) {
  for (const { id, name, launches, fails, paused } of CAMPAIGNS) {
    const campaign = `${worker}${TRIGGERS}/${id}`;
    await send(campaign, 'PUT', { name, database: 1, active: true });
    if (id === 101 || fails) {
      await send(`${campaign}/webhook`, 'PUT', {
        url: `${receiver}/${fails ? 'fails' : 'launches'}`,
        ordering: 'strict',
      });
    }
    for (let at = 1; at <= launches; at++) await send(`${worker}${TRIGGERS}/start_batch`, 'POST', launchOf(id, at));
    if (paused) await send(campaign, 'PUT', { active: false });
  }
}

/** The first launch of the README. */
const FIRST_LAUNCH = {
  trigger_id: 8,
  matching: 'email',
  data: [{ email: 'example1@example.com' }, { email: 'example2@example.com' }],
};

/** Moves the launches of a state into the last 24 hours, because the Worker records them with its clock. @param {string} state */
function spread(state) {
  const { DatabaseSync } = createRequire(import.meta.url)('node:sqlite');
  const folder = path.join(state, 'v3/do/trigger-launch-CampaignObject');
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.sqlite'))) {
    const database = new DatabaseSync(path.join(folder, name));
    try {
      const rows = database.prepare('SELECT sequence FROM launches ORDER BY sequence DESC').all();
      const update = database.prepare('UPDATE launches SET accepted_at = ? WHERE sequence = ?');
      let at = Date.now() - 90_000;
      for (const { sequence } of rows) {
        update.run(at, sequence);
        at -= Math.round((0.2 + irregular(sequence * 3) * 1.6) * (23 * 3_600_000)) / Math.max(rows.length, 1);
        at = Math.round(at);
      }
    } catch {
      // Not the log of a campaign.
    } finally {
      database.close();
    }
  }
}

/**
 * The views, by the name of their picture.
 * @typedef {import('playwright-core').Page} Page
 * @type {Record<string, (page: Page) => Promise<void>>}
 */
const VIEWS = {
  'console-sign-in': async () => {},
  'console-campaigns': async (page) => go(page, '#/campaigns'),
  'console-campaign': async (page) => go(page, '#/campaigns/101'),
  'console-launch': async (page) => {
    await go(page, '#/campaigns/101');
    await page.locator('main .table a.name').nth(4).click();
    await page.getByRole('heading', { name: 'Recipients', exact: true }).waitFor();
    await page.locator('.skeleton').first().waitFor({ state: 'detached' });
    await page.getByText('This launch as a curl command').click();
  },
  'console-first-launch': async (page) => {
    await go(page, '#/campaigns/8');
    await page.locator('main .table a.name').first().click();
    await page.getByRole('heading', { name: 'Recipients', exact: true }).waitFor();
    await page.locator('.skeleton').first().waitFor({ state: 'detached' });
  },
  'console-webhook': async (page) => go(page, '#/campaigns/104/webhook'),
  'console-compose': async (page) => {
    await go(page, '#/compose/101');
    await page
      .getByLabel('Keys, one a line')
      .fill('example1@example.com\nExample2@Example.com\nnobody@example.com\nexample1@example.com\nexample.com');
    await page.getByLabel('Content, a JSON object').fill('{"subject": "Your order is on its way"}');
    await page.getByRole('button', { name: 'Dry run', exact: true }).click();
    await page.getByRole('heading', { name: 'Report of the dry run' }).waitFor();
  },
  'console-profiles': async (page) => go(page, '#/profiles/1'),
};

/** Opens a view, and waits until its data is shown. @param {Page} page @param {string} hash */
async function go(page, hash) {
  await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
  await page.waitForTimeout(300);
  await page.locator('.skeleton').first().waitFor({ state: 'detached' });
}

/** @param {Page} page @param {string} file */
async function shoot(page, file) {
  await page.mouse.move(0, 0);
  const { width, height } = (await page.locator('body').boundingBox()) ?? { width: 0, height: 0 };
  const clip = { x: 0, y: 0, width, height: Math.min(height, TALLEST) };
  await page.screenshot({ path: file, fullPage: true, clip, animations: 'disabled' });
  say(`${path.relative(process.cwd(), file)}`);
}

async function main() {
  const { values } = parseArgs({
    options: {
      widths: { type: 'string', default: '1440' },
      schemes: { type: 'string', default: 'light' },
      out: { type: 'string', default: inRoot('docs', 'images') },
      url: { type: 'string' },
    },
  });
  if (!existsSync(CHROMIUM)) throw new Failure(`${CHROMIUM} does not exist: install Chromium, or set CHROMIUM`);
  const { chromium } = await import('playwright-core');
  mkdirSync(values.out, { recursive: true });

  const state = mkdtempSync(path.join(tmpdir(), 'trigger-launch-screenshots-'));
  const receiver = await startReceiver();
  let worker = values.url ? undefined : await startWorker(state);
  try {
    if (worker) {
      await fill(worker.url, receiver.url);
      await worker.stop();
      spread(state);
      worker = await startWorker(state);
      await send(`${worker.url}${TRIGGERS}/start_batch`, 'POST', FIRST_LAUNCH);
    }
    const url = values.url ?? worker?.url ?? '';
    const browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
    });
    const names = Object.keys(VIEWS);
    for (const width of values.widths.split(',').map(Number)) {
      for (const scheme of /** @type {('light' | 'dark')[]} */ (values.schemes.split(','))) {
        const context = await browser.newContext({
          viewport: { width, height: 900 },
          colorScheme: scheme,
          locale: 'en-GB',
          timezoneId: 'Europe/Berlin',
        });
        const page = await context.newPage();
        await page.goto(new URL('/console/', url).href);
        const suffix = values.widths === '1440' && values.schemes === 'light' ? '' : `-${width}-${scheme}`;
        for (const name of names) {
          await VIEWS[name]?.(page);
          await shoot(page, path.join(values.out, `${name}${suffix}.png`));
          if (name !== 'console-sign-in') continue;
          await page.getByLabel('API token').fill(TOKEN);
          await page.getByRole('button', { name: 'Sign in' }).click();
          await page.getByRole('heading', { name: 'Campaigns', exact: true }).waitFor();
        }
        await context.close();
      }
    }
    await browser.close();
  } finally {
    await worker?.stop();
    receiver.server.close();
    rmSync(state, { recursive: true, force: true });
  }
}

await command(main);
