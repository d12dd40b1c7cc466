// Callers without a verified token who occupy memory: others are served beside them, and nothing stays reserved.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Connection } from '../soak/connection.js';
import { WatchedWorker } from '../soak/soak.js';
import { BATCH, bearer, GOOD, launch, TOKEN } from './fixture.js';

const KIB = 1024;
/** Room for 32 unverified callers. */
const SCARCE = 256 * KIB;
const SLOW = 96;

const head = { 'Content-Type': 'application/json', 'Content-Length': 1000 };

/** The same launch with its token in the header, the query and the body. */
const LAUNCHES: [document: object, headers: Record<string, string>, path: string][] = [
  [GOOD, bearer(), BATCH],
  [GOOD, {}, `${BATCH}?token=${TOKEN.all}`],
  [{ token: TOKEN.all, ...GOOD }, {}, BATCH],
  [{ ...GOOD, token: TOKEN.all }, {}, BATCH],
];

describe('unverified callers', () => {
  let watched: WatchedWorker;
  let idle: number | undefined;
  beforeAll(async () => {
    watched = await WatchedWorker.start({ vars: { UNVERIFIED_LIMIT: String(SCARCE) } });
    idle = (await watched.line()).reserved_bytes;
  });
  afterAll(() => watched.stop());

  it('callers who send a head and one byte get 408 or 503, and callers with a token get 200', async () => {
    expect(idle).toBeTypeOf('number');
    const slow = await Promise.all(Array.from({ length: SLOW }, () => Connection.open(watched.url)));
    for (const connection of slow) connection.head('POST', BATCH, head).send('{');
    const answers = Promise.all(slow.map(({ answer }) => answer));
    let open = true;
    void answers.then(() => (open = false));
    // Until the last of them has its answer, which takes ten seconds of silence.
    while (open) {
      for (const [document, headers, path] of LAUNCHES) {
        const reply = await launch(watched.worker, document, headers, path);
        expect(reply.status, reply.text).toBe(200);
      }
    }
    const statuses = (await answers).map((answer) => answer?.status);
    expect(new Set(statuses)).toEqual(new Set([408, 503]));
    for (const answer of await answers) {
      const { error_text } = JSON.parse(answer?.text ?? '{}') as { error_text: string };
      expect(error_text).toBe(answer?.status === 408 ? 'Request timeout' : 'Service unavailable');
      expect(answer?.headers.get('Retry-After')).toBe(answer?.status === 408 ? null : '5');
    }
    expect((await watched.released(idle)).excess).toBe(0);
  });

  it.each<[string, Record<string, string | number>, string]>([
    ['after the head', head, ''],
    ['in the middle of the body', head, '{"data":[{"email":"a@example.com"},'],
    ['while a good body arrives', { ...head, ...bearer() }, '{"data":['],
    ['while a refused body is drained', { ...head, ...bearer(TOKEN.unknown) }, '{'],
    ['before the answer', { ...head, ...bearer(), 'Content-Length': 65 }, JSON.stringify(GOOD).padEnd(65)],
  ])('callers who disconnect %s leave nothing reserved', async (_, headers, bytes) => {
    for (const end of ['close', 'reset'] as const) {
      await Promise.all(
        Array.from({ length: 20 }, async () => {
          const connection = await Connection.open(watched.url);
          await connection.head('POST', BATCH, headers).send(bytes).sent();
          connection[end]();
        }),
      );
      expect((await watched.released(idle)).excess).toBe(0);
    }
  });
});
