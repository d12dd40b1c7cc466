// The clients by which refused bodies are sent: as people use them, without special care for an early answer.

import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { inRoot, start } from '../../scripts/run.mjs';
import { endedWithin } from './bounded.mjs';

/** A request whose body is a file. @typedef {{ url: URL, method: string, headers: Record<string, string>, file: string }} Sent */
/** An answer, or the reason why none arrived. @typedef {{ status: number, text: string } | { failure: string }} Outcome */

/** A try is given up after this time. */
const TRY_MS = 120_000;
/** The status line and the body of an answer, as curl prints them. */
const WITH_STATUS = '\\n%{http_code}';

/** Runs a program and returns what it prints. @param {string} program @param {string[]} args */
async function capture(program, args) {
  const child = start(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  /** @type {Record<'stdout' | 'stderr', Buffer[]>} */
  const printed = { stdout: [], stderr: [] };
  child.stdout?.on('data', (chunk) => printed.stdout.push(chunk));
  child.stderr?.on('data', (chunk) => printed.stderr.push(chunk));
  const code = await endedWithin(child, TRY_MS);
  return { code, stdout: Buffer.concat(printed.stdout).toString(), stderr: Buffer.concat(printed.stderr).toString() };
}

/** Whether a program can be started. @param {string} program */
async function isPresent(program) {
  return capture(program, ['--version']).then(
    ({ code }) => code === 0,
    () => false,
  );
}

/** @param {Sent} request @returns {Promise<Outcome>} */
async function curl({ url, method, headers, file }) {
  const own = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const args = ['-sS', '-X', method, ...own, '--data-binary', `@${file}`, '-w', WITH_STATUS, url.href];
  const { code, stdout, stderr } = await capture('curl', args);
  const at = stdout.lastIndexOf('\n');
  if (code !== 0) return { failure: stderr.trim().split('\n').at(-1) || `curl: exit code ${code}` };
  return { status: Number(stdout.slice(at + 1)), text: stdout.slice(0, at) };
}

/** @param {Sent} request @returns {Promise<Outcome>} */
async function httpClient({ url, method, headers, file }) {
  const args = [inRoot('tests', 'soak', 'client.py'), url.href, method, JSON.stringify(headers), file];
  const { code, stdout, stderr } = await capture('python3', args);
  return code === 0
    ? JSON.parse(stdout)
    : { failure: stderr.trim().split('\n').at(-1) || `python3: exit code ${code}` };
}

/** @param {Sent} request @returns {Promise<Outcome>} */
async function nodeFetch({ url, method, headers, file }) {
  try {
    const body = await readFile(file);
    const response = await fetch(url, { method, headers, body, signal: AbortSignal.timeout(TRY_MS) });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    return { failure: cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause) };
  }
}

/** Those of the clients that this machine has. */
export async function presentClients() {
  const [hasCurl, hasPython] = await Promise.all([isPresent('curl'), isPresent('python3')]);
  return [
    ...(hasCurl ? [{ name: 'curl', send: curl }] : []),
    ...(hasPython ? [{ name: 'http.client', send: httpClient }] : []),
    { name: 'fetch', send: nodeFetch },
  ];
}

/**
 * Announces a body and sends only its beginning.
 * @param {Omit<Sent, 'file'>} request @param {number} length @param {number} within milliseconds @returns {Promise<Outcome>}
 */
export function announce({ url, method, headers }, length, within) {
  return new Promise((resolve) => {
    const own = { ...headers, 'Content-Length': length };
    const request = http.request(url, { method, headers: own, agent: false, timeout: within }, (response) => {
      /** @type {Buffer[]} */
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('end', () => {
        request.destroy();
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(pieces).toString() });
      });
    });
    request.on('timeout', () => request.destroy(new Error('no answer at once')));
    request.on('error', (error) => resolve({ failure: 'code' in error ? String(error.code) : error.message }));
    request.write('{');
  });
}
