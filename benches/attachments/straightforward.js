// What one would write in an afternoon: the body as an object, each file decoded whole and stored.
export default {
  /** @param {Request} request @param {{ ATTACHMENTS: R2Bucket }} env */
  async fetch(request, env) {
    const body = await request.json();
    for (const [number, { data }] of body.attach.entries()) {
      const binary = atob(data);
      const bytes = new Uint8Array(binary.length);
      for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
      await env.ATTACHMENTS.put(`straightforward/${number}`, bytes);
    }
    return Response.json({ error: 0 });
  },
};
