// Loads the data of a view, and updates it.

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { Failure } from './api';

export interface Loaded<T> {
  /** The last data, also while newer data is loaded or cannot be. */
  data: T | undefined;
  failure: Failure | undefined;
  loading: boolean;
  /** When `data` was loaded. */
  at: Date | undefined;
  reload(): void;
}

/** The longest time between two updates, in milliseconds. */
const SLOWEST = 60_000;

/**
 * Loads data for `key`, and again when the key changes. With `every`, in milliseconds, the data is updated while the page is
 * visible. After a failure the time until the next update doubles.
 */
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>, every?: number): Loaded<T> {
  const [state, setState] = useState<{ key: string } & Omit<Loaded<T>, 'reload'>>(() => initial(key));
  const [round, setRound] = useState(0);
  const latest = useRef(load);
  latest.current = load;

  useEffect(() => {
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let pause = every ?? 0;

    const run = async () => {
      clearTimeout(timer);
      setState((last) => (last.key === key ? { ...last, loading: true } : initial(key)));
      try {
        const data = await latest.current(controller.signal);
        if (controller.signal.aborted) return;
        pause = every ?? 0;
        setState({ key, data, failure: undefined, loading: false, at: new Date() });
      } catch (error) {
        if (controller.signal.aborted) return;
        const failure = error instanceof Failure ? error : new Failure('network', 'The console failed', String(error));
        pause = Math.min(SLOWEST, Math.max(pause * 2, (failure.retryAfter ?? 0) * 1000));
        setState((last) => ({ ...(last.key === key ? last : initial<T>(key)), failure, loading: false }));
      }
      if (every) timer = setTimeout(runIfVisible, pause);
    };
    const runIfVisible = () => {
      if (document.visibilityState === 'visible') void run();
      else document.addEventListener('visibilitychange', runIfVisible, { once: true });
    };
    void run();
    return () => {
      controller.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', runIfVisible);
    };
  }, [key, round, every]);

  const reload = useCallback(() => setRound((value) => value + 1), []);
  // Data of another key belongs to another view.
  return { ...(state.key === key ? state : initial<T>(key)), reload };
}

const initial = <T>(key: string): { key: string } & Omit<Loaded<T>, 'reload'> => ({
  key,
  data: undefined,
  failure: undefined,
  loading: true,
  at: undefined,
});

/** Runs `work` for each value, a few at a time, and returns the results in the order of the values. */
export async function mapLimited<T, R>(values: T[], limit: number, work: (value: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(values.length);
  const entries = values.entries();
  const worker = async () => {
    for (const [at, value] of entries) results[at] = await work(value);
  };
  await Promise.all(Array.from({ length: Math.min(limit, values.length) }, worker));
  return results;
}
