/** The module that wasm-bindgen generates. scripts/build.mjs passes its path to esbuild. */
declare module 'worker-bindings' {
  export function __worker_init_state(): { criticalError: boolean; instanceId: number };
  export function __wbg_reset_state(): void;
  export function fetch(request: Request, env: unknown, context: ExecutionContext): Promise<Response>;
  export class CampaignObject {
    constructor(state: DurableObjectState, env: unknown);
    fetch(request: Request): Promise<Response>;
    answer(message: Uint8Array): Promise<string | Uint8Array | Response>;
    alarm(): Promise<void>;
  }
  export class ProfilesObject extends CampaignObject {}
}
