/* I5: what a healthy client on its own connection notices of a fault: nothing. It pings, publishes and receives
 * ten times a second, in a thread of its own, so that a busy test does not delay it.
 *
 *   const witness = await startWitness([{ name: 'A', node }]);
 *   const seen = await witness.stop();       [{ name, p99Ms, disconnects, excess, ... }]
 *
 * Each ping comes with one to a bare server in the same thread. What that takes, the machine takes (a build beside
 * it, say), so the limit is 50 ms above it: for 99 % of them. A short run has not enough pings for that: then 50 ms
 * above it for 90 %, and half a second for all. `excess` says what is over.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { deadline, within } from '../../integration/helpers/server.mjs';

export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

const round = (ms) => Math.round(ms * 10) / 10;

const SHORT = 200; /* pings; of fewer, a single one is more than 1 % with all that may disturb it */
const LIMIT_MS = 50, LONGEST_MS = 500;

function excessOf(pings, controlPings) {
  const rows = pings.length < SHORT ? [[0.9, LIMIT_MS], [1, LONGEST_MS]] : [[0.99, LIMIT_MS]];
  return rows.map(([share, limitMs]) => ({ share, ms: percentile(pings, share),
                                           limitMs: deadline(limitMs) + percentile(controlPings, share) }))
    .filter(({ ms, limitMs }) => ms > limitMs);
}

function judge({ name, pings, controlPings, latencies, published, refused, disconnects }) {
  return {
    name, published, refused, disconnects, received: latencies.length, pings: pings.length,
    p99Ms: round(percentile(pings, 0.99)), maxMs: round(Math.max(0, ...pings)),
    excess: excessOf(pings, controlPings), controlP99Ms: round(percentile(controlPings, 0.99)), receiveP99Ms: round(percentile(latencies, 0.99)),
  };
}

export async function startWitness(nodes) {
  const list = nodes.map(({ name, node: { wsUrl } }) => ({ name, wsUrl }));
  const worker = new Worker(new URL('./witness-thread.mjs', import.meta.url), { workerData: { nodes: list } });
  const failed = new Promise((_, reject) => worker.once('error', reject));
  failed.catch(() => {});
  const next = async (what) => (await within(10000, Promise.race([once(worker, 'message'), failed]), what))[0];
  const { refusals } = await next('the witnesses to be there');
  if (refusals.length > 0)
    throw new Error(`a witness was refused: ${JSON.stringify(refusals)}`);
  worker.unref();
  return {
    async stop() {
      worker.postMessage('end');
      const results = await next('what the witnesses saw');
      await worker.terminate();
      return results.map(judge);
    },
  };
}
