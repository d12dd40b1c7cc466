// The floor: a Worker that drains the body with a 64 KiB BYOB reader, and answers.
export default {
  /** @param {Request} request */
  async fetch(request) {
    if (!request.body) return Response.json({ bytes: 0 });
    const reader = request.body.getReader({ mode: 'byob' });
    let view = new Uint8Array(64 * 1024);
    let bytes = 0;
    for (;;) {
      const { done, value } = await reader.read(view);
      if (done) break;
      bytes += value.byteLength;
      view = new Uint8Array(value.buffer);
    }
    return Response.json({ bytes });
  },
};
