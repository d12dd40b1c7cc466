// `npm run test:openapi`: tests assets/openapi.json against the Worker with many generated cases. Needs Python 3.11 or newer.

import { command, ended, Failure, inRoot, PROJECT_NODE, say, start } from './run.mjs';

const USAGE = `npm run test:openapi -- [--cases N] [--seed N]
  --cases N  number of generated cases for each operation (default 200)
  --seed N   seed of the generator (default 1)`;

async function main() {
  const settings = new Map([
    ['--cases', '200'],
    ['--seed', '1'],
  ]);
  const rest = process.argv.slice(2);
  if (rest.includes('--help')) {
    console.log(USAGE);
    return 0;
  }
  while (rest.length) {
    const [name = '', value = ''] = rest.splice(0, 2);
    if (!settings.has(name) || !/^[1-9]\d*$/.test(value)) throw new Failure(USAGE, 2);
    settings.set(name, value);
  }
  const [cases, seed] = settings.values();
  say(`${cases} cases for each operation, seed ${seed}`);
  const vitest = [inRoot('node_modules', 'vitest', 'vitest.mjs'), 'run', 'tests/runtime/openapi.spec.ts'];
  Object.assign(process.env, { OPENAPI_CASES: cases, OPENAPI_SEED: seed, REQUIRE_INTERPRETERS: '1' });
  return ended(start(PROJECT_NODE, vitest, { stdio: 'inherit' }));
}

await command(main);
