// The Worker's main module. scripts/build.mjs bundles it with the wasm-bindgen output, `worker-bindings`. A handler that
// the Rust code exports has to be listed here to be called by the runtime.

import { DurableObject } from 'cloudflare:workers';
import * as bindings from 'worker-bindings';
import { Instance, InstanceObject } from './instance.js';

const instance = new Instance(bindings);

export default {
  /**
   * If a caller disconnects, the platform can cancel a handler without dropping its Rust future, so its memory reservations
   * would leak. Under `waitUntil` the handler keeps running, sees the request body end, and releases them.
   * @param {Request} request @param {unknown} env @param {ExecutionContext} context
   */
  fetch(request, env, context) {
    const response = instance.call(() => bindings.fetch(request, env, context));
    context.waitUntil(response);
    return response;
  },
};

/** A Durable Object whose class the Rust code exports. */
class RustObject extends DurableObject {
  #object;

  /** @param {DurableObjectState} state @param {unknown} env @param {typeof bindings.CampaignObject | typeof bindings.ProfilesObject} RustClass */
  constructor(state, env, RustClass) {
    super(state, env);
    this.#object = new InstanceObject(instance, () => new RustClass(state, env));
  }

  /** @override @param {Request} request */
  fetch(request) {
    return this.#object.call((object) => object.fetch(request));
  }

  /** Answers a short message, which takes less time than a request. @param {Uint8Array} message */
  answer(message) {
    return this.#object.call((object) => object.answer(message));
  }

  /** @override */
  alarm() {
    return this.#object.call((object) => object.alarm());
  }
}

export class CampaignObject extends RustObject {
  /** @param {DurableObjectState} state @param {unknown} env */
  constructor(state, env) {
    super(state, env, bindings.CampaignObject);
  }
}

export class ProfilesObject extends RustObject {
  /** @param {DurableObjectState} state @param {unknown} env */
  constructor(state, env) {
    super(state, env, bindings.ProfilesObject);
  }
}
