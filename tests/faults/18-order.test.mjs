/* Experiment 18: two nodes publish in one channel as fast as they can, one call in ten is made at both at once
 * under one idempotency key. One order for all, numbered without a gap, and a key counts once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deadline } from '../integration/helpers/server.mjs';
import { both, metric, openStage } from './lib/stage.mjs';

const COUNT = both(20000, 2000);
const CHANNEL = 'race';

test(`18: ${COUNT} publishes race on two nodes, one in ten twice`, { timeout: deadline(120000) }, async (t) => {
  const stage = await openStage(t, { nodes: 2 });
  const { nodes } = stage;
  await stage.readers({ count: 10, channels: [CHANNEL], sdk: 2 });
  await stage.startWitness(nodes);
  const start = performance.now();
  const publisher = stage.publisher({ channels: [CHANNEL], ratePerS: 4000, doubled: 0.1, total: COUNT });
  await publisher.finished(60000);
  const rate = publisher.calls.length / (performance.now() - start) * 1000;
  const { tops, tookMs } = await stage.settled([CHANNEL]);
  stage.say(`${publisher.calls.length} calls, ${Math.round(rate)} per second; all received ${Math.round(tookMs)} ms later`);

  assert.deepEqual(publisher.codes, {}, 'no call fails');
  const offsets = new Map();
  const epoch = tops[CHANNEL].epoch;
  for (const { n, position } of publisher.calls) {
    assert.equal(position.epoch, epoch);
    assert.equal(offsets.get(n) ?? position.offset, position.offset, `both calls of number ${n} have one offset`);
    offsets.set(n, position.offset);
  }
  assert.ok(publisher.calls.length >= 1.09 * COUNT, 'one in ten was doubled');
  assert.deepEqual([...offsets.values()].sort((a, b) => a - b), Array.from({ length: COUNT }, (_, n) => n + 1));
  const kept = await stage.history(CHANNEL, nodes[1]);
  assert.deepEqual(kept.map(({ offset }) => offset), Array.from({ length: COUNT }, (_, n) => n + 1));
  for (const { offset, data } of kept)
    assert.equal(offsets.get(Number(data.split(':')[0])), offset);
  for (const node of nodes)
    assert.equal(await metric(node, 'redis_lost_total'), 0);
  await stage.check(tops);
  await stage.end();
});
