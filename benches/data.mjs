// Profiles and bodies, generated from a seed, so that they are the same in every run.

import { createHash } from 'node:crypto';

/** The number of profiles of the comparison. In the largest launch each of them occurs three times. */
export const PROFILES = 100_000;
/** The number of profiles of the large index. */
export const MANY_PROFILES = 1_000_000;
/** The version of the seeded data. It must change if the data below changes. */
export const SEED = 'bench 1';

/** The address of a profile. All addresses are short and have the same length. @param {number} n */
export const address = (n) => `p${100_000 + n}@ex.io`;
/** An address of the same length without a profile. @param {number} n */
export const nobody = (n) => `q${100_000 + n}@ex.io`;
/** The ID of a profile, 24 hexadecimal digits. @param {number} n */
export const profileId = (n) => createHash('md5').update(`${SEED} ${n}`).digest('hex').slice(0, 24);

/** A pseudorandom generator (mulberry32). @param {number} seed @returns {() => number} returns numbers from 0 to below 1 */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `count` numbers below `of`, in no order; each once while there are as many. @param {number} count @param {number} of @param {number} seed */
export function draw(count, of, seed) {
  const next = random(seed);
  const numbers = Uint32Array.from({ length: Math.max(count, of) }, (_, n) => n % of);
  for (let at = 0; at < count; at++) {
    const other = at + Math.floor(next() * (numbers.length - at));
    [numbers[at], numbers[other]] = [numbers[other] ?? 0, numbers[at] ?? 0];
  }
  return [...numbers.subarray(0, count)];
}

/** @typedef {'json' | 'xml'} Format */
/** @typedef {'matched' | 'unmatched'} Kind */

/** The media type of a format. @param {Format} format */
export const mediaType = (format) => `application/${format}`;

/** A launch. @param {Format} format @param {Kind} kind @param {number} items @param {{ campaign: number, profiles?: number, seed?: number }} options */
export function launchBody(format, kind, items, { campaign, profiles = PROFILES, seed = 1 }) {
  const emails =
    kind === 'matched'
      ? draw(items, profiles, seed).map(address)
      : draw(items, Math.max(items, profiles), seed).map(nobody);
  if (format === 'json') {
    const data = emails.map((own) => `{"email":"${own}"}`).join(',');
    return Buffer.from(`{"trigger_id":${campaign},"matching":"email","data":[${data}]}`);
  }
  const data = emails.map((own) => `<data><email>${own}</email></data>`).join('');
  return Buffer.from(`<xml><trigger_id>${campaign}</trigger_id><matching>email</matching>${data}</xml>`);
}

/** A launch of one profile. @param {number} campaign @param {number} n */
export const singleBody = (campaign, n) =>
  Buffer.from(`{"id":${campaign},"matching":"email","email":"${address(n % PROFILES)}"}`);
