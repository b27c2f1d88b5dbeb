/* How plain streams end: each reason is told, and a client that comes back is let in, sent elsewhere or stopped. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import jsonwebtoken from 'jsonwebtoken';
import { EventReader } from './helpers/eventstream.mjs';
import { api, metrics, sum, untilMetrics } from './helpers/http.mjs';
import { startRedis, startNode } from './helpers/redis.mjs';
import { openChannels, startServer, until, within } from './helpers/server.mjs';

const SECRET = 'a secret of the tests, 32 bytes long';
const config = {
  client: {
    allow_anonymous_connect_without_token: true, token: { hmac_secret_key: SECRET }, expired_close_delay: '0s', queue_max_size: 65536,
    subscribe_to_user_personal_channel: { enabled: true, single_connection: true },
  },
  channel: { without_namespace: { ...openChannels, history_size: 10000, history_ttl: '60s', force_recovery: true, presence: true } },
  http_api: { insecure: true },
};
const sign = (claims, options = { expiresIn: 60 }) => jsonwebtoken.sign(claims, SECRET, options);

async function start(t, more = {}) {
  const server = await startServer({ config: { ...config, ...more } });
  t.after(() => server.stop());
  return server;
}

/* A stream that is there; events are collected in reader.events. */
async function open(t, server, query, options) {
  const events = [];
  const reader = new EventReader(`${server.url}/sse?${query}`, (event) => events.push(event), options);
  t.after(() => reader.close());
  reader.events = events;
  await until(() => reader.opened === 1 && reader.lastId, 'the stream');
  return reader;
}

const call = async (server, method, params) => {
  const { json } = await api(server, method, params);
  assert.ok(json.result, JSON.stringify(json));
};
const endOf = async (reader) => {
  await until(() => reader.events.some(({ event }) => event === 'disconnect'), 'the end');
  const { data, id } = reader.events.find(({ event }) => event === 'disconnect');
  return { ...JSON.parse(data), isFinal: id === 'stop' };
};
const closes = (samples, reason) => sum(samples, new RegExp(`client_closes_total.*reason="${reason}"`));

test('a disconnect of the back end is final or not, as its code says', async (t) => {
  const server = await start(t);
  const rows = [
    [undefined, { reason: 'force disconnect', isFinal: true }], [{ code: 4500, reason: 'a "b"' }, { code: 4500, reason: 'a "b"', isFinal: true }],
    [{ code: 4999, reason: 'x' }, { code: 4999, reason: 'x', isFinal: true }], [{ code: 4000, reason: 'x' }, { code: 4000, reason: 'x', isFinal: false }],
    [{ code: 4499, reason: 'x' }, { code: 4499, reason: 'x', isFinal: false }],
  ];
  for (const [disconnect, expected] of rows) {
    const user = `user-${disconnect?.code}`;
    const reader = await open(t, server, `channel=a&token=${sign({ sub: user })}`);
    await call(server, 'disconnect', { user, ...(disconnect && { disconnect }) });
    assert.deepEqual(await endOf(reader), expected);
    if (expected.isFinal)
      assert.equal(await within(5000, reader.failed, 'the stop'), 204);
    else
      await until(() => reader.opened === 2, 'the client to be back');
    reader.close();
  }
});

test('an EventSource is stopped by it; another one of the same page begins anew', async (t) => {
  const server = await start(t);
  const url = `${server.url}/sse?channel=a&token=${sign({ sub: 'ann' })}`;
  const source = new EventSource(url);
  t.after(() => source.close());
  await within(5000, new Promise((resolve) => (source.onopen = resolve)), 'the stream');
  const said = new Promise((resolve) => source.addEventListener('disconnect', ({ data }) => resolve(JSON.parse(data))));
  await untilMetrics(server, (m) => sum(m, /num_subscriptions/) === 2, 'its subscriptions');
  await call(server, 'disconnect', { user: 'ann' });
  assert.deepEqual(await within(5000, said, 'the event'), { reason: 'force disconnect' });
  await until(() => source.readyState === EventSource.CLOSED, 'the stop', 10000);
  const again = await open(t, server, `channel=a&token=${sign({ sub: 'ann' })}&last_event_id=stop`);
  assert.deepEqual(again.events.map(({ event }) => event), ['lost', 'lost'], 'its channel and the personal one');
});

