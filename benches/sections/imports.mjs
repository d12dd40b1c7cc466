// A native import of a million rows, without KV, compared with reading the same rows with the `csv` crate.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { childEnv, inRoot, run } from '../../scripts/run.mjs';

const CRATE = inRoot('benches', 'native', 'Cargo.toml');
const PROGRAM = inRoot('target', 'release', 'import');

/** @param {import('../main.mjs').Options} options */
export async function imports({ quick, say, watch }) {
  const build = ['build', '--release', '--locked', '--manifest-path', CRATE, '--bin', 'import'];
  await run('cargo', [...build, '--target-dir', inRoot('target')], { quiet: true });
  const rows = quick ? 100_000 : 1_000_000;
  await watch();
  const { stdout } = await promisify(execFile)(PROGRAM, [String(rows)], { env: childEnv() });
  const [csv, own] = ['csv', 'import'].map((method) => {
    const [, ms, cpu, memory] = new RegExp(`^${method} +(\\S+) ms +(\\S+) ms CPU +(\\S+) MiB`, 'm').exec(stdout) ?? [];
    return { ms: Number(ms), cpu: Number(cpu), memory: Number(memory) };
  });
  if (!csv || !own) throw new Error(`no result: ${stdout}`);
  say(`import of ${rows} rows: ${own.ms} ms, ${own.cpu} ms of CPU, ${own.memory} MiB; csv alone: ${csv.ms} ms`);
  return { rows, csv, own };
}
