// `npm run cost`: what a launch is billed, by the price list below: docs/explanation/cost.md. The formulas follow
// from the design; the limits are those of the Rust code.

import { adminConstants } from '../scripts/admin.mjs';
import { command, inRoot, say } from '../scripts/run.mjs';
import { fill, table } from './report.mjs';

/** US dollars a unit beyond what the plan includes, Workers Paid, as published; read on 2026-11-23. */
const PRICES = {
  'Worker request': { price: 0.3e-6, source: 'https://developers.cloudflare.com/workers/platform/pricing/' },
  'CPU millisecond': { price: 0.02e-6, source: 'https://developers.cloudflare.com/workers/platform/pricing/' },
  'KV key read': { price: 0.5e-6, source: 'https://developers.cloudflare.com/kv/platform/pricing/' },
  'KV key written': { price: 5e-6, source: 'https://developers.cloudflare.com/kv/platform/pricing/' },
  'object request': { price: 0.15e-6, source: 'https://developers.cloudflare.com/durable-objects/platform/pricing/' },
  'object GB-second': { price: 12.5e-6, source: 'https://developers.cloudflare.com/durable-objects/platform/pricing/' },
  'row written': { price: 1e-6, source: 'https://developers.cloudflare.com/durable-objects/platform/pricing/' },
  'R2 class A operation': { price: 4.5e-6, source: 'https://developers.cloudflare.com/r2/pricing/' },
};
/** @typedef {keyof typeof PRICES} Unit */
/** @typedef {Partial<Record<Unit, number>>} Bill */

/** Assumptions where the local runtime cannot tell. */
const ASSUMED = {
  /** Milliseconds of CPU: of any request, an item, a bulk read. Upper bounds from local runs. */
  ours: { request: 1, item: 0.001, read: 0.5 },
  peer: { request: 1, item: 0.003, read: 0.05 },
  /** Seconds for which an object is awake for a launch (it is billed for at least as long as it runs). */
  awake: 0.05,
  /** GB that an awake object is billed for. */
  memory: 0.128,
};

const RECIPIENTS = [1, 1_000, 300_000];
const PROFILES = [1e6, 1e7, 1e8];
/** Bytes of a recipient in a launch: the id, and what became of the item. */
const STORED = 13;
const PEER_RECIPIENTS_A_ROW = 30_000;
/** A body above this asks the object before it commits; a short item is about so long. */
const ITEM_BYTES = 26;

const CONSTANTS = await adminConstants();

/** @param {string} name @returns {number} */
function constant(name) {
  const value = CONSTANTS[name];
  if (value === undefined) throw new Error(`\`admin constants\` does not print ${name}`);
  return value;
}

const KEYS_A_BULK_READ = constant('bulkKeys');
const LIMITS = {
  bucketTarget: constant('bucketTarget'),
  bucketLimit: constant('bucketLimit'),
  readsLimit: constant('bulkReadsLimit'),
  entry: constant('entry'),
  chunk: constant('chunk'),
  inline: constant('inline'),
  preflight: constant('preflightFrom'),
  part: constant('part'),
};

/** Most buckets of a class: the modes `email_phone*` read two of them, the others one. */
const MOST_BUCKETS = LIMITS.readsLimit * KEYS_A_BULK_READ;
/** Most e-mail addresses of one database: the importer leaves a tenth of a bucket for the hash to spread. */
const MOST_EMAILS = ((MOST_BUCKETS / 2) * (LIMITS.bucketLimit - Math.floor(LIMITS.bucketLimit / 10))) / LIMITS.entry;

/** Number of buckets of a class for a number of keys, as the importer chooses it. @param {number} keys @param {number} [most] */
const buckets = (keys, most = MOST_BUCKETS / 2) =>
  Math.min(most, Math.max(1, Math.ceil((keys * LIMITS.entry) / LIMITS.bucketTarget)));

/** Number of databases that a number of profiles needs. @param {number} profiles */
const databases = (profiles) => Math.ceil(profiles / MOST_EMAILS);

/** How many of `count` buckets `items` keys fall into, on average. @param {number} items @param {number} count */
const touched = (items, count) => Math.round(count * -Math.expm1(items * Math.log1p(-1 / count)));

/** @param {number} recipients @param {number} profiles @returns {Bill & { operations: number }} */
function ours(recipients, profiles) {
  const parts = Math.min(recipients, databases(profiles));
  if (parts > 1) {
    // Each database has a campaign of its own, and is launched by itself.
    const part = ours(recipients / parts, profiles / parts);
    return {
      .../** @type {typeof part} */ (
        Object.fromEntries(Object.entries(part).map(([unit, count]) => [unit, count * parts]))
      ),
      operations: part.operations,
    };
  }
  const keys = touched(recipients, buckets(profiles / databases(profiles)));
  const reads = Math.ceil(keys / KEYS_A_BULK_READ);
  const bytes = recipients * STORED;
  // Its row and its entry in the index; larger ones stand in pieces.
  const rows = 2 + (bytes > LIMITS.inline ? Math.ceil(bytes / LIMITS.chunk) : 0);
  const objectRequests = recipients * ITEM_BYTES > LIMITS.preflight ? 2 : 1;
  const { request, item, read } = ASSUMED.ours;
  return {
    'Worker request': 1,
    'CPU millisecond': request + recipients * item + reads * read,
    // The token, the campaign and the manifest are read as well.
    'KV key read': keys + 3,
    'object request': objectRequests,
    'object GB-second': objectRequests * ASSUMED.awake * ASSUMED.memory,
    // Retention removes what was written, which counts as writing.
    'row written': 2 * rows,
    operations: reads + 3 + objectRequests,
  };
}

