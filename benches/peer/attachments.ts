// Decodes each attachment as a whole, and stores it in the bucket.

import { Problem } from './reply.js';

export async function attachments(attach: { name: string; data: string }[], id: string, bucket: R2Bucket) {
  const stored = [];
  for (const [number, { name, data }] of attach.entries()) {
    const comma = data.startsWith('data:') ? data.indexOf(',') : -1;
    const contentType = comma < 0 ? 'application/octet-stream' : data.slice(5, data.indexOf(';'));
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      bytes = Uint8Array.fromBase64(comma < 0 ? data : data.slice(comma + 1));
    } catch {
      throw new Problem(400, `attach[${number}].data: not base64`);
    }
    await bucket.put(`${id}/${number}`, bytes);
    stored.push({ name, content_type: contentType, size: bytes.length });
  }
  return stored;
}
