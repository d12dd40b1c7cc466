// The guide "Call the API": its programs print what the page shows, launch once after a lost response, read all pages, and
// verify webhooks. Programs whose interpreter is not installed are skipped, or fail if REQUIRE_INTERPRETERS is set.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Demo } from '../../scripts/demo.mjs';
import { inRoot } from '../../scripts/run.mjs';
import { INDEX_KEY } from '../runtime/harness.js';
import { PersistedWorker } from '../runtime/persisted.js';
import { Operator } from '../runtime/seed.js';
import { type Block, blocks, COMMANDS } from './markdown.js';
import { compare } from './output.js';

const PAGE = readFileSync(inRoot('docs', 'guides', 'call-the-api.md'), 'utf8');
const TOKEN = 'abcdefghijklmnqrstuvwxyz';
/** The address that the page gives to its receivers. */
const RECEIVER = 'http://127.0.0.1:8790/';
/** The campaign of the examples, and the one whose log they follow. */
const CAMPAIGN = 8;
const FOLLOWED = 1001;

/** Fails the suite if an interpreter is missing. */
const isRequired = !!process.env.REQUIRE_INTERPRETERS;
const isInstalled = (program: string, ...args: string[]) => !spawnSync(program, args, { stdio: 'ignore' }).error;

/** A programming language of the page. */
interface Language {
  name: string;
  /** The language of its code blocks. */
  fence: string;
  isInstalled: boolean;
  /** The command that runs a program. */
  command: (file: string, ...args: string[]) => string[];
  /** The command that runs the receiver on a port, if it is not an ordinary program. */
  receiver?: (file: string, port: number) => string[];
  /** Translates the programs of a folder. */
  prepare?: (files: string[], folder: string) => void;
}

const temporary = mkdtempSync(path.join(tmpdir(), 'trigger-launch-examples-'));

const GO = {
  GO111MODULE: 'off',
  GOFLAGS: '',
  GOTOOLCHAIN: 'local',
  // Kept for the next run: newer versions of Go compile the standard library first.
  GOCACHE: path.join(tmpdir(), 'trigger-launch-go-cache'),
  GOPATH: path.join(temporary, 'gopath'),
};
const compiled = (file: string) => `./${file.replace(/\.go$/, '')}`;

const LANGUAGES: Language[] = [
  {
    name: 'Python',
    fence: 'python',
    isInstalled: isInstalled('python3', '--version'),
    command: (file, ...args) => ['python3', file, ...args],
  },
  {
    name: 'JavaScript',
    fence: 'js',
    isInstalled: true,
    command: (file, ...args) => [process.execPath, file, ...args],
  },
  {
    name: 'Go',
    fence: 'go',
    isInstalled: isInstalled('go', 'version'),
    command: (file, ...args) => [compiled(file), ...args],
    prepare: (files, cwd) => {
      for (const file of files) {
        const options = { cwd, env: { ...process.env, ...GO }, encoding: 'utf8' } as const;
        const { status, stderr } = spawnSync('go', ['build', '-o', compiled(file), file], options);
        if (status !== 0) throw new Error(`go build ${file}: ${stderr}`);
      }
    },
  },
  {
    name: 'PHP',
    fence: 'php',
    isInstalled: isInstalled('php', '--version'),
    command: (file, ...args) => ['php', file, ...args],
    receiver: (file, port) => ['php', '-S', `127.0.0.1:${port}`, file],
  },
];
const SHELL = {
  name: 'the shell',
  isInstalled: ['bash', 'curl', 'openssl'].every((name) => isInstalled(name, '--version')),
};

/** A section of the page. */
interface Section {
  heading: string;
  blocks: Block[];
}

const SECTIONS: Section[] = PAGE.split(/^## /m).map((text) => ({
  heading: text.split('\n')[0] ?? '',
  blocks: blocks(text),
}));

function section(heading: string): Section {
  const found = SECTIONS.find((each) => each.heading === heading);
  if (!found) throw new Error(`the page has no section "${heading}"`);
  return found;
}

