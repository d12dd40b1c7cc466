// Parses a request in JSON or XML.

import { XMLParser } from 'fast-xml-parser';
import { Problem } from './reply.js';

export interface Launch {
  token: string | null;
  format: 'json' | 'xml';
  campaign: number;
  matching: string;
  fieldName: string | null;
  skipTriggers: boolean;
  report: boolean;
  strict: boolean;
  dryRun: boolean;
  content: unknown;
  customData: unknown;
  attach: { name: string; data: string }[];
  items: unknown[];
}

type Fields = Record<string, unknown>;

const MATCHING = new Set(
  'email email_profile email_sub phone phone_sub profile_id push_sub custom custom_sub email_phone email_phone_sub'.split(
    ' ',
  ),
);

/** Values stay text, as in this API. Attributes are read because of `array='true'`. */
const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  ignoreDeclaration: true,
  ignorePiTags: true,
  htmlEntities: true,
});

export async function read(request: Request, idField: 'id' | 'trigger_id'): Promise<Launch> {
  const isXml = /\bxml\b/.test(request.headers.get('Content-Type') ?? '');
  const body = isXml ? fromXml(await request.text()) : await json(request);
  const campaign = Number(body[idField]);
  if (!Number.isSafeInteger(campaign) || campaign < 1) {
    throw new Problem(400, `${idField}: must be an integer from 1 to ${Number.MAX_SAFE_INTEGER}`);
  }
  const matching = body['matching'] ?? 'email';
  if (typeof matching !== 'string' || !MATCHING.has(matching)) throw new Problem(400, 'matching: unknown');
  const fieldName = body['field_name'] ?? null;
  if (matching.startsWith('custom') && typeof fieldName !== 'string') throw new Problem(400, 'field_name: missing');
  const items = idField === 'id' ? [body] : body['data'];
  if (!Array.isArray(items) || items.length === 0)
    throw new Problem(400, 'data: must be an array of at least one item');
  const single = idField === 'id';
  return {
    token: typeof body['token'] === 'string' ? body['token'] : bearer(request),
    format: body['format'] === 'xml' || (body['format'] === undefined && accepts(request)) ? 'xml' : 'json',
    campaign,
    matching,
    fieldName: fieldName as string | null,
    skipTriggers: isTrue(body['skip_triggers']),
    report: isTrue(body['report']),
    strict: isTrue(body['strict']),
    dryRun: isTrue(body['dry_run']),
    content: body['content'] ?? null,
    customData: body['custom_data'] ?? null,
    attach: (body['attach'] ?? []) as Launch['attach'],
    items: single ? [{ ...body, custom_data: undefined }] : items,
  };
}

async function json(request: Request): Promise<Fields> {
  try {
    return await request.json<Fields>();
  } catch {
    throw new Problem(400, 'malformed JSON');
  }
}

const isTrue = (value: unknown) => value === true || value === 'true' || value === '1' || value === 1;
const accepts = (request: Request) => /\bxml\b/.test(request.headers.get('Accept') ?? '');
const bearer = (request: Request) => request.headers.get('Authorization')?.replace(/^Bearer /i, '') ?? null;

/** Repeated elements become arrays. An empty element of an object field becomes an empty object. */
function fromXml(text: string): Fields {
  let body: Fields;
  try {
    ({ xml: body } = parser.parse(text, true) as { xml: Fields });
  } catch {
    throw new Problem(400, 'malformed XML');
  }
  for (const field of ['data', 'attach']) body[field] = body[field] === undefined ? undefined : list(body[field]);
  for (const field of ['content', 'custom_data']) {
    if (body[field] !== undefined) body[field] = body[field] === '' ? {} : value(body[field]);
  }
  const items = (body['data'] ?? []) as (Fields | string)[];
  for (let at = 0; at < items.length; at++) {
    const item = items[at];
    if (item === '') items[at] = {};
    else if (typeof item === 'object' && item['custom_data'] !== undefined) {
      item['custom_data'] = item['custom_data'] === '' ? {} : value(item['custom_data']);
    }
  }
  return body;
}

const list = (some: unknown): unknown[] => (Array.isArray(some) ? some : [some]);

/** Converts an element to its JSON value. */
function value(element: unknown): unknown {
  if (Array.isArray(element)) return element.map(value);
  if (typeof element !== 'object' || element === null) return element;
  const fields: Fields = {};
  for (const [name, own] of Object.entries(element)) {
    if (name.startsWith('@') || name === '#text') continue;
    const isArray = list(own).some((one) => (one as Fields | null)?.['@array'] === 'true');
    fields[name] = isArray ? list(own).map(value) : value(own);
  }
  if (Object.keys(fields).length === 0) return (element as Fields)['#text'] ?? '';
  return fields;
}
