// The peer: a Worker with `hono`, `request.json()` or `fast-xml-parser`, a KV pair for each key of a profile, and a SQLite object.
// A request with `?remember` uses the records of tokens and campaigns that an earlier such request has read.

import { Hono, type Context } from 'hono';
import { attachments } from './attachments.js';
import type { Campaign } from './campaign.js';
import { lookUp } from './lookup.js';
import { remembered } from './memory.js';
import { matched, Problem, refusal, xml } from './reply.js';
import { read, type Launch } from './request.js';

export { Campaign } from './campaign.js';

interface Bindings {
  KV: KVNamespace;
  CAMPAIGNS: DurableObjectNamespace<Campaign>;
  ATTACHMENTS: R2Bucket;
}
type Call = Context<{ Bindings: Bindings }>;

const app = new Hono<{ Bindings: Bindings }>();
const TRIGGERS = '/api/v1.1/campaigns/triggers';
app.post(`${TRIGGERS}/start_batch`, (call) => launch(call, 'trigger_id'));
app.post(`${TRIGGERS}/start`, (call) => launch(call, 'id'));
app.notFound((call) => call.json({ error: 404, error_debug: 'no such path', error_text: 'Not found' }, 404));
app.onError((error, call) => {
  if (error instanceof Problem) return refusal(error, call.req.header('Accept') ?? '');
  console.error(error);
  return call.json({ error: 500, error_debug: '', error_text: 'Internal error' }, 500);
});

async function launch(call: Call, idField: 'id' | 'trigger_id'): Promise<Response> {
  const request = await read(call.req.raw, idField);
  try {
    return await run(request, call.env, call.req.query('remember') !== undefined);
  } catch (error) {
    if (error instanceof Problem) return refusal(error, request.format);
    throw error;
  }
}

async function run(request: Launch, env: Bindings, remembers: boolean): Promise<Response> {
  const granted = await authorise(request, env.KV, remembers);
  const outcome = await lookUp(request, env.KV);
  const { unmatched, invalid, recipients, duplicates } = outcome;
  if (request.strict && unmatched.length + invalid.length > 0) {
    const [first] = [...unmatched, ...invalid].sort((a, b) => a.index - b.index);
    const counted = `${unmatched.length} unmatched, ${invalid.length} invalid`;
    throw new Problem(400, `strict: ${counted}; the first is data[${first?.index}]: ${first?.reason}`);
  }
  const id = request.dryRun ? null : crypto.randomUUID();
  if (id !== null) {
    const record = {
      trigger_id: request.campaign,
      token_name: granted,
      matching: request.matching,
      recipients: recipients.length,
      unmatched: unmatched.length,
      invalid: invalid.length,
      duplicates: duplicates.length,
      skip_triggers: request.skipTriggers,
      content: request.content,
      custom_data: request.customData,
      attachments: await attachments(request.attach, id, env.ATTACHMENTS),
    };
    await env.CAMPAIGNS.getByName(`campaign:${request.campaign}`).launch(id, JSON.stringify(record), recipients);
  }
  const report = request.report ? { launch_id: id, matched: recipients.length, unmatched, invalid, duplicates } : null;
  const body = request.format === 'xml' ? xml(recipients, report) : matched(recipients, report);
  const type = request.format === 'xml' ? 'application/xml; charset=utf-8' : 'application/json';
  const headers = new Headers({ 'Content-Type': type, 'Launch-Matched': String(recipients.length) });
  if (id !== null) headers.set('Launch-ID', id);
  return new Response(body, { headers });
}

/** Returns the name of the token if it may launch to the campaign. Reads both records at the same time. */
async function authorise({ token, campaign }: Launch, kv: KVNamespace, remembers: boolean): Promise<string> {
  if (token === null) throw new Problem(401, 'no token');
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(token));
  const keys = [`token:${new Uint8Array(digest).toHex()}`, `campaign:${campaign}`] as const;
  type Entry = { name?: string; active?: boolean };
  const found = await (remembers ? remembered<Entry>(keys, kv) : kv.get<Entry>([...keys], 'json'));
  const name = found.get(keys[0])?.name;
  if (name === undefined) throw new Problem(401, 'unknown token');
  const record = found.get(keys[1]);
  if (!record) throw new Problem(404, 'no such campaign');
  if (!record.active) throw new Problem(409, 'paused');
  return name;
}

export default app;