/** The block of a section that shows what its programs print. */
function shown(heading: string): Block {
  const found = section(heading).blocks.find(({ language }) => language === 'text');
  if (!found) throw new Error(`the section "${heading}" has no output`);
  return found;
}

/** The file name in the first line of a program. */
const fileOf = ({ text }: Block) => /\w+\.\w+/.exec(text.split('\n')[0] ?? '')?.[0] ?? '';

const LAUNCH = 'Launch a campaign';
const REPEAT = 'Repeat a launch after a lost connection';
const ATTACH = 'Attach a file';
const FOLLOW = 'Follow the log';
const VERIFY = 'Verify a webhook';
const TASKS = { launch: LAUNCH, repeat: REPEAT, attach: ATTACH, follow: FOLLOW, receive: VERIFY };
type Task = keyof typeof TASKS;

/** The program of a language for a task. */
function program(language: Language, task: Task): Block {
  const [found, ...others] = section(TASKS[task]).blocks.filter((block) => block.language === language.fence);
  if (!found || others.length > 0) throw new Error(`not one program in ${language.name} for "${TASKS[task]}"`);
  return found;
}

/** The commands of a section that contain a text. */
function commands(heading: string, text: string): string {
  const found = section(heading).blocks.find((block) => block.language === COMMANDS && block.text.includes(text));
  if (!found) throw new Error(`the section "${heading}" has no command with "${text}"`);
  return found.text;
}

/** What a program printed. */
interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. */
async function run(
  [name = '', ...args]: string[],
  cwd: string,
  variables: NodeJS.ProcessEnv,
  input = '',
): Promise<Ended> {
  const child = spawn(name, args, { cwd, env: { ...process.env, ...variables } });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  // A program that does not read its input can end before all of the input is written.
  child.stdin.on('error', () => {}).end(input);
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  return { code, ...output };
}

/** The response of the Worker. */
interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

/** What a proxy does with a response. */
type Fault = (response: http.ServerResponse, answer: Answer) => void;

/** A proxy in front of the Worker. Each fault is used for one response, after the Worker has sent it. */
class Proxy {
  readonly requests: string[] = [];
  private readonly server: http.Server;

