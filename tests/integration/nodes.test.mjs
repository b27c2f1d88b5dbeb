/* Two nodes on one real Redis act as one: messages, order, members, and what is not ours there. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { api, metrics, sum, untilMetrics } from './helpers/http.mjs';
import { connect } from './helpers/protocol.mjs';
import { startNode, startNodes, startRedis } from './helpers/redis.mjs';
import { openChannels, openConfig } from './helpers/server.mjs';

const config = {
  client: openConfig.client,
  channel: { without_namespace: {
    ...openChannels, presence: true, join_leave: true,
    allow_presence_for_client: true, allow_presence_for_anonymous: true,
  } },
  http_api: { insecure: true }, health: { enabled: true }, prometheus: { enabled: true },
};
const PREFIX = 'carillon:1:centrifugo:';

let redis, a, b;
before(async () => {
  redis = await startRedis();
  [a, b] = await startNodes(redis, 2, { config });
});
after(async () => {
  await Promise.all([a.stop(), b.stop()]);
  await redis.stop();
});

const garbage = async (node) => sum(await metrics(node), /redis_garbage_total/);

test('a publication on one node reaches subscribers on both, byte for byte', async () => {
  const [on, over] = await Promise.all([connect(a), connect(b)]);
  await Promise.all([on.subscribe('bytes'), over.subscribe('bytes')]);
  const data = '{"n": 1.50, "t":"\\u00e9 é \u2028"}';
  await api(a, 'publish', `{"channel":"bytes","data":${data}}`);
  for (const client of [on, over])
    assert.equal(await client.pushText(), `{"push":{"channel":"bytes","pub":{"data":${data}}}}`);
  await over.publish('bytes', 'back');
  assert.equal((await on.push()).pub.data, 'back');
  assert.equal((await over.push()).pub.data, 'back');
  await Promise.all([on.close(), over.close()]);
});

test('writers on both nodes: all readers see one order', async () => {
  const readers = await Promise.all([a, a, b, b].map((node) => connect(node)));
  await Promise.all(readers.map((reader) => reader.subscribe('order')));
  const writers = await Promise.all([connect(a), connect(b)]);
  await Promise.all(writers.flatMap((writer, w) =>
    Array.from({ length: 300 }, (_, n) => writer.publish('order', [w, n]))));
  const seen = [];
  for (const reader of readers) {
    const row = [];
    while (row.length < 600)
      row.push((await reader.push()).pub.data.join('.'));
    seen.push(row);
  }
  for (const row of seen)
    assert.deepEqual(row, seen[0]);
  for (const w of [0, 1]) {
    const own = seen[0].filter((text) => text.startsWith(`${w}.`));
    assert.deepEqual(own, Array.from({ length: 300 }, (_, n) => `${w}.${n}`), 'the order of each writer is kept');
  }
  await Promise.all([...readers, ...writers].map((client) => client.close()));
});

test('presence, joins and leaves span the nodes', async () => {
  const [here, there] = await Promise.all([connect(a), connect(b)]);
  await here.call({ subscribe: { channel: 'room', join_leave: true } });
  assert.equal((await here.push()).join.info.client, here.info.client);
  await there.subscribe('room');
  assert.equal((await here.push()).join.info.client, there.info.client);
  for (const client of [here, there]) {
    const { presence } = await client.call({ presence: { channel: 'room' } });
    assert.deepEqual(Object.keys(presence).sort(), [here.info.client, there.info.client].sort());
    assert.deepEqual(await client.call({ presence_stats: { channel: 'room' } }), { num_clients: 2, num_users: 1 });
  }
  there.terminate();
  assert.equal((await here.push()).leave.info.client, there.info.client);
  assert.deepEqual(await here.call({ presence_stats: { channel: 'room' } }), { num_clients: 1, num_users: 1 });
  await here.close();
});

test('a node that stops takes its members along at once', async () => {
  const third = await startNode(redis, { config });
  const [here, there] = await Promise.all([connect(a), connect(third)]);
  await here.call({ subscribe: { channel: 'stop', join_leave: true } });
  await here.push();
  await there.subscribe('stop');
  await here.push();
  await third.stop();
  assert.equal((await here.push()).leave.info.client, there.info.client);
  assert.equal(here.pending, 0);
  await here.close();
});

test('channel names are themselves in Redis: patterns, spaces and our own prefix', async () => {
  const client = await connect(b);
  const names = ['*', '[a]?', 'a b', '"%s"', `${PREFIX}ch:x`.replaceAll(':', '_'), 'x'];
  for (const name of names)
    await client.subscribe(name);
  for (const name of names)
    await api(a, 'publish', { channel: name, data: name });
  for (const name of names) {
    const push = await client.push();
    assert.equal(push.channel, name);
    assert.equal(push.pub.data, name);
  }
  assert.equal(client.pending, 0);
  await client.close();
});

test('servers with another prefix neither hear nor disturb', async () => {
  const other = await startNode(redis, { config, args: ['--engine.redis.prefix=other'] });
  const [mine, foreign] = await Promise.all([connect(a), connect(other)]);
  await Promise.all([mine.subscribe('same'), foreign.subscribe('same')]);
  await mine.publish('same', 'mine');
  await foreign.publish('same', 'foreign');
  assert.equal((await mine.push()).pub.data, 'mine');
  assert.equal((await foreign.push()).pub.data, 'foreign');
  await mine.publish('same', 'last');
  assert.equal((await mine.push()).pub.data, 'last');
  assert.equal(foreign.pending, 0);
  await Promise.all([mine.close(), foreign.close()]);
  await other.stop();
});

test('garbage on our channels is counted and ignored', async () => {
  const client = await connect(b);
  await client.subscribe('dirty');
  const channel = `${PREFIX}ch:dirty`;
  /* A good envelope as the nodes write it, to be damaged. */
  const heard = redis.client.duplicate();
  const envelope = new Promise((resolve) => heard.on('messageBuffer', (_, bytes) => resolve(bytes)));
  await heard.subscribe(channel);
  await api(a, 'publish', { channel: 'dirty', data: { good: 1 } });
  assert.deepEqual((await client.push()).pub.data, { good: 1 });
  const good = await envelope;
  heard.disconnect();

  const before = await garbage(b);
  const damaged = [
    ...Array.from(good.keys(), (n) => good.subarray(0, n)), /* every truncation */
    Buffer.concat([good, Buffer.from('x')]),
    Buffer.from('{"pub":{"data":{}}}'), Buffer.from('__p1:1:e__{"data":1}'), Buffer.alloc(100000, 0xff),
    ...Array.from({ length: 32 }, (_, at) => {
      const bytes = Buffer.from(good);
      bytes[at] ^= 0xff;
      return bytes;
    }),
    Buffer.concat([good.subarray(0, 32), Buffer.from('{"good":1')]).subarray(0, good.length),
    Buffer.from(good.toString('latin1').replace('{', '\n'), 'latin1'),
  ];
  for (const bytes of damaged)
    await redis.client.publish(channel, bytes);
  await redis.client.publish(channel, good); /* it still listens */
  assert.deepEqual((await client.push()).pub.data, { good: 1 });
  assert.equal(client.pending, 0);
  await untilMetrics(b, (m) => sum(m, /redis_garbage_total/) === before + damaged.length, 'all of it counted');
  await client.close();
});

