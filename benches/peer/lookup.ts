// Finds the profiles of items: reads each key once, in bulk reads of a hundred keys, six at a time.

import type { Launch } from './request.js';

const BULK_KEYS = 100;
const AT_ONCE = 6;
const KEY_LIMIT = 1024;
const AMBIGUOUS = '*';

export interface Recipient {
  profile_id: string;
  custom_data?: unknown;
}
interface Reason {
  index: number;
  reason: string;
}
export interface Outcome {
  recipients: Recipient[];
  unmatched: Reason[];
  invalid: Reason[];
  duplicates: number[];
}

type Item = Record<string, unknown>;
/** A search of a matching mode: the key of an item, and the kinds of keys that match. */
interface Search {
  key: (item: Item) => string | Invalid;
  whose: ('profile' | 'subscription')[];
}
class Invalid {
  constructor(readonly reason: string) {}
}

export async function lookUp(request: Launch, kv: KVNamespace): Promise<Outcome> {
  const searches = searchesOf(request.matching, request.fieldName);
  const { items } = request;
  /** The result of each item: its profile, the reason why it is invalid, or the result of the last search. */
  const results = new Array<string | Invalid | undefined>(items.length);
  for (const { key, whose } of searches) {
    const open: number[] = [];
    const keys: string[] = [];
    for (let at = 0; at < items.length; at++) {
      const result = results[at];
      if (typeof result === 'string') continue;
      const own = keyOf(items[at], key);
      if (typeof own === 'string') {
        open.push(at);
        keys.push(own);
      } else if (!(result === undefined && at in results)) {
        results[at] = own;
      }
    }
    const found = await readAll(kv, keys);
    open.forEach((at, position) => {
      results[at] = choose(found.get(keys[position]!), whose);
    });
  }
  return gather(items, results);
}

/** Returns the key of an item, if the item and its custom_data are objects. */
function keyOf(item: unknown, key: Search['key']): string | Invalid {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return new Invalid('malformed');
  const own = (item as Item)['custom_data'];
  if (own !== undefined && own !== null && typeof own !== 'object') return new Invalid('wrong_type');
  return key(item as Item);
}

/** A value contains the ID of the profile and, after a comma, the ID of the profile with a subscription of that address. */
function choose(value: string | null | undefined, whose: Search['whose']): string | undefined {
  if (value === null || value === undefined) return undefined;
  const comma = value.indexOf(',');
  const profile = comma < 0 ? value : value.slice(0, comma);
  const subscription = comma < 0 ? '' : value.slice(comma + 1);
  for (const one of whose) {
    const id = one === 'profile' ? profile : subscription;
    if (id) return id;
  }
  return undefined;
}

function gather(items: unknown[], results: (string | Invalid | undefined)[]): Outcome {
  const outcome: Outcome = { recipients: [], unmatched: [], invalid: [], duplicates: [] };
  const seen = new Set<string>();
  for (let index = 0; index < items.length; index++) {
    const result = results[index];
    if (result === undefined) outcome.unmatched.push({ index, reason: 'not_found' });
    else if (result instanceof Invalid) outcome.invalid.push({ index, reason: result.reason });
    else if (result === AMBIGUOUS) outcome.unmatched.push({ index, reason: 'ambiguous' });
    else if (seen.has(result)) outcome.duplicates.push(index);
    else {
      seen.add(result);
      const { custom_data } = items[index] as Item;
      outcome.recipients.push(custom_data ? { profile_id: result, custom_data } : { profile_id: result });
    }
  }
  return outcome;
}

async function readAll(kv: KVNamespace, keys: string[]): Promise<Map<string, string | null>> {
  const distinct = [...new Set(keys)];
  const found = new Map<string, string | null>();
  let next = 0;
  const work = async () => {
    while (next < distinct.length) {
      const some = distinct.slice(next, (next += BULK_KEYS));
      for (const [key, value] of await kv.get(some)) found.set(key, value);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return found;
}

function searchesOf(matching: string, fieldName: string | null): Search[] {
  const email = text('email', 'email:', (value) => value.trim().toLowerCase());
  const phone = text('phone', 'phone:', (value) => value.replace(/[\s\-.()]/g, '').replace(/^\+/, ''));
  const own = (prefix: string) => text('field_value', `${prefix}:${fieldName}:`, (value) => value);
  switch (matching) {
    case 'email':
      return [{ key: email, whose: ['profile', 'subscription'] }];
    case 'email_profile':
      return [{ key: email, whose: ['profile'] }];
    case 'email_sub':
      return [{ key: email, whose: ['subscription'] }];
    case 'phone':
      return [{ key: phone, whose: ['profile', 'subscription'] }];
    case 'phone_sub':
      return [{ key: phone, whose: ['subscription'] }];
    case 'profile_id':
      return [{ key: text('profile_id', 'profile_id:', (value) => value.toLowerCase()), whose: ['profile'] }];
    case 'push_sub':
      return [{ key: push, whose: ['subscription'] }];
    case 'custom':
      return [{ key: own('custom'), whose: ['profile'] }];
    case 'custom_sub':
      return [{ key: own('custom_sub'), whose: ['subscription'] }];
    case 'email_phone':
    case 'email_phone_sub': {
      const whose: Search['whose'] = matching === 'email_phone' ? ['profile'] : ['subscription'];
      return [
        { key: email, whose },
        { key: phone, whose },
      ];
    }
    default:
      return [];
  }
}

/** Creates a search whose key is the text of a field. */
function text(field: string, prefix: string, normalise: (value: string) => string): Search['key'] {
  return (item) => {
    const value = item[field];
    if (value === undefined || value === null) return new Invalid('missing_field');
    const integer = typeof value === 'number' && Number.isSafeInteger(value);
    if (typeof value !== 'string' && !integer) return new Invalid('wrong_type');
    const normal = normalise(String(value));
    // A UTF-16 unit is at most three bytes. The bytes are counted only if the text can be too long.
    if (normal.length * 3 > KEY_LIMIT && new TextEncoder().encode(normal).length > KEY_LIMIT)
      return new Invalid('too_long');
    return normal === '' ? new Invalid('malformed') : prefix + normal;
  };
}

function push(item: Item): string | Invalid {
  const { provider, subscription_id } = item;
  if (provider === undefined || subscription_id === undefined) return new Invalid('missing_field');
  if (typeof provider !== 'string' || typeof subscription_id !== 'string') return new Invalid('wrong_type');
  return `push:${provider}:${subscription_id}`;
}
