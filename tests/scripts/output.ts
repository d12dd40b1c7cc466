// Compares what a command or a program printed with what a document shows.

import { expect } from 'vitest';
import type { Block } from './markdown.js';

/** Compares what was printed with what a document shows. */
export function compare(expected: Block, output: string, place: string): void {
  if (expected.language === 'http') {
    const [head = '', body] = split(expected.text);
    const [printedHead = '', printedBody = ''] = split(output);
    const printed = printedHead.split('\n').map(normalised);
    for (const line of head.split('\n')) expect(printed, place).toContain(normalised(line));
    if (body !== undefined) expect(json(printedBody, place), place).toEqual(json(body, place));
  } else if (expected.language === 'json') {
    expect(json(output, place), place).toEqual(json(expected.text, place));
  } else {
    expect(normalised(output), place).toBe(normalised(expected.text.trim()));
  }
}

/** The head and the body of a response, if it has one. */
const split = (response: string) => response.replaceAll('\r', '').split(/\n\n([^]*)/);

function json(text: string, place: string): unknown {
  try {
    return JSON.parse(normalised(text));
  } catch {
    throw new Error(`not JSON: ${place}`);
  }
}

/** Text without what differs from run to run. */
export function normalised(text: string): string {
  return text
    .replaceAll(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=\b|_)/g, 'UUID')
    .replaceAll(/\b\d{4}-\d\d-\d\dT[\d:.]+Z\b/g, 'TIME')
    .replaceAll(/\b\d{4}-\d\d-\d\d\b/g, 'DATE')
    .replaceAll(/(?<=\b|_)[0-9a-f]{32}\b/g, 'REQUEST')
    .replaceAll(/^(\S+ +)[0-9a-f]{12} /gm, '$1DIGEST       ')
    .replaceAll(/\bdur=\d+/g, 'dur=MS');
}
