// `npm run bench`: builds the Worker, then runs benches/main.mjs with the Node.js version that the packages need.

import { buildWorker } from './build.mjs';
import { command, ended, inRoot, PROJECT_NODE, start } from './run.mjs';

async function main() {
  const measures = !['--report', '--help'].some((option) => process.argv.includes(option));
  if (measures) await buildWorker();
  const options = ['--disable-warning=ExperimentalWarning', inRoot('benches', 'main.mjs'), ...process.argv.slice(2)];
  return ended(start(PROJECT_NODE, options, { stdio: 'inherit' }));
}

await command(main);
