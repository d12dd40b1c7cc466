// `npm run dev`: installs, builds, loads the demo data into an empty local state and serves. Arguments go on to
// `wrangler dev`. Its line `Ready on http://…` is printed when all is in place.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { command, ended, Failure, inRoot, PROJECT_NODE, start } from './run.mjs';
import { buildAdmin, callerFolder, runAdmin } from './admin.mjs';
import { buildWorker } from './build.mjs';
import { Demo } from './demo.mjs';

const STATE_OPTION = '--persist-to';
/** Where wrangler takes local secrets from. */
const SECRETS = inRoot('.dev.vars');

/** Takes the folder of the local state out of the arguments: it is relative to where the user stands. @param {string[]} args */
function takeState(args) {
  const rest = [...args];
  const at = rest.findIndex((arg) => arg === STATE_OPTION || arg.startsWith(`${STATE_OPTION}=`));
  if (at < 0) return { state: inRoot('.wrangler', 'state'), rest };
  const apart = rest[at] === STATE_OPTION;
  const folder = apart ? rest[at + 1] : rest[at]?.slice(STATE_OPTION.length + 1);
  if (!folder) throw new Failure(`${STATE_OPTION} wants a folder`);
  rest.splice(at, apart ? 2 : 1);
  return { state: path.resolve(callerFolder(), folder), rest };
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
  await Promise.all([buildWorker(), buildAdmin()]);

  const demo = new Demo(state);
  const wanted = demo.isWanted();
  if (wanted) await demo.load();
  else if (!existsSync(SECRETS)) await runAdmin(['key', STATE_OPTION, state]);

  const wrangler = [inRoot('node_modules', 'wrangler', 'bin', 'wrangler.js'), 'dev', STATE_OPTION, state, ...rest];
  if (!wanted) return ended(start(PROJECT_NODE, wrangler, { stdio: 'inherit' }));
  const server = start(PROJECT_NODE, wrangler, { stdio: ['inherit', 'pipe', 'inherit'] });
  const end = ended(server);
  if (server.stdout) await passOn(server.stdout, (worker) => demo.defineCampaigns(worker));
  return end;
}

await command(main);
