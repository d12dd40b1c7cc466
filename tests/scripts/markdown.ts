// Reads the Markdown of the documents: code blocks, links and headings.

/** A fenced code block. */
export interface Block {
  /** The first word after the fence; empty if the fence has no word. */
  language: string;
  /** The content, without the indentation of the fence. */
  text: string;
  /** The line of the opening fence, from 1. */
  line: number;
  /** The block that follows with only blank lines in between, if it contains no commands: the expected output. */
  output?: Block;
}

/** A link or an image. */
export interface Link {
  target: string;
  line: number;
}

/** One line, and whether it is inside a code block. */
interface Line {
  text: string;
  number: number;
  isCode: boolean;
}

const FENCE = /^( *)```(\S*)/;

/** The language of blocks that contain commands. */
export const COMMANDS = 'sh';

/** Returns the code blocks of a page. */
export function blocks(page: string): Block[] {
  const found: Block[] = [];
  const lines = page.split('\n');
  let adjacent: Block | undefined;
  for (let at = 0; at < lines.length; at++) {
    const fence = FENCE.exec(lines[at] ?? '');
    if (!fence) {
      if (lines[at]?.trim() !== '') adjacent = undefined;
      continue;
    }
    const [, indentation = '', language = ''] = fence;
    const line = at + 1;
    const content: string[] = [];
    while (++at < lines.length && lines[at]?.trim() !== '```') {
      content.push((lines[at] ?? '').slice(Math.min(indentation.length, indent(lines[at] ?? ''))));
    }
    const block: Block = { language, text: content.join('\n'), line };
    if (adjacent?.language === COMMANDS && language !== COMMANDS) adjacent.output = block;
    adjacent = block;
    found.push(block);
  }
  return found;
}

const indent = (line: string) => line.length - line.trimStart().length;

/** Returns the links and images of a page, without those in code. */
export function links(page: string): Link[] {
  return linesOf(page)
    .filter(({ isCode }) => !isCode)
    .flatMap(({ text, number }) => {
      const prose = text.replaceAll(/`[^`]*`/g, '');
      return [...prose.matchAll(/\]\(<?([^)\s>]+)>?\)/g)].map(([, target = '']) => ({ target, line: number }));
    });
}

/** Returns the anchors that GitHub creates for the headings of a page. */
export function anchors(page: string): Set<string> {
  const found = new Set<string>();
  for (const { text, isCode } of linesOf(page)) {
    const title = /^#{1,6} +(.*?) *$/.exec(text)?.[1];
    if (isCode || title === undefined) continue;
    const visible = title.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1');
    const slug = visible
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(/\s/g, '-');
    let anchor = slug;
    for (let repeated = 1; found.has(anchor); repeated++) anchor = `${slug}-${repeated}`;
    found.add(anchor);
  }
  return found;
}

function linesOf(page: string): Line[] {
  let isInBlock = false;
  return page.split('\n').map((text, at) => {
    const isFence = FENCE.test(text);
    if (isFence) isInBlock = !isInBlock;
    return { text, number: at + 1, isCode: isInBlock || isFence };
  });
}
