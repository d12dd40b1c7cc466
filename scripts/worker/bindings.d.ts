/** The module that wasm-bindgen generates from the Worker; scripts/build.mjs tells esbuild where it is. */
declare module 'worker-bindings' {
  export function __worker_init_state(): { criticalError: boolean; instanceId: number };
  export function __wbg_reset_state(): void;
  export function fetch(request: Request, env: unknown, context: ExecutionContext): Promise<Response>;
  export class CampaignObject {
    constructor(state: DurableObjectState, env: unknown);
    fetch(request: Request): Promise<Response>;
    alarm(): Promise<Response>;
  }
}
