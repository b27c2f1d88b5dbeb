/* Experiment 24: node A dies (kill -9) with its clients, then B is told to stop (SIGTERM) with more of them. They come
 * back on the others and miss nothing; each ghost leaves once; what B accepted while it drained is not lost. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import { deadline, until } from '../integration/helpers/server.mjs';
import { call } from './lib/publisher.mjs';
import { both, config, linesOf, openStage, pause } from './lib/stage.mjs';

const ON_A = both(500, 50);
const ON_B = both(2000, 200);
const RATE = both(40, 40);
const GONE_MS = 10000; /* so long a silent node is waited for */
const RECONNECT = 3001; /* "come back" */
const channels = Array.from({ length: 10 }, (_, n) => `room-${n}`);

const idsOf = (readers) => readers.map(({ client }) => client).sort();

/* Who left, by the watcher's pushes; sorted. */
const left = ({ pushes }) => pushes.filter(({ leave }) => leave).map(({ leave }) => leave.info.client).sort();
const joined = ({ pushes }) => pushes.filter(({ join }) => join).map(({ join }) => join.info.client).sort();

async function moveAndWait(readers, targets) {
  readers.forEach((reader, n) => reader.moveTo(targets[n % targets.length]));
  const start = performance.now();
  return async () => {
    await Promise.all(readers.map((reader) => reader.ready(30000)));
    return performance.now() - start;
  };
}

async function killA(stage, [a, b, c], readers, watcher) {
  const ghosts = idsOf(readers);
  const areBack = await moveAndWait(readers, [b, c]);
  const killedAt = performance.now();
  stage.forget(a);
  await a.kill();
  const back = await areBack();
  await until(() => left(watcher).length >= ghosts.length, 'the ghosts to leave', 25000);
  const gone = performance.now() - killedAt;
  stage.say(`A was killed: its ${ON_A} clients were back after ${Math.round(back)} ms, the ghosts gone after ${Math.round(gone)} ms`);
  await pause(500); /* the time in which nobody may leave twice */
  assert.deepEqual(left(watcher), ghosts, 'each ghost has left once');
  assert.deepEqual(joined(watcher), idsOf(readers), 'who came back has joined once');
  assert.ok(gone > GONE_MS - 2000 && gone < deadline(GONE_MS + 4000), `the ghosts were gone after ${gone} ms`);
  assert.equal([b, c].flatMap((node) => linesOf(node, /node is gone, its members have left/)).length >= 1, true);
}

/* Who asks for a new connection while B drains is refused at once. */
async function isRefused(node) {
  const socket = net.connect({ port: node.port, host: '127.0.0.1' });
  const [error] = await Promise.race([once(socket, 'error'), once(socket, 'connect').then(() => [null])]);
  socket.destroy();
  return error?.code === 'ECONNREFUSED';
}

async function drainB(stage, [, b, c], readers, watcher) {
  watcher.pushes.length = 0;
  const leavers = idsOf(readers);
  readers.forEach((reader) => (reader.disconnects.length = 0));
  const areBack = await moveAndWait(readers, [c]);
  const from = b.logs().length;
  stage.forget(b);
  b.signal('SIGTERM');
  const stoppedAt = performance.now();
  await b.waitLog(/INFO .*draining/, { from });
  await until(() => isRefused(b), 'new connections to be refused', 2000);
  const refused = performance.now() - stoppedAt;
  await b.finish({ limitMs: 35000 });
  const ended = performance.now() - stoppedAt;
  const back = await areBack();
  await until(() => left(watcher).length >= leavers.length, 'the clients of B to leave', 10000);
  const times = readers.map(({ disconnects }) => disconnects[0].atMs - stoppedAt).sort((x, y) => x - y);
  stage.say(`B was told to stop: no new connections after ${Math.round(refused)} ms, its ${readers.length} clients closed after ` +
    `${Math.round(times[0])} to ${Math.round(times.at(-1))} ms, status 0 after ${Math.round(ended)} ms, all back after ${Math.round(back)} ms`);
  await pause(500); /* the time in which nobody may leave twice */
  assert.deepEqual([...new Set(readers.flatMap(({ disconnects }) => disconnects.map(({ code }) => code)))], [RECONNECT]);
  assert.deepEqual(left(watcher), leavers, 'each client of B has left once');
  assert.deepEqual(joined(watcher), idsOf(readers), 'and joined on C once');
  assert.ok(ended < deadline(30000), `B took ${ended} ms`);
}

const name = `24: A is killed with ${ON_A} clients, then B drains with ${ON_B}`;
test(name, { timeout: deadline(180000) }, async (t) => {
  const stage = await openStage(t, { nodes: 3, config });
  const { nodes } = stage;
  const [a, b, c] = nodes;
  const [watcher] = await stage.readers({ count: 1, nodes: [c], channels, each: 10, flags: { join_leave: true } });
  await stage.readers({ count: 2, nodes: [c], channels, sdk: 2 });
  const onA = await stage.readers({ count: ON_A, nodes: [a], channels, sdk: 2 });
  const onB = await stage.readers({ count: ON_B, nodes: [b], channels, sdk: 2 });
  await stage.startWitness([c]);
  const publishers = nodes.map((node) => stage.publisher({ nodes: [node], channels, ratePerS: RATE }));
  await until(() => joined(watcher).length >= ON_A + ON_B + 2, 'all joins');
  await pause(both(2000, 500));
  watcher.pushes.length = 0;

  await killA(stage, nodes, onA, watcher);
  await publishers[0].stop();
  await pause(both(2000, 500));
  const onBNow = [...onB, ...onA.filter(({ node }) => node === b)];
  await drainB(stage, nodes, onBNow, watcher);
  await pause(both(2000, 500));
  await Promise.all(publishers.map((publisher) => publisher.stop()));
  const { tops, tookMs } = await stage.settled(channels, c);

  stage.say(`all readers at the top ${Math.round(tookMs)} ms after the load; published on A ${publishers[0].done.length}, on B ` +
    `${publishers[1].done.length}, on C ${publishers[2].done.length}`);
  assert.deepEqual(publishers[2].codes, {}, 'publishing on C works all the time');
  assert.deepEqual(Object.keys(publishers[1].codes), ['0'], 'on B it works until no connection is taken');
  for (const channel of channels) {
    const { result } = await call(c, 'presence_stats', { channel });
    assert.equal(result.num_clients, (ON_A + ON_B) / 10 + 1 + (channel === 'room-0' || channel === 'room-1' ? 1 : 0), channel);
  }
  assert.equal(stage.journal.toldCount, 0, 'the history is whole: everybody recovers');
  assert.ok(stage.journal.recoveryCount >= ON_A + ON_B);
  await stage.check(tops);
  await stage.end();
});
