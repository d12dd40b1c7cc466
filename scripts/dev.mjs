// `npm run dev`: installs the tools, builds the Worker, creates the local state, and starts `wrangler dev`. An empty state gets
// the demo data. Arguments are passed to `wrangler dev`. Its line `Ready on http://…` is printed after the demo data is loaded.

import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { adminEnv, buildDemoAdmin } from './admin.mjs';
import { buildWorker } from './build.mjs';
import { Demo } from './demo.mjs';
import { duration, expectParts } from './progress.mjs';
import { command, ended, inRoot, PROJECT_NODE, run, say, start } from './run.mjs';
import { createState, STATE_OPTION, takeState } from './state.mjs';
import { installPackages } from './tools.mjs';

/** The file from which wrangler reads local secrets. */
const SECRETS = inRoot('.dev.vars');

/**
 * Prints the lines of a stream. The Ready line and all lines after it are printed when `onReady` has completed.
 * @param {NodeJS.ReadableStream} stream
 * @param {(worker: URL) => Promise<void>} onReady
 */
async function passOn(stream, onReady) {
  /** @type {Promise<void> | undefined} */
  let ready;
  /** @type {string[] | undefined} */
  let delayed;
  const lines = createInterface({ input: stream, crlfDelay: Infinity });
  const done = new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      const address = ready ? undefined : /Ready on (https?:\/\/\S+)/.exec(line)?.[1];
      if (address) {
        delayed = [];
        ready = onReady(new URL(address)).then(() => {
          delayed?.forEach((each) => console.log(each));
          delayed = undefined;
        });
        ready.catch(reject);
      }
      if (delayed) delayed.push(line);
      else console.log(line);
    });
    lines.on('close', resolve);
  });
  await done;
  await ready;
}

/** Loads the demo data, or creates the index key of a state with other data. @param {string} state @param {Demo | undefined} demo */
async function prepareState(state, demo) {
  if (!demo && existsSync(SECRETS)) return;
  expectParts('admin');
  if (demo) expectParts('demo');
  const [admin] = await Promise.all([buildDemoAdmin(), installPackages()]);
  if (demo) return demo.load(admin);
  await run(admin, ['key', STATE_OPTION, state], { env: adminEnv(), quiet: true });
}

async function main() {
  const { state, rest } = takeState(process.argv.slice(2));
  createState(state);
  const demo = new Demo(state);
  const wanted = demo.isWanted();
  await Promise.all([buildWorker(), prepareState(state, wanted ? demo : undefined)]);
  const seconds = performance.now() / 1000;
  if (seconds > 10) say(`everything is built after ${duration(seconds)}`);

  const wrangler = [inRoot('node_modules', 'wrangler', 'bin', 'wrangler.js'), 'dev', STATE_OPTION, state, ...rest];
  if (!wanted) return ended(start(PROJECT_NODE, wrangler, { stdio: 'inherit' }));
  const server = start(PROJECT_NODE, wrangler, { stdio: ['inherit', 'pipe', 'inherit'] });
  const end = ended(server);
  if (server.stdout) await passOn(server.stdout, (worker) => demo.defineCampaigns(worker));
  return end;
}

await command(main);
