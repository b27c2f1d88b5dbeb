/* Experiment 21: the network between node B and Redis is silent for a while: no error, no reset. B notices by itself;
 * its clients stay and are caught up afterwards. Longer than ten seconds, its members leave in the eyes of A and come
 * back, once each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../integration/helpers/protocol.mjs';
import { deadline, until } from '../integration/helpers/server.mjs';
import { isolate } from './lib/network.mjs';
import { call } from './lib/publisher.mjs';
import { both, isReady, linesOf, metric, openStage, pause, readiness, untilNotReady, untilReady } from './lib/stage.mjs';

const CUT_MS = both(30000, 5000);
const GONE_MS = 10000; /* so long a silent node is waited for */
const RATE = both(200, 100);
const MEMBERS = both(60, 20);
const channels = ['room-0', 'room-1'];

const membersOf = async (node, channel) => (await call(node, 'presence_stats', { channel })).result?.num_clients;

/* What B's clients and an operator see while it is cut off. */
async function assertCutOff(b) {
  assert.match((await readiness(b)).text, /redis/);
  assert.equal((await fetch(`${b.url}/health`)).status, 200);
  assert.equal(await metric(b, 'engine_up'), 0);
  const client = await connect(b);
  assert.equal((await client.request({ subscribe: { channel: 'new' } })).error?.code, 100);
  assert.equal((await client.request({ publish: { channel: 'room-0', data: 'refused' } })).error?.code, 100);
  await client.close();
}

/* Each member of B has left and joined again once, or nothing was seen of it. */
function assertJoinsAndLeaves(watcher, members) {
  for (const channel of channels) {
    const seen = watcher.pushes.filter((push) => push.channel === channel)
      .map(({ join, leave }) => `${join ? 'join' : 'leave'} ${(join ?? leave).info.client}`);
    const of = members.filter((member) => member.channels.includes(channel)).map(({ client }) => client);
    const leaves = of.map((client) => `leave ${client}`).sort();
    const joins = of.map((client) => `join ${client}`).sort();
    if (CUT_MS < GONE_MS)
      assert.deepEqual(seen, []);
    else {
      assert.deepEqual(seen.slice(0, of.length).sort(), leaves, 'first they leave, once each');
      assert.deepEqual(seen.slice(of.length).sort(), joins, 'then they are back, once each');
    }
  }
}

test(`21: the network between B and Redis is down for ${CUT_MS / 1000} s`, { timeout: deadline(180000) }, async (t) => {
  const place = await isolate();
  const stage = await openStage(t, { nodes: 2, places: { 1: place } });
  stage.say(`cut off by ${place.how}`);
  const [a, b] = stage.nodes;
  const [watcher] = await stage.readers({ count: 1, nodes: [a], channels, each: 2, flags: { join_leave: true } });
  await stage.readers({ count: 4, nodes: [a], channels, sdk: 1 });
  const members = await stage.readers({ count: MEMBERS, nodes: [b], channels, flags: {} });
  const sdks = await stage.readers({ count: 2, nodes: [b], channels, sdk: 2 });
  await stage.startWitness([a, b]);
  await stage.publisher({ nodes: [a], channels, ratePerS: RATE, total: RATE }).finished(20000);
  await stage.baseline();
  const before = await Promise.all(channels.map((channel) => membersOf(a, channel)));
  watcher.pushes.length = 0;
  const publisher = stage.publisher({ nodes: [a], channels, ratePerS: RATE });

  await place.cut();
  const cutAt = performance.now();
  const noticed = await untilNotReady(b, 15000);
  await assertCutOff(b);
  let goneMs = null;
  if (CUT_MS > GONE_MS) {
    await until(async () => await membersOf(a, 'room-0') === before[0] - MEMBERS / 2 - 1, "B's members to leave", 20000);
    goneMs = performance.now() - cutAt;
  }
  await pause(CUT_MS - (performance.now() - cutAt));
  assert.ok(await isReady(a), 'A is not touched');
  assert.deepEqual(publisher.codes, {}, 'publishing on A works all the time');

  await place.heal();
  const healedAt = performance.now();
  const tops = await stage.tops(channels, a);
  const ready = await untilReady(b, 15000);
  const isCaughtUp = ({ channel, position }) => position.offset >= tops[channel].offset;
  await until(() => stage.journal.tracks.every(isCaughtUp), "B's readers to be caught up", 15000);
  const caughtUp = performance.now() - healedAt;
  await until(async () => {
    const now = await Promise.all(channels.map((channel) => membersOf(a, channel)));
    return now.every((count, n) => count === before[n]);
  }, 'presence as before', 15000);
  const present = performance.now() - healedAt;
  await publisher.stop();
  const end = await stage.settled(channels, a);
  stage.say(`B noticed after ${Math.round(noticed)} ms` + (goneMs ? `, its members left A's view after ${Math.round(goneMs)} ms` : '') +
    `; after the heal: ready in ${Math.round(ready)} ms, caught up in ${Math.round(caughtUp)} ms, presence as before in ` +
    `${Math.round(present)} ms`);

  assert.deepEqual(stage.disconnects, [], 'nobody is disconnected');
  assert.deepEqual(publisher.codes, {});
  assert.ok(noticed < deadline(10000), `B noticed after ${noticed} ms`);
  assert.ok(caughtUp < deadline(5000), `caught up after ${caughtUp} ms`);
  assert.equal(stage.journal.toldCount, 0, 'the history is whole: everybody gets every message');
  assert.equal(await metric(a, 'redis_reconnects_total'), 0);
  assert.equal(await metric(b, 'redis_reconnects_total'), 1);
  assert.ok(await metric(b, 'redis_gaps_total') >= channels.length, 'the holes are counted');
  assert.ok(await metric(b, 'redis_refilled_total') > CUT_MS / 1000 * RATE / 2, 'and what was refilled');
  assert.equal(await metric(b, 'redis_lost_total'), 0);
  assert.equal(linesOf(b, /WARN .*redis is away reason="redis does not answer"/).length, 1);
  assert.equal(linesOf(b, /INFO .*redis is there/).length, 2);
  assert.equal(linesOf(a, /node is gone, its members have left/).length, CUT_MS > GONE_MS ? 1 : 0);
  assert.equal(linesOf(b, /members were taken out by another node, entering them again/).length, CUT_MS > GONE_MS ? 1 : 0);
  assertJoinsAndLeaves(watcher, [...members, ...sdks]);
  await stage.check(end.tops);
  await stage.end();
});
