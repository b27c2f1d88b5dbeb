/* The unmodified npm package `centrifuge` (over `ws`) against the server: the last judge. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { event, openChannels, openConfig, startServer, within } from './helpers/server.mjs';
import { api } from './helpers/http.mjs';

let server;
before(async () => {
  server = await startServer({
    config: {
      client: openConfig.client,
      channel: {
        without_namespace: openChannels,
        namespaces: [{ name: 'read', allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true }],
      },
      http_api: { insecure: true },
    },
  });
});
after(() => server.stop());

/* An SDK client that the test disconnects at its end. */
function sdk(t, options = {}, on = server) {
  const client = new Centrifuge(on.wsUrl, {
    websocket: WebSocket, minReconnectDelay: 20, maxReconnectDelay: 100, ...options,
  });
  t.after(() => client.disconnect());
  return client;
}

async function connected(t, options, on) {
  const client = sdk(t, options, on);
  client.connect();
  await within(5000, client.ready(), 'the SDK to connect');
  return client;
}

async function subscribed(client, channel, options) {
  const sub = client.newSubscription(channel, options);
  sub.subscribe();
  await within(5000, sub.ready(), `a subscription of ${channel}`);
  return sub;
}

test('connect gives a client id and the ping settings', async (t) => {
  const client = sdk(t);
  const arrival = event(client, 'connected');
  client.connect();
  const context = await arrival;
  assert.match(context.client, /^[0-9a-f-]{36}$/);
  assert.equal(context.transport, 'websocket');
  assert.equal(client.state, 'connected');
});

test('two clients talk in a channel, both ways', async (t) => {
  const [alice, bob] = await Promise.all([connected(t), connected(t)]);
  const [a, b] = await Promise.all([subscribed(alice, 'chat'), subscribed(bob, 'chat')]);
  for (const [from, to, data] of [[a, b, { text: 'hi bob' }], [b, a, { text: 'h\u00e9 alice \u{1f600}' }]]) {
    const [seen, own] = [event(to, 'publication'), event(from, 'publication')];
    await from.publish(data);
    assert.deepEqual((await seen).data, data);
    const { info, channel } = await own;
    assert.equal(channel, 'chat');
    assert.equal(info.user, '');
    assert.match(info.client, /^[0-9a-f-]{36}$/);
  }
});

test('publish without a subscription, and a publication over the API', async (t) => {
  const [reader, writer] = await Promise.all([connected(t), connected(t)]);
  const sub = await subscribed(reader, 'direct');
  const first = event(sub, 'publication');
  await writer.publish('direct', [1, 2, 3]);
  assert.deepEqual((await first).data, [1, 2, 3]);
  const second = event(sub, 'publication');
  await api(server, 'publish', { channel: 'direct', data: 'from outside', tags: { a: 'b' } });
  const { data, info, tags } = await second;
  assert.deepEqual([data, info, tags], ['from outside', undefined, { a: 'b' }]);
});

test('after unsubscribe nothing arrives, and subscribing again works', async (t) => {
  const [reader, writer] = await Promise.all([connected(t), connected(t)]);
  const sub = await subscribed(reader, 'leave');
  const seen = [];
  sub.on('publication', ({ data }) => seen.push(data));
  sub.unsubscribe();
  assert.equal(sub.state, 'unsubscribed');
  await reader.publish('elsewhere', 1); /* answered after the unsubscribe, which the SDK does not await */
  await writer.publish('leave', 'missed');
  sub.subscribe();
  await within(5000, sub.ready(), 'the second subscription');
  const next = event(sub, 'publication');
  await writer.publish('leave', 'seen');
  await next;
  assert.deepEqual(seen, ['seen']);
});

test('200 subscriptions made before connect go with it in one frame', async (t) => {
  const many = await startServer({
    config: { ...openConfig, client: { ...openConfig.client, channel_limit: 200 } },
  });
  const client = sdk(t, {}, many);
  const subs = Array.from({ length: 200 }, (_, i) => client.newSubscription(`many-${i}`));
  for (const sub of subs)
    sub.subscribe();
  client.connect();
  await within(5000, Promise.all(subs.map((sub) => sub.ready())), 'all subscriptions');
  const writer = await connected(t, {}, many);
  const arrivals = Promise.all(subs.map((sub) => event(sub, 'publication')));
  await Promise.all(subs.map((sub, i) => writer.publish(sub.channel, i)));
  assert.deepEqual((await arrivals).map(({ data }) => data), subs.map((_, i) => i));
  client.disconnect();
  writer.disconnect();
  await many.stop();
});

