// Writes the tables and plots of docs/explanation/performance.md from benches/results/latest.json.

import { readFileSync, writeFileSync } from 'node:fs';
import prettier from 'prettier';
import { inRoot, say } from '../scripts/run.mjs';
import { ratios, scaling } from './plots.mjs';
import { earlierFigures } from './results.mjs';
import { DRIFT_LIMIT, P99_RUNS, SPREAD_LIMIT } from './statistics.mjs';

const FOLDER = ['docs', 'explanation'];
const PAGE = inRoot(...FOLDER, 'performance.md');

/** @param {any} results */
export async function report(results) {
  const { launches, index, rate, attachments, delivery, addresses, live, imports, vectors } = results.sections;
  await fill(PAGE, {
    run: run(results),
    floor: floorLine(results.floor),
    metrics: metrics(results.metrics, earlierFigures()),
    launches: launchTable(launches.cases),
    index: indexTable(index),
    rate: rateTable(rate),
    attachments: attachmentTable(attachments),
    ...(delivery ? { delivery: deliveryTable(delivery) } : {}),
    ...(addresses ? { addresses: addressTable(addresses) } : {}),
    ...(live ? { live: liveTable(live) } : {}),
    ...(imports ? { imports: importTable(imports) } : {}),
    vectors: vectorList(vectors),
  });
  writeFileSync(inRoot(...FOLDER, 'bench-ratios.svg'), ratios(launches.cases));
  writeFileSync(inRoot(...FOLDER, 'bench-scaling.svg'), scaling(launches.cases));
  say(`written: performance.md, bench-ratios.svg and bench-scaling.svg in ${FOLDER.join('/')}`);
}

/** Replaces the text between the markers `<!-- NAME -->` and `<!-- /NAME -->` of a page, and formats the page. @param {string} file @param {Record<string, string>} texts */
export async function fill(file, texts) {
  let page = readFileSync(file, 'utf8');
  for (const [name, text] of Object.entries(texts)) {
    const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [from, to] = [page.indexOf(begin), page.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`${file} has no markers ${begin} and ${end}`);
    page = `${page.slice(0, from + begin.length)}\n${text}\n${page.slice(to)}`;
  }
  const options = await prettier.resolveConfig(file);
  writeFileSync(file, await prettier.format(page, { ...options, filepath: file }));
}

