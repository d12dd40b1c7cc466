// Replaces the Worker's wasm instance after a trap. The crate is compiled with `panic = "abort"`: a panic, or an allocation
// that fails, ends the instance. The classes of entry.js call Rust code through this file, which replaces an ended instance
// before the call.

// The default of ten frames is too short to show the code that caused a panic.
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
        // Each generated function replaces an instance that has trapped. This call does so before a method of an object is
        // called: the method would replace the instance and then use an address in the memory of the old one.
        return void this.#bindings.__worker_init_state();
      } catch {
        // The generated code cannot replace this instance by itself.
      }
    }
    this.#bindings.__wbg_reset_state();
    this.#state.criticalError = false;
  }
}

/**
 * A Rust object, which is created again in each new instance.
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
