/* Experiment 19: Redis is killed with -9 under load and comes back some seconds later: with an append-only file
 * that is synced every second (nothing is lost by the kernel), the same after a power failure (the last of the file
 * is cut off, so it rolls back), and without any persistence (all is lost). */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { cpuMs } from '../integration/helpers/process.mjs';
import { connect } from '../integration/helpers/protocol.mjs';
import { deadline } from '../integration/helpers/server.mjs';
import { ProxiedPlace } from './lib/network.mjs';
import { both, isFull, linesOf, metric, openStage, pause, readiness, untilNotReady, untilReady } from './lib/stage.mjs';

const GAP_MS = both(5000, 1500);
const LOAD_MS = both(5000, 1000);
const RATE = both(1000, 300);
const READERS = both(200, 60);
const channels = Array.from({ length: 20 }, (_, n) => `room-${n}`);

/* While Redis is away: what clients and an operator see. */
async function assertAway(nodes, places) {
  const before = nodes.map((node, n) => ({ cpu: cpuMs(node), accepted: places[n].proxy.accepted }));
  const start = performance.now();
  const took = await Promise.all(nodes.map((node) => untilNotReady(node, 2000)));
  for (const node of nodes) {
    assert.match((await readiness(node)).text, /redis/i);
    assert.equal(await metric(node, 'engine_up'), 0);
    assert.equal((await fetch(`${node.url}/health`)).status, 200);
    const client = await connect(node);
    const asked = performance.now();
    assert.equal((await client.request({ subscribe: { channel: 'new' } })).error?.code, 100);
    assert.ok(performance.now() - asked < deadline(1000), 'a new subscription is refused at once');
    await client.close();
  }
  await pause(GAP_MS - (performance.now() - start));
  const seconds = (performance.now() - start) / 1000;
  return nodes.map((node, n) => ({
    awayMs: Math.round(took[n]), cpu: (cpuMs(node) - before[n].cpu) / 10 / seconds,
    triesPerS: (places[n].proxy.accepted - before[n].accepted) / seconds,
  }));
}

function appendOnlyFile(redis) {
  const folder = path.join(redis.folder, 'appendonlydir');
  return path.join(folder, fs.readdirSync(folder).find((name) => name.endsWith('.incr.aof')));
}

/* losesMs: so much of the append-only file's end is not there when Redis comes back. */
async function killAndRestart(t, { args, losesMs = 0, isToldAll = false }) {
  const places = [new ProxiedPlace(), new ProxiedPlace()]; /* they count how often a node tries to connect */
  const stage = await openStage(t, { nodes: 2, redisArgs: args, places });
  const { nodes, redis } = stage;
  await stage.readers({ count: READERS, channels, sdk: 4 });
  await stage.startWitness(nodes);
  await stage.publisher({ channels, ratePerS: RATE, total: RATE }).finished(20000);
  await stage.baseline();
  const publisher = stage.publisher({ channels, ratePerS: RATE });
  await pause(LOAD_MS - losesMs);
  const size = losesMs && fs.statSync(appendOnlyFile(redis)).size;
  await pause(losesMs);

  await redis.kill();
  const killedAt = performance.now();
  if (losesMs)
    fs.truncateSync(appendOnlyFile(redis), size);
  const away = await assertAway(nodes, places);
  await redis.start();
  const backAt = performance.now();
  const ready = await Promise.all(nodes.map((node) => untilReady(node, 10000)));
  await pause(LOAD_MS);
  await publisher.stop();
  const { tops, tookMs } = await stage.settled(channels);

  const duringGap = publisher.failed.filter(({ atMs }) => atMs > killedAt && atMs < backAt);
  const slowest = Math.max(...duringGap.map(({ tookMs: ms }) => ms));
  stage.say(`away seen after ${away.map(({ awayMs }) => awayMs)} ms; ${away.map(({ triesPerS }) => triesPerS.toFixed(1))} ` +
    `connects/s and ${away.map(({ cpu }) => cpu.toFixed(1))} % of a core meanwhile; ready ${ready.map(Math.round)} ms after ` +
    `Redis, all readers at the top ${Math.round(tookMs)} ms after the load`);
  stage.say(`${publisher.done.length} publishes done, failed by code ${JSON.stringify(publisher.codes)}, the slowest ` +
    `failure took ${Math.round(slowest)} ms`);
  assert.deepEqual(stage.disconnects, [], 'nobody is disconnected');
  assert.deepEqual(Object.keys(publisher.codes), ['100']);
  assert.ok(duringGap.length > GAP_MS / 1000 * RATE / 2);
  assert.ok(slowest < deadline(1000), `a failing publish took ${slowest} ms`);
  for (const [n, node] of nodes.entries()) {
    assert.ok(ready[n] < deadline(2000), `${ready[n]} ms until all is back`);
    assert.ok(away[n].cpu < 20, `${away[n].cpu} % of a core without Redis`);
    assert.ok(away[n].triesPerS <= 10, `${away[n].triesPerS} connects per second`);
    assert.equal(await metric(node, 'redis_reconnects_total'), 1);
    assert.equal(linesOf(node, /WARN .*redis is away/).length >= 1, true);
    assert.equal(linesOf(node, /INFO .*redis is there/).length, 2);
    assert.ok(await metric(node, 'redis_epoch_changes_total') > 0, 'the roll-back is counted');
  }
  const { recoveryCount, toldCount } = stage.journal;
  if (losesMs || isToldAll)
    assert.equal(toldCount, READERS, 'everybody is told that the end of the history is gone');
  else
    assert.deepEqual([recoveryCount, toldCount], [READERS, 0], 'everybody goes on in the new epoch');
  await stage.check(tops);
  await stage.end();
}

const limits = { timeout: deadline(120000) };
const everysec = ['--appendonly', 'yes', '--appendfsync', 'everysec'];
describe('19: Redis is killed and comes back', { concurrency: !isFull }, () => {
  test('appendfsync everysec', limits, (t) => killAndRestart(t, { args: everysec }));
  test('appendfsync everysec, after a power failure', limits, (t) =>
    killAndRestart(t, { args: everysec, losesMs: 500 }));
  test('without its data', limits, (t) => killAndRestart(t, { args: [], isToldAll: true }));
});
