// Hash URLs: `#/campaigns/8?before=12` is a view with its parameters.

import { useEffect, useState } from 'preact/hooks';

export interface Route {
  parts: string[];
  query: URLSearchParams;
  /** The complete hash, which identifies the view. */
  hash: string;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function currentRoute(): Route {
  const hash = location.hash || '#/campaigns';
  const [path = '', query = ''] = hash.slice(1).split('?', 2);
  return { parts: path.split('/').filter(Boolean).map(decoded), query: new URLSearchParams(query), hash };
}

/** Returns the route of the address, and renders again when it changes. */
export function useRoute(): Route {
  const [route, setRoute] = useState(currentRoute);
  useEffect(() => {
    const update = () => setRoute(currentRoute());
    addEventListener('hashchange', update);
    return () => removeEventListener('hashchange', update);
  }, []);
  return route;
}

export type Query = Record<string, string | number | undefined>;

/** Returns the URL of a view. */
export function urlOf(parts: (string | number)[], query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  const text = search.toString();
  return `#/${parts.map((part) => encodeURIComponent(part)).join('/')}${text ? `?${text}` : ''}`;
}

/** Returns a whole number of the address from 0, or undefined. */
export function wholeNumber(text: string | null | undefined): number | undefined {
  if (!text || !/^\d{1,16}$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}
