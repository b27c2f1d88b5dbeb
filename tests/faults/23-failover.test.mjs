/* Experiment 23: three Sentinels, a master, a replica. The master is killed under load; or it is frozen, replaced, and
 * comes back as a master that knows nothing of it. All nodes follow; what was acknowledged is in the history, or its
 * readers are told: replication is asynchronous, so a fail-over may roll back. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startRedis, startSentinels } from '../integration/helpers/redis.mjs';
import { deadline, until } from '../integration/helpers/server.mjs';
import { both, isFull, linesOf, metric, openStage, pause, untilNotReady, untilReady } from './lib/stage.mjs';

const RATE = both(500, 200);
const READERS = both(60, 20);
const LOAD_MS = both(5000, 1500);
const THAW_MS = both(10000, 6000); /* of a frozen master, counted from the freeze */
const channels = Array.from({ length: 10 }, (_, n) => `room-${n}`);

/* Starts a replica and Sentinels of this master, and gives what is of interest of them. */
async function deploy(t, master) {
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(master.port)] });
  t.after(() => replica.stop());
  const sentinels = await startSentinels(master);
  t.after(() => Promise.all(sentinels.map((sentinel) => sentinel.stop())));
  const options = { address: undefined, sentinel_address: sentinels.map(({ port }) => `127.0.0.1:${port}`),
                    sentinel_master_name: 'main' };
  return { replica, sentinels, options };
}

const linksTo = async (redis) =>
  (await redis.client.client('LIST')).match(/name=carillon-\w+-(commands|messages)/g)?.length ?? 0;

async function failOver(t, { isFrozen }) {
  let place;
  const stage = await openStage(t, { nodes: 2, deploy: async (redis) => (place = await deploy(t, redis)).options });
  const { nodes, redis } = stage;
  const { replica, sentinels } = place;
  await stage.readers({ count: READERS, channels, sdk: 2 });
  await stage.startWitness(nodes);
  await stage.publisher({ channels, ratePerS: RATE, total: RATE }).finished(20000);
  await stage.baseline();
  /* As an application that wants each message through: again, under its key, until it is acknowledged. */
  const publisher = stage.publisher({ channels, ratePerS: RATE, retried: true });
  await pause(LOAD_MS);

  const failedAt = performance.now();
  if (isFrozen)
    redis.freeze();
  else
    await redis.kill();
  await Promise.all(nodes.map((node) => untilNotReady(node, 10000)));
  await until(async () => (await Promise.all(sentinels.map((s) => s.masterPort()))).includes(replica.port),
              'the replica to be promoted', 20000);
  const promotedAt = performance.now();
  await Promise.all(nodes.map((node) => untilReady(node, 10000)));
  const readyMs = performance.now() - promotedAt;
  if (isFrozen) {
    await pause(THAW_MS - (performance.now() - failedAt));
    redis.thaw();
    await until(async () => /role:slave/.test(await redis.client.info('replication')), 'the old master to be told', 30000);
  }
  await pause(LOAD_MS);
  await publisher.stop();
  const { tops, tookMs } = await stage.settled(channels);

  const back = nodes.map((node) => Math.min(...publisher.done
    .filter((one) => one.node === node && one.atMs + one.tookMs > promotedAt).map((one) => one.atMs + one.tookMs)) - promotedAt);
  stage.say(`promoted ${Math.round(promotedAt - failedAt)} ms after the master's end, nodes ready ${Math.round(readyMs)} ms later, ` +
    `published again after ${back.map(Math.round)} ms; all readers at the top ${Math.round(tookMs)} ms after the load; ` +
    `${publisher.done.length} publishes done, failed by code ${JSON.stringify(publisher.codes)}`);
  assert.ok(back.every((ms) => ms < deadline(5000)), `published again ${back} ms after the promotion`);
  assert.deepEqual(stage.disconnects, [], 'nobody is disconnected');
  assert.deepEqual(Object.keys(publisher.codes), ['100']);
  assert.equal(await linksTo(replica), 4, 'both links of both nodes are on the new master');
  for (const node of nodes) {
    assert.equal(await metric(node, 'redis_failovers_total'), 1);
    assert.equal(linesOf(node, /redis is away/).length >= 1, true);
    assert.equal(linesOf(node, new RegExp(`redis has a new master address=127\\.0\\.0\\.1:${replica.port} `)).length, 1);
    assert.equal(linesOf(node, /INFO .*redis is there/).length, 2);
    assert.ok(await metric(node, 'redis_epoch_changes_total') > 0, 'positions are not taken on trust');
  }
  await stage.check(tops);
  await stage.end();
}

const limits = { timeout: deadline(120000) };
describe('23: fail-over by Sentinel', { concurrency: !isFull }, () => {
  test('the master is killed', limits, (t) => failOver(t, { isFrozen: false }));
  test('the master freezes and comes back', limits, (t) => failOver(t, { isFrozen: true }));
});
