// The bucket's own time: multipart uploads of as many bytes, in parts as the Worker sends them, and nothing else.
const PART = 5 * 1024 * 1024;
export default {
  /** @param {Request} request @param {{ ATTACHMENTS: R2Bucket }} env */
  async fetch(request, env) {
    const { files, bytes } = await request.json();
    const part = new Uint8Array(PART);
    for (let number = 0; number < files; number++) {
      const upload = await env.ATTACHMENTS.createMultipartUpload(`bucket/${number}`);
      const parts = [];
      for (let left = bytes; left > 0; left -= PART) {
        parts.push(await upload.uploadPart(parts.length + 1, part.subarray(0, Math.min(left, PART))));
      }
      await upload.complete(parts);
    }
    return Response.json({ error: 0 });
  },
};
