// `npm run bench:panic`: measures the effect of a panic on the request that panics, on the other requests of the isolate and
// on an object. The Worker in this folder panics on request and is built as trigger-launch is: a panic ends the wasm instance.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { createTestHarness } from 'wrangler';
import { bundle, compileToWasm } from '../../scripts/build.mjs';
import { childEnv, command, inRoot, timed } from '../../scripts/run.mjs';
import { buildBindgen, installPackages, installToolchain, WASM_TARGET } from '../../scripts/tools.mjs';

const HERE = inRoot('benches', 'panic');
const TARGET = inRoot('target', 'panic');
const OUT = path.join(TARGET, 'worker');
/** Requests that wait for the rest of their bodies while another one panics. */
const OTHERS = 8;

/** Time limit of a request without a body, in milliseconds. A request that waits for its body gets twice as long. */
const TIME_LIMIT = 30_000;

/** `status` is the error's message if there was no response. @typedef {{ status: number | string, ms: number, text: string }} Answer */

/** Sends a request. Its body, if it has one, ends when `rest` resolves. @param {URL} url @param {Promise<void>} [rest] @returns {Promise<Answer>} */
function send(url, rest) {
  const start = performance.now();
  return new Promise((resolve) => {
    const end = (/** @type {number | string} */ status, text = '') =>
      resolve({ status, ms: Math.round(performance.now() - start), text });
    const request = http.request(url, { method: rest ? 'POST' : 'GET', agent: false }, (response) => {
      let text = '';
      response.on('data', (piece) => (text += piece));
      response.on('error', (error) => end(error.message));
      response.on('end', () => end(response.statusCode ?? 0, text));
    });
    request.on('error', (error) => end(error.message));
    request.setTimeout(rest ? 2 * TIME_LIMIT : TIME_LIMIT, () => {
      end('no response');
      request.destroy();
    });
    if (!rest) return void request.end();
    request.write('first');
    void rest.then(() => request.end('last'));
  });
}

/** Each status with its count, and the range of durations. @param {Answer[]} answers */
function summary(answers) {
  const statuses = answers.map(({ status }) => status);
  const counts = [...new Set(statuses)].map((one) => `${statuses.filter((status) => status === one).length} × ${one}`);
  const ms = answers.map((answer) => answer.ms);
  const range = [...new Set([Math.min(...ms), Math.max(...ms)])].join('–');
  return `${counts.join(', ')} (${range} ms)`;
}

async function measure() {
  Object.assign(process.env, childEnv());
  const harness = createTestHarness({ workers: [{ configPath: path.join(HERE, 'wrangler.toml') }] });
  const { url } = await harness.listen();
  const to = (/** @type {string} */ target) => new URL(target, url);
  /** @type {Record<string, string>} */
  const row = {};
  for (const target of ['/panic', '/panic-later', '/object/panic', '/object/panic-later']) {
    /** @type {() => void} */
    let release = () => {};
    const released = new Promise((/** @type {(value: void) => void} */ resolve) => (release = resolve));
    const seen = async () => Number((await send(to('/seen'))).text);
    const before = await seen();
    const others = Array.from({ length: OTHERS }, () => send(to('/hold'), released));
    while ((await seen()) < before + OTHERS);
    const own = await send(to(target));
    const next = await send(to('/seen'));
    release();
    const instance = Number(next.text) < before + OTHERS ? 'a new instance' : 'the same instance';
    row[`${target}: the request`] = summary([own]);
    row[`${target}: ${OTHERS} requests in progress`] = summary(await Promise.all(others));
    row[`${target}: the next request`] = `${summary([next])}, ${instance}`;
    row[`${target}: the object afterwards`] = summary([await send(to('/object/well'))]);
  }
  await harness.close();
  return row;
}

await command(async () => {
  await installToolchain();
  await Promise.all([installPackages(), buildBindgen()]);
  await timed('building the Worker that panics', async () => {
    await compileToWasm(path.join(HERE, 'Cargo.toml'), TARGET);
    const wasm = path.join(TARGET, WASM_TARGET, 'release', 'panics.wasm');
    await bundle({ wasm, entry: path.join(HERE, 'entry.js'), out: OUT });
  });
  const wasm = readFileSync(path.join(OUT, 'index_bg.wasm'));
  const size = `${(wasm.length / 1024).toFixed(0)} KiB, ${(gzipSync(wasm).length / 1024).toFixed(0)} KiB compressed`;
  console.table({ size, ...(await measure()) });
});
