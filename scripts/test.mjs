// `npm test`: runs the native tests, then the tests in the real runtime. Arguments are passed to vitest.

import { command, ended, PROJECT_NODE, inRoot, run, say, start, timed } from './run.mjs';
import { buildWorker } from './build.mjs';

async function main() {
  // Compiling everything at the same time uses the cores while a program is linked or downloaded.
  const compileTests = () => run('cargo', ['test', '--no-run', '--quiet'], { quiet: true });
  await Promise.all([buildWorker(), timed('compiling the native tests', compileTests)]);

  const native = await ended(start('cargo', ['test', '--quiet'], { stdio: 'inherit' }));
  const vitest = [inRoot('node_modules', 'vitest', 'vitest.mjs'), 'run', ...process.argv.slice(2)];
  const runtime = await ended(start(PROJECT_NODE, vitest, { stdio: 'inherit' }));
  if (native) say('native tests failed; see the output above');
  return native || runtime;
}

await command(main);