test('with a single connection the old stream does not come back against the new one', async (t) => {
  const server = await start(t);
  const query = `channel=a&token=${sign({ sub: 'ann' })}`;
  const old = await open(t, server, query);
  const other = await open(t, server, query);
  assert.deepEqual(await endOf(old), { reason: 'connection limit', isFinal: true });
  assert.equal(await within(5000, old.failed, 'the stop'), 204);
  await call(server, 'publish', { channel: 'a', data: 1 });
  await until(() => other.events.length === 1, 'the new one to go on');
});

test('a stream that is refused does not end the one that is there', async (t) => {
  const personal = { enabled: true, single_connection: true, personal_channel_namespace: 'own' };
  const channel = { ...config.channel, namespaces: [{ name: 'own', presence: true }] };
  const server = await start(t, { workers: 1, channel, client: { ...config.client, subscribe_to_user_personal_channel: personal } });
  const token = sign({ sub: 'ann' });
  const reader = await open(t, server, `channel=a&token=${token}`);
  assert.equal((await fetch(`${server.url}/sse?channel=no:such&token=${token}`)).status, 404);
  await call(server, 'publish', { channel: 'a', data: 1 });
  await until(() => reader.events.length === 1, 'an event');
  assert.equal(reader.events[0].data, '1');
});

test('an expired token ends the stream, and is a 401 after that', async (t) => {
  const server = await start(t);
  const reader = await open(t, server, `channel=a&token=${sign({ sub: 'ann' }, { expiresIn: 4 })}`); /* a whole second less, if it was just before the next one */
  assert.deepEqual(await endOf(reader), { reason: 'connection expired', isFinal: false });
  assert.equal(await within(5000, reader.failed, 'the refusal'), 401);
});

test('a revoked token ends the stream, and is a 401 after that', async (t) => {
  const server = await start(t);
  const reader = await open(t, server, `channel=a&token=${sign({ sub: 'ann', jti: 'one' })}`);
  await call(server, 'revoke_token', { uid: 'one' });
  assert.deepEqual(await endOf(reader), { reason: 'invalid token', isFinal: false });
  assert.equal(await within(5000, reader.failed, 'the refusal'), 401);
});

test('a channel that is taken away is told, and the others go on', async (t) => {
  const server = await start(t);
  const reader = await open(t, server, `channel=a&channel=b&token=${sign({ sub: 'ann' })}`);
  await until(() => reader.lastId.split('.').length === 3, 'all places');
  await call(server, 'unsubscribe', { user: 'ann', channel: 'a' });
  await call(server, 'publish', { channel: 'a', data: 1 });
  await call(server, 'publish', { channel: 'b', data: 2 });
  await until(() => reader.events.length === 2, 'both');
  assert.deepEqual(reader.events.map(({ event, data }) => [event, JSON.parse(data)]),
                   [['unsubscribed', { channel: 'a', reason: 'server unsubscribe' }], ['message', 2]]);
});

test('a slow reader is told so, comes back with its id and has lost nothing', async (t) => {
  const server = await start(t);
  const reader = await open(t, server, 'channel=slow');
  reader.response.pause();
  const before = closes(await metrics(server), 'slow');
  const big = 'x'.repeat(15000);
  let n = 0;
  while (closes(await metrics(server), 'slow') === before) {
    assert.ok(n < 5000, 'the socket takes everything');
    for (let i = 0; i < 50; i++)
      await call(server, 'publish', { channel: 'slow', data: { n: n++, big } });
  }
  reader.response.resume();
  assert.deepEqual(await endOf(reader), { reason: 'slow', isFinal: false });
  await until(() => reader.opened > 1, 'the client to be back');
  await until(() => {
    const seen = reader.events.filter(({ event }) => event === 'message').map(({ data }) => JSON.parse(data).n);
    assert.deepEqual(seen, seen.map((_, i) => i), 'no hole and no repeat');
    return seen.length === n || reader.events.some(({ event }) => event === 'lost');
  }, 'what was missed, or that it is lost', 15000);
});