/** A table of Markdown. @param {string[]} head @param {(string | number)[][]} rows */
export function table(head, rows) {
  const line = (/** @type {(string | number)[]} */ cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat('en');
/** @param {number} ms */
export const duration = (ms) => (ms >= 1000 ? `${number.format(ms / 1000)} s` : `${number.format(ms)} ms`);
const mebibytes = (/** @type {number} */ bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Describes a run in one line. @param {any} results */
export function run({ date, commit, changed, machine, quick }) {
  const { cpu, cores, memory, node, ...packages } = machine;
  const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`);
  const source = `commit \`${commit}\`${changed ? ' with changes' : ''}`;
  const kind = quick ? 'A quick run, of few repetitions,' : 'Run';
  return `${kind} on ${date}, ${source}: ${cores} cores (${cpu}), ${memory}, Node.js ${node}, ${versions.join(', ')}.`;
}

/** @param {number} share */
const percent = (share) => `${number.format(share * 100)} %`;

/** Describes how much the floor varied during a run. Runs before this criterion have no record of it. @param {ReturnType<typeof import('./statistics.mjs').floorVariation> | undefined} floor */
function floorLine(floor) {
  const limits = `${percent(SPREAD_LIMIT)} and ${percent(DRIFT_LIMIT)}`;
  if (!floor) return `The limits are ${limits}. This run did not measure them.`;
  const { median, lowest, highest, blocks, spread, drift } = floor;
  return (
    `In this run the floor had ${blocks} blocks of ${duration(lowest)} to ${duration(highest)}, with a median of ${duration(median)}. ` +
    `The interquartile range was ${percent(spread)}, the drift ${percent(drift)}; the limits are ${limits}.`
  );
}

/** @param {Record<string, import('./figures.mjs').Metric>} all @param {Record<string, import('./figures.mjs').Metric> | undefined} before the figures of the run before */
function metrics(all, before) {
  const shown = (/** @type {import('./figures.mjs').Metric | undefined} */ metric) =>
    metric ? `${number.format(metric.value)}${metric.unit === 'ratio' ? '' : ` ${metric.unit}`}` : '';
  const rows = Object.entries(all).map(([name, metric]) => {
    const { expected, holds } = metric;
    return [`\`${name}\``, shown(before?.[name]), shown(metric), expected, holds ? 'yes' : '**no**'];
  });
  return table(['figure', 'run before', 'value', 'expected', 'holds'], rows);
}

/** @param {any[]} cases */
function launchTable(cases) {
  const rows = cases.map(({ format, kind, items, runs, median, p99 }) => {
    const tail = runs >= P99_RUNS ? number.format(p99.peer / p99.ours) : '';
    const phases = `${median.parse} / ${median.match} / ${median.commit}`;
    const times = [median.floor, median.bare, median.peer, median.remembering, median.ours];
    return [
      whole.format(items),
      format.toUpperCase(),
      kind,
      ...times.map((ms) => (ms ? duration(ms) : '')),
      `**${number.format(median.peer / median.ours)}**`,
      tail,
      duration(median.cold),
      phases,
      runs,
    ];
  });
  const head = [
    'items',
    'format',
    'profiles',
    'floor',
    'bare insert',
    'peer',
    'remembering peer',
    'ours',
    'peer / ours',
    'at p99',
    'ours, nothing kept',
    'ours: parse / match / commit ms',
    'runs',
  ];
  return table(head, rows);
}

/** @param {any} index */
function indexTable({ cases, memory, stored }) {
  const rows = cases.map((/** @type {any} */ { format, kind, items, runs, median, reads, keys }) => {
    const each = `${number.format((median * 1000) / items)} µs`;
    return [whole.format(items), format.toUpperCase(), kind, duration(median), each, reads, whole.format(keys), runs];
  });
  const head = ['items', 'format', 'profiles', 'time', 'time an item', 'KV operations', 'keys', 'runs'];
  const bytes = number.format(stored.bytes / stored.recipients);
  const note =
    `Linear memory after all of these: ${mebibytes(memory)}. An object with one launch of ${whole.format(stored.recipients)} ` +
    `recipients is ${whole.format(stored.bytes)} bytes, all its tables included: ${bytes} a recipient.`;
  return `${table(head, rows)}\n\n${note}`;
}

/** @param {any} rate */
function rateTable({ connections, seconds, cases }) {
  const bare = (/** @type {string} */ to) =>
    cases.find((/** @type {any} */ one) => one.who === 'bare' && one.to === to).perSecond;
  const rows = cases.map((/** @type {any} */ { who, to, perSecond, p50, p99, runs }) => {
    const share = number.format(perSecond / bare(to));
    return [
      to === 'one' ? 'one campaign' : 'many campaigns',
      NAMES[who] ?? who,
      whole.format(Math.round(perSecond)),
      share,
      duration(p50),
      p99 ? duration(p99) : '',
      runs,
    ];
  });
  const head = [
    `${connections} connections to`,
    'Worker',
    'a second',
    'of the bare insert',
    'median',
    'p99',
    `runs of ${seconds} s`,
  ];
  return table(head, rows);
}

/** @type {Record<string, string>} */
const NAMES = { bare: 'bare insert', peer: 'peer', ours: 'ours' };

/** @param {any} attachments */
function attachmentTable({ cases, runs, withBucket, runsWithBucket, memory }) {
  const of = (/** @type {any} */ { files, format }) => [files, format.toUpperCase()];
  const ratio = (/** @type {number} */ one, /** @type {number} */ other) => (one > 0 ? number.format(one / other) : '');
  const alone = cases.map((/** @type {any} */ one) => [
    ...of(one),
    ...[one.floor, one.ours].map(duration),
    one.peer > 0 ? duration(one.peer) : '',
    `**${ratio(one.ours, one.floor)}**`,
    ratio(one.peer, one.ours),
    runs,
  ]);
  const stored = withBucket.map((/** @type {any} */ one) => [
    ...of(one),
    ...[one.ours, one.peer].map(duration),
    ratio(one.peer, one.ours),
    runsWithBucket,
  ]);
  const [files, peer] = [['attachments', 'format'], '`request.json()`'];
  return [
    table([...files, 'floor', 'ours', peer, 'ours / floor', `${peer} / ours`, 'runs'], alone),
    'With the local bucket:',
    table([...files, 'ours', peer, `${peer} / ours`, 'runs'], stored),
    `Linear memory: ${mebibytes(memory.one)} after one at a time, ${mebibytes(memory.several)} after ${memory.atOnce} at once.`,
  ].join('\n\n');
}

/** @param {Awaited<ReturnType<typeof import('./sections/delivery.mjs').delivery>>} delivery */
export function deliveryTable({ slowMs, recipients, connections, first, rates, pages, hanging }) {
  const slow = `launches of one recipient a second, to a receiver that takes ${slowMs} ms`;
  return table(
    ['what', 'value', 'runs'],
    [
      ['`accepted_at` to the arrival of the message, median', duration(first.median), whole.format(first.runs)],
      ['the same, 99th percentile', duration(first.p99), whole.format(first.runs)],
      [`${slow}, \`strict\``, number.format(rates.strict), rates.runs],
      [`${slow}, \`relaxed\``, number.format(rates.relaxed), rates.runs],
      [
        `${whole.format(recipients)} recipients in ${pages.pages} pages, until the last page arrives`,
        duration(pages.ms),
        pages.runs,
      ],
      ['linear memory that this adds', mebibytes(pages.memory), 1],
      [
        `launches a second on ${connections} connections, while the receiver hangs`,
        number.format(hanging.hanging),
        hanging.runs,
      ],
      ['the same without a webhook', number.format(hanging.none), hanging.runs],
      ['ratio of both, median of the rounds', number.format(hanging.ratio), hanging.runs],
      ['linear memory that the hanging receiver adds', mebibytes(hanging.memory), 1],
    ],
  );
}

/** @param {Awaited<ReturnType<typeof import('./sections/addresses.mjs').addresses>>} addresses */
function addressTable({ items, cases }) {
  const ascii = cases[0]?.median ?? NaN;
  const rows = cases.map(({ kind, median, runs }) => [kind, duration(median), number.format(median / ascii), runs]);
  return table([`${whole.format(items)} addresses`, 'time', 'of ASCII', 'runs'], rows);
}

/** @param {Awaited<ReturnType<typeof import('./sections/live.mjs').live>>} live */
function liveTable({ campaigns, items, pending, rows, one, rate, changes, large }) {
  const seconds = `${changes.seconds} s, with ${changes.compactions} compactions`;
  return table(
    ['what', 'live', 'other', 'runs'],
    [
      ['a launch of one recipient', duration(one.live), duration(one.still), one.runs],
      [
        `a launch of ${whole.format(items)}, with ${whole.format(pending)} pending keys`,
        duration(large.live),
        duration(large.still),
        large.runs,
      ],
      [
        `launches of one a second, into ${campaigns} campaigns`,
        whole.format(rate.live),
        whole.format(rate.still),
        rate.runs,
      ],
      [`rows a second, in requests of ${whole.format(rows)}, for ${seconds}`, whole.format(changes.perSecond), '', 1],
      ['rows in the best second', whole.format(changes.burst), '', 1],
    ],
  );
}

/** @param {Awaited<ReturnType<typeof import('./sections/imports.mjs').imports>>} imports */
function importTable({ rows, csv, own }) {
  const line = (/** @type {string} */ what, /** @type {typeof csv} */ { ms, cpu, memory }) => [
    what,
    duration(ms),
    duration(cpu),
    `${memory} MiB`,
  ];
  return table(
    [`${whole.format(rows)} rows`, 'time', 'CPU time', 'memory'],
    [line('reading with `csv`', csv), line('import, without KV', own)],
  );
}

/** @param {any} vectors */
function vectorList({ passed, notAttempted }) {
  const not = Object.entries(notAttempted).map(([name, why]) => `It does not attempt \`${name}\`: ${why}.`);
  return [
    `It passes, in both formats: ${passed.map((/** @type {string} */ name) => `\`${name}\``).join(', ')}.`,
    ...not,
  ].join('\n');
}

export { number, whole };