  constructor(worker: URL, faults: Fault[]) {
    this.server = http.createServer(async (request, response) => {
      const pieces: Buffer[] = [];
      for await (const piece of request) pieces.push(piece as Buffer);
      const { method = '', url = '' } = request;
      this.requests.push(`${method} ${url}`);
      const names = ['authorization', 'content-type', 'request-id'];
      const headers = names.flatMap((name) => (request.headers[name] ? [[name, String(request.headers[name])]] : []));
      const body = method === 'POST' ? { body: Buffer.concat(pieces) } : {};
      const answered = await fetch(new URL(url, worker), { method, headers: headers as [string, string][], ...body });
      const kept = ['content-type', 'launch-id', 'duplicate-request', 'duplicate-key', 'retry-after'];
      const answer = {
        status: answered.status,
        headers: Object.fromEntries([...answered.headers].filter(([name]) => kept.includes(name))),
        body: Buffer.from(await answered.arrayBuffer()),
      };
      const fault = faults.shift();
      if (fault) return fault(response, answer);
      response.writeHead(answer.status, answer.headers).end(answer.body);
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

const cut = (response: http.ServerResponse, body: Buffer) =>
  response.write(body.subarray(0, body.length / 2), () => response.socket?.destroy());

/** The ways in which the response of a launch is lost. */
const LOSSES: Record<string, Fault> = {
  'the connection is closed': (response) => response.socket?.destroy(),
  'the body ends early': (response, { status, headers, body }) => {
    response.writeHead(status, { ...headers, 'Content-Length': body.length });
    cut(response, body);
  },
  'the body in chunks ends early': (response, { status, headers, body }) => {
    response.writeHead(status, headers);
    cut(response, body);
  },
  'the outcome is unknown to the Worker': (response) => {
    const error_debug = 'outcome unknown: retry with this Request-ID';
    const error = { error: 503, error_debug, error_text: 'Service unavailable' };
    response.writeHead(503, { 'Content-Type': 'application/json', 'Retry-After': '1' }).end(JSON.stringify(error));
  },
  'the platform answers': (response) => response.writeHead(500, { 'Content-Type': 'text/html' }).end('<p>error</p>'),
};

const ANSWER_EXPIRED: Fault = (response) => {
  const error = { error: 410, error_debug: 'the log begins with 7', error_text: 'Launches expired', first: 7 };
  response.writeHead(410, { 'Content-Type': 'application/json' }).end(JSON.stringify(error));
};

/** A message of a webhook. */
interface Message {
  id: string;
  timestamp: string;
  signatures: string;
  body: string;
}

const newSecret = () => `whsec_${randomBytes(24).toString('base64')}`;

function sign(secret: string, { id, timestamp, body }: Omit<Message, 'signatures'>): string {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
}

/** Messages, and whether a receiver with the secret accepts them. */
function messages(secret: string): [name: string, message: Message, refusal: string | undefined][] {
  const at = (seconds: number) => {
    const timestamp = String(Math.floor(Date.now() / 1000) + seconds);
    return { id: 'launch_1', timestamp, body: '{"type":"launch.created","text":"ä"}' };
  };
  const signed = (seconds: number, signatures?: string) => {
    const message = at(seconds);
    return { ...message, signatures: signatures ?? sign(secret, message) };
  };
  const other = sign(newSecret(), at(0));
  const valid = signed(0);
  const invalid = 'no signature is valid';
  const late = 'webhook-timestamp is not within 5 minutes';
  return [
    ['one signature', valid, undefined],
    ['a signature by another secret', signed(0, other), invalid],
    ['two signatures, the second one valid', signed(0, `${other} ${valid.signatures}`), undefined],
    ['two signatures, the first one valid', signed(0, `${valid.signatures} ${other}`), undefined],
    ['two signatures by other secrets', signed(0, `${other} ${other}`), invalid],
    ['a signature of another version', signed(0, valid.signatures.replace('v1,', 'v1a,')), invalid],
    ['a part of a signature', signed(0, valid.signatures.slice(0, -8)), invalid],
    ['no signature', signed(0, ''), invalid],
    ['a signature with other characters', signed(0, 'v1,\u00e4\u00ff'), invalid],
    ['another body', { ...valid, body: valid.body.replace('created', 'removed') }, invalid],
    ['another ID', { ...valid, id: 'launch_2' }, invalid],
    ['a timestamp 6 minutes ago', signed(-360), late],
    ['a timestamp 6 minutes ahead', signed(360), late],
    ['a timestamp 4 minutes ago', signed(-240), undefined],
    ['a timestamp that is no number', { ...valid, timestamp: 'now' }, 'webhook-timestamp is not a number'],
  ];
}

let operator: Operator;
let worker: PersistedWorker;
/** The address of the API, which the page calls `API`. */
let api: string;

beforeAll(async () => {
  operator = await Operator.start(INDEX_KEY);
  await operator.admin('demo');
  const vars = { WEBHOOK_HOSTS: 'any' };
  worker = await PersistedWorker.start(path.join(operator.state, 'v3'), undefined, { vars });
  api = `${worker.url.origin}/api/v1.1/campaigns/triggers`;
  const demo = new Demo(operator.state);
  await demo.defineCampaigns(worker.url);
  await demo.launchSamples(worker.url);
});
afterAll(async () => {
  await worker?.stop();
  await operator?.stop();
  await rm(temporary, { recursive: true });
});

/** Sends a request that must be accepted. */
async function call(method: string, target: string, body?: object): Promise<any> {
  const headers = { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json' };
  const content = body ? { body: JSON.stringify(body) } : {};
  const response = await fetch(api + target, { method, headers, ...content });
  expect(response.ok, `${method} ${target}: ${response.status}`).toBe(true);
  return response.json();
}

/** The IDs of the launches with a request ID. */
async function launchesOf(requestId: string): Promise<string[]> {
  const { launches } = await call('GET', `/${CAMPAIGN}/launches?order=desc&limit=1000`);
  return launches.filter((each: any) => each.request_id === requestId).map((each: any) => each.launch_id);
}

/** Starts a proxy for the time in which `use` runs. Returns the requests that it received. */
async function behindProxy(faults: Fault[], use: (api: string) => Promise<void>): Promise<string[]> {
  const proxy = new Proxy(worker.url, [...faults]);
  const origin = await proxy.start();
  try {
    await use(api.replace(worker.url.origin, origin));
  } finally {
    proxy.stop();
  }
  return proxy.requests;
}

describe('the interpreters', () => {
  it.runIf(isRequired)('each interpreter of the examples is installed', () => {
    expect([...LANGUAGES, SHELL].filter((each) => !each.isInstalled).map(({ name }) => name)).toEqual([]);
  });

  it('each task has one program in each language', () => {
    for (const language of LANGUAGES) {
      for (const task of Object.keys(TASKS) as Task[]) expect(fileOf(program(language, task))).toMatch(`${task}.`);
    }
  });

  it.skipIf(!isInstalled('gofmt', '-h'))('the programs in Go are formatted', () => {
    const go = LANGUAGES.find(({ fence }) => fence === 'go') as Language;
    for (const task of Object.keys(TASKS) as Task[]) {
      const { text } = program(go, task);
      expect(spawnSync('gofmt', { input: `${text}\n`, encoding: 'utf8' }).stdout).toBe(`${text}\n`);
    }
  });
});

describe.each(LANGUAGES)('in $name', (language) => {
  describe.skipIf(!language.isInstalled)('the program', () => {
    const folder = path.join(temporary, language.fence);
    const files = Object.fromEntries(
      (Object.keys(TASKS) as Task[]).map((task) => [task, fileOf(program(language, task))]),
    ) as Record<Task, string>;

    beforeAll(async () => {
      await mkdir(folder);
      for (const task of Object.keys(TASKS) as Task[]) {
        await writeFile(path.join(folder, files[task]), `${program(language, task).text}\n`);
      }
      language.prepare?.(Object.values(files), folder);
    });

    const start = (task: Task, args: string[] = [], variables: NodeJS.ProcessEnv = {}) =>
      run(language.command(files[task], ...args), folder, { API: api, TOKEN, ...variables });

    it('`launch` prints what the page shows', async () => {
      const { code, stdout, stderr } = await start('launch');
      expect([code, stderr]).toEqual([0, '']);
      compare(shown(LAUNCH), stdout.trim(), stdout);
    });

    it('each program prints the error of a refused request, and exits with status 1', async () => {
      await writeFile(path.join(folder, 'file.txt'), '');
      const args: Record<string, string[]> = { launch: [], repeat: ['refused'], attach: ['file.txt'], follow: [] };
      for (const [task, list] of Object.entries(args)) {
        const { code, stdout, stderr } = await start(task as Task, list, { TOKEN: 'unknown' });
        expect([code, stdout], stderr).toEqual([1, '']);
        compare(shown('Before you begin'), stderr.trim(), stderr);
      }
    });

    it('`repeat` prints what the page shows, and the stored answer in a second run', async () => {
      const id = `page-${language.fence}`;
      const first = await start('repeat', [id]);
      expect([first.code, first.stderr]).toEqual([0, '']);
      compare(shown(REPEAT), first.stdout.trim(), first.stdout);
      const second = await start('repeat', [id]);
      expect([second.code, second.stderr]).toEqual([0, '']);
      expect(second.stdout).toBe(first.stdout.replace('new', 'stored answer'));
      expect(await launchesOf(id)).toHaveLength(1);
    });

    it('`repeat` launches once if the response is lost, and prints the stored answer', async () => {
      const tries = Object.entries(LOSSES).map(async ([loss, fault], at) => {
        const id = `lost-${language.fence}-${at}`;
        const requests = await behindProxy([fault], async (API) => {
          const { code, stdout, stderr } = await start('repeat', [id], { API });
          expect(code, `${loss}: ${stderr}`).toBe(0);
          expect(stderr, loss).toMatch(/^attempt 1: \S/);
          const launches = await launchesOf(id);
          expect(launches, loss).toHaveLength(1);
          expect(stdout, loss).toBe(`launch ${launches[0]}: stored answer\n`);
        });
        expect(requests, loss).toHaveLength(2);
      });
      await Promise.all(tries);
    });

    it('`repeat` does not retry the launch of a paused campaign, whose request ID remains unused', async () => {
      const id = `paused-${language.fence}`;
      await call('PUT', `/${CAMPAIGN}`, { active: false });
      try {
        const requests = await behindProxy([], async (API) => {
          const { code, stdout, stderr } = await start('repeat', [id], { API });
          expect([code, stdout]).toEqual([1, '']);
          expect(stderr).toMatch(/^409 Campaign is not active: /);
        });
        expect(requests).toHaveLength(1);
      } finally {
        await call('PUT', `/${CAMPAIGN}`, { active: true });
      }
      expect((await start('repeat', [id])).stdout).toMatch(/: new\n$/);
    });

    it('`attach` prints what the page shows, and the file can be downloaded', async () => {
      await writeFile(path.join(folder, 'invoice.txt'), 'Invoice for order 7001\n');
      const { code, stdout, stderr } = await start('attach', ['invoice.txt']);
      expect([code, stderr]).toEqual([0, '']);
      compare(shown(ATTACH), stdout.trim(), stdout);

      const bytes = randomBytes(700_001);
      await writeFile(path.join(folder, 'large.bin'), bytes);
      const [, id = ''] = /launch (\S+)/.exec((await start('attach', ['large.bin'])).stdout) ?? [];
      const headers = { Authorization: `Bearer ${TOKEN}` };
      const file = await fetch(`${api}/${CAMPAIGN}/launches/${id}/attachments/0`, { headers });
      expect(Buffer.from(await file.arrayBuffer()).equals(bytes)).toBe(true);
    });

    it('`follow` prints what the page shows, and nothing in a second run', async () => {
      const requests = await behindProxy([], async (API) => {
        const { code, stdout, stderr } = await start('follow', [], { API });
        expect([code, stderr]).toEqual([0, '']);
        compare(shown(FOLLOW), stdout.trim(), stdout);
      });
      const pages = requests.map((request) => /recipients\?limit=100(.*)/.exec(request)?.[1]);
      expect(pages.filter((page) => page !== undefined)).toEqual(['', '', '', '', '&after=99', '&after=199']);
      expect(await readFile(path.join(folder, 'position.txt'), 'utf8')).toBe('4');
      expect(await start('follow')).toEqual({ code: 0, stdout: '', stderr: '' });
    });

    it('`follow` keeps its position if the launches after it have expired', async () => {
      await writeFile(path.join(folder, 'position.txt'), '4');
      await behindProxy([ANSWER_EXPIRED], async (API) => {
        const { code, stdout, stderr } = await start('follow', [], { API });
        expect([code, stdout]).toEqual([1, '']);
        expect(stderr.trim()).toBe('410 Launches expired: the log begins with 7');
      });
      expect(await readFile(path.join(folder, 'position.txt'), 'utf8')).toBe('4');
    });

    it('`receive` prints what the page shows, and accepts messages during a rotation', async () => {
      const port = await freePort();
      await withWebhook(port, async (secret) => {
        const { child, lines } = await receive(port, secret);
        try {
          const tested = await inShell(commands(VERIFY, 'webhook/test'));
          expect(JSON.parse(tested.stdout)).toMatchObject({ status: 204, error: null });
          await start('launch');
          await vi.waitFor(() => expect(lines).toHaveLength(3), { timeout: 20_000 });
          const [found] = section(VERIFY).blocks.filter(({ text }) => text.includes('received webhook.test'));
          compare(found as Block, lines.slice(1).join('\n'), lines.join('\n'));

          await call('POST', `/${CAMPAIGN}/webhook/rotate`);
          expect(await call('POST', `/${CAMPAIGN}/webhook/test`)).toMatchObject({ status: 204 });
        } finally {
          await end(child);
        }
      });
    });

    it('`receive` accepts and refuses messages by signature and timestamp', async () => {
      const secret = newSecret();
      const port = await freePort();
      const { child, lines } = await receive(port, secret);
      try {
        for (const [name, message, refusal] of messages(secret)) {
          expect(await post(port, message), name).toBe(refusal ? 400 : 204);
          const line = refusal ? `refused: ${refusal}` : `received launch.created ${message.id}`;
          await vi.waitFor(() => expect(lines.at(-1), name).toBe(line), { timeout: 20_000 });
        }
      } finally {
        await end(child);
      }
    });

    it('`receive` accepts no message without a secret', async () => {
      const port = await freePort();
      const [name = '', ...args] = receiver(port);
      const child = spawn(name, args, { cwd: folder, env: { ...process.env, WEBHOOK_SECRET: '', PORT: String(port) } });
      const ended = new Promise((resolve) => child.on('close', (code) => resolve(code)));
      const started = new Promise((resolve) =>
        child.stderr.on('data', (text) => /started/.test(text) && resolve('started')),
      );
      try {
        // The server of PHP starts without the program.
        if ((await Promise.race([ended, started])) === 'started') {
          const [, message] = messages('whsec_')[0] ?? [];
          expect(await post(port, message as Message)).toBe(500);
        } else {
          expect(child.exitCode).toBe(1);
        }
      } finally {
        await end(child);
      }
    });

    const receiver = (port: number) =>
      language.receiver?.(files.receive, port) ?? language.command(files.receive, String(port));

    /** Starts the receiver. Returns the lines that it prints, the first one when it listens. */
    async function receive(port: number, secret: string): Promise<{ child: ChildProcess; lines: string[] }> {
      const [name = '', ...args] = receiver(port);
      const env = { ...process.env, WEBHOOK_SECRET: secret, PORT: String(port) };
      const child = spawn(name, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
      const lines: string[] = [];
      let rest = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        const [last = '', ...complete] = (rest + text).split('\n').toReversed();
        rest = last;
        lines.push(...complete.toReversed());
      });
      let errors = '';
      await new Promise<void>((resolve, reject) => {
        child.stdout.once('data', () => resolve());
        child.stderr.setEncoding('utf8').on('data', (text: string) => {
          errors += text;
          if (lines.length > 0 || !/ started$/m.test(errors)) return;
          lines.push('started');
          resolve();
        });
        child.once('close', () => reject(new Error(`the receiver ended: ${errors}`)));
      });
      return { child, lines };
    }
  });
});

describe('after more launches', () => {
  const more = 120;

  beforeAll(async () => {
    for (let at = 0; at < more; at++) {
      await call('POST', '/start', { id: FOLLOWED, email: 'example1@example.com' });
    }
  });

  it.each(LANGUAGES.filter((language) => language.isInstalled))(
    '`follow` in $name continues after its position, over all pages of the log',
    async (language) => {
      const folder = path.join(temporary, language.fence);
      await writeFile(path.join(folder, 'position.txt'), '4');
      const requests = await behindProxy([], async (API) => {
        const command = language.command(fileOf(program(language, 'follow')));
        const { stdout } = await run(command, folder, { API, TOKEN });
        const sequences = Array.from({ length: more }, (_, at) => at + 5);
        expect(stdout).toBe(sequences.map((sequence) => `launch ${sequence}, recipients: 1\n`).join(''));
      });
      const pages = requests.map((request) => /launches\?limit=100(.*)/.exec(request)?.[1]);
      expect(pages.filter((page) => page !== undefined)).toEqual(['&after=4', '&after=104']);
    },
  );
});

describe.skipIf(!SHELL.isInstalled)('in the shell', () => {
  it('curl launches once if the response is lost, and prints the stored answer', async () => {
    const tries = Object.entries(LOSSES).map(async ([loss, fault], at) => {
      const id = `lost-shell-${at}`;
      const script = commands(REPEAT, '--retry');
      expect(script).toContain('order-7001');
      const requests = await behindProxy([fault], async (API) => {
        const folder = path.join(temporary, id);
        await mkdir(folder);
        const { code, stdout, stderr } = await inShell(script.replaceAll('order-7001', id), { API }, folder);
        expect(code, `${loss}: ${stderr}`).toBe(0);
        const launches = await launchesOf(id);
        expect(launches, loss).toHaveLength(1);
        expect(stdout, loss).toMatch(new RegExp(`^launch-id: ${launches[0]}\r$`, 'im'));
        expect(stdout, loss).toMatch(/^duplicate-request: true\r$/im);
        expect(stdout.match(/^HTTP/gm), loss).toHaveLength(1);
      });
      expect(requests, loss).toHaveLength(2);
    });
    await Promise.all(tries);
  });

  it('`verify.sh` accepts and refuses messages by signature and timestamp', async () => {
    const [script] = section(VERIFY).blocks.filter(({ language }) => language === 'bash');
    const file = path.join(temporary, 'verify.sh');
    await writeFile(file, script?.text ?? '');
    const verify = ({ id, timestamp, signatures, body }: Message, WEBHOOK_SECRET: string) =>
      run(['bash', file, id, timestamp, signatures], temporary, { WEBHOOK_SECRET }, body);
    const secret = newSecret();
    for (const [name, message, refusal] of messages(secret)) {
      const { code, stdout, stderr } = await verify(message, secret);
      expect([code, stdout, stderr], name).toEqual(refusal ? [1, `refused: ${refusal}\n`, ''] : [0, 'valid\n', '']);
    }
    const [, message] = messages('whsec_')[0] ?? [];
    expect((await verify(message as Message, '')).stdout).toBe('refused: WEBHOOK_SECRET is empty\n');
  });
});

/** Runs commands of the page. */
const inShell = (script: string, variables: NodeJS.ProcessEnv = {}, folder = temporary) =>
  run(['bash', '-e', '-c', script], folder, { API: api, TOKEN, AUTH: `Authorization: Bearer ${TOKEN}`, ...variables });

/** Creates the webhook with the command of the page, for the time in which `use` runs. */
async function withWebhook(port: number, use: (secret: string) => Promise<void>): Promise<void> {
  const create = commands(VERIFY, 'export WEBHOOK_SECRET');
  expect(create).toContain(RECEIVER);
  const script = `${create.replace(RECEIVER, `http://127.0.0.1:${port}/`)}\nprintf %s "$WEBHOOK_SECRET"`;
  const { stdout } = await inShell(script);
  expect(stdout).toMatch(/^whsec_\S+$/);
  try {
    await use(stdout);
  } finally {
    await call('DELETE', `/${CAMPAIGN}/webhook`);
  }
}

/** Sends a message to a receiver. Returns the status. */
function post(port: number, { id, timestamp, signatures, body }: Message): Promise<number> {
  const headers = {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures,
    'Content-Length': Buffer.byteLength(body),
  };
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', host: '127.0.0.1', port, headers, agent: false };
    const request = http.request(options, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    });
    request.on('error', reject).end(body);
  });
}

/** Systems assign no ports from here to 32,767 by themselves, so no other test gets one of them by chance. */
let nextPort = 20_000 + (process.pid % 10_000);

/** Returns a port that nothing listens on. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = nextPort++;
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** Ends a program. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = new Promise((resolve) => child.once('close', resolve));
  child.kill();
  await closed;
}