test('garbage in our keys disturbs nobody, and is not overwritten', async () => {
  const client = await connect(a);
  await redis.client.set(`${PREFIX}presence:spoilt`, 'a string');
  await redis.client.hset(`${PREFIX}presence:strange`, 'client', 'nonsense');
  await client.subscribe('spoilt');
  await client.subscribe('strange');
  const spoilt = await client.request({ presence: { channel: 'spoilt' } });
  assert.equal(spoilt.error?.code, 100, JSON.stringify(spoilt));
  const strange = await client.call({ presence: { channel: 'strange' } });
  assert.deepEqual(Object.keys(strange.presence), [client.info.client]);
  await client.publish('spoilt', 'still works');
  assert.equal((await client.push()).pub.data, 'still works');
  assert.equal(await redis.client.get(`${PREFIX}presence:spoilt`), 'a string');
  await client.close();
  assert.equal((await fetch(`${a.url}/ready`)).status, 200);
});

test('all that is ours in Redis has our prefix, and members leave nothing behind', async () => {
  const client = await connect(a);
  await client.subscribe('trace');
  await client.publish('trace', 1);
  await client.push();
  const keys = await redis.client.keys('*');
  assert.ok(keys.length > 0);
  assert.deepEqual(keys.filter((key) => !/^carillon:1:(centrifugo|other):/.test(key)), []);
  assert.ok(keys.includes(`${PREFIX}presence:trace`));
  await client.close();
  const other = await connect(b);
  for (;;) { /* the leave is on its way */
    const { presence } = await other.call({ presence: { channel: 'trace' } });
    if (Object.keys(presence).length === 0)
      break;
  }
  assert.equal(await redis.client.exists(`${PREFIX}presence:trace`), 0);
  await other.close();
});
