// Our Worker with a bucket that takes no time.

import Worker from '../../build/index.js';
import { bucketless } from './bucket.js';

export { CampaignObject, ProfilesObject } from '../../build/index.js';

export default class extends Worker {
  /** @param {ExecutionContext} context @param {object} env */
  constructor(context, env) {
    super(context, { ...env, ATTACHMENTS: bucketless });
  }
}
