// Contract §1: the specification's own examples, and the formats of requests and replies.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BATCH, bearer, debug, GOOD, ids, launch, seeded, SINGLE, stop, TOKEN } from './fixture.js';
import type { TestWorker } from './harness.js';
import { ID } from './profiles.js';

/** The examples, as the page prints them: path, campaign, request, reply. */
const EXAMPLES = {
  'JSON, matching by email': [
    `{
"token": "abcdefghijklmnqrstuvwxyz",
"trigger_id": 8,
"format": "json",
"matching": "email",
"data": [
{
"email": "example1@example.com"
},
{
"email": "example2@example.com"
}
]
}`,
    [ID.one, ID.two],
  ],
  'XML, matching by email': [
    `<xml>
<token>abcdefghijklmnqrstuvwxyz</token>
<trigger_id>85</trigger_id>
<format>xml</format>
<matching>email</matching>
<data>
<email>example1@example.com</email>
</data>
<data>
<email>example2@example.com</email>
</data>
</xml>`,
    [ID.one, ID.two],
  ],
  'JSON, matching by custom field': [
    `{
"token": "abcdefghijklmnqrstuvwxyz",
"trigger_id": 96,
"format": "json",
"skip_triggers": false,
"matching": "custom",
"field_name": "Custom_ID",
"data": [
{
"field_value": "003"
},
{
"field_value": "002"
}
]
}`,
    [ID.one, ID.two],
  ],
  'XML, matching by custom field': [
    `<xml>
<token>abcdefghijklmnqrstuvwxyz</token>
<trigger_id>85</trigger_id>
<format>xml</format>
<skip_triggers>false</skip_triggers>
<matching>custom</matching>
<field_name>Custom_ID</field_name>
<data>
<field_value>YY</field_value>
</data>
<data>
<field_value>AA</field_value>
</data>
</xml>`,
    [ID.two, ID.one],
  ],
} satisfies Record<string, [string, string[]]>;

const xmlResult = (found: string[]) =>
  `<xml><error>0</error><error_text>Successful operation</error_text>${found
    .map((id) => `<result><profile_id>${id}</profile_id></result>`)
    .join('')}</xml>`;
const jsonResult = (found: string[]) =>
  JSON.stringify({
    error: 0,
    error_text: 'Successful operation',
    result: found.map((profile_id) => ({ profile_id })),
  });

