// The console in Chromium: its views and actions, with the Worker in the real runtime.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bearer, BATCH, CAMPAIGN, define, launch, read, seeded, stop, TOKEN, TRIGGERS } from '../runtime/fixture.js';
import type { TestWorker } from '../runtime/harness.js';
import { address, ID, NUMBERED, numbered } from '../runtime/profiles.js';
import { ConsoleBrowser, findings, go, hasChromium, overflow, settled, signIn } from './browser.js';

const execute = promisify(execFile);

/** A receiver that answers with `status`. */
class Receiver {
  status = 204;
  received: string[] = [];
  private readonly server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      this.received.push(body);
      response.writeHead(this.status).end();
    });
  });

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/hook`;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

const HOSTILE = '<img src=x onerror="alert(1)">\u202e"gpj.exe\u2066';
const BATCH_OF_THREE = {
  trigger_id: 8,
  data: [{ email: 'example1@example.com' }, { email: 'nobody@example.com' }, {}, { email: 'EXAMPLE1@example.com' }],
  content: { subject: 'Hello', amount: 10.0 },
  attach: [{ name: 'hello.txt', data: 'data:text/plain;base64,aGVsbG8=' }],
};

describe.skipIf(!hasChromium)('the console', () => {
  let worker: TestWorker;
  let browser: ConsoleBrowser;
  let page: Page;
  let receiver: Receiver;
  let hook: string;

  beforeAll(async () => {
    worker = await seeded({ WEBHOOK_HOSTS: 'any', REMEMBER_SECONDS: '0' });
    receiver = new Receiver();
    hook = await receiver.start();
    browser = await ConsoleBrowser.start(worker);
    expect((await launch(worker, BATCH_OF_THREE)).status).toBe(200);
  });
  afterEach(() => page?.context().close());
  afterAll(async () => {
    await browser?.stop();
    receiver?.stop();
    await stop(worker);
  });

  const text = (locator: string) => page.locator(locator).innerText();
  const button = (name: string | RegExp) => page.getByRole('button', { name, exact: true });
  /** Presses the button of an action, and confirms in its dialog. */
  const confirm = async (name: string | RegExp) => {
    await button(name).first().click();
    await page.getByRole('dialog').getByRole('button', { name }).last().click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  };
  const put = (path: string, body: object, token: string = TOKEN.all) =>
    worker.request(`${TRIGGERS}/${path}`, {
      method: 'PUT',
      headers: { ...bearer(token), 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });

  it('sends a strict Content-Security-Policy, and has no policy for trusted types', async () => {
    const response = await worker.request('/console/');
    expect(response.status).toBe(200);
    const policy = response.headers.get('Content-Security-Policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("require-trusted-types-for 'script'");
    expect(policy).not.toContain('unsafe');
    expect((await worker.request('/console/missing')).status).toBe(404);
    page = await browser.open();
    await expect(page.evaluate(`document.body.innerHTML = '<p>text</p>'`)).rejects.toThrow('TrustedHTML');
    browser.errors.splice(0);
  });

  it('signs in with a valid token, which is in no URL and only in the session', async () => {
    page = await browser.open('', '');
    await signIn(page, TOKEN.unknown);
    await page.getByText('The token is not valid.').waitFor();
    await signIn(page, ` ${TOKEN.all}\n`);
    await settled(page, 'Campaigns');
    expect(page.url()).not.toContain(TOKEN.all);
    expect(await page.evaluate('Object.values(sessionStorage).join()')).toBe(TOKEN.all);
    expect(await page.evaluate('localStorage.length + document.cookie.length')).toBe(0);
    await page.reload();
    await settled(page, 'Campaigns');
    await button('Sign out').click();
    await page.getByLabel('API token').waitFor();
    expect(await page.evaluate('sessionStorage.length')).toBe(0);
  });

  it('lists campaigns with state, totals and a plot beside a table', async () => {
    page = await browser.open();
    await settled(page, 'Campaigns');
    const row = page.getByRole('row').filter({ has: page.getByRole('link', { name: 'c8', exact: true }) });
    await expect.poll(() => row.innerText()).toMatch(/c8\s+8\s+Active\s+None\s+1\s+1\s+2/);
    expect(await page.getByRole('row').filter({ hasText: 'c2' }).innerText()).toContain('Paused');
    expect(await page.getByRole('img', { name: /^Launches: 1 in 24 hours/ }).count()).toBe(1);
    expect(await page.locator('.chart table tbody tr').count()).toBe(1);
    await page.getByRole('link', { name: '30 days' }).click();
    await page
      .getByRole('img', { name: /in 30 days/ })
      .first()
      .waitFor();
    expect(page.url()).toContain('period=day');
  });

  it('adds new launches to a campaign without a reload, newest first', async () => {
    page = await browser.open('#/campaigns/85');
    await settled(page, 'c85');
    await page.getByText('There are no launches yet.').waitFor();
    const data = [{ email: 'example1@example.com' }, { email: 'example2@example.com' }];
    for (let at = 0; at < 2; at++) expect((await launch(worker, { trigger_id: 85, data })).status).toBe(200);
    const rows = page.getByRole('table', { name: 'Launches, newest first' }).locator('tbody tr');
    await expect.poll(() => rows.count()).toBe(2);
    expect(await rows.first().innerText()).toMatch(/^2\s/);
  });

  it('pauses and resumes a campaign after a confirmation', async () => {
    await define(worker, 501, { name: 'To pause', database: 1, active: true });
    page = await browser.open('#/campaigns/501');
    await settled(page, 'To pause');
    await button('Pause').click();
    const dialog = page.getByRole('dialog', { name: 'Pause this campaign?' });
    await dialog.getByText('As a curl command').click();
    expect(await dialog.locator('pre').innerText()).toContain('"active":false');
    await page.keyboard.press('Escape');
    expect((await read(worker, `${TRIGGERS}/501`)).active).toBe(true);
    await confirm('Pause');
    await page.locator('main .pill', { hasText: 'Paused' }).waitFor();
    expect((await launch(worker, { trigger_id: 501, data: [{ email: 'a@b.c' }] })).status).toBe(409);
    expect(await page.getByRole('link', { name: 'Compose a launch' }).count()).toBe(0);
    await confirm('Resume');
    await page.locator('main .pill', { hasText: 'Active' }).waitFor();
    expect((await read(worker, `${TRIGGERS}/501`)).active).toBe(true);
  });

  it('shows what became of a launch, and the curl command that reads it', async () => {
    page = await browser.open('#/campaigns/8');
    await settled(page, 'c8');
    await page.getByRole('table', { name: 'Launches, newest first' }).getByRole('link').last().click();
    await settled(page, /^Launch 1/);
    const figures = (await text('.figures')).replaceAll(/\s+/g, ' ');
    expect(figures).toContain('Recipients 1');
    expect(figures).toContain('Unmatched 1');
    expect(figures).toContain('Invalid 1');
    expect(figures).toContain('Duplicates 1');
    expect(figures).toContain('No webhook');
    const reasons = await page.getByRole('table', { name: 'Reasons' }).innerText();
    for (const reason of ['not_found', 'missing_field', 'duplicate']) expect(reasons).toContain(reason);
    expect(await page.getByRole('group', { name: 'Content' }).last().innerText()).toContain('"subject": "Hello"');
    expect(await page.getByRole('table', { name: 'Recipients' }).innerText()).toContain(ID.one);

    const [download] = await Promise.all([page.waitForEvent('download'), button('Download attachment 1').click()]);
    expect(download.suggestedFilename()).toBe('hello.txt');
    expect(await readFile(await download.path(), 'utf8')).toBe('hello');

    await page.getByText('This launch as a curl command').click();
    const command = await page.getByRole('group', { name: 'curl command' }).first().innerText();
    expect(command).toContain('$TOKEN');
    expect(command).not.toContain(TOKEN.all);
    const { stdout } = await execute('bash', ['-c', command], { env: { ...process.env, TOKEN: TOKEN.all } });
    expect(JSON.parse(stdout)).toMatchObject({ sequence: 1, recipients: 1 });
  });

  it('composes a launch with the keyboard alone: a dry run with its report, then the launch', async () => {
    await define(worker, 502, { name: 'To compose', database: 1, active: true });
    page = await browser.open('#/compose/502');
    await settled(page, 'Compose a launch');
    await page.locator(`option[value="502"]`, { hasText: 'To compose' }).waitFor({ state: 'attached' });
    await page.getByLabel('Keys, one a line').focus();
    await page.keyboard.type('example1@example.com\nnobody@example.com\nshared@example.com\n');
    await page.keyboard.press('Tab');
    await page.keyboard.type('{"amount": 1.50}');
    const press = async (name: RegExp) => {
      for (let tabs = 0; tabs < 40; tabs++) {
        await page.keyboard.press('Tab');
        const label = await page.evaluate<string>(
          `document.activeElement.tagName === 'BUTTON' ? document.activeElement.innerText : ''`,
        );
        if (name.test(label)) return page.keyboard.press('Enter');
      }
      throw new Error(`no button ${name} can be reached with the keyboard`);
    };
    await press(/^Dry run$/);
    const report = page.getByRole('table', { name: 'Outcome of each key' });
    await report.waitFor();
    const rows = (await report.locator('tbody tr').allInnerTexts()).map((row) => row.replaceAll(/\s+/g, ' '));
    expect(rows[0]).toContain(`reached ${ID.one}`);
    expect(rows[1]).toContain('not_found No profile has this key.');
    expect(rows[2]).toContain('ambiguous Two or more profiles');
    expect((await read(worker, `${TRIGGERS}/502`)).launches).toBe(0);

    await press(/^Launch to 1 recipient$/);
    await page.getByRole('dialog').waitFor();
    await press(/^Launch to 1 recipient$/);
    await page.getByRole('heading', { name: 'Launched to 1 recipient' }).waitFor();
    const { launches } = await read(worker, `${TRIGGERS}/502/launches`);
    expect(launches).toHaveLength(1);
    const raw = await (await worker.request(`${TRIGGERS}/502/launches`, { headers: bearer() })).text();
    expect(raw).toContain('"amount": 1.50');
    await page.getByRole('link', { name: 'Open the launch' }).click();
    await settled(page, /^Launch 1/);
    expect(await page.getByRole('group', { name: 'Content' }).last().innerText()).toContain('1.50');
  });

  it('launches once when the answer to a launch is lost and the launch is confirmed again', async () => {
    await define(worker, 503, { name: 'Lost', database: 1, active: true });
    page = await browser.open('#/compose/503');
    await settled(page, 'Compose a launch');
    await page.getByLabel('Keys, one a line').fill('example1@example.com');
    await button('Dry run').click();
    await page.getByRole('heading', { name: 'Report of the dry run' }).waitFor();
    let lost = 0;
    await page.route(
      `**${BATCH}`,
      async (route) => {
        await route.fetch();
        lost += 1;
        await route.abort();
      },
      { times: 1 },
    );
    await button('Launch to 1 recipient').click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Launch to 1 recipient' }).click();
    await dialog.getByText('could not reach the server').waitFor();
    await dialog.getByRole('button', { name: 'Launch to 1 recipient' }).click();
    await page.getByText('this answer repeats the first one').waitFor();
    expect(lost).toBe(1);
    expect((await read(worker, `${TRIGGERS}/503`)).launches).toBe(1);
  });

  it('creates a webhook, shows its secret once, tests it and lists its attempts', async () => {
    await define(worker, 504, { name: 'Hooked', database: 1, active: true });
    page = await browser.open('#/campaigns/504/webhook');
    await settled(page, 'Hooked');
    await page.getByLabel('URL of the receiver').fill(hook);
    await button('Create the webhook').click();
    await page.getByText(/whsec_/).waitFor();
    await button('I have stored it').click();
    expect(await page.getByText(/whsec_/).count()).toBe(0);

    receiver.received.splice(0);
    await confirm('Send a test');
    await page.getByText('The receiver answered 204').waitFor();
    expect(receiver.received[0]).toContain('webhook.test');

    const data = [{ email: 'example1@example.com' }];
    expect((await launch(worker, { trigger_id: 504, data })).status).toBe(200);
    const attempts = page.getByRole('table', { name: 'Attempts, newest first' }).locator('tbody tr');
    await expect.poll(() => attempts.count()).toBe(1);
    await page.getByText('Every launch since the webhook was created has arrived.').waitFor();

    await button('Replay').click();
    await page.getByLabel('After launch number').fill('0');
    await page.getByRole('dialog').getByRole('button', { name: 'Replay' }).click();
    await expect.poll(() => attempts.count()).toBe(2);

    await confirm('Rotate the secret');
    await page.getByText(/whsec_/).waitFor();
    await confirm('Pause delivery');
    await page.getByText('Nothing is sent.').waitFor();
    await confirm('Continue delivery');
    await page.getByText('has arrived.').waitFor();
    await go(page, '#/campaigns/504', 'Hooked');
    await page.locator('tbody .pill', { hasText: 'Delivered' }).waitFor();
    await go(page, '#/campaigns/504/webhook', 'Hooked');
    await confirm('Remove');
    await page.getByText('This campaign has no webhook.').waitFor();
  });

  it('resumes a delivery that the receiver has stopped', async () => {
    await define(worker, 505, { name: 'Stopped', database: 1, active: true });
    expect((await put('505/webhook', { url: hook })).status).toBe(200);
    receiver.status = 410;
    expect((await launch(worker, { trigger_id: 505, data: [{ email: 'example1@example.com' }] })).status).toBe(200);
    page = await browser.open('#/campaigns/505/webhook');
    await settled(page, 'Stopped');
    await page.locator('.panel .pill', { hasText: 'Stopped' }).waitFor();
    receiver.status = 204;
    await confirm('Resume');
    await page.locator('.panel .pill', { hasText: 'Up to date' }).waitFor();
  });

  it('shows the import of a database, and how to import one that has none', async () => {
    page = await browser.open('#/profiles');
    await settled(page, 'Profiles');
    await page.getByRole('link', { name: 'Database 1' }).click();
    await settled(page, 'Database 1');
    const state = await read(worker, '/api/v1.1/profiles/1');
    expect(await text('main')).toContain(state.generation);
    await go(page, '#/profiles/2', 'Database 2');
    await page.getByText('npm run admin -- profiles import FILE --database 2').waitFor();
  });

  it.each([
    [
      'read',
      TOKEN.read,
      ['Campaigns'],
      async () => {
        await page.getByText('This token cannot list campaigns.').waitFor();
        await page.getByLabel('Campaign ID').fill('8');
        await button('Open').click();
        await settled(page, 'Campaign 8');
        expect(await page.getByRole('table', { name: 'Launches, newest first' }).count()).toBe(1);
        expect(await button('Pause').count()).toBe(0);
        expect(await page.getByRole('link', { name: 'Webhook' }).count()).toBe(0);
      },
    ],
    [
      'launch',
      TOKEN.launch,
      ['Campaigns', 'Compose'],
      async () => {
        await go(page, '#/campaigns/8', 'Campaign 8');
        await page.getByText('This token cannot read launches.').waitFor();
        await go(page, '#/profiles/1', 'Profiles');
        await page.getByText('This token is not allowed to do this.').waitFor();
      },
    ],
    [
      'admin',
      TOKEN.admin,
      ['Campaigns', 'Profiles'],
      async () => {
        await go(page, '#/campaigns/8', 'c8');
        expect(await button('Pause').count()).toBe(1);
        expect(await page.getByRole('link', { name: 'Compose a launch' }).count()).toBe(0);
        await page.getByText('This token cannot read launches.').waitFor();
      },
    ],
  ] as const)('a token with the scope %s is offered its actions only', async (_, token, places, check) => {
    page = await browser.open('', token);
    await page.getByRole('heading', { name: 'Campaigns', exact: true }).waitFor();
    expect(await page.getByRole('navigation', { name: 'Main' }).getByRole('link').allInnerTexts()).toEqual(places);
    await check();
  });

  it('a token of another database gets the reason why a campaign is not found', async () => {
    page = await browser.open('#/campaigns/8', TOKEN.elsewhere);
    await page.getByText('Campaign 8 could not be read').waitFor();
    await page.getByText('whether the token may use the database.').waitFor();
  });

  it('names and contents of callers are shown as text, with their invisible characters', async () => {
    await define(worker, 506, {
      name: `${HOSTILE.replace(/[\u202e\u2066]/g, '')}\u202eevil`,
      database: 1,
      active: true,
    });
    const reply = await launch(worker, {
      trigger_id: 506,
      data: [{ email: 'example1@example.com', custom_data: { [HOSTILE]: HOSTILE } }],
      content: { [HOSTILE]: HOSTILE },
      attach: [{ name: HOSTILE, data: 'data:text/html;base64,PGI+' }],
    });
    expect(reply.status, reply.text).toBe(200);
    page = await browser.open('#/campaigns/506');
    await settled(page, /<img src=x/);
    expect(await text('h1')).toContain('U+202E');
    await go(page, `#/campaigns/506/launches/${reply.headers.get('Launch-ID')}`, /^Launch 1/);
    const attachment = await page.getByRole('table', { name: 'Attachments' }).innerText();
    expect(attachment).toContain('<img src=x onerror="alert(1)">');
    expect(attachment).toContain('U+202E');
    expect(await page.getByRole('group', { name: 'Content' }).last().innerText()).toContain('⟨U+202E⟩');
    expect(await page.locator('img, script:not([src])').count()).toBe(0);
    const [download] = await Promise.all([page.waitForEvent('download'), button('Download attachment 1').click()]);
    expect(download.suggestedFilename()).not.toMatch(/[\u202e\u2066]/);
    await go(page, '#/campaigns', 'Campaigns');
    await page
      .getByRole('link', { name: /<img src=x/ })
      .first()
      .waitFor();
    await go(page, '#/compose', 'Compose a launch');
    await page.getByLabel('Keys, one a line').fill(HOSTILE);
    expect(await page.locator('img').count()).toBe(0);
  });

  it('a content of 1 MiB is shown in part, and whole on request', async () => {
    const long = `\u202e<b>${'x'.repeat(1_000_000)}`;
    await define(worker, 507, { name: 'Long', database: 1, active: true });
    const reply = await launch(worker, {
      trigger_id: 507,
      data: [{ email: 'example1@example.com' }],
      content: { text: 'x'.repeat(1_000_000) },
    });
    expect(reply.status, reply.text).toBe(200);
    page = await browser.open('#/campaigns/507');
    await settled(page, 'Long');
    await go(page, `#/campaigns/507/launches/${reply.headers.get('Launch-ID')}`, /^Launch 1/);
    const content = page.getByRole('group', { name: 'Content' }).last();
    expect((await content.innerText()).length).toBeLessThan(5_000);
    await button(/^Show all/).click();
    expect((await content.innerText()).length).toBeGreaterThan(1_000_000);
    await go(page, '#/compose/507', 'Compose a launch');
    await page.getByLabel('Keys, one a line').fill(long);
    await button('Dry run').click();
    await page.locator('.pill', { hasText: 'too_long' }).waitFor();
    expect(await overflow(page)).toBe(0);
  });

  it('reads 50,000 recipients page by page', async () => {
    await define(worker, 508, { name: 'Many', database: 1, active: true });
    const data = Array.from({ length: 50_000 }, (_, n) =>
      n < NUMBERED ? { email: address(n) } : { email: `nobody${n}@bulk.example` },
    );
    const reply = await launch(worker, { trigger_id: 508, data });
    expect(reply.status, reply.text.slice(0, 200)).toBe(200);
    page = await browser.open('#/campaigns/508');
    await settled(page, 'Many');
    await go(page, `#/campaigns/508/launches/${reply.headers.get('Launch-ID')}`, /^Launch 1/);
    const rows = page.getByRole('table', { name: 'Recipients' }).locator('tbody tr');
    expect(await rows.count()).toBe(100);
    await page.getByRole('link', { name: 'Next recipients' }).click();
    await expect.poll(() => rows.first().innerText()).toContain(numbered(100));
    await page.getByRole('navigation', { name: 'Recipients a page' }).getByRole('link').last().click();
    await expect.poll(() => rows.count()).toBe(NUMBERED);
    await page.getByText('Which items').click();
    await button('Later items').click();
    await page.getByText(/^101–200 of 47,000$/).waitFor();
    const [download] = await Promise.all([page.waitForEvent('download'), button('Download all as NDJSON').click()]);
    const lines = (await readFile(await download.path(), 'utf8')).trim().split('\n');
    expect(lines).toHaveLength(NUMBERED);
  });

  it('shows skeletons while an answer is slow, and what to do when it fails', async () => {
    page = await browser.open();
    await settled(page, 'Campaigns');
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const pattern = `**${TRIGGERS}/96`;
    await page.route(pattern, async (route) => {
      await held;
      await route.fulfill({
        status: 503,
        headers: { 'Retry-After': '5', 'Request-ID': 'abc123' },
        json: { error: 503, error_text: 'Service unavailable', error_debug: 'the campaign cannot be reached' },
      });
    });
    await page.evaluate(`location.hash = '#/campaigns/96'`);
    await page.locator('.skeleton').first().waitFor();
    expect(await page.getByText('takes longer than usual').waitFor()).toBeUndefined();
    release();
    const alert = page.getByRole('alert');
    await alert.getByText('Campaign 96 could not be read').waitFor();
    const shown = await alert.innerText();
    for (const part of ['Service unavailable', 'the campaign cannot be reached', 'in 5 seconds', 'abc123']) {
      expect(shown).toContain(part);
    }
    await page.unroute(pattern);
    await button('Try again').click();
    await settled(page, 'c96');

    await page.route(`**${TRIGGERS}/96/launches*`, (route) => route.abort());
    await page.getByText('Not up to date.').waitFor();
    await page.unroute(`**${TRIGGERS}/96/launches*`);
    await button('Update now').click();
    await page.getByText('Not up to date.').waitFor({ state: 'detached' });
  });

  it('asks for another token when the token is revoked during the session', async () => {
    const token = 'revoked-during-the-session-01';
    const digest = createHash('sha256').update('trigger-launch token v1\0').update(token).digest('hex');
    const record = { name: 'temporary', created: 1_700_000_000_000, scopes: ['read', 'admin'] };
    await worker.env.ACCESS.put(`token:${digest}`, JSON.stringify(record));
    page = await browser.open('#/campaigns/8', token);
    await settled(page, 'c8');
    await worker.env.ACCESS.put(`token:${digest}`, JSON.stringify({ ...record, revoked: 1_700_000_001_000 }));
    await page.getByText('The token is not valid any more').waitFor({ timeout: 90_000 });
    expect(await page.evaluate('sessionStorage.length')).toBe(0);
    await signIn(page, TOKEN.all);
    await settled(page, 'c8');
  });

  it.each([
    ['light', 1280],
    ['light', 360],
    ['dark', 1280],
    ['dark', 360],
  ] as const)('has no findings of axe in %s at %i px, and does not scroll sideways', async (colorScheme, width) => {
    page = await browser.open('', '', { colorScheme, viewport: { width, height: 800 } });
    const check = async (view: string) => {
      expect(await findings(page), view).toEqual([]);
      expect(await overflow(page), view).toBe(0);
    };
    await check('sign in');
    await signIn(page, TOKEN.all);
    await settled(page, 'Campaigns');
    await check('campaigns');
    await go(page, '#/campaigns/8', 'c8');
    await check('campaign');
    await button('Pause').click();
    await check('confirmation');
    await page.keyboard.press('Escape');
    const { launches } = await read(worker, `${TRIGGERS}/8/launches`);
    await go(page, `#/campaigns/8/launches/${launches[0].launch_id}`, /^Launch/);
    for (const summary of await page.locator('summary').all()) await summary.click();
    await check('launch');
    await go(page, '#/campaigns/8/webhook', 'c8');
    await check('webhook form');
    await go(page, '#/campaigns/505/webhook', 'Stopped');
    await check('webhook');
    await go(page, '#/compose/8', 'Compose a launch');
    await page.getByLabel('Keys, one a line').fill('example1@example.com\nnobody@example.com');
    await button('Dry run').click();
    await page.getByRole('heading', { name: 'Report of the dry run' }).waitFor();
    await check('compose');
    await go(page, '#/profiles', 'Profiles');
    await check('profiles');
    await go(page, '#/profiles/1', 'Database 1');
    await check('database');
    await go(page, '#/profiles/2', 'Database 2');
    await check('database without an import');
    await go(page, `#/campaigns/${CAMPAIGN.unknown}`, `Campaign ${CAMPAIGN.unknown}`);
    await page.getByRole('alert').waitFor();
    await check('error');
    await go(page, '#/nowhere', 'There is no such view');
    await check('unknown view');
  });
});
