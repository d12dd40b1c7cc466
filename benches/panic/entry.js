// The main module of the Worker that panics, like scripts/worker/entry.js.

import { WorkerEntrypoint } from 'cloudflare:workers';
import * as bindings from 'worker-bindings';
import { Instance, InstanceObject } from '../../scripts/worker/instance.js';

const instance = new Instance(bindings);

export default class extends WorkerEntrypoint {
  /** @override @param {Request} request */
  fetch(request) {
    return instance.call(() => bindings.fetch(request, this.env, this.ctx));
  }
}

export class Panics {
  #object;

  /** @param {DurableObjectState} state @param {unknown} env */
  constructor(state, env) {
    this.#object = new InstanceObject(instance, () => new bindings.Panics(state, env));
  }

  /** @param {Request} request */
  fetch(request) {
    return this.#object.call((object) => object.fetch(request));
  }
}
