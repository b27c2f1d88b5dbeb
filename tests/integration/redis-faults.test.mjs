/* Redis goes, freezes, is not there yet; a node dies: clients stay, calls fail fast, all comes back.
 *
 * The times are what these tests are about, so they run side by side, each with its own Redis.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { api, sum, untilMetrics } from './helpers/http.mjs';
import { cpuMs } from './helpers/process.mjs';
import { connect } from './helpers/protocol.mjs';
import { startNode, startNodes, startRedis } from './helpers/redis.mjs';
import { deadline, openChannels, openConfig, startServer, until, within } from './helpers/server.mjs';

const config = {
  client: { ...openConfig.client, ping_interval: '1s', pong_timeout: '500ms' },
  channel: { without_namespace: {
    ...openChannels, presence: true, join_leave: true,
    allow_presence_for_client: true, allow_presence_for_anonymous: true,
  } },
  http_api: { insecure: true }, health: { enabled: true }, prometheus: { enabled: true },
};
const BACK_MS = 2000; /* after Redis is back, everything works within this time */

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const status = async (node, path) => (await fetch(node.url + path)).status;

const ready = (node) => until(async () => await status(node, '/ready') === 200, '/ready to be 200', 15000);
const notReady = (node) => until(async () => await status(node, '/ready') === 503, '/ready to be 503', 15000);

async function watcher(node, channel) {
  const client = await connect(node);
  await client.call({ subscribe: { channel, join_leave: true } });
  return client;
}

/* Takes the pushes that came, until a publication of this data. */
async function pushesUntil(client, data) {
  const pushes = [];
  for (;;) {
    const push = await client.push();
    if (push.pub?.data === data)
      return pushes;
    pushes.push(push);
  }
}

async function errorOf(call, limitMs) {
  const start = performance.now();
  const reply = await call;
  const took = performance.now() - start;
  assert.ok(took < deadline(limitMs), `answered after ${took} ms: ${JSON.stringify(reply)}`);
  return reply.error?.code;
}
const publishFails = async (node, client, limitMs) => {
  const [viaApi, viaClient] = await Promise.all([
    errorOf(api(node, 'publish', { channel: 'room', data: 'lost' }).then(({ json }) => json), limitMs),
    errorOf(client.request({ publish: { channel: 'room', data: 'lost' } }), limitMs),
  ]);
  assert.deepEqual([viaApi, viaClient], [100, 100]);
};

async function worksAgain(nodes, readers, mark) {
  const took = Math.max(...await Promise.all(nodes.map(ready)));
  assert.ok(took < deadline(BACK_MS), `ready after ${took} ms`);
  assert.deepEqual((await api(nodes[0], 'publish', { channel: 'room', data: mark })).json, { result: {} });
  return Promise.all(readers.map((reader) => pushesUntil(reader, mark)));
}

async function presentIn(client, channel = 'room') {
  const { presence } = await client.call({ presence: { channel } });
  return Object.keys(presence).sort();
}

/* Runs with two nodes on a Redis of their own, and stops what is left. */
function onTwoNodes(name, body) {
  test(name, { timeout: deadline(60000) }, async () => {
    const redis = await startRedis();
    try {
      const nodes = await startNodes(redis, 2, { config });
      await body(redis, nodes);
      await Promise.all(nodes.map((node) => node.stop()));
    } finally {
      await redis.stop();
    }
  });
}

