// Requests to the API. Their types are generated from assets/openapi.json: see console/api-types.ts.

import type { components, paths } from './api-types';

export type Schema<Name extends keyof components['schemas']> = components['schemas'][Name];

type Method = 'get' | 'put' | 'post' | 'delete';
type Operation<Path extends keyof paths, M extends Method> = NonNullable<paths[Path][M]>;
type Part<T, Key extends string> = T extends { [key in Key]?: infer Value } ? Value : never;
type Parameters<O> = Part<O, 'parameters'>;
type Json<T> = T extends { content: { 'application/json': infer Value } } ? Value : never;
type Body<O> = Json<NonNullable<Part<O, 'requestBody'>>>;
type Result<O> = O extends { responses: { 200: infer Response } } ? Json<Response> : never;
type PathOf<M extends Method> = { [Path in keyof paths]: paths[Path][M] extends object ? Path : never }[keyof paths];

interface Options<O> {
  path?: NonNullable<Part<Parameters<O>, 'path'>>;
  query?: NonNullable<Part<Parameters<O>, 'query'>>;
  body?: Body<O>;
}

/** A request without its token. `T` is the type of its answer. */
export interface Call<T> {
  method: string;
  /** The path with its query. */
  target: string;
  body?: string;
  headers: Record<string, string>;
  /** The longest time until the answer is complete, in milliseconds. */
  patience: number;
  readonly answer?: T;
}

const PATIENCE = 30_000;

/** Returns a request of the API's description. Parameters that are undefined are left out. */
export function call<M extends Method, Path extends PathOf<M>>(
  method: M,
  template: Path,
  options: Options<Operation<Path, M>> = {},
): Call<Result<Operation<Path, M>>> {
  const {
    path: values = {},
    query = {},
    body,
  }: { path?: Record<string, unknown>; query?: object; body?: unknown } = options;
  const target = (template as string).replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(String(values[name])),
  );
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  const text = search.toString();
  return {
    method: method.toUpperCase(),
    target: text ? `${target}?${text}` : target,
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    patience: PATIENCE,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  };
}

/** A request that failed. */
export class Failure extends Error {
  constructor(
    /** The HTTP status; `network` without a response, and `timeout` without a complete one. */
    readonly status: number | 'network' | 'timeout',
    /** `error_text` and `error_debug` of the response. */
    readonly text: string,
    readonly debug: string,
    /** Seconds until the request can be sent again, as the response says. */
    readonly retryAfter?: number,
    readonly requestId?: string,
  ) {
    super(text);
  }
}

export interface Reply<T> {
  data: T;
  headers: Headers;
}

/** Sends a request, and returns the response if its status is 2xx. */
export async function fetchCall(call: Call<unknown>, token: string, signal?: AbortSignal): Promise<Response> {
  const timeout = AbortSignal.timeout(call.patience);
  let response: Response;
  try {
    response = await fetch(call.target, {
      method: call.method,
      headers: { Accept: 'application/json', ...call.headers, Authorization: `Bearer ${token}` },
      body: call.body ?? null,
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
    });
  } catch (error) {
    throw failureOf(error, signal);
  }
  if (response.ok) return response;
  throw await refusalOf(response);
}

/** Sends a request and reads its JSON. */
export async function send<T>(call: Call<T>, token: string, signal?: AbortSignal): Promise<Reply<T>> {
  const response = await fetchCall(call, token, signal);
  let text: string;
  try {
    text = await response.text();
  } catch (error) {
    throw failureOf(error, signal);
  }
  try {
    return { data: parseExact(text) as T, headers: response.headers };
  } catch {
    throw new Failure(response.status, 'Not an answer of this API', 'the response is not JSON');
  }
}

/** Converts an error of `fetch`. An abort by the caller stays an abort. */
function failureOf(error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return error;
  const timeout = error instanceof DOMException && error.name === 'TimeoutError';
  return timeout ? new Failure('timeout', 'No answer', '') : new Failure('network', 'No connection', '');
}

async function refusalOf(response: Response): Promise<Failure> {
  const { headers, status } = response;
  let text = `Status ${status}`;
  let debug = '';
  try {
    const error = (await response.json()) as Partial<Schema<'Error'>>;
    text = String(error.error_text ?? text);
    debug = String(error.error_debug ?? '');
  } catch {
    // The platform's own errors are not JSON.
  }
  const seconds = Number(headers.get('Retry-After') ?? NaN);
  return new Failure(
    status,
    text,
    debug,
    Number.isFinite(seconds) ? seconds : undefined,
    headers.get('Request-ID') ?? undefined,
  );
}

type RawJson = { rawJSON?: (text: string) => unknown };
type Reviver = (key: string, value: unknown, context?: { source?: string }) => unknown;

/** Parses JSON, and keeps the spelling of numbers that a double cannot represent. */
export function parseExact(text: string): unknown {
  const { rawJSON } = JSON as RawJson;
  if (!rawJSON) return JSON.parse(text);
  const revive: Reviver = (_, value, context) =>
    typeof value === 'number' && context?.source !== undefined && String(value) !== context.source
      ? rawJSON(context.source)
      : value;
  return JSON.parse(text, revive);
}

/** The length of a body up to which a curl command contains it. */
const INLINE_BODY = 2_000;

/** The file that a curl command reads if its body is long. */
export const BODY_FILE = 'request.json';

/** Whether the curl command reads the body from a file. */
export const needsFile = ({ body = '' }: Call<unknown>) => body.length > INLINE_BODY;

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** Returns the curl command of a request, with the token in the variable TOKEN. */
export function curlOf(call: Call<unknown>): string {
  const implied = call.body === undefined ? 'GET' : 'POST';
  const method = call.method === implied ? '' : ` -X ${call.method}`;
  const url = quoted(new URL(call.target, location.origin).href);
  const lines = [`curl -s${method} ${url}`, '-H "Authorization: Bearer $TOKEN"'];
  for (const [name, value] of Object.entries(call.headers)) lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (call.body !== undefined) {
    lines.push(needsFile(call) ? `--data-binary @${BODY_FILE}` : `--data-raw ${quoted(call.body)}`);
  }
  return lines.join(' \\\n  ');
}

/** Returns a new request ID. */
export function newRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