test('a node that goes sends its streams elsewhere, spread over time', async () => {
  const server = await startServer({ config });
  const responses = await Promise.all(Array.from({ length: 10 }, () => fetch(`${server.url}/sse?channel=a`)));
  await untilMetrics(server, (m) => sum(m, /num_subscriptions/) === 10, 'ten streams');
  const all = Promise.all(responses.map((response) => response.text()));
  await server.stop();
  const delays = (await all).map((text) => Number(/\nretry: (\d+)\nevent: disconnect\ndata: \{"reason":"shutdown"\}\n\n$/.exec(text)[1]));
  assert.ok(delays.every((ms) => ms >= 1000 && ms < 6000), `${delays}`);
  assert.ok(new Set(delays).size > 1, `${delays}`);
});

test('when Redis has lost its data a stream ends with insufficient state and comes back', async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const node = await startNode(redis, { config, allowErrors: true });
  t.after(() => node.stop());
  const reader = await open(t, node, 'channel=a');
  await call(node, 'publish', { channel: 'a', data: 1 });
  await until(() => reader.events.length === 1, 'the message');
  await redis.client.flushall();
  await call(node, 'publish', { channel: 'a', data: 2 });
  assert.deepEqual(await endOf(reader), { reason: 'insufficient state', isFinal: false });
  await until(() => reader.opened > 1 && reader.events.some(({ event }) => event === 'lost'), 'the loss to be told');
});

test('metrics count every transport alike', async (t) => {
  const server = await start(t, { uni_sse: { enabled: true } });
  const token = sign({ sub: 'ann' });
  const connect = `{"id":1,"connect":{"token":"${token}"}}\n{"id":2,"subscribe":{"channel":"m"}}`;
  const asked = {
    sse: () => fetch(`${server.url}/sse?channel=m&token=${sign({ sub: 'bob' })}`),
    sdk_sse: () => fetch(`${server.url}/connection/sse?cf_connect=${encodeURIComponent(connect)}`),
    http_stream: () => fetch(`${server.url}/connection/http_stream`, { method: 'POST', body: connect.replace(token, sign({ sub: 'eve' })) }),
    uni_sse: () => fetch(`${server.url}/connection/uni_sse?cf_connect=${encodeURIComponent('{"subs":{"m":{}}}')}`),
  };
  const responses = await Promise.all(Object.values(asked).map((ask) => ask()));
  await untilMetrics(server, (m) => sum(m, /num_subscriptions/) === 7, 'four streams, three of them with a personal channel');
  await call(server, 'publish', { channel: 'm', data: 1 });
  const get = (m, name, transport) => sum(m, new RegExp(`^carillon_${name}\\{.*transport="${transport}"`));
  for (const transport of Object.keys(asked)) {
    const m = await untilMetrics(server, (all) => get(all, 'transport_messages_sent', transport) >= 2, `messages by ${transport}`);
    assert.equal(get(m, 'client_connections_inflight', transport), 1, transport);
    assert.equal(get(m, 'client_connections_accepted', transport), 1, transport);
    assert.ok(get(m, 'transport_messages_sent_size', transport) > 20, transport);
    assert.equal(get(m, 'transport_messages_received', transport), transport === 'sse' ? 0 : 1, transport);
  }
  await Promise.all(responses.map((response) => response.body.cancel()));
  const m = await untilMetrics(server, (all) => sum(all, /node_num_clients/) === 0, 'the end of all');
  for (const transport of Object.keys(asked)) {
    assert.equal(get(m, 'client_connections_inflight', transport), 0, transport);
    assert.equal(get(m, 'client_closes_total', transport), 1, transport);
  }
});

test('a slow reader in the middle of a large event gets the rest of it before it is told', async (t) => {
  const server = await start(t, { client: { ...config.client, queue_max_size: 1048576 } });
  const big = 'x'.repeat(100000);
  for (let round = 0; round < 3; round++) {
    const reader = await open(t, server, `channel=large${round}`);
    reader.response.pause();
    const before = closes(await metrics(server), 'slow');
    let n = 0;
    for (; closes(await metrics(server), 'slow') === before; n++)
      await call(server, 'publish', { channel: `large${round}`, data: { n, big } });
    reader.response.resume();
    assert.deepEqual(await endOf(reader), { reason: 'slow', isFinal: false });
    await until(() => {
      const seen = reader.events.filter(({ event }) => event === 'message').map(({ data }) => JSON.parse(data).n);
      assert.deepEqual(seen, seen.map((_, i) => i), 'no hole and no repeat');
      return seen.length === n || reader.events.some(({ event }) => event === 'lost');
    }, 'what was missed, or that it is lost', 15000);
    reader.close();
  }
});
