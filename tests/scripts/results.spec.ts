// The published results of the benchmark: which runs are kept, and under which figures.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { figures } from '../../benches/figures.mjs';
import { earlierFigures, latest, publish } from '../../benches/results.mjs';

let folder: string;
beforeEach(() => void (folder = mkdtempSync(path.join(os.tmpdir(), 'results-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const run = (commit: string, value: number) => ({
  date: '2026-11-26',
  commit,
  metrics: { wasm_raw: { value, unit: 'KiB', expected: '≤ 560', holds: true } },
});

it('the first run is the latest one, and there is no earlier one', () => {
  publish(run('a', 1), folder);
  expect(latest(folder)).toEqual(run('a', 1));
  expect(earlierFigures(folder)).toBeUndefined();
});

it('earlier runs are kept in the order of time', () => {
  for (const [at, commit] of ['c', 'a', 'b'].entries()) publish(run(commit, at), folder);
  expect(latest(folder)).toEqual(run('b', 2));
  expect(readdirSync(path.join(folder, 'history')).sort()).toEqual(['2026-11-26-01-c.json', '2026-11-26-02-a.json']);
  expect(earlierFigures(folder)).toEqual(run('a', 1).metrics);
});

const launch = { kind: 'matched', format: 'json', bytes: 70 } as const;
const median = {
  floor: 2,
  routed: 2.9,
  bare: 2.5,
  peer: 6,
  remembering: 5,
  ours: 4,
  cold: 5,
  drain: 0,
  parse: 1,
  match: 0,
  commit: 1,
};

it('the figures of a launch of one item compare it with the peers and with a bare insert', () => {
  const p99 = { ...median, peer: 12, ours: 10 };
  const cases = [{ ...launch, items: 1, runs: 2_000, median, p99 }];
  expect(figures({ launches: { cases } })).toMatchObject({
    peer_over_ours_1_json_matched: { value: 1.5, expected: '≥ 1.4', holds: true },
    peer_over_ours_1_json_matched_p99: { value: 1.2, expected: '≥ 1.1', holds: true },
    remembering_peer_over_ours_1_json_matched: { value: 1.25, expected: '≥ 1', holds: true },
    ours_over_bare_insert_1: { value: 1.6, expected: '≤ 1.6', holds: true },
    router_ms: { value: 0.9, unit: 'ms', holds: true },
  });
});

it('a launch with too few runs has no figure at the 99th percentile', () => {
  const none = Object.fromEntries(Object.keys(median).map((name) => [name, null])) as Record<keyof typeof median, null>;
  const found = figures({ launches: { cases: [{ ...launch, items: 1, runs: 60, median, p99: none }] } });
  expect(Object.keys(found)).not.toContain('peer_over_ours_1_json_matched_p99');
});

it('the figures of the cold start and of the size have the limits of the documentation', () => {
  const parts = { health: 20, afterHealth: 16, warm: 4, other: 9 };
  const cold = { runs: 25, first: { ours: 36, peer: 24, floor: 7 }, parts };
  const sections = { cold, size: { raw: 600 * 1024, gzip: 200 * 1024 } };
  expect(figures(sections)).toMatchObject({
    cold_first_launch_over_peer: { value: 1.5, holds: true },
    wasm_raw: { value: 600, unit: 'KiB', expected: '≤ 560', holds: false },
    wasm_gzip: { value: 200, unit: 'KiB', expected: '≤ 230', holds: true },
  });
});
