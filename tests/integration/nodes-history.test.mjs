/* Several nodes remember as one: who comes back to another node misses nothing, or is told. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { api, metrics, sum, untilMetrics } from './helpers/http.mjs';
import { connect } from './helpers/protocol.mjs';
import { startNodes, startRedis } from './helpers/redis.mjs';
import { deadline, event, openChannels, openConfig, until } from './helpers/server.mjs';

const remembers = { history_size: 100, history_ttl: '60s', force_recovery: true };
const config = {
  client: openConfig.client,
  channel: {
    without_namespace: { ...openChannels, ...remembers },
    namespaces: [
      { name: 'delta', ...openChannels, ...remembers, allowed_delta_types: ['fossil'], delta_publish: true },
      { name: 'plain', ...openChannels },
    ],
  },
  http_api: { insecure: true }, health: { enabled: true }, prometheus: { enabled: true },
};

let redis, a, b;
before(async () => {
  redis = await startRedis();
  [a, b] = await startNodes(redis, 2, { config });
});
after(async () => {
  await Promise.all([a.stop(), b.stop()]);
  await redis.stop();
});

const publish = async (node, channel, data, more = {}) => {
  const { json } = await api(node, 'publish', { channel, data, ...more });
  assert.ok(json.result, JSON.stringify(json));
  return json.result;
};
const counter = async (node, name) => sum(await metrics(node), new RegExp(`redis_${name}_total`));

async function sdkSubscription(node, channel, options = {}) {
  const sdk = new Centrifuge(node.wsUrl, { websocket: WebSocket, minReconnectDelay: 1, maxReconnectDelay: 50 });
  const sub = sdk.newSubscription(channel, { minResubscribeDelay: 1, maxResubscribeDelay: 50, ...options });
  sub.subscribe();
  sdk.connect();
  await sub.ready(deadline(5000));
  return { sdk, sub };
}

test('who was on one node recovers on the other', async () => {
  const first = await connect(a);
  const { subscribe: { epoch } } = await first.request({ subscribe: { channel: 'moves' } });
  await publish(b, 'moves', 1);
  assert.equal((await first.push()).pub.offset, 1);
  await first.close();
  for (let n = 2; n <= 50; n++)
    await publish(n % 2 ? a : b, 'moves', n);
  const second = await connect(b);
  const { subscribe: result } = await second.request({ subscribe: { channel: 'moves', recover: true, epoch, offset: 1 } });
  assert.equal(result.recovered, true);
  assert.deepEqual(result.publications.map(({ offset, data }) => [offset, data]),
                   Array.from({ length: 49 }, (_, n) => [n + 2, n + 2]));
  await publish(a, 'moves', 51);
  assert.equal((await second.push()).pub.offset, 51);
  await second.close();
});

test('who comes back at once costs Redis few questions', async () => {
  const count = 300;
  for (let n = 1; n <= 20; n++)
    await publish(a, 'herd', n);
  const before = await counter(b, 'history_reads');
  const clients = await Promise.all(Array.from({ length: count }, () => connect(b)));
  const replies = await Promise.all(clients.map((client, n) =>
    client.request({ subscribe: { channel: 'herd', recover: true, epoch: '', offset: n % 20 } })));
  replies.forEach(({ subscribe: result }, n) => {
    assert.equal(result.recovered, true);
    assert.equal(result.publications.length, 20 - n % 20);
  });
  const reads = await counter(b, 'history_reads') - before;
  assert.ok(reads >= 1 && reads <= 10, `${reads} reads`);
  const received = await counter(b, 'received');
  await publish(a, 'herd', 21);
  for (const client of clients)
    assert.equal((await client.push()).pub.offset, 21);
  assert.equal(await counter(b, 'received') - received, 1, 'a node gets a message once, whoever wants it');
  await Promise.all(clients.map((client) => client.close()));
});

test('the same idempotency key on both nodes: one publication, both get its place', async () => {
  const client = await connect(b);
  await client.request({ subscribe: { channel: 'once' } });
  const results = await Promise.all([a, b, a, b].map((node) => publish(node, 'once', 'x', { idempotency_key: 'k' })));
  for (const result of results)
    assert.deepEqual(result, results[0]);
  await publish(a, 'once', 'y');
  assert.deepEqual((await client.push()).pub, { data: 'x', offset: 1, epoch: results[0].epoch });
  assert.deepEqual((await client.push()).pub, { data: 'y', offset: 2 });
  await client.close();
});

test('patches are made on the node of the subscriber', async () => {
  const { sdk, sub } = await sdkSubscription(b, 'delta:x', { delta: 'fossil' });
  const seen = [];
  let patches = 0;
  sub.on('publication', ({ data }) => seen.push(data.n));
  const raw = await connect(b);
  await raw.request({ subscribe: { channel: 'delta:x', delta: 'fossil' } });
  const words = 'words that stay as they are, only the number is another one: ';
  for (let n = 1; n <= 10; n++) {
    await publish(n % 2 ? a : b, 'delta:x', { words: words.repeat(3), n });
    patches += (await raw.push()).pub.delta ? 1 : 0;
  }
  await until(() => seen.length === 10, 'ten publications');
  assert.deepEqual(seen, Array.from({ length: 10 }, (_, n) => n + 1));
  assert.equal(patches, 9);
  sdk.disconnect();
  await raw.close();
});

test('history of the server API is the same on both nodes, and removed on both', async () => {
  const { epoch } = await publish(a, 'api', 1);
  await publish(b, 'api', 2);
  const client = await connect(b); /* so that this node has a tail of its own */
  await client.request({ subscribe: { channel: 'api', recover: true, epoch, offset: 1 } });
  for (const node of [a, b]) {
    const { json } = await api(node, 'history', { channel: 'api', limit: -1 });
    assert.deepEqual(json.result, { publications: [{ data: 1, offset: 1 }, { data: 2, offset: 2 }], epoch, offset: 2 });
  }
  assert.deepEqual((await api(a, 'history_remove', { channel: 'api' })).json, { result: {} });
  await until(async () => {
    const other = await connect(b);
    const { subscribe: { recovered } } = await other.request({ subscribe: { channel: 'api', recover: true, epoch, offset: 1 } });
    await other.close();
    return !recovered;
  }, 'the history to be gone on the other node');
  await publish(b, 'api', 3);
  assert.equal((await client.push()).pub.offset, 3, 'who has seen all goes on');
  await client.close();
});

