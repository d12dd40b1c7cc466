// `npm run dev`: installs, builds, creates the local state, loads the demo data into it if it is empty, and serves.
// Arguments are passed to `wrangler dev`. Its line `Ready on http://…` is printed when everything is in place.

import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { command, ended, Failure, inRoot, PROJECT_NODE, start } from './run.mjs';
import { buildAdmin, runAdmin } from './admin.mjs';
import { buildWorker } from './build.mjs';
import { Demo } from './demo.mjs';
import { createState, STATE_OPTION, takeState } from './state.mjs';

/** The file from which wrangler takes local secrets. */
const SECRETS = inRoot('.dev.vars');

/**
 * Passes a stream on line by line, and holds back what comes from the Ready line on until `onReady` is through.
 * @param {NodeJS.ReadableStream} stream
 * @param {(worker: URL) => Promise<void>} onReady
 */
async function passOn(stream, onReady) {
  /** @type {Promise<void> | undefined} */
  let ready;
  /** @type {string[] | undefined} */
  let held;
  const lines = createInterface({ input: stream, crlfDelay: Infinity });
  const done = new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      const address = ready ? undefined : /Ready on (https?:\/\/\S+)/.exec(line)?.[1];
      if (address) {
        held = [];
        ready = onReady(new URL(address)).then(() => {
          held?.forEach((each) => console.log(each));
          held = undefined;
        });
        ready.catch(reject);
      }
      if (held) held.push(line);
      else console.log(line);
    });
    lines.on('close', resolve);
  });
  await done;
  await ready;
}

async function main() {
  const { state, rest } = takeState(process.argv.slice(2));
  createState(state);
  await Promise.all([buildWorker(), buildAdmin()]);

  const demo = new Demo(state);
  const wanted = demo.isWanted();
  if (wanted) await demo.load();
  else if (!existsSync(SECRETS)) {
    const code = await runAdmin(['key', STATE_OPTION, state]);
    if (code !== 0) throw new Failure('the index key could not be created', code);
  }

  const wrangler = [inRoot('node_modules', 'wrangler', 'bin', 'wrangler.js'), 'dev', STATE_OPTION, state, ...rest];
  if (!wanted) return ended(start(PROJECT_NODE, wrangler, { stdio: 'inherit' }));
  const server = start(PROJECT_NODE, wrangler, { stdio: ['inherit', 'pipe', 'inherit'] });
  const end = ended(server);
  if (server.stdout) await passOn(server.stdout, (worker) => demo.defineCampaigns(worker));
  return end;
}

await command(main);
