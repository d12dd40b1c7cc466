// Numbers, times, sizes and texts as the console shows them, in the reader's language and time zone.

const integers = new Intl.NumberFormat();

export const count = (value: number) => integers.format(value);

const UNITS = ['B', 'KiB', 'MiB', 'GiB'];

export function size(bytes: number): string {
  let at = 0;
  while (bytes >= 1024 && at < UNITS.length - 1) {
    bytes /= 1024;
    at += 1;
  }
  return `${bytes.toLocaleString(undefined, { maximumFractionDigits: at ? 1 : 0 })} ${UNITS[at]}`;
}

/** Returns a number with the noun in the right form. */
export const plural = (value: number, one: string, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

const minutes: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' };
const day: Intl.DateTimeFormatOptions = { day: 'numeric', month: 'short' };
const styles = {
  second: new Intl.DateTimeFormat(undefined, { ...day, ...minutes, second: '2-digit' }),
  old: new Intl.DateTimeFormat(undefined, { ...day, ...minutes, year: 'numeric' }),
  hour: new Intl.DateTimeFormat(undefined, minutes),
  day: new Intl.DateTimeFormat(undefined, { weekday: 'short', ...day }),
};

/** A time to the second. The year is shown if it is not the current one. */
export function time(at: Date): string {
  const style = at.getFullYear() === new Date().getFullYear() ? styles.second : styles.old;
  return style.format(at);
}

const seconds = new Intl.DateTimeFormat(undefined, { ...minutes, second: '2-digit' });

/** The time of today. */
export const clock = (at: Date) => seconds.format(at);

/** The name of an hour or a day in a plot. */
export const bucketName = (at: Date, bucket: 'hour' | 'day') => styles[bucket].format(at);

/** The offset of the reader's time zone, such as `+01:00`. */
export function zone(at = new Date()): string {
  const offset = -at.getTimezoneOffset();
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0');
  return `${offset < 0 ? '-' : '+'}${two(Math.abs(offset) / 60)}:${two(Math.abs(offset) % 60)}`;
}

/** Control characters, and characters that change the order or the look of a text without being visible. */
const INVISIBLE = /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u;
const INVISIBLE_EXCEPT_LAYOUT = /(?![\n\t])[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u;

export type Piece = { text: string } | { code: string };

/** Splits a text at its invisible characters, which are shown as code points. `layout` keeps line breaks and tabs. */
export function pieces(text: string, layout = false): Piece[] {
  const pattern = layout ? INVISIBLE_EXCEPT_LAYOUT : INVISIBLE;
  if (!pattern.test(text)) return text ? [{ text }] : [];
  return text
    .split(new RegExp(`(${pattern.source})`, 'u'))
    .map((part, at) => (at % 2 ? { code: codePoint(part) } : { text: part }))
    .filter((piece) => 'code' in piece || piece.text);
}

const codePoint = (char: string) => `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;

/** Cuts a text without splitting a character in half. */
export function shortened(text: string, limit: number): string {
  if (text.length <= limit) return text;
  return text.slice(0, limit).replace(/[\ud800-\udbff]$/, '');
}
