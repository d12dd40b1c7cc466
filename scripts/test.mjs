// `npm test`: runs the native tests, then the tests in the real runtime. Arguments are passed to vitest.

import { buildWorker } from './build.mjs';
import { runCargo, runPart } from './progress.mjs';
import { command, ended, inRoot, PROJECT_NODE, say, start } from './run.mjs';
import { installToolchain } from './tools.mjs';

async function main() {
  // Compiling everything at the same time uses the cores while a program is linked or downloaded.
  await installToolchain();
  const compileTests = () => runPart('tests', (report) => runCargo(['test', '--no-run'], report));
  await Promise.all([buildWorker(), compileTests()]);

  const native = await ended(start('cargo', ['test', '--quiet'], { stdio: 'inherit' }));
  const vitest = [inRoot('node_modules', 'vitest', 'vitest.mjs'), 'run', ...process.argv.slice(2)];
  const runtime = await ended(start(PROJECT_NODE, vitest, { stdio: 'inherit' }));
  if (native) say('native tests failed; see the output above');
  return native || runtime;
}

await command(main);
