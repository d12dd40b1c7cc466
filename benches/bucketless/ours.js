// Our Worker with a bucket that takes no time.

import Worker from '../../build/index.js';
import { bucketless } from './bucket.js';

export { CampaignObject, ProfilesObject } from '../../build/index.js';

/** @type {object | undefined} the bindings of the isolate, which keeps them */
let bindings;

export default {
  /** @param {Request} request @param {object} env @param {ExecutionContext} context */
  fetch(request, env, context) {
    bindings ??= { ...env, ATTACHMENTS: bucketless };
    return Worker.fetch(request, bindings, context);
  },
};
