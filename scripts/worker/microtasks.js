// Replaces `queueMicrotask` in the bundle. That of the runtime wraps each function for its calls from C++, which takes as long as
// one of the smaller steps of a launch. A promise queues the same microtask without it.

/** @param {() => void} run */
export function queueMicrotask(run) {
  void Promise.resolve().then(run);
}
