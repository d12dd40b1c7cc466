// `npm run dev`: installs the tools, builds the Worker, creates the local state, and starts `wrangler dev`. An empty state gets
// the demo data. Arguments are passed to `wrangler dev`. Its line `Ready on http://…` is printed after the demo data is loaded.

import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { adminEnv, buildDemoAdmin } from './admin.mjs';
import { buildWorker } from './build.mjs';
import { Demo } from './demo.mjs';
import { duration, expectParts } from './progress.mjs';
import { command, ended, inRoot, PROJECT_NODE, run, say, start } from './run.mjs';
import { createState, STATE_OPTION, takeState } from './state.mjs';
import { installPackages } from './tools.mjs';

/** The file from which wrangler reads local secrets. */
const SECRETS = inRoot('.dev.vars');

/** How a local webhook is tried out. */
const RECEIVER = 'A receiver of webhooks, to run in another terminal: npm run receiver';

/** What a developer can open next. @param {URL} worker */
const hintOf = (worker) => `Console: ${new URL('/console/', worker)}\n${RECEIVER}`;

/**
 * Prints the lines of a stream, and `hint` below the Ready line. The Ready line and all lines after it are printed when `onReady`
 * has completed.
 * @param {NodeJS.ReadableStream} stream
 * @param {(worker: URL) => Promise<void>} onReady
 * @param {string | ((worker: URL) => string)} hint
 */
export async function passOn(stream, onReady, hint) {
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
      const below = address && (typeof hint === 'string' ? hint : hint(new URL(address)));
      for (const each of below ? [line, below] : [line]) {
        if (delayed) delayed.push(each);
        else console.log(each);
      }
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

  // Receivers of webhooks can be on this machine.
  const vars = ['--var', 'WEBHOOK_HOSTS:any'];
  const program = inRoot('node_modules', 'wrangler', 'bin', 'wrangler.js');
  const wrangler = [program, 'dev', STATE_OPTION, state, ...vars, ...rest];
  if (!wanted && process.stdout.isTTY) {
    // wrangler has key commands only on a terminal, where its output cannot be read.
    say('The console is at /console/ of the address below.');
    say(RECEIVER);
    return ended(start(PROJECT_NODE, wrangler, { stdio: 'inherit' }));
  }
  const server = start(PROJECT_NODE, wrangler, { stdio: ['inherit', 'pipe', 'inherit'] });
  const end = ended(server);
  const prepare = async (/** @type {URL} */ worker) => {
    if (!wanted) return;
    await demo.defineCampaigns(worker);
    await demo.launchSamples(worker);
  };
  if (server.stdout) await passOn(server.stdout, prepare, hintOf);
  return end;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await command(main);
