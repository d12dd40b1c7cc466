// The Worker's main module. scripts/build.mjs bundles it with the wasm-bindgen output, `worker-bindings`. A handler that
// the Rust code exports has to be listed here to be called by the runtime.

import { WorkerEntrypoint } from 'cloudflare:workers';
import * as bindings from 'worker-bindings';
import { Instance, InstanceObject } from './instance.js';

const instance = new Instance(bindings);

export default class extends WorkerEntrypoint {
  /** @override @param {Request} request */
  fetch(request) {
    return instance.call(() => bindings.fetch(request, this.env, this.ctx));
  }
}

/** A Durable Object whose class the Rust code exports. */
class RustObject {
  #object;

  /** @param {() => bindings.CampaignObject | bindings.ProfilesObject} create */
  constructor(create) {
    this.#object = new InstanceObject(instance, create);
  }

  /** @param {Request} request */
  fetch(request) {
    return this.#object.call((object) => object.fetch(request));
  }

  alarm() {
    return this.#object.call((object) => object.alarm());
  }
}

export class CampaignObject extends RustObject {
  /** @param {DurableObjectState} state @param {unknown} env */
  constructor(state, env) {
    super(() => new bindings.CampaignObject(state, env));
  }
}

export class ProfilesObject extends RustObject {
  /** @param {DurableObjectState} state @param {unknown} env */
  constructor(state, env) {
    super(() => new bindings.ProfilesObject(state, env));
  }
}