describe('faults', { concurrency: true }, () => {
  onTwoNodes('Redis is gone for 10 s', async (redis, [a, b]) => {
    const readers = [await watcher(a, 'room'), await watcher(b, 'room')];
    const leaver = await connect(b);
    await leaver.subscribe('room');
    const stream = await fetch(`${a.url}/sse?channel=room`);
    await until(async () => (await presentIn(readers[1])).length === 4, 'all to be present');
    await api(a, 'publish', { channel: 'room', data: 'start' });
    await Promise.all(readers.map((reader) => pushesUntil(reader, 'start')));

    const gone = performance.now();
    await redis.kill();
    await Promise.all([a, b].map(notReady));
    const why = await (await fetch(`${a.url}/ready`)).json();
    assert.equal(why.ready, false);
    assert.match(why.reason, /redis/i);
    const cpu = [a, b].map(cpuMs);
    const since = performance.now();
    leaver.terminate();
    while (performance.now() - gone < 10000) {
      await publishFails(a, readers[0], 500);
      await publishFails(b, readers[1], 500);
      assert.equal((await readers[0].request({ subscribe: { channel: 'new' } })).error?.code, 100);
      assert.equal((await readers[1].request({ presence: { channel: 'room' } })).error?.code, 100);
      assert.equal(await status(a, '/health'), 200);
      assert.equal(await status(b, '/ready'), 503);
      await pause(500);
    }
    [a, b].forEach((node, i) => {
      const share = (cpuMs(node) - cpu[i]) / (performance.now() - since);
      assert.ok(share < 0.1, `a node without Redis used ${(100 * share).toFixed(1)} % of a core`);
    });

    await redis.start();
    const pushes = await worksAgain([a, b], readers, 'again');
    /* Who left meanwhile is told once; who stayed has neither left nor joined. */
    const isLeave = ({ leave }) => leave?.info.client === leaver.info.client;
    const late = pushes.map((list) => [...list]);
    await until(async () => {
      await Promise.all(readers.map(async (reader, i) => {
        while (reader.pending > 0)
          late[i].push(await reader.push());
      }));
      return late.every((list) => list.some(isLeave));
    }, 'the leave of who went away meanwhile');
    for (const list of late)
      assert.ok(list.length === 1 && isLeave(list[0]), `seen: ${JSON.stringify(list)}`);
    await until(async () => (await presentIn(readers[0])).length === 3, 'who stayed to be present again');
    await readers[0].subscribe('new');
    const text = await within(2000, (async () => {
      let seen = '';
      for await (const chunk of stream.body) {
        seen += Buffer.from(chunk).toString();
        if (seen.includes('data: "again"'))
          return seen;
      }
      return 'the stream ended';
    })(), 'the stream to go on');
    assert.match(text, /data: "again"/);
    await untilMetrics(a, (m) => sum(m, /redis_reconnects_total/) === 1 && sum(m, /engine_up/) === 1, 'one reconnect');
    await Promise.all(readers.map((reader) => reader.close()));
  });

  onTwoNodes('Redis freezes and thaws: nobody leaves', async (redis, [a, b]) => {
    const readers = [await watcher(a, 'room'), await watcher(b, 'room')];
    await api(a, 'publish', { channel: 'room', data: 'start' });
    await Promise.all(readers.map((reader) => pushesUntil(reader, 'start')));
    redis.freeze();
    await publishFails(a, readers[0], 3500); /* sent and not answered: the deadline */
    await Promise.all([a, b].map(notReady));
    await publishFails(b, readers[1], 500); /* known to be away: at once */
    await pause(12000); /* longer than a silent node is waited for */
    redis.thaw();
    const pushes = await worksAgain([a, b], readers, 'again');
    /* What was in the frozen Redis' socket may still come: it was answered "done or not". */
    for (const list of pushes)
      assert.deepEqual(list.filter(({ pub }) => pub?.data !== 'lost'), []);
    assert.deepEqual(await presentIn(readers[0]), readers.map((reader) => reader.info.client).sort());
    await Promise.all(readers.map((reader) => reader.close()));
  });

  onTwoNodes('a node killed with -9: its members leave once, after about 10 s', async (redis, [a, b]) => {
    const third = await startNode(redis, { config });
    const watchers = [await watcher(a, 'room'), await watcher(b, 'room'), await watcher(b, 'second')];
    const members = await Promise.all(Array.from({ length: 5 }, () => connect(third)));
    await Promise.all(members.flatMap((member) => [member.subscribe('room'), member.subscribe('second')]));
    await until(async () => (await presentIn(watchers[0])).length === 7, 'all to be present');
    for (const channel of ['room', 'second'])
      await api(a, 'publish', { channel, data: 'start' });
    await Promise.all(watchers.map((one) => pushesUntil(one, 'start')));
    await third.kill();
    const killed = performance.now();
    const left = watchers.map(() => []);
    await until(async () => {
      await Promise.all(watchers.map(async (one, i) => {
        while (one.pending > 0)
          left[i].push((await one.push()).leave?.info.client);
      }));
      return left.every((list) => list.length >= members.length);
    }, 'the leaves', 20000);
    const took = performance.now() - killed;
    assert.ok(took > 8000 && took < deadline(14000), `they left after ${took} ms`);
    for (const channel of ['room', 'second'])
      await api(b, 'publish', { channel, data: 'end' });
    const more = await Promise.all(watchers.map((one) => pushesUntil(one, 'end')));
    assert.deepEqual(more, [[], [], []], 'nobody leaves twice');
    for (const list of left)
      assert.deepEqual(list.sort(), members.map((member) => member.info.client).sort());
    assert.equal((await presentIn(watchers[1])).length, 2);
    await Promise.all(watchers.map((one) => one.close()));
  });

  onTwoNodes('a cut link is made again, and every channel with it', async (redis, [a, b]) => {
    const readers = await Promise.all([b, b, b, b, b].map((node) => connect(node)));
    const names = Array.from({ length: 500 }, (_, n) => `many-${n}`);
    await Promise.all(names.map((name, n) => readers[n % 5].subscribe(name)));
    await redis.client.client('KILL', 'TYPE', 'pubsub');
    await b.waitLog(/redis is away|redis.*(gone|lost|closed|away)/i);
    await Promise.all([a, b].map(ready));
    for (const name of names)
      assert.deepEqual((await api(a, 'publish', { channel: name, data: name })).json, { result: {} });
    for (const [n, name] of names.entries())
      assert.equal((await readers[n % 5].push()).pub.data, name);
    await Promise.all(readers.map((reader) => reader.close()));
  });

  test('nodes start before Redis', { timeout: deadline(60000) }, async (t) => {
    const redis = await startRedis();
    t.after(() => redis.stop());
    await redis.kill();
    const node = await startServer({ config: { ...config, engine: { type: 'redis', redis: { address: redis.address } } } });
    const client = await connect(node);
    assert.equal(await status(node, '/ready'), 503);
    assert.equal(await status(node, '/health'), 200);
    await publishFails(node, client, 500);
    assert.equal((await client.request({ subscribe: { channel: 'room' } })).error?.code, 100);
    /* An EventSource comes back only after a good response that ended. */
    const stream = await fetch(`${node.url}/sse?channel=room`);
    assert.equal(stream.status, 200);
    assert.match(await within(5000, stream.text(), 'the stream to end'), /^: carillon\nretry: \d+\n\n/);
    await redis.start();
    await ready(node);
    await client.subscribe('room');
    await worksAgain([node], [client], 'hello');
    await client.close();
    await node.stop();
  });

  test('a wrong password: /ready says it, the log does not show it', { timeout: deadline(60000) }, async (t) => {
    const redis = await startRedis();
    t.after(() => redis.stop());
    await redis.client.config('SET', 'requirepass', 'right-password');
    const engine = (password) => ({ type: 'redis', redis: { address: redis.address, password } });
    const node = await startServer({ config: { ...config, engine: engine('wrong-password') } });
    await until(async () => /password|auth/i.test(await (await fetch(`${node.url}/ready`)).text()), 'the reason');
    assert.ok(!node.logs().join('\n').includes('wrong-password'));
    await node.stop();
    const good = await startServer({ config: { ...config, engine: engine('right-password') } });
    await ready(good);
    await good.stop();
  });
});
