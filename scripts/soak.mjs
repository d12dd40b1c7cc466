// `npm run soak`: builds the Worker, then runs the large counts with the Node.js that the packages want.

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
