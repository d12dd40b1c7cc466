// The built Worker, made to trap: a panic of Rust code reaches JavaScript as a `WebAssembly.RuntimeError`, and so does the
// error of the property below when Rust code reads it. Nothing in the Worker itself can cause a trap.

// Not a static import: the type checker would read the minified module.
const BUILT = '../../build/index.js';
const { default: Worker, CampaignObject } = await import(BUILT);

export { CampaignObject };

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
