/* Who a client is and what it may: connection tokens, presence, limits per connection. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { untilMetrics, sum } from './helpers/http.mjs';
import { Client } from './helpers/protocol.mjs';
import { startServer } from './helpers/server.mjs';

const SECRET = '0123456789abcdef0123456789abcdef';
const base64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const nowS = () => Math.floor(Date.now() / 1000);

function token(claims, secret = SECRET) {
  const text = `${base64({ alg: 'HS256', typ: 'JWT' })}.${base64(claims)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

const all = {
  presence: true, join_leave: true, allow_subscribe_for_client: true, allow_publish_for_client: true,
  allow_presence_for_client: true,
};
const keyed = {
  client: { token: { hmac_secret_key: SECRET }, expired_close_delay: '200ms', ping_interval: '1s', pong_timeout: '500ms' },
  channel: { without_namespace: all },
};

let server;
before(async () => (server = await startServer({ config: keyed })));
after(() => server.stop());

/* Connects with these claims: [client, reply]. */
async function as(claims, secret) {
  const client = await Client.open(server);
  return [client, await client.request({ connect: { token: token(claims, secret) } })];
}

test('a good token connects, and its user and info are on what the client publishes', async () => {
  const [client, { connect }] = await as({ sub: 'alice', info: { name: 'Al' }, exp: nowS() + 60 });
  assert.equal(connect.expires, true);
  assert.ok(connect.ttl >= 58 && connect.ttl <= 60, `ttl ${connect.ttl}`);
  await client.request({ subscribe: { channel: 'who' } });
  await client.request({ publish: { channel: 'who', data: 1 } });
  const { pub } = await client.push();
  assert.equal(pub.info.user, 'alice');
  assert.deepEqual(pub.info.conn_info, { name: 'Al' });
});

test('a bad token is 3500, an expired one error 109, none is 3501', async () => {
  const bad = await Client.open(server);
  bad.send(JSON.stringify({ id: 1, connect: { token: token({ sub: 'alice' }, 'another secret') } }));
  assert.deepEqual(await bad.closed(), { code: 3500, reason: 'invalid token' });
  const [, { error }] = await as({ sub: 'alice', exp: nowS() - 1 });
  assert.equal(error.code, 109);
  const none = await Client.open(server);
  none.send('{"id":1,"connect":{}}');
  assert.equal((await none.closed()).code, 3501);
  assert.ok(!server.logs().join('\n').includes('eyJ'), 'a token is in the log');
});

test('channels of the token are subscribed in the reply to connect', async () => {
  const [client, { connect }] = await as({ sub: 'bob', channels: ['given', 'other', 'given'] });
  assert.deepEqual(connect.subs, { given: {}, other: {} });
  await client.request({ publish: { channel: 'given', data: 'x' } });
  assert.equal((await client.push()).channel, 'given');
  const [, { error }] = await as({ sub: 'bob', channels: ['no:such'] });
  assert.equal(error.code, 102);
});

test('a connection ends soon after its token, unless it is refreshed by the same user', async () => {
  const [late] = await as({ sub: 'carl', exp: nowS() + 2 });
  const [fresh] = await as({ sub: 'carl', exp: nowS() + 2 });
  const [thief] = await as({ sub: 'carl', exp: nowS() + 60 });
  const { refresh } = await fresh.request({ refresh: { token: token({ sub: 'carl', exp: nowS() + 60 }) } });
  assert.equal(refresh.expires, true);
  thief.send(JSON.stringify({ id: 9, refresh: { token: token({ sub: 'eve', exp: nowS() + 60 }) } }));
  assert.equal((await thief.closed()).code, 3500);
  assert.deepEqual(await late.closed(), { code: 3005, reason: 'connection expired' });
  assert.deepEqual((await fresh.request({ presence_stats: { channel: 'x' } })).presence_stats,
    { num_clients: 0, num_users: 0 });
});

test('presence, its counts, joins and leaves', async () => {
  const [first, { connect }] = await as({ sub: 'dora', info: [1] });
  const [second] = await as({ sub: 'dora' });
  await first.request({ subscribe: { channel: 'room', join_leave: true } });
  assert.equal((await first.push()).join.info.client, connect.client);
  await second.request({ subscribe: { channel: 'room' } });
  assert.equal((await first.push()).join.info.user, 'dora');
  const { presence } = await first.request({ presence: { channel: 'room' } });
  assert.equal(Object.keys(presence.presence).length, 2);
  assert.ok(Object.values(presence.presence).some((m) => JSON.stringify(m.conn_info) === '[1]'));
  assert.deepEqual((await first.request({ presence_stats: { channel: 'room' } })).presence_stats,
    { num_clients: 2, num_users: 1 });
  second.socket.terminate();
  assert.equal((await first.push()).leave.info.user, 'dora');
  assert.deepEqual((await first.request({ presence_stats: { channel: 'room' } })).presence_stats,
    { num_clients: 1, num_users: 1 });
});

test('the SDK fetches a new token when its own has expired', async () => {
  const given = [token({ sub: 'fred', exp: nowS() - 1 }), token({ sub: 'fred', exp: nowS() + 60 })];
  const sdk = new Centrifuge(server.wsUrl, {
    websocket: WebSocket, minReconnectDelay: 10, maxReconnectDelay: 50, getToken: async () => given.shift(),
  });
  try {
    sdk.connect();
    await sdk.ready(5000);
    assert.equal(given.length, 0);
  } finally {
    sdk.disconnect();
  }
});

test('over the limit a command is error 111, and who goes on is closed with 3013', async () => {
  const limited = await startServer({ config: {
    client: { insecure: true, command_rate_limit: 5, command_rate_burst: 10 } } });
  const client = await Client.open(limited);
  await client.request({ connect: {} });
  const replies = await Promise.all(Array.from({ length: 30 }, () => client.request({ rpc: { data: 1 } })));
  const codes = replies.map(({ error }) => error.code);
  const refused = codes.filter((code) => code === 111).length;
  assert.ok(refused >= 19 && refused <= 20, `${refused} of 30 were refused`);
  for (let i = 0; i < 200; i++)
    client.send(`{"id":${1000 + i},"rpc":{"data":1}}`);
  assert.deepEqual(await client.closed(), { code: 3013, reason: 'too many requests' });
  await untilMetrics(limited, (m) => sum(m, /client_limited_commands_total/) >= 51, 'the limit at work');
  await limited.stop();
});

test('over the limit on bytes a command is error 111', async () => {
  const limited = await startServer({ config: {
    client: { insecure: true, bytes_rate_limit: 1000, bytes_rate_burst: 2000 } } });
  const client = await Client.open(limited);
  await client.request({ connect: {} });
  const data = 'x'.repeat(900);
  const codes = [];
  for (let i = 0; i < 4; i++)
    codes.push((await client.request({ publish: { channel: 'a', data } })).error?.code ?? 0);
  assert.equal(codes[0], 0);
  assert.equal(codes[3], 111);
  await limited.stop();
});
