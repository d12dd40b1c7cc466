// The token of the session. It is kept in sessionStorage, which the browser deletes with the tab, and is never part of a URL.

import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import { call, type Call, Failure, fetchCall, type Reply, type Schema, send } from './api';

const KEY = 'trigger-launch token';

export const storedToken = () => sessionStorage.getItem(KEY) ?? undefined;
export const storeToken = (token: string) => sessionStorage.setItem(KEY, token);
export const forgetToken = () => sessionStorage.removeItem(KEY);

export type Scope = Schema<'Token'>['scopes'][number];

/** Reads the description of a token. */
export const describeToken = (token: string, signal?: AbortSignal) =>
  send(call('get', '/api/v1.1/token'), token, signal).then(({ data }) => data);

/** A signed-in reader. */
export class Session {
  /** When the console found that a campaign has no webhook, by the campaign's ID. */
  readonly withoutWebhook = new Map<number, number>();

  constructor(
    private readonly token: string,
    readonly described: Schema<'Token'>,
    /** Ends the session, with the reason if the token is no longer valid. */
    readonly end: (reason?: string) => void,
  ) {}

  /** Whether the token has one of the scopes. */
  can(...scopes: Scope[]): boolean {
    return scopes.some((scope) => this.described.scopes.includes(scope));
  }

  /** Sends a request and reads its JSON. A response that rejects the token ends the session. */
  async send<T>(call: Call<T>, signal?: AbortSignal): Promise<Reply<T>> {
    return this.guard(send(call, this.token, signal));
  }

  /** Sends a request and returns its response. Only the head has been read. */
  async fetch(call: Call<unknown>, signal?: AbortSignal): Promise<Response> {
    return this.guard(fetchCall(call, this.token, signal));
  }

  private async guard<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof Failure && error.status === 401) {
        this.end(
          'The token is not valid any more: it was revoked, or its record was removed. Sign in with another one.',
        );
      }
      throw error;
    }
  }
}

const SessionContext = createContext<Session | undefined>(undefined);
export const SessionProvider = SessionContext.Provider;

/** The session of the reader. Views are rendered only with one. */
export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error('a view was rendered without a session');
  return session;
}
