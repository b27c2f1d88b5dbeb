/* Experiment 20: Redis is frozen (SIGSTOP: the machine swaps, a snapshot stalls it) for longer than a silent node is
 * waited for, with three nodes. Clients notice only that publishing fails; nobody leaves, nothing comes twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deadline } from '../integration/helpers/server.mjs';
import { call } from './lib/publisher.mjs';
import { both, linesOf, metric, openStage, pause, readiness, untilNotReady, untilReady } from './lib/stage.mjs';

const RATE = both(300, 100);
const MEMBERS = both(90, 36); /* the same number in each channel on each node */
const LOAD_MS = both(3000, 1000);
const channels = ['room-0', 'room-1', 'room-2'];

async function freeze(t, frozenMs) {
  const stage = await openStage(t, { nodes: 3 });
  const { nodes, redis } = stage;
  const watchers = await stage.readers({ count: 3, channels, each: 3, flags: { join_leave: true } });
  await stage.readers({ count: MEMBERS, channels, sdk: 3 });
  await stage.startWitness(nodes);
  await stage.publisher({ channels, ratePerS: RATE, total: RATE }).finished(20000);
  await stage.baseline();
  watchers.forEach((watcher) => (watcher.pushes.length = 0));
  const publisher = stage.publisher({ channels, ratePerS: RATE });
  await pause(LOAD_MS);

  redis.freeze();
  const frozenAt = performance.now();
  const seen = await Promise.all(nodes.map((node) => untilNotReady(node, 10000)));
  for (const node of nodes) {
    assert.match((await readiness(node)).text, /redis does not answer|takes too long/);
    assert.equal(await metric(node, 'engine_up'), 0);
  }
  await pause(frozenMs - (performance.now() - frozenAt));
  redis.thaw();
  const thawedAt = performance.now();
  const ready = await Promise.all(nodes.map((node) => untilReady(node, 10000)));
  await pause(LOAD_MS);
  await publisher.stop();
  const { tops, tookMs } = await stage.settled(channels);

  const slowest = Math.max(...publisher.failed.map(({ tookMs: ms }) => ms));
  const firstDone = Math.min(...publisher.done.filter(({ atMs }) => atMs > thawedAt).map(({ atMs }) => atMs)) - thawedAt;
  stage.say(`frozen ${frozenMs} ms: noticed after ${seen.map(Math.round)} ms, ready ${ready.map(Math.round)} ms after the ` +
    `thaw, published again after ${Math.round(firstDone)} ms, all readers at the top ${Math.round(tookMs)} ms after the load`);
  stage.say(`${publisher.done.length} publishes done, failed by code ${JSON.stringify(publisher.codes)}, the slowest ` +
    `failure took ${Math.round(slowest)} ms`);
  assert.deepEqual(stage.disconnects, [], 'nobody is disconnected');
  assert.deepEqual(Object.keys(publisher.codes), ['100']);
  assert.ok(slowest < deadline(4000), `a failing publish took ${slowest} ms`);
  for (const [n, node] of nodes.entries()) {
    assert.ok(seen[n] < deadline(5000), `noticed after ${seen[n]} ms`);
    assert.ok(ready[n] < deadline(5000), `ready ${ready[n]} ms after the thaw`);
    assert.equal(linesOf(node, /WARN .*redis is away reason="redis does not answer"/).length, 1);
    assert.equal(linesOf(node, /members were taken out/).length, 0);
    assert.equal(linesOf(node, /node is gone/).length, 0);
    assert.ok(await metric(node, 'redis_unanswered_total') > 0, 'what was sent and not answered is counted');
  }
  /* Presence: as before, and nobody was told otherwise. */
  await call(nodes[0], 'publish', { channel: 'room-0', data: 'the end' });
  for (const node of nodes)
    for (const channel of channels) {
      const { result } = await call(node, 'presence_stats', { channel });
      assert.equal(result.num_clients, 3 + MEMBERS / 3, `members of ${channel} as seen by ${stage.nameOf(node)}`);
    }
  for (const { name, pushes } of watchers)
    assert.deepEqual(pushes, [], `joins and leaves that ${name} saw`);
  assert.equal(stage.journal.toldCount, 0, 'the history is whole, so everybody recovers');
  await stage.check({ ...tops, ...await stage.tops(['room-0']) });
  await stage.end();
}

for (const frozenMs of both([10000, 15000], [11000]))
  test(`20: Redis is frozen for ${frozenMs / 1000} s`, { timeout: deadline(120000) }, (t) => freeze(t, frozenMs));
