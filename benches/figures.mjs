// The figures of a run, each with its expected bound. A figure of several cases is that of the worst case.

import { significant } from './statistics.mjs';

/** @typedef {{ value: number, unit: string, expected: string, holds: boolean }} Metric */

/** The results of the sections that ran. @typedef {{ launches?: Awaited<ReturnType<typeof import('./sections/launches.mjs').launches>>, index?: Awaited<ReturnType<typeof import('./sections/index.mjs').index>>, rate?: Awaited<ReturnType<typeof import('./sections/rate.mjs').rate>>, attachments?: Awaited<ReturnType<typeof import('./sections/attachments.mjs').attachments>>, delivery?: Awaited<ReturnType<typeof import('./sections/delivery.mjs').delivery>>, addresses?: Awaited<ReturnType<typeof import('./sections/addresses.mjs').addresses>>, live?: Awaited<ReturnType<typeof import('./sections/live.mjs').live>>, imports?: Awaited<ReturnType<typeof import('./sections/imports.mjs').imports>>, stats?: Awaited<ReturnType<typeof import('./sections/stats.mjs').stats>>, size?: Awaited<ReturnType<typeof import('./sections/size.mjs').size>>, cold?: Awaited<ReturnType<typeof import('./sections/cold.mjs').cold>> }} Sections */

const MIB = 1024 * 1024;

/** @param {Sections} sections @returns {Record<string, Metric>} */
export function figures(sections) {
  /** @type {Record<string, Metric>} */
  const metrics = {};
  const note = (
    /** @type {string} */ name,
    /** @type {number} */ value,
    /** @type {'≥' | '≤' | '>'} */ relation,
    /** @type {number} */ bound,
    unit = 'ratio',
  ) => {
    const holds = relation === '≤' ? value <= bound : relation === '>' ? value > bound : value >= bound;
    metrics[name] = { value: significant(value, 3), unit, expected: `${relation} ${bound}`, holds };
  };
  if (sections.launches) launchFigures(sections.launches.cases, note);
  if (sections.index) indexFigures(sections, note);
  if (sections.rate) {
    const rate = (/** @type {string} */ who) =>
      sections.rate?.cases.find((one) => one.who === who && one.to === 'one')?.perSecond ?? NaN;
    note('rate_one_campaign_over_bare_insert', rate('ours') / rate('bare'), '≥', 0.65);
  }
  if (sections.cold) {
    const { ours, peer } = sections.cold.first;
    note('cold_first_launch_over_peer', ours / peer, '≤', 1.5);
  }
  if (sections.attachments) {
    const { cases, withBucket, memory } = sections.attachments;
    const beside = (/** @type {{ peer: number, ours: number }[]} */ cases) =>
      Math.min(...cases.filter(({ peer }) => peer > 0).map(({ peer, ours }) => peer / ours));
    note('attachments_linear_memory', memory.one / MIB, '≤', 24, 'MiB');
    note('attachments_linear_memory_growth', (memory.several - memory.one) / MIB / (memory.atOnce - 1), '≤', 16, 'MiB');
    note('attachments_ours_over_floor', Math.max(...cases.map(({ ours, floor }) => ours / floor)), '≤', 3);
    note('attachments_request_json_over_ours', beside(cases), '>', 1);
    note('attachments_request_json_over_ours_with_bucket', beside(withBucket), '>', 1);
  }
  if (sections.delivery) {
    const { first, rates, pages, hanging } = sections.delivery;
    note('delivery_first_attempt_median', first.median, '≤', 50, 'ms');
    note('delivery_first_attempt_p99', first.p99, '≤', 1000, 'ms');
    note('delivery_slow_receiver_strict', rates.strict, '≥', 15, 'launches a second');
    note('delivery_slow_receiver_relaxed', rates.relaxed, '≥', 45, 'launches a second');
    note('delivery_300_pages', pages.ms / 1000, '≤', 15, 's');
    note('delivery_300_pages_linear_memory_growth', pages.memory / MIB, '≤', 8, 'MiB');
    note('delivery_hanging_receiver_over_none', hanging.ratio, '≥', 0.9);
    note('delivery_hanging_receiver_linear_memory_growth', hanging.memory / MIB, '≤', 2, 'MiB');
  }
  if (sections.addresses) {
    const [ascii, ...others] = sections.addresses.cases.map((one) => one.median);
    note('launch_300k_other_addresses_over_ascii', Math.max(...others) / (ascii ?? NaN), '≤', 3);
  }
  if (sections.live) {
    const { one, large, changes } = sections.live;
    note('live_launch_of_one_over_other', one.live / one.still, '≤', 1.4);
    note('live_launch_300k_100k_pending_over_other', large.live / large.still, '≤', 1.3);
    note('live_rows_while_compacting', changes.perSecond, '≥', 10_000, 'rows a second');
    note('live_rows_in_the_best_second', changes.burst, '≥', 20_000, 'rows');
  }
  if (sections.imports) {
    const { csv, own } = sections.imports;
    note('import_over_csv', own.ms / csv.ms, '≤', 4);
  }
  if (sections.stats) {
    const { median, slowest } = sections.stats;
    note('stats_100k_launches', Math.max(median.hours, median.days), '≤', 50, 'ms');
    note('stats_100k_launches_slowest_launch_while_counting', slowest, '≤', 500, 'ms');
  }
  if (sections.size) {
    note('wasm_raw', sections.size.raw / 1024, '≤', 560, 'KiB');
    note('wasm_gzip', sections.size.gzip / 1024, '≤', 230, 'KiB');
  }
  return metrics;
}

