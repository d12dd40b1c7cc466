/** @param {any} results */
export function report(results) {
  void results;
}
