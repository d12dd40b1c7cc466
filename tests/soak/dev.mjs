// Starts `npm run dev` on a free port, with its own state.

import net from 'node:net';
import { createInterface } from 'node:readline';
import { ended, Failure, start } from '../../scripts/run.mjs';

/** `Ready on` is printed within this time, the first build included. */
const READY_MS = 15 * 60_000;

/** Returns a free port. @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** A running `npm run dev`. @typedef {{ url: URL, stop: () => Promise<void> }} Dev */

/** @param {string} state the folder of its state @param {Record<string, string>} [vars] @returns {Promise<Dev>} */
export async function startDev(state, vars = {}) {
  const port = String(await freePort());
  const own = Object.entries(vars).flatMap(([name, value]) => ['--var', `${name}:${value}`]);
  const args = ['run', '--silent', 'dev', '--', '--ip', '127.0.0.1', '--port', port, '--persist-to', state, ...own];
  const child = start('npm', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const end = ended(child);
  /** @type {string[]} */
  const printed = [];
  const stop = async () => {
    child.kill('SIGTERM');
    await end;
  };
  const url = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      void stop();
      reject(new Failure('npm run dev was not ready in time'));
    }, READY_MS);
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      // The output is read to its end, so that the program never waits for a reader.
      createInterface({ input: stream }).on('line', (line) => {
        printed.push(line);
        if (printed.length > 50) printed.shift();
        const address = /Ready on (http:\/\/\S+)/.exec(line)?.[1];
        if (!address) return;
        clearTimeout(timer);
        resolve(new URL(address));
      });
    }
    end.then((code) => {
      clearTimeout(timer);
      reject(new Failure(`npm run dev ended with exit code ${code}:\n${printed.join('\n')}`));
    }, reject);
  });
  return { url, stop };
}
