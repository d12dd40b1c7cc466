// `npm run soak`: builds the Worker, then runs tests/soak/main.mjs with the Node.js version that the packages need.

import { buildWorker } from './build.mjs';
import { command, ended, inRoot, PROJECT_NODE, start } from './run.mjs';

async function main() {
  if (!process.argv.includes('--help')) await buildWorker();
  const options = [
    '--disable-warning=ExperimentalWarning',
    inRoot('tests', 'soak', 'main.mjs'),
    ...process.argv.slice(2),
  ];
  return ended(start(PROJECT_NODE, options, { stdio: 'inherit' }));
}

await command(main);
