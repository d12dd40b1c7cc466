// The operator's command line, as a process with its local state in a temporary folder.

import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { INDEX_KEY } from '../runtime/harness.js';
import { type Ended, Operator } from '../runtime/seed.js';

/** Control sequences that clear a terminal, change colours, move the cursor, and reverse and hide text. */
const HOSTILE = 'x\u001b[2J\u001b[H\u001b]0;title\u0007\u009b31m\b\r\u202eabc\u2066\u200b\u061c\ufeff\u2028y';
/** One character of each kind that must never be printed. */
const CONTROL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

const PROFILE = '6606e08f10bcdd88297057a7';
const digest = (digit: string) => digit.repeat(64);
const record = (more: object) =>
  JSON.stringify({ name: 'shop', scopes: ['launch'], databases: [], created: 1_700_000_000_000, ...more });

/** The lines that a command printed, none of which may contain a control character. */
function lines({ stdout, stderr }: Ended): string[] {
  const printed = `${stdout}\n${stderr}`.split('\n').filter((line) => line !== '');
  for (const line of printed) expect(CONTROL.test(line), JSON.stringify(line)).toBe(false);
  return printed;
}

/** The one line of standard error of a command that failed. */
function failure(ended: Ended): string {
  expect(ended.code, JSON.stringify(ended)).not.toBe(0);
  const errors = lines({ ...ended, stdout: '' });
  expect(errors, ended.stderr).toHaveLength(1);
  expect(errors[0]).toMatch(/^error: /);
  return errors[0] ?? '';
}