/** @typedef {(name: string, value: number, relation: '≥' | '≤' | '>', bound: number, unit?: string) => void} Note */

/** How items are written in a figure's name. @param {number} items */
export const short = (items) => (items >= 1000 ? `${items / 1000}k` : String(items));

/** @param {NonNullable<Sections['launches']>['cases']} cases @param {Note} note */
function launchFigures(cases, note) {
  const expected = new Map([
    [300_000, 80],
    [30_000, 8],
    [1_000, 1.5],
    [1, 1.4],
  ]);
  for (const [items, bound] of expected) {
    for (const { format, kind, median, p99 } of cases.filter((one) => one.items === items)) {
      const name = `peer_over_ours_${short(items)}_${format}_${kind}`;
      note(name, median.peer / median.ours, '≥', bound);
      if (items === 1 && p99.peer && p99.ours) note(`${name}_p99`, p99.peer / p99.ours, '≥', 1.1);
    }
  }
  const single = cases.filter((one) => one.items === 1);
  for (const { format, kind, median } of single) {
    if (median.remembering) {
      note(`remembering_peer_over_ours_1_${format}_${kind}`, median.remembering / median.ours, '≥', 1);
    }
  }
  note(
    'ours_over_bare_insert_1',
    Math.max(...single.map(({ median }) => median.ours / (median.bare ?? NaN))),
    '≤',
    1.6,
  );
  const router = single.map(({ median }) => (median.routed ?? NaN) - median.floor);
  if (single.length > 0) note('router_ms', Math.max(...router), '≤', 1.5, 'ms');
  for (const [format, bound] of /** @type {const} */ ([
    ['json', 3],
    ['xml', 4],
  ])) {
    const largest = cases.filter((one) => one.items === 300_000 && one.format === format);
    if (largest.length === 0) continue;
    note(
      `read_frame_hash_over_floor_300k_${format}`,
      Math.max(...largest.map((one) => one.median.parse / one.median.floor)),
      '≤',
      bound,
    );
  }
}

/** @param {Sections} sections @param {Note} note */
function indexFigures({ index, launches }, note) {
  if (!index) return;
  const largest = index.cases.filter((one) => one.items === 300_000);
  note('kv_operations_300k_items_1m_profiles', Math.max(...largest.map((one) => one.reads)), '≤', 100, 'operations');
  note('linear_memory_300k_items_1m_profiles', index.memory / MIB, '≤', 40, 'MiB');
  note('stored_bytes_a_recipient', index.stored.bytes / index.stored.recipients, '≤', 13, 'bytes');
  /** @typedef {{ format: string, kind: string, items: number, median: number }} Timed */
  const growth = (/** @type {Timed[]} */ cases) =>
    cases.flatMap((one) => {
      const alike = (/** @type {Timed} */ other) =>
        other.items === 30_000 && other.format === one.format && other.kind === one.kind;
      const smaller = one.items === 300_000 ? cases.find(alike) : undefined;
      return smaller ? [one.median / one.items / (smaller.median / smaller.items)] : [];
    });
  const compared = launches?.cases.map((one) => ({ ...one, median: one.median.ours })) ?? [];
  note('time_an_item_300k_over_30k', Math.max(...growth(index.cases), ...growth(compared)), '≤', 1.2);
}
