// Replaces the Worker's wasm instance after a trap. The crate is compiled with `panic = "abort"`: a panic, or an allocation
// that fails, ends the instance. The classes of entry.js make their calls through this file, which first makes sure that
// there is an instance to call.

// The default of ten frames does not reach from a panic to the code that caused it.
Error.stackTraceLimit = 100;

/** The wasm instance of an isolate. */
export class Instance {
  #bindings;
  /** The crate `worker` sets `criticalError` when Rust code panics, and counts the instances in `instanceId`. */
  #state;

  /** @param {typeof import('worker-bindings')} bindings */
  constructor(bindings) {
    this.#bindings = bindings;
    this.#state = bindings.__worker_init_state();
  }

  get id() {
    return this.#state.instanceId;
  }

  /** Runs a function that calls into the instance. @template T @param {() => T} run */
  call(run) {
    const before = this.id;
    this.#replaceIfEnded();
    if (this.id !== before) console.error('the wasm instance has ended; a new one was created');
    return run();
  }

  #replaceIfEnded() {
    if (!this.#state.criticalError) {
      try {
        // Every generated function replaces an instance that has trapped. Without this call the function of an object
        // would do so, and then use an address of the old instance's memory.
        return void this.#bindings.__worker_init_state();
      } catch {
        // wasm-bindgen has given up on the instance.
      }
    }
    this.#bindings.__wbg_reset_state();
    this.#state.criticalError = false;
  }
}

/**
 * A Rust object, which is created anew in each new instance.
 * @template T
 */
export class InstanceObject {
  #instance;
  #create;
  #object;
  #id;

  /** @param {Instance} instance @param {() => T} create */
  constructor(instance, create) {
    this.#instance = instance;
    this.#create = create;
    this.#object = instance.call(create);
    this.#id = instance.id;
  }

  /** Runs a function on the object. @template R @param {(object: T) => R} run */
  call(run) {
    return this.#instance.call(() => {
      if (this.#id !== this.#instance.id) {
        this.#object = this.#create();
        this.#id = this.#instance.id;
      }
      return run(this.#object);
    });
  }
}
