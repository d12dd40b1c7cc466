// Contract §1: fields, items, matching modes, and what becomes of each item.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  BATCH,
  bearer,
  CAMPAIGN,
  counts,
  debug,
  ids,
  launch,
  logged,
  placeOf,
  read,
  seeded,
  SINGLE,
  stop,
  TOKEN,
  TRIGGERS,
} from './fixture.js';
import type { TestWorker } from './harness.js';
import { MODES } from './modes.js';
import { BIG, ID, phone } from './profiles.js';

const one = { email: 'example1@example.com' };
const two = { email: 'example2@example.com' };
const nobody = { email: 'nobody@example.com' };

/** A tag for each field, an element for each item. */
function xml(fields: object): string {
  const element = (name: string, value: unknown): string => {
    if (Array.isArray(value)) return value.map((item) => element(name, item)).join('');
    const content =
      typeof value === 'object' && value !== null
        ? Object.entries(value)
            .map(([key, inner]) => element(key, inner))
            .join('')
        : String(value).replaceAll('&', '&amp;').replaceAll('<', '&lt;');
    return `<${name}>${content}</${name}>`;
  };
  return element('xml', fields);
}

describe('items', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await seeded();
  });
  afterAll(() => stop(worker));

  describe('fields', () => {
    it('fields can have any order, for example data before matching', async () => {
      const fields = {
        content: { a: 1 },
        data: [{ field_value: '003' }, { field_value: 'YY' }],
        field_name: 'Custom_ID',
        format: 'json',
        matching: 'custom',
        report: true,
        token: TOKEN.all,
        trigger_id: 8,
      };
      for (const entries of [Object.entries(fields), Object.entries(fields).reverse()]) {
        const document = Object.fromEntries(entries);
        expect(ids(await launch(worker, document, {}))).toEqual([ID.one, ID.two]);
        expect(ids(await launch(worker, xml(document), {}))).toEqual([ID.one, ID.two]);
      }
    });

    it.each([8, '8', 8.0])('trigger_id can be %j', async (trigger_id) => {
      expect(ids(await launch(worker, { trigger_id, data: [one] }))).toEqual([ID.one]);
    });

    it.each(['0', '-1', '9007199254740992', '"0"', '8.5', '8e0', '"8.0"', '""', 'true', '[8]', '{}', '1e400'])(
      'trigger_id is not %s',
      async (trigger_id) => {
        const reply = await launch(worker, `{"trigger_id":${trigger_id},"data":[{}]}`);
        expect(reply.status, reply.text).toBe(400);
        expect(debug(reply)).toMatch(/^trigger_id: /);
      },
    );

    it('the largest trigger_id is 2^53 − 1', async () => {
      const reply = await launch(worker, { trigger_id: Number.MAX_SAFE_INTEGER, data: [one] });
      expect([reply.status, debug(reply)]).toEqual([404, 'no such trigger campaign']);
    });

    it.each([true, false, 'true', 'false', '1', '0'])('booleans can be %j', async (value) => {
      const isTrue = value === true || value === 'true' || value === '1';
      const fields = { trigger_id: 8, skip_triggers: value, report: value, strict: value, data: [one] };
      for (const document of [fields, xml(fields)]) {
        const reply = await launch(worker, document);
        expect(reply.text.includes('"report"')).toBe(isTrue);
        expect((await logged(worker, 8, reply)).skip_triggers).toBe(isTrue);
      }
    });

    it.each(['"yes"', '"on"', '2', '[]', '""'])('booleans cannot be %s', async (value) => {
      for (const field of ['skip_triggers', 'report', 'strict', 'dry_run']) {
        const reply = await launch(worker, `{"trigger_id":8,"${field}":${value},"data":[{}]}`);
        expect([reply.status, debug(reply).split(':')[0]]).toEqual([400, field]);
      }
    });

    it('null means that a field is absent', async () => {
      const absent = ['format', 'matching', 'field_name', 'skip_triggers', 'content', 'custom_data', 'attach'];
      const nulls = Object.fromEntries([...absent, 'report', 'strict', 'dry_run'].map((name) => [name, null]));
      const reply = await launch(worker, { trigger_id: 8, ...nulls, data: [{ ...one, custom_data: null }] });
      expect(await logged(worker, 8, reply)).toMatchObject({ matching: 'email', content: null, custom_data: null });
      for (const field of ['trigger_id', 'data']) {
        const refused = await launch(worker, { trigger_id: 8, data: [one], [field]: null });
        expect([refused.status, debug(refused).split(':')[0]]).toEqual([400, field]);
      }
    });

    it('unknown fields are ignored, but must be well-formed', async () => {
      const ignored = { trigger_id: 8, unknown: [{ deep: [1, 'x'] }], Token: 'x', data: [{ ...one, more: {} }] };
      expect(ids(await launch(worker, ignored))).toEqual([ID.one]);
      expect(ids(await launch(worker, xml({ ...ignored, unknown: { a: 'b' } })))).toEqual([ID.one]);
      for (const bad of ['{"u":01,', '{"u":"\\x",', '{"u":[1 2],', '{"u":tru,']) {
        const reply = await launch(worker, `${bad}"trigger_id":8,"data":[{}]}`);
        expect([bad, reply.status]).toEqual([bad, 400]);
      }
      expect((await launch(worker, '<xml><trigger_id>8</trigger_id><data/><u><v></u></xml>')).status).toBe(400);
    });

    it.each([
      'token',
      'format',
      'trigger_id',
      'matching',
      'field_name',
      'skip_triggers',
      'content',
      'custom_data',
      'data',
      'report',
    ])('%s cannot occur twice', async (field) => {
      const fields: Record<string, unknown> = { token: TOKEN.all, format: 'json', trigger_id: 8, data: [one] };
      const value = JSON.stringify(
        fields[field] ?? (field.startsWith('c') ? {} : field === 'matching' ? 'email' : '1'),
      );
      const json = JSON.stringify({ ...fields, [field]: undefined });
      const reply = await launch(worker, json.replace(/\}$/, `,"${field}":${value},"${field}":${value}}`));
      expect([reply.status, debug(reply)]).toEqual([400, `${field}: is given twice`]);
    });

    it('no field except data can occur twice in XML', async () => {
      const twice = (field: string, value: string) =>
        `<xml><trigger_id>8</trigger_id><${field}>${value}</${field}><data><email>example1@example.com</email></data>` +
        `<${field}>${value}</${field}></xml>`;
      for (const [field, value] of [
        ['token', TOKEN.all],
        ['format', 'json'],
        ['matching', 'email'],
        ['content', '<a>1</a>'],
        ['report', '1'],
      ] as const) {
        const reply = await launch(worker, twice(field, value));
        expect([reply.status, debug(reply)]).toEqual([400, `${field}: is given twice`]);
      }
      const marked = '<data array="true"><email>example2@example.com</email></data>';
      const data = `${marked}<data><email>example1@example.com</email></data>`;
      expect(ids(await launch(worker, `<xml><trigger_id>8</trigger_id>${data}</xml>`))).toEqual([ID.two, ID.one]);
    });

    it('data must be an array of at least one item', async () => {
      for (const [data, said] of [
        ['[]', /^data: .*at least one/],
        ['{}', /^data: must be an array/],
        ['"x"', /^data: must be an array/],
      ] as const) {
        const reply = await launch(worker, `{"trigger_id":8,"data":${data}}`);
        expect([reply.status, data]).toEqual([400, data]);
        expect(debug(reply)).toMatch(said);
      }
      const empty = await launch(worker, '<xml><trigger_id>8</trigger_id><data/></xml>');
      expect(counts(empty)).toEqual([0, 0, 1, 0]);
    });
  });

  describe('matching', () => {
    it.each(MODES)('items match by %s %s', async (matching, field_name, items) => {
      const data = items.map(([item]) => item);
      const reply = await launch(worker, { trigger_id: 8, matching, field_name, report: true, data });
      const is = (reasons: string[]) => (entry: [unknown, string]) => reasons.includes(entry[1]);
      const unmatched = ['not_found', 'ambiguous'];
      const invalid = ['missing_field', 'wrong_type', 'too_long', 'malformed'];
      const others = [...unmatched, ...invalid, 'duplicate'];
      const found = items.map(([, outcome]) => outcome).filter((outcome) => !others.includes(outcome));
      expect(ids(reply)).toEqual(found);
      const listed = (reasons: string[]) =>
        items.flatMap(([, reason], index) => (reasons.includes(reason) ? [{ index, reason }] : []));
      const report = {
        launch_id: reply.headers.get('Launch-ID'),
        matched: found.length,
        unmatched: listed(unmatched),
        invalid: listed(invalid),
        duplicates: listed(['duplicate']).map(({ index }) => index),
      };
      expect(JSON.parse(reply.text).report).toEqual(report);
      const numbers = [found.length, ...[unmatched, invalid, ['duplicate']].map((of) => items.filter(is(of)).length)];
      expect(counts(reply)).toEqual(numbers);
      // The same, at any time after, from the log.
      const launchPath = `${TRIGGERS}/8/launches/${report.launch_id}`;
      expect(await read(worker, `${launchPath}/report`)).toEqual(report);
      expect(await read(worker, launchPath)).toMatchObject({
        matching,
        recipients: numbers[0],
        unmatched: numbers[1],
        invalid: numbers[2],
        duplicates: numbers[3],
      });
    });

    it('an integer key keeps all its digits', async () => {
      const body = (value: string) =>
        `{"trigger_id":8,"matching":"custom","field_name":"number","report":true,"data":[{"field_value":${value}}]}`;
      expect(ids(await launch(worker, body(BIG)))).toEqual([ID.two]);
      expect(ids(await launch(worker, body('9007199254740992')))).toEqual([]);
      for (const value of ['1.0', '1e3', '-0.5']) {
        const reply = await launch(worker, body(value));
        expect([value, JSON.parse(reply.text).report.invalid]).toEqual([value, [{ index: 0, reason: 'wrong_type' }]]);
      }
    });

    it('matching must be a known mode, with its field_name', async () => {
      for (const fields of [{ matching: 'mail' }, { matching: 'EMAIL' }, { matching: 5 }, { matching: '' }]) {
        const reply = await launch(worker, { trigger_id: 8, ...fields, data: [one] });
        expect([reply.status, debug(reply).split(':')[0]]).toEqual([400, 'matching']);
      }
      for (const matching of ['custom', 'custom_sub']) {
        for (const field_name of [undefined, null, '']) {
          const reply = await launch(worker, { trigger_id: 8, matching, field_name, data: [{ field_value: '1' }] });
          expect([reply.status, debug(reply)]).toEqual([400, `field_name: is required where matching is ${matching}`]);
        }
      }
    });

    it('start matches as start_batch does', async () => {
      for (const [fields, found] of [
        [{ matching: 'push_sub', provider: 'android-firebase', subscription_id: 'tok:3' }, [ID.three]],
        [{ matching: 'email_phone', email: 'nobody@example.com', phone: phone(2) }, [ID.two]],
        [{ field_value: Number(333), field_name: 'telegram', matching: 'custom_sub' }, [ID.three]],
        [{ matching: 'phone' }, []],
      ] as const) {
        for (const document of [{ id: 8, ...fields }, xml({ id: 8, ...fields })]) {
          const reply = await launch(worker, document, bearer(), SINGLE);
          expect(ids(reply)).toEqual(found);
          expect(counts(reply).reduce((sum, count) => sum + count)).toBe(1);
        }
      }
    });

    it('a key in XML is the text as sent', async () => {
      const custom = (value: string) =>
        `<xml><trigger_id>8</trigger_id><matching>custom</matching><field_name>Größe</field_name><data><field_value>${value}</field_value></data></xml>`;
      expect(ids(await launch(worker, custom('XL ')))).toEqual([ID.eight]);
      expect(ids(await launch(worker, custom('&#88;L&#x20;')))).toEqual([ID.eight]);
      expect(ids(await launch(worker, custom('<![CDATA[XL ]]>')))).toEqual([ID.eight]);
      expect(ids(await launch(worker, custom('XL')))).toEqual([]);
    });
  });

  describe('the result', () => {
    it('the result is in the order of data, with each profile once', async () => {
      const data = [two, nobody, one, two, { email: 'TWICE@example.com' }, {}];
      const reply = await launch(worker, { trigger_id: 8, data });
      expect(ids(reply)).toEqual([ID.two, ID.one]);
      expect(counts(reply)).toEqual([2, 1, 1, 2]);
    });

    it("a recipient has the custom_data of the profile's first item in place of the root's", async () => {
      const data = [
        { ...one, custom_data: { n: 1 } },
        { ...one, custom_data: { n: 2 } },
        two,
        { ...two, custom_data: { n: 3 } },
        { email: 'both@example.com', custom_data: {} },
      ];
      for (const document of [
        { trigger_id: 8, custom_data: { root: true }, data },
        { data, trigger_id: 8, custom_data: { root: true } },
      ]) {
        const reply = await launch(worker, document);
        expect((await logged(worker, 8, reply)).custom_data).toEqual({ root: true });
        const { recipients } = await read(worker, `${placeOf(8, reply)}/recipients`);
        expect(recipients).toEqual([
          { index: 0, profile_id: ID.one, custom_data: { n: 1 } },
          { index: 1, profile_id: ID.two },
          { index: 2, profile_id: ID.four, custom_data: {} },
        ]);
      }
      const wrong = await launch(worker, { trigger_id: 8, report: true, data: [{ ...one, custom_data: 'text' }] });
      expect(JSON.parse(wrong.text).report.invalid).toEqual([{ index: 0, reason: 'wrong_type' }]);
    });

    it('a launch without recipients is a launch', async () => {
      const reply = await launch(worker, { trigger_id: 8, data: [nobody] });
      expect(reply.text).toBe('{"error":0,"error_text":"Successful operation","result":[]}');
      expect(await logged(worker, 8, reply)).toMatchObject({ recipients: 0, unmatched: 1 });
      const asXml = await launch(worker, { trigger_id: 8, format: 'xml', data: [nobody] });
      expect(asXml.text).toBe('<xml><error>0</error><error_text>Successful operation</error_text></xml>');
    });
  });

  describe('opt-in', () => {
    it('report lists each item in XML', async () => {
      const data = [one, nobody, one, {}, { email: 'shared@example.com' }];
      const reply = await launch(worker, { trigger_id: 8, report: true, format: 'xml', data });
      expect(reply.text).toBe(
        '<xml><error>0</error><error_text>Successful operation</error_text>' +
          `<result><profile_id>${ID.one}</profile_id></result>` +
          `<report><launch_id>${reply.headers.get('Launch-ID')}</launch_id><matched>1</matched>` +
          '<unmatched><index>1</index><reason>not_found</reason></unmatched>' +
          '<unmatched><index>4</index><reason>ambiguous</reason></unmatched>' +
          '<invalid><index>3</index><reason>missing_field</reason></invalid>' +
          '<duplicates>2</duplicates></report></xml>',
      );
    });

    it.each([8, CAMPAIGN.paused])('dry_run writes nothing (campaign %i)', async (trigger_id) => {
      const before = await read(worker, `${TRIGGERS}/${trigger_id}`);
      for (const format of ['json', 'xml']) {
        const fields = { trigger_id, dry_run: true, report: true, format, data: [one, nobody] };
        for (const document of [fields, xml(fields)]) {
          const reply = await launch(worker, document);
          if (trigger_id !== 8) {
            expect(reply.status).toBe(409);
            continue;
          }
          expect(reply.status).toBe(200);
          expect(reply.text).toContain(ID.one);
          expect(reply.headers.get('Launch-ID')).toBeNull();
          expect(counts(reply)).toEqual([1, 1, 0, 0]);
          if (format === 'json') expect(JSON.parse(reply.text).report.launch_id).toBeNull();
          else expect(reply.text).toMatch(/<report>(<launch_id><\/launch_id>|<launch_id\/>)?<matched>1</);
        }
      }
      expect(await read(worker, `${TRIGGERS}/${trigger_id}`)).toEqual(before);
    });

    it('strict launches for all items or for none', async () => {
      const before = await read(worker, `${TRIGGERS}/8`);
      for (const [data, said] of [
        [[one, nobody], 'strict: 1 unmatched, 0 invalid; the first is data[1]: not_found'],
        [[{}, one, nobody], 'strict: 1 unmatched, 1 invalid; the first is data[0]: missing_field'],
      ] as const) {
        for (const more of [{}, { dry_run: true }]) {
          const reply = await launch(worker, { trigger_id: 8, strict: true, ...more, data });
          expect([reply.status, debug(reply)]).toEqual([400, said]);
        }
      }
      expect(await read(worker, `${TRIGGERS}/8`)).toEqual(before);
      // A duplicate is neither unmatched nor invalid.
      expect(ids(await launch(worker, { trigger_id: 8, strict: true, data: [one, one, two] }))).toEqual([
        ID.one,
        ID.two,
      ]);
    });
  });

  it('the fields of an item are unknown at the root of start_batch', async () => {
    const reply = await launch(worker, { id: 8, ...one, data: [two] }, bearer(), SINGLE);
    expect(ids(reply)).toEqual([ID.one]);
    expect(ids(await launch(worker, { trigger_id: 8, ...two, data: [one] }, bearer(), BATCH))).toEqual([ID.one]);
  });
});
