// Measures the floor again and again during a run, to find out whether the machine was quiet.

import { singleBody } from './data.mjs';
import { CAMPAIGN } from './state.mjs';
import { median, significant } from './statistics.mjs';
import { BEARER, startReference } from './workers.mjs';

/** The number of runs of a block. They take half a second. */
const RUNS = 200;

/** The number of blocks that are discarded at the beginning. The first 3,000 runs become faster by a fifth, as code is compiled. */
const WARM = 20;

/** The path of the reference Worker that drains a body. */
export const DRAIN = '/drain';

/** The floor of a run, in a process of its own. */
export class Floor {
  /** The blocks measured so far. @type {import('./statistics.mjs').Block[]} */
  blocks = [];
  #body = singleBody(CAMPAIGN.small, 0);

  static async start() {
    const floor = new Floor(await startReference('floor'));
    for (let block = 0; block < WARM; block++) await floor.measure('');
    floor.blocks = [];
    return floor;
  }

  /** @param {import('./workers.mjs').Worker} worker */
  constructor(worker) {
    this.worker = worker;
  }

  /** Measures a block. @param {string} section the section that is running */
  async measure(section) {
    const ms = [];
    for (let run = 0; run < RUNS; run++) ms.push((await this.worker.client.must(DRAIN, this.#body, BEARER)).ms);
    this.blocks.push({ section, ms: significant(median(ms)) });
  }

  stop() {
    return this.worker.stop();
  }
}
