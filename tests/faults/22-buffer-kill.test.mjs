/* Experiment 22: node B stands still for three seconds while 10 MB/s are published, and Redis, whose buffer for it
 * overflows, cuts it off. When B goes on, it notices, connects again and refills what it missed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deadline, until } from '../integration/helpers/server.mjs';
import { both, config, metric, openStage, pause, untilReady } from './lib/stage.mjs';

const STOP_MS = both(3000, 1500);
const BYTES = 16 << 10;
const RATE = 640; /* 10 MB/s */
const CHANNEL = 'wide';
const SLOW = 3008; /* closed for too much that is unsent */

const subscribers = async (redis) => (await redis.client.client('LIST', 'TYPE', 'pubsub')).trim().split('\n').length;

/* B stands still until Redis has cut it off, and a while longer; then it goes on: what happened when, in milliseconds. */
async function standStill({ redis, nodes: [, b] }) {
  const count = await subscribers(redis);
  const from = b.logs().length;
  b.signal('SIGSTOP');
  const stoppedAt = performance.now();
  await until(async () => await subscribers(redis) < count, 'Redis to cut B off', 15000);
  const cut = performance.now() - stoppedAt;
  await pause(STOP_MS - cut);
  b.signal('SIGCONT');
  const goneOnAt = performance.now();
  const why = await b.waitLog(/WARN .*redis is away/, { limitMs: 10000, from });
  const away = performance.now() - goneOnAt;
  await untilReady(b, 10000);
  return { cut, away, renewed: performance.now() - goneOnAt, why: why.replace(/^\S+ /, '') };
}

/* Twice: what the first time needs of memory may stay for the next one, but not grow. */
async function standStillTwice(t, { queueBytes, isSlowAllowed }) {
  const client = { ...config.client, queue_max_size: queueBytes };
  const stage = await openStage(t, { nodes: 2, config: { ...config, client } });
  const { redis, nodes: [a, b] } = stage;
  await redis.client.config('SET', 'client-output-buffer-limit', 'pubsub 1mb 512kb 5');
  await stage.readers({ count: 6, channels: [CHANNEL], sdk: 2 });
  await stage.startWitness([a]);
  let last;
  for (const round of [1, 2]) {
    const publisher = stage.publisher({ nodes: [a], channels: [CHANNEL], ratePerS: RATE, sizeBytes: BYTES });
    await pause(500);
    const { cut, away, renewed, why } = await standStill(stage);
    await pause(both(2000, 500));
    await publisher.stop();
    last = await stage.settled([CHANNEL], a, 20000);
    stage.say(`Redis cut B off after ${Math.round(cut)} ms; B saw it ${Math.round(away)} ms after it went on, was ready ` +
      `after ${Math.round(renewed)} ms, and at the top ${Math.round(last.tookMs)} ms after the load; ` +
      `${publisher.done.length} publishes; ${why}`);
    assert.deepEqual(publisher.codes, {});
    assert.ok(renewed < deadline(2000), `the link was renewed after ${renewed} ms`);
    if (!isSlowAllowed) { /* else all subscribers may be gone, and nobody is left to be refilled */
      assert.ok(await metric(b, 'redis_gaps_total') >= round, 'the loss is counted');
      assert.ok(await metric(b, 'redis_refilled_total') >= round);
    }
    assert.equal(await metric(b, 'redis_lost_total'), 0);
    assert.equal(await metric(b, 'redis_reconnects_total'), round);
    assert.equal(await metric(a, 'redis_reconnects_total'), 0);
    if (round === 1)
      await stage.baseline();
  }
  stage.say(`gaps ${await metric(b, 'redis_gaps_total')}, refilled ${await metric(b, 'redis_refilled_total')}; ` +
    `disconnects ${JSON.stringify(stage.disconnects.map(({ code }) => code))}`);
  assert.deepEqual(stage.disconnects.filter(({ code }) => !isSlowAllowed || code !== SLOW), []);
  assert.equal(stage.journal.toldCount, 0, 'the history is whole');
  await stage.check(last.tops);
  await stage.end();
}

const name = `22: Redis cuts off B, which stood still for ${STOP_MS / 1000} s at 10 MB/s`;
const limits = { timeout: deadline(120000) };
test(name, limits, (t) => standStillTwice(t, { queueBytes: 64 << 20, isSlowAllowed: false }));
/* With the usual bound of what may be unsent, who gets more at once than that is closed as slow, and comes back. */
test(`${name}, and its clients have small queues`, limits, (t) => standStillTwice(t, { queueBytes: 1 << 20, isSlowAllowed: true }));
