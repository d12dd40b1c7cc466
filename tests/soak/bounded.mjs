// Children that are ended if they take too long.

import { ended } from '../../scripts/run.mjs';

/** A child that ignores SIGTERM for this long is killed. */
const GRACE_MS = 10_000;

/**
 * Waits for a child, and ends it after `ms` milliseconds. Returns its exit code.
 * @param {import('../../scripts/run.mjs').ChildProcess} child @param {number} ms
 */
export async function endedWithin(child, ms) {
  const timers = [setTimeout(() => child.kill('SIGTERM'), ms), setTimeout(() => child.kill('SIGKILL'), ms + GRACE_MS)];
  try {
    return await ended(child);
  } finally {
    timers.forEach(clearTimeout);
  }
}
