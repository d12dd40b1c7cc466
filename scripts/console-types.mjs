// `npm run console:types`: generates console/api-types.ts from assets/openapi.json. The generator is downloaded, because it needs an
// earlier version of TypeScript than this project.

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { command, inRoot, run } from './run.mjs';

const GENERATOR = ['--package=openapi-typescript@7.13.0', '--package=typescript@5.9.3'];
const TYPES = inRoot('console', 'api-types.ts');

await command(async () => {
  const description = inRoot('assets', 'openapi.json');
  const options = ['--default-non-nullable', 'false', '--output', TYPES];
  await run('npm', ['exec', '--yes', ...GENERATOR, '--', 'openapi-typescript', description, ...options], {
    quiet: true,
  });
  const digest = createHash('sha256').update(readFileSync(description)).digest('hex');
  writeFileSync(
    TYPES,
    `// Generated from an assets/openapi.json with the SHA-256 ${digest}.\n${readFileSync(TYPES, 'utf8')}`,
  );
});
