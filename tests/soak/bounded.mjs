// Waits for child processes, and ends those that take too long.

import { ended, Failure } from '../../scripts/run.mjs';

/** A child that ignores SIGTERM for this long is killed. */
const GRACE_MS = 10_000;

/** Whether a signal has ended all children. No child is started after that. */
let interrupted = false;
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.once(signal, () => (interrupted = true));
}

/**
 * Waits for a child, and ends it after `ms` milliseconds. Returns its exit code. Fails if this process is interrupted.
 * @param {import('../../scripts/run.mjs').ChildProcess} child @param {number} ms
 */
export async function endedWithin(child, ms) {
  const timers = [setTimeout(() => child.kill('SIGTERM'), ms), setTimeout(() => child.kill('SIGKILL'), ms + GRACE_MS)];
  try {
    const code = await ended(child);
    if (interrupted) throw new Failure('interrupted');
    return code;
  } finally {
    timers.forEach(clearTimeout);
  }
}
