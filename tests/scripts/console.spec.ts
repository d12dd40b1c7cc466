// The files of the console.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { compressedSizes, CONSOLE_LIMIT } from '../../scripts/console.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (...parts: string[]) => readFileSync(path.join(ROOT, ...parts), 'utf8');

it('the files of the console have at most 60 KiB compressed', () => {
  const sizes = compressedSizes();
  expect(Object.keys(sizes)).toEqual(['icon.svg', 'index.html', 'main.js', 'style.css']);
  expect(Object.values(sizes).reduce((sum, size) => sum + size, 0)).toBeLessThan(CONSOLE_LIMIT);
});

it('the files of the console name no other host', () => {
  for (const name of ['index.html', 'main.js', 'style.css']) {
    const hosts = [...read('assets', 'console', name).matchAll(/\b(?:https?:)?\/\/[a-z0-9.-]+\.[a-z]+/g)].map(
      ([host]) => host,
    );
    // The namespaces of elements, and the placeholder of an input.
    expect(hosts.filter((host) => !['http://www.w3.org', 'https://receiver.example'].includes(host))).toEqual([]);
  }
});

it('the types of the client were generated from the present description of the API', () => {
  const digest = createHash('sha256').update(read('assets', 'openapi.json')).digest('hex');
  expect(read('console', 'api-types.ts'), 'run `npm run console:types`').toContain(digest);
});
