// What `npm run dev` prints when the Worker is ready.

import { Readable } from 'node:stream';
import { afterEach, expect, it, vi } from 'vitest';
import { passOn } from '../../scripts/dev.mjs';

afterEach(() => void vi.restoreAllMocks());

it('the hint is printed once, below the Ready line, after the preparation', async () => {
  const printed: unknown[] = [];
  vi.spyOn(console, 'log').mockImplementation((line) => void printed.push(line));
  const lines = ['starting', 'Ready on http://localhost:8787', 'GET /', 'Ready on http://localhost:8787'];
  const prepare = async (worker: URL) => void printed.push(`prepared ${worker.host}`);
  await passOn(Readable.from(lines.map((line) => `${line}\n`)), prepare, 'hint');
  expect(printed).toEqual(['starting', 'prepared localhost:8787', lines[1], 'hint', lines[2], lines[3]]);
});
