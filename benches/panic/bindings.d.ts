declare module 'worker-bindings' {
  export class Panics {
    constructor(state: DurableObjectState, env: unknown);
    fetch(request: Request): Promise<Response>;
  }
}
