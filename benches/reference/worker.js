// Measures the platform only: draining a body, and inserting a row for each request.

import { DurableObject } from 'cloudflare:workers';

/** The floor: drains the body with a 64 KiB BYOB reader, and responds with `?answer=` bytes. @param {Request} request @param {URL} url */
async function drain(request, url) {
  const start = Date.now();
  if (request.body) {
    const reader = request.body.getReader({ mode: 'byob' });
    let view = new Uint8Array(64 * 1024);
    for (;;) {
      const { done, value } = await reader.read(view);
      if (done) break;
      view = new Uint8Array(value.buffer);
    }
  }
  const timing = { 'Server-Timing': `parse;dur=${Date.now() - start}` };
  return new Response(new Uint8Array(Number(url.searchParams.get('answer') ?? 0)), { headers: timing });
}

/** An object that only inserts the body as a row. */
export class Rows extends DurableObject {
  /** @param {DurableObjectState} state @param {unknown} env */
  constructor(state, env) {
    super(state, env);
    state.storage.sql.exec('CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, body TEXT NOT NULL)');
  }

  /** @override @param {Request} request */
  async fetch(request) {
    this.ctx.storage.sql.exec('INSERT INTO rows (body) VALUES (?)', await request.text());
    return new Response('{}');
  }
}

export default {
  /** @param {Request} request @param {{ ROWS: DurableObjectNamespace }} env */
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === '/drain') return drain(request, url);
    return env.ROWS.getByName(url.pathname).fetch(request);
  },
};
