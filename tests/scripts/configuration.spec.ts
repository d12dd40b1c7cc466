// wrangler.toml and the version of the demo data, compared with the code and with the documentation.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { unstable_readConfig as readConfig } from 'wrangler';
import { INDEX_VERSION } from '../../scripts/demo.mjs';
import { inRoot } from '../../scripts/run.mjs';
import { commandLine } from '../runtime/seed.js';

const config = readConfig({ config: inRoot('wrangler.toml') });

it('the variables of wrangler.toml have the default values of the code', async () => {
  const constants = execFileSync(await commandLine(), ['constants'], { encoding: 'utf8' });
  const { variables } = JSON.parse(constants) as { variables: Record<string, string> };
  expect(config.vars).toEqual({ ...variables, RATE_LIMITING: 'on', DEDUPLICATION: 'off' });
});

it('the demo data is loaded again if the index has another version', async () => {
  const constants = execFileSync(await commandLine(), ['constants'], { encoding: 'utf8' });
  const { indexFormat, normalisation } = JSON.parse(constants) as Record<string, number>;
  expect(INDEX_VERSION).toBe(`${indexFormat}.${normalisation}`);
});

it('the table of rate limits has the rates of wrangler.toml', () => {
  const page = readFileSync(inRoot('docs', 'reference', 'limits.md'), 'utf8');
  const section = page.split(/^## /m).find((text) => text.startsWith('Rate limits')) ?? '';
  const rates = [...section.matchAll(/\| ([\d,]+) in (\d+) seconds +\|/g)].map(([, limit = '', period]) => ({
    limit: Number(limit.replaceAll(',', '')),
    period: Number(period),
  }));
  expect(rates).toEqual(config.ratelimits.map(({ simple }: { simple: object }) => simple));
});