describe('formats', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded();
  });
  afterAll(() => stop(worker));

  describe.each([BATCH, `${BATCH}/`])('%s answers as the specification prints it', (path) => {
    it.each(Object.entries(EXAMPLES))('%s', async (_, [request, found]) => {
      const xml = request.startsWith('<');
      const reply = await launch(worker, request, {}, path);
      expect(reply.text).toBe(xml ? xmlResult(found) : jsonResult(found));
      expect(reply.status).toBe(200);
      const type = xml ? 'application/xml; charset=utf-8' : /^application\/json/;
      expect(reply.headers.get('Content-Type')).toMatch(type);
      expect(reply.headers.get('Launch-ID')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-/);
      expect(reply.headers.get('Launch-Matched')).toBe('2');
      expect(reply.headers.get('Server-Timing')).toMatch(/^parse;dur=\d+, match;dur=\d+, commit;dur=\d+$/);
    });
  });

  it.each([SINGLE, `${SINGLE}/`])('%s launches to one profile', async (path) => {
    const json = { token: TOKEN.all, id: 8, email: 'example1@example.com' };
    expect((await launch(worker, json, {}, path)).text).toBe(jsonResult([ID.one]));
    const xml =
      '<xml><id>8</id><matching>custom</matching><field_name>Custom_ID</field_name><field_value>YY</field_value>';
    const reply = await launch(worker, `${xml}<format>xml</format></xml>`, bearer(), path);
    expect(reply.text).toBe(xmlResult([ID.two]));
  });

  it('start_batch reads trigger_id only, and start reads id only', async () => {
    const single = await launch(worker, { trigger_id: 8, email: 'example1@example.com' }, bearer(), SINGLE);
    expect([single.status, debug(single)]).toEqual([400, 'id: is required']);
    const batch = await launch(worker, { id: 8, data: [{ email: 'example1@example.com' }] });
    expect([batch.status, debug(batch)]).toEqual([400, 'trigger_id: is required']);
  });

  describe('the body', () => {
    const json = '{"trigger_id":8,"data":[{"email":"example1@example.com"}]}';
    const xml = '<xml><trigger_id>8</trigger_id><data><email>example1@example.com</email></data></xml>';
    const declared = '<?xml version="1.0" encoding="utf-8"?>\n';
    const send = (text: string, headers: Record<string, string>) =>
      worker.request(BATCH, {
        method: 'POST',
        body: new TextEncoder().encode(text),
        headers: { ...bearer(), ...headers },
      });

    it.each([
      ['application/json', json],
      ['application/json; charset=utf-8', json],
      ['Application/JSON;charset="UTF-8"', json],
      ['application/xml', xml],
      ['text/xml; charset=UTF-8', declared + xml],
      // No type, and what curl sends where nobody names one.
      [undefined, json],
      [undefined, xml],
      [undefined, ` \n\t${json}`],
      ['application/x-www-form-urlencoded', json],
      ['application/x-www-form-urlencoded', xml],
      ['application/json', `\ufeff${json}`],
      ['application/xml', `\ufeff${declared}${xml}`],
      [undefined, `\ufeff${json}`],
      [undefined, `\ufeff${xml}`],
    ])('a body is accepted as %s: %s', async (type, text) => {
      const response = await send(text, type ? { 'Content-Type': type } : {});
      expect(await response.text()).toBe(jsonResult([ID.one]));
    });

    it('a body with the coding identity is accepted', async () => {
      const headers = { 'Content-Type': 'application/json', 'Content-Encoding': 'identity' };
      expect((await send(json, headers)).status).toBe(200);
    });

    it.each([
      [{ 'Content-Type': 'text/html' }, json],
      [{ 'Content-Type': 'multipart/form-data; boundary=x' }, json],
      [{ 'Content-Type': 'application/json; charset=iso-8859-1' }, json],
      [{ 'Content-Type': 'application/xml; charset=utf-16' }, xml],
      [{ 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }, json],
      [{ 'Content-Encoding': 'br' }, json],
      [{ 'Content-Type': 'text/xml' }, `<?xml version="1.0" encoding="windows-1251"?>${xml}`],
    ])('a body is refused with %j', async (headers, text) => {
      const response = await send(text, headers as Record<string, string>);
      expect(response.status).toBe(415);
      expect(await response.json()).toMatchObject({ error: 415, error_text: 'Unsupported media type' });
    });

    it('a body of the other format than announced is refused', async () => {
      expect((await send(xml, { 'Content-Type': 'application/json' })).status).toBe(400);
      expect((await send(json, { 'Content-Type': 'application/xml' })).status).toBe(400);
      for (const nothing of ['', ' \n', '\ufeff']) {
        for (const type of [undefined, 'application/json', 'text/xml']) {
          const response = await send(nothing, type ? { 'Content-Type': type } : {});
          expect(response.status, `${JSON.stringify(nothing)} as ${type}`).toBe(400);
        }
      }
    });
  });

  describe('the reply', () => {
    const body = (format?: string) => ({ format, ...GOOD });
    it.each([
      ['the default', undefined, '', undefined, 'json'],
      ['Accept', undefined, '', 'application/xml', 'xml'],
      ['Accept by weight', undefined, '', 'application/json;q=0.5, text/xml', 'xml'],
      ['Accept of neither', undefined, '', 'text/html', 'json'],
      ['Accept of anything', undefined, '', '*/*', 'json'],
      ['the query over Accept', undefined, '?format=json', 'application/xml', 'json'],
      ['the query', undefined, '?format=xml', undefined, 'xml'],
      ['the body over the query', 'json', '?format=xml', undefined, 'json'],
      ['the body over all', 'xml', '?format=json', 'application/json', 'xml'],
    ])('the reply has the format of %s', async (_, format, query, accept, expected) => {
      const headers = { ...bearer(), ...(accept ? { Accept: accept } : {}) };
      for (const [document, status] of [
        [body(format), 200],
        [{ ...body(format), trigger_id: 404 }, 404],
      ] as const) {
        const reply = await launch(worker, document, headers, `${BATCH}/${query}`);
        expect(reply.status, reply.text).toBe(status);
        expect(reply.text).toMatch(expected === 'xml' ? /^<xml><error>/ : /^\{"error":/);
        expect(reply.headers.get('Content-Type')).toContain(`application/${expected}`);
      }
    });

    it('the format of the reply does not depend on the format of the body', async () => {
      const text = '<xml><trigger_id>8</trigger_id><data><email>example1@example.com</email></data></xml>';
      expect(ids(await launch(worker, text))).toEqual([ID.one]);
    });

    it('another format of the reply is refused', async () => {
      for (const [format, query] of [
        ['yaml', ''],
        ['XML', ''],
        [undefined, '?format=yaml'],
      ] as const) {
        const reply = await launch(worker, body(format), bearer(), BATCH + query);
        expect([reply.status, debug(reply)]).toEqual([400, 'format: must be json or xml']);
      }
    });

    it('an error has the format that was known when it was found', async () => {
      const accept = { ...bearer(), Accept: 'application/xml' };
      const late = '{"trigger_id":0,"data":[{}],"format":"xml"}';
      expect((await launch(worker, late)).text).toMatch(/^<xml><error>400</);
      expect((await launch(worker, '{"data":[}', accept)).text).toMatch(/^<xml><error>400</);
      expect((await launch(worker, late, bearer(TOKEN.unknown))).text).toMatch(/401/);
      const wrongType = await launch(worker, late, { ...accept, 'Content-Type': 'text/html' });
      expect(wrongType.text).toMatch(/^<xml><error>415</);
      const wrongMethod = await worker.request(BATCH, { headers: { Accept: 'application/xml' } });
      expect(await wrongMethod.text()).toMatch(/^<xml><error>405</);
      const nowhere = await worker.request('/nowhere?format=xml');
      expect(await nowhere.text()).toMatch(/^<xml><error>404</);
    });

    it('messages in XML are escaped', async () => {
      const reply = await launch(worker, { ...body('xml'), matching: 'a<b&c>' });
      expect(reply.status).toBe(400);
      expect(reply.text).not.toMatch(/a<b/);
    });
  });
});
