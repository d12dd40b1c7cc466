// What is answered, in either format.

import type { Outcome, Recipient } from './lookup.js';

/** An error for the caller. */
export class Problem extends Error {
  constructor(
    readonly status: 400 | 401 | 404 | 409,
    readonly debug: string,
  ) {
    super(debug);
  }
}

const TEXT = { 400: 'Invalid request', 401: 'API token required', 404: 'Not found', 409: 'Campaign is not active' };
const SUCCESS = { error: 0, error_text: 'Successful operation' };

export interface Report extends Omit<Outcome, 'recipients'> {
  launch_id: string | null;
  matched: number;
}

export function matched(recipients: Recipient[], report: Report | null): string {
  const result = recipients.map(({ profile_id }) => ({ profile_id }));
  return JSON.stringify(report === null ? { ...SUCCESS, result } : { ...SUCCESS, result, report });
}

export function xml(recipients: Recipient[], report: Report | null): string {
  const result = recipients.map(({ profile_id }) => `<result><profile_id>${profile_id}</profile_id></result>`);
  const told = report === null ? '' : `<report>${reported(report)}</report>`;
  return `<xml><error>0</error><error_text>Successful operation</error_text>${result.join('')}${told}</xml>`;
}

function reported({ launch_id, matched, unmatched, invalid, duplicates }: Report): string {
  const reasons = (name: string, list: Report['unmatched']) =>
    list.map(({ index, reason }) => `<${name}><index>${index}</index><reason>${reason}</reason></${name}>`).join('');
  const id = launch_id === null ? '' : `<launch_id>${launch_id}</launch_id>`;
  const repeated = duplicates.map((index) => `<duplicates>${index}</duplicates>`).join('');
  return `${id}<matched>${matched}</matched>${reasons('unmatched', unmatched)}${reasons('invalid', invalid)}${repeated}`;
}

export function refusal({ status, debug }: Problem, format: string): Response {
  const text = TEXT[status];
  if (!/\bxml\b/.test(format))
    return Response.json({ error: status, error_debug: debug, error_text: text }, { status });
  const body = `<xml><error>${status}</error><error_debug>${debug}</error_debug><error_text>${text}</error_text></xml>`;
  return new Response(body, { status, headers: { 'Content-Type': 'application/xml; charset=utf-8' } });
}
