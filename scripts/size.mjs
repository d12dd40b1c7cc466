// `npm run size`: compares the size of the Worker in build/ with its budget, benches/size.json. `.ci/run` runs this script.

import { readFileSync } from 'node:fs';
import { builtSize } from './build.mjs';
import { command, Failure, inRoot, say } from './run.mjs';

await command(async () => {
  /** @type {{ raw: number, gzip: number }} */
  const budget = JSON.parse(readFileSync(inRoot('benches', 'size.json'), 'utf8'));
  const { raw, gzip } = builtSize();
  const line = `the Worker has ${raw} bytes of wasm, ${gzip} compressed; the budget is ${budget.raw} and ${budget.gzip}`;
  if (raw > budget.raw || gzip > budget.gzip) {
    throw new Failure(`${line}. If the growth is intended, raise benches/size.json.`);
  }
  say(line);
});