describe('text from files, KV and other programs', () => {
  let operator: Operator;
  beforeAll(async () => void (operator = await Operator.start(INDEX_KEY)));
  afterAll(() => operator.stop());

  const importText = async (text: string | Buffer, name = 'profiles.csv') => {
    const file = path.join(operator.folder, name);
    await writeFile(file, text);
    return operator.run(['profiles', 'import', file, '--database', '1']);
  };

  it.each([
    ['an unknown column', `profile_id,"${HOSTILE}"\n`],
    ['an unknown column with a line break', `profile_id,"a\nb\r\nc"\n`],
    ['a column that appears twice', `profile_id,"custom:${HOSTILE}","custom:${HOSTILE}"\n`],
    ['a custom field with a name that is too long', `profile_id,"custom:${HOSTILE}${'n'.repeat(2000)}"\n`],
    ['a value that is too long', `profile_id,"custom:${HOSTILE}"\n${PROFILE},${'v'.repeat(2000)}\n`],
    ['a profile ID that is invalid', `profile_id,email\n"${HOSTILE}",a@b.example\n`],
    ['a push subscription that is invalid', `profile_id,push_sub\n${PROFILE},"${HOSTILE}"\n`],
    ['an unknown member', `${JSON.stringify({ profile_id: PROFILE, [HOSTILE]: 'x' })}\n`],
    ['a member of another type', `${JSON.stringify({ profile_id: PROFILE, [`custom:${HOSTILE}`]: {} })}\n`],
    [
      'a member with a value that is too long',
      `{"profile_id":"${PROFILE}","custom:\\u001b[2J":"${'v'.repeat(2000)}"}\n`,
    ],
    ['a profile ID in JSON that is invalid', `${JSON.stringify({ profile_id: HOSTILE })}\n`],
    ['a line that is not JSON', `{${HOSTILE}\n`],
    ['bytes that are not UTF-8', Buffer.from(`profile_id,\u001b[2J\xff\n`, 'latin1')],
  ])('%s is reported without control characters', async (_, text) => {
    const ended = await importText(text);
    expect(ended.code).not.toBe(0);
    for (const line of lines(ended)) expect(line.length).toBeLessThan(500);
  });

  it('the name of a file is reported without control characters', async () => {
    const name = HOSTILE.replaceAll('/', '');
    failure(await operator.run(['profiles', 'import', path.join(operator.folder, name), '--database', '1']));
    failure(await importText('', name));
  });

  it('an unknown argument is reported without control characters', async () => {
    const ended = await operator.run(['profiles', 'import', 'a.csv', `${HOSTILE}.csv`, '--database', '1']);
    expect(ended.code).toBe(2);
    expect(lines(ended)[0]).toMatch(/^error: unexpected argument 'x.*\\u\{202e\}/);
  });

  it('the error for an unknown column contains its readable characters', async () => {
    const line = failure(await importText('profile_id,\u001b[2Jname\n'));
    expect(line).toContain('unknown column "\\u{1b}[2Jname"');
  });

  it('token records are listed without control characters', async () => {
    await operator.write('ACCESS', [
      [`token:${digest('a')}`, record({ name: HOSTILE })],
      [`token:${digest('b')}`, HOSTILE],
      [`token:${digest('c')}`, JSON.stringify({ name: HOSTILE, scopes: [HOSTILE], created: 1 })],
      [`token:${HOSTILE}`, '{}'],
    ]);
    const listed = await operator.run(['token', 'list']);
    const printed = lines(listed);
    expect(printed.filter((line) => line.includes('aaaaaaaaaaaa'))).toHaveLength(1);
    for (const ended of [
      await operator.run(['token', 'create', '--name', 'other']),
      await operator.run(['token', 'revoke', HOSTILE]),
    ]) {
      lines(ended);
    }
  });

  it('damaged manifests and markers are reported without control characters', async () => {
    await operator.write('PROFILES', [
      ['manifest:1', HOSTILE],
      [`pending:1:${HOSTILE}`, HOSTILE],
    ]);
    const ended = await importText(`profile_id\n${PROFILE}\n`);
    expect(ended.code, ended.stderr).toBe(0);
    const printed = lines(ended);
    expect(printed.some((line) => line.startsWith('warning: manifest:1 '))).toBe(true);
    expect(printed.some((line) => line.startsWith('warning: pending:1:x\\u{1b}[2J'))).toBe(true);
    const again = await importText(`profile_id\n${PROFILE}\n`);
    expect(again).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('a damaged token record', () => {
  let operator: Operator;
  beforeAll(async () => {
    operator = await Operator.start(INDEX_KEY);
    await operator.admin('token', 'create', '--name', 'good');
    await operator.admin('token', 'create', '--name', 'other');
    await operator.write('ACCESS', [[`token:${digest('d')}`, '{"name":']]);
  });
  afterAll(() => operator.stop());

  it('the record is reported with its key, and the other tokens are listed', async () => {
    const listed = await operator.run(['token', 'list']);
    expect(listed.code).not.toBe(0);
    expect(listed.stdout).toMatch(/^good +[0-9a-f]{12} /m);
    expect(listed.stdout).toMatch(/^other +[0-9a-f]{12} /m);
    expect(listed.stderr).toContain(`warning: token:${digest('d')} is damaged`);
  });

  it('other tokens can be created, rotated and revoked', async () => {
    for (const command of [
      ['create', '--name', 'new'],
      ['create', '--name', 'good', '--rotate'],
      ['revoke', 'other'],
    ]) {
      const ended = await operator.run(['token', ...command]);
      expect(ended.code, ended.stderr).toBe(0);
      expect(ended.stderr).toContain(`warning: token:${digest('d')} is damaged`);
    }
  });

  it('the record stays if another digest is revoked', async () => {
    const ended = await operator.run(['token', 'revoke', 'lost', '--digest', 'eeeeeeeeeeee']);
    expect(ended.code).not.toBe(0);
    expect((await operator.run(['token', 'list'])).stderr).toContain('is damaged');
  });

  it('the record is replaced if it is revoked by its digest', async () => {
    await operator.admin('token', 'revoke', 'lost', '--digest', 'dddddd');
    const listed = await operator.run(['token', 'list']);
    expect(listed).toMatchObject({ code: 0, stderr: '' });
    expect(listed.stdout).toMatch(/^lost +dddddddddddd .* \d{4}-\d\d-\d\d$/m);
  });
});

describe('two commands at once', () => {
  let operator: Operator;
  beforeAll(async () => void (operator = await Operator.start(INDEX_KEY)));
  afterAll(() => operator.stop());

  it.each([1, 2])('two commands that create a token of the same name create one token (round %i)', async (round) => {
    const name = `crm-${round}`;
    const command = ['token', 'create', '--name', name];
    const ended = await Promise.all([command, command, command].map((args) => operator.run(args)));
    const created = ended.filter(({ code }) => code === 0);
    expect(created.map(({ stdout }) => stdout.length)).toEqual([44]);
    for (const { code, stdout, stderr } of ended) {
      if (code === 0) continue;
      expect(stdout).toBe('');
      expect(stderr).toContain(`error: token ${name} already exists`);
    }
    const { stdout } = await operator.run(['token', 'list']);
    expect(stdout.split('\n').filter((line) => line.startsWith(`${name} `))).toHaveLength(1);
  });

  it('two commands that rotate a token both add a value to its name', async () => {
    await operator.admin('token', 'create', '--name', 'rotated');
    const command = ['token', 'create', '--name', 'rotated', '--rotate'];
    await Promise.all([operator.admin(...command), operator.admin(...command)]);
    const { stdout } = await operator.run(['token', 'list']);
    expect(stdout.split('\n').filter((line) => line.startsWith('rotated '))).toHaveLength(3);
  });
});

describe('the state folder', () => {
  let operator: Operator;
  let file: string;
  beforeAll(async () => {
    operator = await Operator.startWithoutState(INDEX_KEY);
    file = path.join(operator.folder, 'profiles.csv');
    await writeFile(file, `profile_id\n${PROFILE}\n`);
  });
  afterAll(() => operator.stop());

  const commands = (...more: string[]) => [
    ['token', 'list', ...more],
    ['token', 'create', '--name', 'crm', ...more],
    ['token', 'revoke', 'crm', ...more],
    ['profiles', 'import', file, '--database', '1', ...more],
    ['demo', ...more],
    ['key', ...more],
  ];

  it('a command does not create the state folder', async () => {
    for (const command of commands()) {
      const line = failure(await operator.run(command));
      expect(line).toContain(operator.state);
      expect(line).toContain('does not exist');
      expect(line).toContain('npm run dev');
    }
    expect(existsSync(path.join(operator.folder, '.wrangler'))).toBe(false);
  });

  it('a command does not create the folder of --persist-to', async () => {
    const state = path.join(operator.folder, 'missing', 'deeper');
    for (const command of commands('--persist-to', state)) {
      const line = failure(await operator.run(command));
      expect(line).toContain(state);
      expect(line).toContain(`npm run dev -- --persist-to ${state}`);
    }
    expect(existsSync(path.join(operator.folder, 'missing'))).toBe(false);
  });

  it('the error names the folder and the reason if it cannot be written', async () => {
    const state = path.join(operator.folder, 'state');
    const cases: [string, string, () => Promise<unknown>][] = [
      ['a file in its place', file, async () => {}],
      ['a path below a file', path.join(file, 'state'), async () => {}],
      ['a file in place of v3', state, () => writeFile(path.join(state, 'v3'), '')],
      [
        'a file in place of v3/kv',
        state,
        () => mkdir(path.join(state, 'v3')).then(() => writeFile(path.join(state, 'v3', 'kv'), '')),
      ],
      ['a folder in place of the lock', state, () => mkdir(path.join(state, 'trigger-launch.lock'))],
    ];
    // A folder in which nobody can create a file, not even root.
    if (existsSync('/proc/self')) cases.push(['a folder of another kind', '/proc', async () => {}]);
    for (const [what, folder, prepare] of cases) {
      await rm(state, { recursive: true, force: true });
      await mkdir(state);
      await prepare();
      for (const command of commands('--persist-to', folder)) {
        const line = failure(await operator.run(command));
        expect(line, what).toContain(folder);
        expect(line, what).toMatch(/cannot be (written|used)/);
        expect(line, what).not.toMatch(/sqlite|wrangler|miniflare|workerd/i);
      }
    }
    expect(await readdir(operator.folder)).not.toContain('.wrangler');
  });
});

describe('the deployed account', () => {
  let operator: Operator;
  beforeAll(async () => {
    operator = await Operator.startWithoutState(INDEX_KEY);
    // A replacement of wrangler that stores KV in a file.
    const programs = path.join(operator.folder, 'node_modules', '.bin');
    await rm(path.join(operator.folder, 'node_modules'));
    await mkdir(programs, { recursive: true });
    const program = `#!${process.execPath}
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
if (process.env.SAYS) {
  process.stderr.write(process.env.SAYS);
  process.exit(1);
}
const [, , , group, action, ...rest] = process.argv;
const option = (name) => rest[rest.indexOf(name) + 1];
const store = existsSync('kv.json') ? JSON.parse(readFileSync('kv.json', 'utf8')) : {};
const values = (store[option('--binding')] ??= {});
const file = () => JSON.parse(readFileSync(rest.find((argument) => argument.endsWith('.json')), 'utf8'));
let answer = '';
if (group === 'key') {
  answer = Object.keys(values).filter((name) => name.startsWith(option('--prefix'))).map((name) => ({ name }));
} else if (action === 'get') {
  answer = Object.fromEntries(file().map((name) => [name, values[name] ?? null]));
} else if (action === 'put') {
  for (const { key, value } of file()) values[key] = value;
} else {
  for (const key of file()) delete values[key];
}
writeFileSync('kv.json', JSON.stringify(store));
process.stdout.write(JSON.stringify(answer));
`;
    await writeFile(path.join(programs, 'wrangler'), program);
    await chmod(path.join(programs, 'wrangler'), 0o755);
  });
  afterAll(() => operator.stop());

  it('commands for the deployed account need no local state folder', async () => {
    const remote = (...args: string[]) => operator.run(['--remote', ...args], { PROFILE_INDEX_KEY: INDEX_KEY });
    const file = path.join(operator.folder, 'profiles.csv');
    await writeFile(file, `profile_id,email\n${PROFILE},a@b.example\n`);
    expect(await remote('profiles', 'import', file, '--database', '7')).toMatchObject({ code: 0, stderr: '' });
    expect(await remote('token', 'create', '--name', 'crm')).toMatchObject({ code: 0 });
    expect((await remote('token', 'list')).stdout).toMatch(/^crm +[0-9a-f]{12} /m);
    expect(await remote('token', 'revoke', 'crm')).toMatchObject({ code: 0 });
    expect(existsSync(operator.state)).toBe(false);
  });

  it('an error of wrangler is reported on one line without control characters', async () => {
    for (const says of [
      HOSTILE,
      `\u001b[31m✘ [ERROR]\u001b[0m ${HOSTILE}\n\nmore`,
      `Error: ${HOSTILE}`,
      `${HOSTILE}\n`.repeat(50),
      'e'.repeat(100_000),
    ]) {
      const line = failure(await operator.run(['--remote', 'token', 'list'], { SAYS: says }));
      expect(line).toMatch(/^error: wrangler kv: /);
      expect(line.length).toBeLessThan(1000);
    }
  });
});
