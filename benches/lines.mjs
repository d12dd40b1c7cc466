// Waits for the log line of a request.

/** The log line of a launch. @typedef {{ request_id: string, wasm_bytes: number, reserved_bytes?: number, parse_ms: number, match_ms: number, commit_ms: number, kv_reads: number, kv_keys: number }} LogLine */

export class LogLines {
  /** @type {Map<string, (line: LogLine) => void>} */
  #awaited = new Map();

  /** Returns the next log line of a request. @param {string} id its `Request-ID` @returns {Promise<LogLine>} */
  of(id) {
    return new Promise((resolve) => this.#awaited.set(id, resolve));
  }

  /** Processes a message of the log. @param {string} message */
  record(message) {
    if (!message.startsWith('{')) return;
    const line = JSON.parse(message);
    this.#awaited.get(line.request_id)?.(line);
    this.#awaited.delete(line.request_id);
  }
}
