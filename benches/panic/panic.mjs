// `npm run bench:panic`: what a panic does, to whom, and how long it takes: as this project is built (a panic aborts) and
// as `worker-build --panic-unwind` builds (nightly Rust, which compiles the standard library anew). The Worker beside this
// file panics where it is told to; trigger-launch itself has no way to.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { createTestHarness } from 'wrangler';
import { childEnv, command, inRoot, run, timed } from '../../scripts/run.mjs';
import { installPackages, installPrograms, installToolchain, workerBuild } from '../../scripts/tools.mjs';

const HERE = inRoot('benches', 'panic');
/** Requests that wait for the rest of their bodies, and requests to an object, while another one panics. */
const OTHERS = 8;

/** Who panics waits no longer, in milliseconds; the others wait for that, and as long again. */
const LONGEST = 30_000;

/** @typedef {{ status: number | string, ms: number, text: string }} Answer */

/** A request whose body ends when `rest` does. @param {URL} url @param {Promise<void>} [rest] @returns {Promise<Answer>} */
function ask(url, rest) {
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
    request.setTimeout(rest ? 2 * LONGEST : LONGEST, () => {
      end('no answer so far');
      request.destroy();
    });
    if (!rest) return void request.end();
    request.write('first');
    void rest.then(() => request.end('last'));
  });
}

/** How often each. @param {Answer[]} answers */
function summary(answers) {
  const statuses = answers.map(({ status }) => status);
  const counts = [...new Set(statuses)].map((one) => `${statuses.filter((status) => status === one).length} × ${one}`);
  const ms = answers.map((answer) => answer.ms);
  const range = [...new Set([Math.min(...ms), Math.max(...ms)])].join('–');
  return `${counts.join(', ')} (${range} ms)`;
}

/** @param {string} variant */
async function measure(variant) {
  Object.assign(process.env, childEnv());
  const harness = createTestHarness({ workers: [{ configPath: path.join(HERE, `${variant}.toml`) }] });
  const { url } = await harness.listen();
  const to = (/** @type {string} */ target) => new URL(target, url);
  /** @type {Record<string, string>} */
  const row = {};
  for (const target of ['/panic', '/panic-later', '/object/panic', '/object/panic-later']) {
    /** @type {() => void} */
    let release = () => {};
    const released = new Promise((/** @type {(value: void) => void} */ resolve) => (release = resolve));
    const seen = async () => Number((await ask(to('/seen'))).text);
    const before = await seen();
    const others = Array.from({ length: OTHERS }, () => ask(to('/hold'), released));
    while ((await seen()) < before + OTHERS);
    const panicking = ask(to(target));
    const own = await panicking;
    const next = await ask(to('/seen'));
    release();
    const held = await Promise.all(others);
    row[`${target}: its caller`] = summary([own]);
    row[`${target}: ${OTHERS} requests under way`] = summary(held);
    row[`${target}: the next request`] =
      `${summary([next])}, ${Number(next.text) < before + OTHERS ? 'a new instance' : 'the same instance'}`;
    row[`${target}: the object afterwards`] = summary([await ask(to('/object/well'))]);
  }
  await harness.close();
  return row;
}

await command(async () => {
  await installToolchain();
  await Promise.all([installPackages(), installPrograms()]);
  const { program, env } = workerBuild();
  /** @type {Record<string, Record<string, string>>} */
  const rows = {};
  for (const variant of ['abort', 'unwind']) {
    const options = [
      '--release',
      '-d',
      `../../target/panic/${variant}`,
      ...(variant === 'unwind' ? ['--panic-unwind'] : []),
      HERE,
    ];
    const own = { ...env, CARGO_TARGET_DIR: inRoot('target', 'panic') };
    await timed(`building the Worker that panics: ${variant}`, () => run(program, options, { env: own, quiet: true }));
    const wasm = readFileSync(inRoot('target', 'panic', variant, 'index_bg.wasm'));
    const size = `${(wasm.length / 1024).toFixed(0)} KiB, ${(gzipSync(wasm).length / 1024).toFixed(0)} KiB compressed`;
    rows[variant] = { size, ...(await measure(variant)) };
  }
  console.table(
    Object.fromEntries(
      Object.keys(rows.abort ?? {}).map((what) => [what, { abort: rows.abort?.[what], unwind: rows.unwind?.[what] }]),
    ),
  );
});