/** @param {number} recipients @returns {Bill & { operations: number }} */
function peer(recipients) {
  const reads = Math.ceil(recipients / KEYS_A_BULK_READ);
  const rows = 1 + Math.ceil(recipients / PEER_RECIPIENTS_A_ROW);
  const { request, item, read } = ASSUMED.peer;
  return {
    'Worker request': 1,
    'CPU millisecond': request + recipients * item + reads * read,
    'KV key read': recipients + 2,
    'object request': 1,
    'object GB-second': ASSUMED.awake * ASSUMED.memory,
    'row written': 2 * rows,
    operations: reads + 2,
  };
}

/** @param {Bill} bill */
function price(bill) {
  const units = /** @type {Unit[]} */ (Object.keys(PRICES));
  return units.reduce((sum, unit) => sum + (bill[unit] ?? 0) * PRICES[unit].price, 0);
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const dollars = (/** @type {number} */ value) =>
  `$${Number(value.toPrecision(2)).toLocaleString('en', { maximumFractionDigits: 9 })}`;

/** @param {number} profiles */
const inDatabases = (profiles) =>
  `${profiles / 1e6} M${databases(profiles) > 1 ? ` in ${databases(profiles)} databases` : ''}`;

function launchTable() {
  const rows = RECIPIENTS.flatMap((recipients) => {
    const line = (
      /** @type {string} */ who,
      /** @type {string} */ profiles,
      /** @type {ReturnType<typeof ours>} */ bill,
    ) => [
      whole.format(recipients),
      who,
      profiles,
      whole.format(bill['KV key read'] ?? 0),
      whole.format(bill['object request'] ?? 0),
      whole.format(bill['row written'] ?? 0),
      whole.format(bill['CPU millisecond'] ?? 0),
      whole.format(bill.operations),
      `**${dollars(1000 * price(bill))}**`,
    ];
    return [
      ...PROFILES.map((profiles) => line('ours', inDatabases(profiles), ours(recipients, profiles))),
      line('peer', 'any', peer(recipients)),
    ];
  });
  const head = [
    'recipients',
    'Worker',
    'profiles',
    'KV keys',
    'object requests',
    'rows',
    'CPU ms',
    'operations',
    'US$ for 1,000 launches',
  ];
  return table(head, rows);
}

function importTable() {
  const rows = PROFILES.map((profiles) => {
    const parts = databases(profiles);
    const [emails, ids] = [buckets(profiles / parts), buckets(profiles / parts, MOST_BUCKETS)].map(
      (count) => count * parts,
    );
    const size = Math.round((profiles * LIMITS.entry) / (emails ?? 1));
    // Written now, deleted when the generation is two behind: both are billed alike.
    const keys = 2 * ((emails ?? 0) + (ids ?? 0));
    const [own, others] = [keys, profiles].map((count) => dollars(count * PRICES['KV key written'].price));
    const even = `${Number(((100 * keys) / profiles).toPrecision(2))} %`;
    return [
      inDatabases(profiles),
      whole.format(emails ?? 0),
      whole.format(ids ?? 0),
      `${whole.format(size)} bytes`,
      own,
      others,
      even,
    ];
  });
  const head = [
    'profiles',
    'buckets: e-mail',
    'profile id',
    'bytes of one (e-mail)',
    'ours',
    'peer, all',
    'peer is cheaper below',
  ];
  return table(
    head,
    rows.map((row) => row.map(String)),
  );
}

function attachmentTable() {
  const rows = [1, 5, 70].map((size) => {
    // Begun, sent in parts, completed.
    const own = 2 + Math.ceil((size * 2 ** 20) / LIMITS.part);
    return [`${size} MiB`, own, 1].map(String).concat(dollars(1000 * own * PRICES['R2 class A operation'].price));
  });
  return table(['an attachment of', 'class A operations, ours', 'peer', 'ours, US$ for 1,000'], rows);
}

function priceTable() {
  const rows = Object.entries(PRICES).map(([unit, { price, source }]) => [
    unit,
    `$${Number((price * 1e6).toPrecision(3))}`,
    `<${source}>`,
  ]);
  return table(['unit', 'US$ a million', 'source'], rows);
}

function limitTable() {
  const full = LIMITS.bucketLimit - Math.floor(LIMITS.bucketLimit / 10);
  const most = MOST_BUCKETS / 2;
  const millions = (/** @type {number} */ value) => `${(value / 1e6).toFixed(1)} million`;
  return table(
    ['what', 'where it ends', 'it follows from'],
    [
      [
        'e-mail addresses (or phones) of one database',
        millions(MOST_EMAILS),
        `${whole.format(most)} buckets of at most ${whole.format(full)} bytes, ${LIMITS.entry} bytes a key`,
      ],
      ['keys of any other class', millions(2 * MOST_EMAILS), `${whole.format(2 * most)} buckets`],
      [
        'buckets stop multiplying and grow',
        millions((most * LIMITS.bucketTarget) / LIMITS.entry),
        `${whole.format(LIMITS.bucketTarget)} bytes a bucket until then`,
      ],
      [
        'bulk reads of one launch',
        whole.format(LIMITS.readsLimit),
        "twice that, for the import before, fits the platform's 1,000 operations a request",
      ],
      ['items of one launch', 'the body', `\`ITEMS_LIMIT\`, \`BODY_LIMIT\``],
    ],
  );
}

async function main() {
  const page = inRoot('docs', 'explanation', 'cost.md');
  await fill(page, {
    prices: priceTable(),
    launches: launchTable(),
    imports: importTable(),
    attachments: attachmentTable(),
    limits: limitTable(),
  });
  say('written: docs/explanation/cost.md');
}

await command(main);
