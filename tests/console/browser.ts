// Chromium with the console, over the Worker in the real runtime.

import { existsSync } from 'node:fs';
import { AxeBuilder } from '@axe-core/playwright';
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { expect } from 'vitest';
import { TOKEN } from '../runtime/fixture.js';
import type { TestWorker } from '../runtime/harness.js';

const PATH = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Whether the browser tests can run. */
export const hasChromium = existsSync(PATH);
if (!hasChromium) {
  console.warn(`The tests of the console are skipped: ${PATH} does not exist. Install Chromium, or set CHROMIUM.`);
}

/** Messages that the browser itself logs for a refused request, and for one that a test aborts. */
const EXPECTED = /Failed to load resource/;

/** A browser whose pages report every error. */
export class ConsoleBrowser {
  /** Errors of scripts, and violations of the Content-Security-Policy, on any page. */
  readonly errors: string[] = [];
  /** The origins of all requests. */
  readonly origins = new Set<string>();
  private readonly contexts: BrowserContext[] = [];

  private constructor(
    private readonly browser: Browser,
    private readonly worker: TestWorker,
  ) {}

  static async start(worker: TestWorker): Promise<ConsoleBrowser> {
    const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'];
    const more = ['--disable-background-networking', '--disable-component-update'];
    const browser = await chromium.launch({ executablePath: PATH, args: [...args, ...more] });
    return new ConsoleBrowser(browser, worker);
  }

  /** Opens the console in a new session. With a token, it signs in. */
  async open(hash = '', token: string | undefined = TOKEN.all, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.browser.newContext({
      viewport: { width: 1280, height: 800 },
      timezoneId: 'Europe/Berlin',
      locale: 'en-GB',
      ...options,
    });
    this.contexts.push(context);
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    page.on('pageerror', (error) => this.errors.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error' && !EXPECTED.test(message.text())) this.errors.push(message.text());
    });
    page.on('dialog', (dialog) => {
      this.errors.push(`a dialog opened: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('request', (request) => {
      if (/^https?:/.test(request.url())) this.origins.add(new URL(request.url()).origin);
      expect(request.url()).not.toContain(TOKEN.all);
    });
    await page.goto(new URL(`/console/${hash}`, this.worker.url).href);
    if (token) await signIn(page, token);
    return page;
  }

  /** Ends the browser. No page has reported an error, and all requests were sent to the Worker. */
  async stop(): Promise<void> {
    await this.browser.close();
    expect(this.errors).toEqual([]);
    expect([...this.origins]).toEqual([this.worker.url.origin]);
  }
}

/** Enters the token on the page for signing in. */
export async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel('API token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** Waits until a view has its heading and no skeletons. */
export async function settled(page: Page, heading: string | RegExp): Promise<void> {
  await page.getByRole('heading', { level: 1, name: heading }).waitFor();
  await page.locator('.skeleton').first().waitFor({ state: 'detached' });
}

/** Opens another view in the same session. */
export async function go(page: Page, hash: string, heading: string | RegExp): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
  await settled(page, heading);
}

/** The findings of axe, as short lines. */
export async function findings(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} ${target}: ${failureSummary}`),
  );
}

/** The number of pixels by which the page is wider than the window. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
