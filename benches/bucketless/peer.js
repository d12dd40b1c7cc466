// The peer with a bucket that takes no time.

import peer from '../peer/worker.js';
import { bucketless } from './bucket.js';

export { Campaign } from '../peer/worker.js';

export default {
  /** @param {Request} request @param {object} env @param {ExecutionContext} context */
  fetch: (request, env, context) => peer.fetch(request, { ...env, ATTACHMENTS: bucketless }, context),
};