test('when Redis has lost a history its subscribers are told, at once and truthfully', async () => {
  const { sdk, sub } = await sdkSubscription(b, 'lost');
  const first = event(sub, 'publication');
  await publish(a, 'lost', 1);
  await first;
  await redis.client.flushall();
  const again = event(sub, 'subscribed');
  await publish(a, 'lost', 2);
  const { wasRecovering, recovered } = await again;
  assert.deepEqual({ wasRecovering, recovered }, { wasRecovering: true, recovered: false });
  const next = event(sub, 'publication');
  await publish(a, 'lost', 3);
  assert.deepEqual([(await next).data, (await next).offset], [3, 2]);
  assert.ok(await counter(b, 'epoch_changes') >= 1);
  sdk.disconnect();
});

test('while Redis is away calls fail in time, and subscriptions stay', async () => {
  const client = await connect(b);
  await client.request({ subscribe: { channel: 'stays' } });
  const { json: { result: { epoch } } } = await api(a, 'publish', { channel: 'stays', data: 1 });
  await client.push();
  await redis.kill();
  await until(async () => (await fetch(`${b.url}/ready`)).status === 503, '/ready to say no');
  const start = performance.now();
  for (const request of [{ publish: { channel: 'stays', data: 2 } }, { subscribe: { channel: 'another' } }]) {
    const { error } = await client.request(request);
    assert.equal(error.code, 100);
    assert.equal(error.temporary, true);
  }
  assert.ok(performance.now() - start < deadline(1000));
  assert.equal((await api(b, 'publish', { channel: 'stays', data: 2 })).json.error.code, 100);
  await redis.start();
  for (const node of [a, b])
    await until(async () => (await fetch(`${node.url}/ready`)).status === 200, '/ready to say yes');
  const push = await client.push(); /* its data are gone: insufficient state */
  assert.equal(push.unsubscribe.code, 2500);
  const { subscribe } = await client.request({ subscribe: { channel: 'stays', recover: true, epoch, offset: 1 } });
  assert.equal(subscribe.recovered, undefined);
  await publish(a, 'stays', 3);
  assert.equal((await client.push()).pub.data, 3);
  await client.close();
  await untilMetrics(a, (m) => sum(m, /redis_reconnects_total/) >= 1, 'the reconnect');
});
