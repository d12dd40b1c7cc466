// The description of the API: it is valid, and the Worker does what it says. `OPENAPI_CASES` is the number of generated cases for
// each operation (default 10, without the systematic cases of the phase "coverage").

import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inRoot } from '../../scripts/run.mjs';
import { recordAnswers } from './answers.js';
import { seed, TOKEN } from './fixture.js';
import { PersistedWorker } from './persisted.js';
import { PythonEnvironment, skipsPython } from './python.js';

const CASES = Number(process.env.OPENAPI_CASES ?? 10);
const DESCRIPTION = inRoot('assets', 'openapi.json');

describe.skipIf(skipsPython)('the description of the API', () => {
  const python = new PythonEnvironment('python-openapi', 'tests', 'openapi', 'requirements.txt');
  let worker: PersistedWorker;

  beforeAll(async () => {
    python.install();
    const outbound = () => new Response(null, { status: 204 });
    worker = await PersistedWorker.passing(undefined, { direct: true, outbound });
    await seed(worker);
  }, 300_000);
  afterAll(() => worker?.stop());

  it('is a valid OpenAPI document', () => {
    python.run(['-m', 'openapi_spec_validator', DESCRIPTION]);
  });

  it('allows every real answer, and no longer all of them if a property is removed from it', async () => {
    const lines = (await recordAnswers()).map((answer) => JSON.stringify(answer));
    expect(python.run([inRoot('tests', 'openapi', 'responses.py'), DESCRIPTION], lines.join('\n'))).toMatch(
      /^1\d\d properties, \d+ answers\n$/,
    );
  });

  it(
    `agrees with the Worker in ${CASES} generated cases for each operation`,
    { timeout: 120_000 * CASES },
    async () => {
      const config = ['--config-file', inRoot('tests', 'openapi', 'schemathesis.toml')];
      const options = [
        '--url',
        worker.url.href,
        '--max-examples',
        String(CASES),
        '--seed',
        process.env.OPENAPI_SEED ?? '1',
      ];
      if (!process.env.OPENAPI_CASES) options.push('--phases', 'examples,fuzzing,stateful');
      const child = python.start('schemathesis', [...config, 'run', DESCRIPTION, ...options], {
        OPENAPI_TOKEN: TOKEN.all,
        PYTHONPATH: inRoot('tests', 'openapi'),
      });
      const [output, errors, code] = await Promise.all([
        text(child.stdout!),
        text(child.stderr!),
        new Promise((resolve) => child.on('close', resolve)),
      ]);
      expect(code, `${output}${errors}`).toBe(0);
      console.log(output.slice(output.lastIndexOf('SUMMARY')));
    },
  );
});