test('publish that is not permitted fails with 103, an unknown namespace with 102', async (t) => {
  const client = await connected(t);
  await assert.rejects(client.publish('read:x', 1), { code: 103, message: 'permission denied' });
  await assert.rejects(client.publish('nobody:x', 1), { code: 102, message: 'unknown channel' });
  assert.equal(client.state, 'connected');
});

test('a refused subscription ends as unsubscribed with the error code', async (t) => {
  const client = await connected(t);
  for (const [channel, code] of [['nobody:x', 102], ['$private', 103], ['caf\u00e9', 107]]) {
    const sub = client.newSubscription(channel);
    const end = event(sub, 'unsubscribed');
    sub.subscribe();
    assert.equal((await end).code, code, channel);
  }
  assert.equal(client.state, 'connected');
});

test('presence, history and rpc are not available: 108', async (t) => {
  const client = await connected(t);
  await subscribed(client, 'features');
  const expected = { code: 108, message: 'not available' };
  await assert.rejects(client.presence('features'), expected);
  await assert.rejects(client.presenceStats('features'), expected);
  await assert.rejects(client.history('features', { limit: 1 }), expected);
  await assert.rejects(client.rpc('now', {}), expected);
});

test('send ends the connection for good with 3508', async (t) => {
  const client = await connected(t);
  const end = event(client, 'disconnected');
  client.send({ a: 1 });
  const { code, reason } = await end;
  assert.deepEqual([code, reason], [3508, 'not available']);
});

test('an anonymous client that is not allowed in ends with 3501, a token with 3500', async (t) => {
  const closed = await startServer({ workers: 1 });
  for (const [options, code] of [[{}, 3501], [{ token: 'a.b.c' }, 3500]]) {
    const client = sdk(t, options, closed);
    const end = event(client, 'disconnected');
    client.connect();
    assert.equal((await end).code, code);
  }
  await closed.stop();
});

test('a message over the limit ends with 1009 and no reconnect', async (t) => {
  const client = await connected(t);
  const end = event(client, 'disconnected');
  client.publish('big', 'x'.repeat(70000)).catch(() => {});
  assert.equal((await end).code, 3); /* the SDK's own name for close code 1009 */
});

test('the SDK answers pings: a connection outlives several intervals', async (t) => {
  const config = { ...openConfig, client: { ...openConfig.client, ping_interval: '1s', pong_timeout: '300ms' } };
  const quick = await startServer({ workers: 1, config });
  const client = await connected(t, {}, quick);
  const frames = [];
  client.on('disconnected', (context) => frames.push(context));
  client.on('connecting', (context) => frames.push(context));
  await new Promise((resolve) => setTimeout(resolve, 2600)); /* two pings and a pong timeout */
  assert.deepEqual(frames, []);
  await client.publish('x', 1);
  client.disconnect();
  await quick.stop();
});

test('a server that stops and starts again gets its clients and their subscriptions back', async (t) => {
  const first = await startServer({ config: openConfig });
  const client = await connected(t, {}, first);
  const sub = await subscribed(client, 'again');
  const leaving = event(client, 'connecting');
  await first.stop();
  const { code, reason } = await leaving;
  assert.deepEqual([code, reason], [3001, 'shutdown']);
  const back = event(sub, 'subscribed', 10000);
  const second = await startServer({ config: openConfig, port: first.port });
  await back;
  const seen = event(sub, 'publication');
  await sub.publish('after');
  assert.equal((await seen).data, 'after');
  client.disconnect();
  await second.stop();
});

test('a server that is killed gets its clients back too', async (t) => {
  const first = await startServer({ config: openConfig });
  const client = await connected(t, {}, first);
  const sub = await subscribed(client, 'crash');
  const leaving = event(client, 'connecting');
  await first.kill();
  assert.equal((await leaving).code, 1); /* the SDK's "transport closed" */
  const back = event(sub, 'subscribed', 10000);
  const second = await startServer({ config: openConfig, port: first.port });
  await back;
  client.disconnect();
  await second.stop();
});
