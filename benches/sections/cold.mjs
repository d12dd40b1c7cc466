// The first launch of a fresh runtime, compared with the peer and the floor, and its parts.

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { launchBody, mediaType } from '../data.mjs';
import { CAMPAIGN, preparePeer, prepareOurs } from '../state.mjs';
import { median, rotated, significant } from '../statistics.mjs';
import { BATCH, BEARER, restartOurs, startOurs, startPeer, startReference } from '../workers.mjs';

/**
 * The parts of a first launch, as milliseconds of requests, each to a fresh runtime unless its name says otherwise:
 * `health` is `GET /healthz`, which instantiates the module; `afterHealth` is the first launch after it; `warm` is the next one;
 * `other` is one to a campaign whose object has not been started.
 * @typedef {'floor' | 'peer' | 'ours' | 'health' | 'afterHealth' | 'warm' | 'other'} Part
 */

const HEADERS = { ...BEARER, 'Content-Type': mediaType('json'), Accept: mediaType('json') };

/** @param {import('../main.mjs').Options} options */
export async function cold({ quick, say, watch }) {
  await preparePeer();
  await prepareOurs({ many: false });
  // Creates the campaigns, which remain for all fresh runtimes.
  await (await startOurs()).stop();
  /** @type {Record<Part, number[]>} */
  const samples = { floor: [], peer: [], ours: [], health: [], afterHealth: [], warm: [], other: [] };
  const body = launchBody('json', 'matched', 1, { campaign: CAMPAIGN.small });
  const other = launchBody('json', 'matched', 1, { campaign: CAMPAIGN.stored });

  /** @param {() => Promise<import('../workers.mjs').Worker>} start @param {(send: (path: string, body: Uint8Array) => Promise<number>, worker: import('../workers.mjs').Worker) => Promise<void>} measure */
  const fresh = async (start, measure) => {
    const others = new Set(children());
    const worker = await start();
    await untilIdle(children().filter((pid) => !others.has(pid)));
    await measure(async (path, bytes) => (await worker.client.must(path, bytes, HEADERS)).ms, worker);
    await worker.stop();
  };
  const turns = [
    () => fresh(startReference, async (send) => void samples.floor.push(await send('/drain?answer=100', body))),
    () => fresh(startPeer, async (send) => void samples.peer.push(await send(BATCH, body))),
    () => fresh(restartOurs, async (send) => void samples.ours.push(await send(BATCH, body))),
    () =>
      fresh(restartOurs, async (send, { client }) => {
        samples.health.push((await client.must('/healthz', Buffer.alloc(0), {}, 'GET')).ms);
        samples.afterHealth.push(await send(BATCH, body));
        samples.warm.push(await send(BATCH, body));
        samples.other.push(await send(BATCH, other));
      }),
  ];
  const rounds = quick ? 5 : 25;
  for (let round = 0; round < rounds; round++) {
    for (const turn of rotated(turns, round)) await turn();
    if (round % 5 === 4) await watch();
  }
  const of = /** @type {Record<Part, number>} */ (
    Object.fromEntries(Object.entries(samples).map(([part, values]) => [part, significant(median(values))]))
  );
  say(`first launch: floor ${of.floor} ms, peer ${of.peer} ms, ours ${of.ours} ms; ${rounds} runs`);
  say(
    `ours: /healthz ${of.health} ms, then a launch ${of.afterHealth} ms, again ${of.warm} ms, other object ${of.other} ms`,
  );
  const { floor, peer, ours, ...parts } = of;
  return { runs: rounds, first: { floor, peer, ours }, parts };
}

/** The processes that this one has started. */
const children = () => readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').split(' ').filter(Boolean);

/**
 * Waits until processes have used no CPU time for a tenth of a second. After its start a runtime loads the simulators of its
 * bindings, which delays a request that comes at once. @param {string[]} pids
 */
async function untilIdle(pids) {
  const used = () => pids.flatMap((pid) => readdirSync(`/proc/${pid}/task`).map((task) => cpuTime(pid, task))).join();
  for (let before = ''; before !== used(); await setTimeout(100)) before = used();
}

/** The CPU time of a thread in nanoseconds, or nothing if it has ended. @param {string} pid @param {string} task */
function cpuTime(pid, task) {
  try {
    return readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0];
  } catch {
    return '';
  }
}
