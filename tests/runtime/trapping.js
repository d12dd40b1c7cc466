// The built Worker with a way to cause a trap. JavaScript receives a panic of Rust code as a `WebAssembly.RuntimeError`. The
// property below throws the same error when Rust code reads it. The Worker itself has no code that traps.

// Not a static import: the type checker would read the minified module.
const BUILT = '../../build/index.js';
const { default: Worker, CampaignObject, ProfilesObject } = await import(BUILT);

export { CampaignObject, ProfilesObject };

export default class extends Worker {
  /** @param {Request} request */
  fetch(request) {
    const { pathname } = new URL(request.url);
    const [, action, argument = ''] = pathname.split('/');
    if (action === 'campaign') return this.env.CAMPAIGNS.getByName(`campaign:${argument}`).fetch(request);
    if (action !== 'trap') return super.fetch(request);
    const launch = new Request('https://worker.test/api/v1.1/campaigns/triggers/start_batch', request);
    const trap = () => {
      throw new WebAssembly.RuntimeError('unreachable');
    };
    return super.fetch(Object.defineProperty(launch, argument, { get: trap }));
  }
}
