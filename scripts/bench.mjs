// `npm run bench`: builds what is measured, then measures it with the Node.js that the packages want.

import { buildWorker } from './build.mjs';
import { command, ended, inRoot, PROJECT_NODE, start } from './run.mjs';

async function main() {
  const measures = !['--report', '--help'].some((option) => process.argv.includes(option));
  if (measures) await buildWorker();
  const options = ['--disable-warning=ExperimentalWarning', inRoot('benches', 'main.mjs'), ...process.argv.slice(2)];
  return ended(start(PROJECT_NODE, options, { stdio: 'inherit' }));
}

await command(main);
