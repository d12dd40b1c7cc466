// `npm run dev`: installs, builds, loads the demo data into an empty local state and serves. Arguments go on to
// `wrangler dev`. Its line `Ready on http://…` is printed when all is in place.

import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { command, ended, Failure, inRoot, PROJECT_NODE, start } from './run.mjs';
import { buildAdmin } from './admin.mjs';
import { buildWorker } from './build.mjs';
import { Demo } from './demo.mjs';

const STATE_OPTION = '--persist-to';

/** Splits off the folder of the local state, which is relative to where the user stands. @param {string[]} args */
function takeState(args) {
  const rest = [...args];
  let state = inRoot('.wrangler', 'state');
  const at = rest.findIndex((arg) => arg === STATE_OPTION || arg.startsWith(`${STATE_OPTION}=`));
  if (at >= 0) {
    const apart = rest[at] === STATE_OPTION;
    const folder = apart ? rest[at + 1] : rest[at]?.slice(STATE_OPTION.length + 1);
    if (!folder) throw new Failure(`${STATE_OPTION} wants a folder`);
    state = path.resolve(process.env.INIT_CWD ?? process.cwd(), folder);
    rest.splice(at, apart ? 2 : 1);
  }
  return { state, rest };
}

/** The key of the local index: made once, for nobody else to read. */
function makeKey() {
  const line = `PROFILE_INDEX_KEY=${randomBytes(32).toString('hex')}\n`;
  try {
    writeFileSync(inRoot('.dev.vars'), line, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
  }
}

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
  const demo = new Demo(state);
  await Promise.all([buildWorker(), buildAdmin()]);
  makeKey();

  const wrangler = inRoot('node_modules', 'wrangler', 'bin', 'wrangler.js');
  const args = [wrangler, 'dev', STATE_OPTION, state, ...rest];
  if (!demo.isWanted()) return ended(start(PROJECT_NODE, args, { stdio: 'inherit' }));

  await demo.load();
  const server = start(PROJECT_NODE, args, { stdio: ['inherit', 'pipe', 'inherit'] });
  const end = ended(server);
  const { stdout } = server;
  if (!stdout) throw new Failure('wrangler has no output');
  await passOn(stdout, (worker) => demo.defineCampaigns(worker));
  return end;
}

await command(main);
