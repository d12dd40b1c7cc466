// Runs the operator's command line in a checkout in a temporary folder, with its own state, key and files, and returns the
// profiles and tokens that it writes.

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Env } from './harness.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** The files of the checkout that the command line and scripts/kv.mjs need. */
const LINKED = ['scripts', 'node_modules', 'wrangler.toml'];
/** A response of scripts/kv.mjs is one line with all values. */
const MAX_OUTPUT = 512 * 1024 * 1024;

/** A key and its value. */
export type Pair = [string, string];

const execute = promisify(execFile);

/** The exit code and the output of a command. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** An operator with a checkout in a temporary folder. */
export class Operator {
  private constructor(
    /** The checkout. */
    readonly folder: string,
    /** The compiled command line. */
    readonly program: string,
  ) {}

  /** @param key the value of `PROFILE_INDEX_KEY` */
  static async start(key: string): Promise<Operator> {
    const operator = await Operator.startWithoutState(key);
    await mkdir(operator.state, { recursive: true });
    return operator;
  }

  /** Creates a checkout in which `npm run dev` has never run. */
  static async startWithoutState(key: string): Promise<Operator> {
    const folder = await mkdtemp(path.join(tmpdir(), 'trigger-launch-'));
    await Promise.all(LINKED.map((name) => symlink(path.join(ROOT, name), path.join(folder, name))));
    await writeFile(path.join(folder, '.dev.vars'), `PROFILE_INDEX_KEY=${key}\n`, { mode: 0o600 });
    return new Operator(folder, await commandLine());
  }

  /** The folder of the local state. */
  get state(): string {
    return path.join(this.folder, '.wrangler', 'state');
  }

  /** Runs `npm run admin -- …`, which must succeed, and returns its standard output. */
  async admin(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0) throw new Error(`admin ${args.join(' ')} failed with exit code ${code}: ${stderr}`);
    return stdout;
  }

  /** Runs `npm run admin -- …`. */
  async run(args: string[], variables: NodeJS.ProcessEnv = {}): Promise<Ended> {
    // Cargo is not used to run the program: it would set CARGO_MANIFEST_DIR to the real checkout.
    const env = { ...process.env, CARGO_MANIFEST_DIR: this.folder, ...variables };
    const options = { cwd: this.folder, env, maxBuffer: MAX_OUTPUT };
    return new Promise((resolve, reject) => {
      const child = execFile(this.program, args, options, (error, stdout, stderr) => {
        if (error && child.exitCode === null) reject(error);
        else resolve({ code: child.exitCode ?? 0, stdout, stderr });
      });
    });
  }

  /** Runs `profiles import` with a file of this content. */
  async importProfiles(database: number, content: string, kind: 'csv' | 'ndjson' = 'csv'): Promise<string> {
    const file = path.join(this.folder, `profiles.${kind}`);
    await writeFile(file, content);
    return this.admin('profiles', 'import', file, '--database', String(database), '--allow-shrink');
  }

  /** Returns the keys and values of a namespace. */
  async contents(namespace: 'PROFILES' | 'ACCESS'): Promise<Pair[]> {
    const [keys] = await this.ask([{ op: 'list', namespace, prefix: '' }]);
    const [values] = await this.ask([{ op: 'get', namespace, keys }]);
    return (keys ?? []).map((key, at) => [key, values?.[at] ?? '']);
  }

  /** Copies both namespaces to the storage of a running Worker. */
  async copyTo(env: Env): Promise<void> {
    for (const namespace of ['PROFILES', 'ACCESS'] as const) {
      const pairs = await this.contents(namespace);
      await Promise.all(pairs.map(([key, value]) => env[namespace].put(key, value)));
    }
  }

  /** Writes values to a namespace. */
  async write(namespace: 'PROFILES' | 'ACCESS', pairs: Pair[]): Promise<void> {
    await this.ask([{ op: 'put', namespace, pairs }]);
  }

  /** Removes the folder. */
  async stop(): Promise<void> {
    await rm(this.folder, { recursive: true });
  }

  /** Sends requests to scripts/kv.mjs, and returns its responses. */
  private async ask(requests: object[]): Promise<string[][]> {
    const options = { cwd: this.folder, maxBuffer: MAX_OUTPUT };
    const answered = execute(process.execPath, ['scripts/kv.mjs', this.state], options);
    answered.child.stdin?.end(requests.map((request) => `${JSON.stringify(request)}\n`).join(''));
    const { stdout } = await answered;
    return stdout
      .trimEnd()
      .split('\n')
      .map((line) => {
        const answer = JSON.parse(line) as { ok?: string[] | null; error?: string };
        if (answer.ok === undefined) throw new Error(answer.error);
        return answer.ok ?? [];
      });
  }
}

/** Returns the path of the command line, compiled in the profile of the native tests. */
export async function commandLine(): Promise<string> {
  const build = ['build', '--bin', 'admin', '--quiet', '--message-format', 'json'];
  const { stdout } = await execute('cargo', build, { cwd: ROOT, maxBuffer: MAX_OUTPUT });
  const program = /"executable":("[^"]+")/.exec(stdout)?.[1];
  if (!program) throw new Error('cargo printed no path of the command line');
  return JSON.parse(program) as string;
}
