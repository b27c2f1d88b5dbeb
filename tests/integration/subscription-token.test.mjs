/* Subscription tokens and capabilities from outside: what they permit, refuse, change and end, over the line
 * protocol; and the unmodified SDK through the expiry of both kinds of tokens.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import { SignJWT } from 'jose';
import WebSocket from 'ws';
import { event, startServer, until, within } from './helpers/server.mjs';
import { connect } from './helpers/protocol.mjs';

const KEY = Buffer.from('a secret of at least 32 bytes for connections');
const SUB_KEY = Buffer.from('another secret of 32 bytes for subscriptions');
const now = () => Math.floor(Date.now() / 1000);
const sign = (claims, key = KEY) => new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(key);

const config = {
  client: {
    token: { hmac_secret_key: KEY.toString() },
    ping_interval: '2s', pong_timeout: '1s', expired_sub_close_delay: '0s', expired_close_delay: '1s',
  },
  channel: {
    without_namespace: {},
    namespaces: [
      { name: 'kept', history_size: 10, history_ttl: '60s', presence: true, join_leave: true },
      { name: 'own', allow_user_limited_channels: true },
    ],
  },
};

let server;
before(async () => (server = await startServer({ config })));
after(() => server.stop());

const alice = async (claims = {}) => connect(server, { connect: { token: await sign({ sub: 'alice', ...claims }) } });
const subscribe = async (client, channel, claims, key) =>
  client.request({ subscribe: { channel, token: await sign({ sub: 'alice', channel, ...claims }, key) } });
const code = (reply) => reply.error?.code ?? 0;

/* --- what a token permits --- */

test('a token permits what options do not, also a private channel', async () => {
  const client = await alice();
  for (const channel of ['news', '$secret', 'kept:a', '$kept:a', 'own:a#bob']) {
    assert.equal(code(await client.request({ subscribe: { channel } })), 103, channel);
    assert.deepEqual((await subscribe(client, channel)).subscribe, {}, channel);
    assert.equal(code(await subscribe(client, channel)), 105, channel);
  }
  assert.equal(code(await subscribe(client, 'nowhere:a')), 102);
  assert.equal(code(await client.request({ publish: { channel: 'news', data: 1 } })), 103);
  await client.close();
});

test('info, data and an end come from the token', async () => {
  const client = await alice({ info: { name: 'Al' } });
  const reply = await subscribe(client, 'kept:b', {
    info: { seat: 7 }, data: { welcome: [1, 2] }, exp: now() + 100, allow: ['pub', 'prs'],
  });
  assert.deepEqual(reply.subscribe.data, { welcome: [1, 2] });
  assert.equal(reply.subscribe.expires, true);
  assert.ok(reply.subscribe.ttl > 95 && reply.subscribe.ttl <= 100);
  await client.publish('kept:b', 1);
  const { pub } = await client.push();
  assert.deepEqual([pub.info.conn_info, pub.info.chan_info], [{ name: 'Al' }, { seat: 7 }]);
  const { presence } = await client.call({ presence: { channel: 'kept:b' } });
  assert.deepEqual(presence[client.info.client].chan_info, { seat: 7 });
  assert.equal(code(await client.request({ history: { channel: 'kept:b', limit: 1 } })), 103);
  await client.close();
});

test('base64 stands for info and data, if it is JSON', async () => {
  const client = await alice();
  const base64 = (text) => Buffer.from(text).toString('base64');
  assert.equal(code(await subscribe(client, 'a', { b64data: base64('no JSON') })), 103);
  assert.deepEqual((await subscribe(client, 'a', { b64data: base64('{"x":\n1}') })).subscribe.data, { x: 1 });
  await client.close();
});

test('a token overrides options of its channel', async () => {
  const client = await alice();
  const on = { value: true };
  const reply = await subscribe(client, 'kept:c', { override: { force_recovery: on, force_push_join_leave: on } });
  assert.equal(reply.subscribe.recoverable, true);
  assert.equal(reply.subscribe.positioned, true);
  assert.equal((await client.push()).join.info.client, client.info.client);
  assert.deepEqual((await subscribe(client, 'kept:d', { override: { presence: { value: false } } })).subscribe, {});
  const { num_clients } = await client.call({ presence_stats: { channel: 'kept:d' } }).catch(() => ({ num_clients: 0 }));
  assert.equal(num_clients, 0);
  await client.close();
});

/* --- what it refuses --- */

test('a bad token is error 103, an old one 109, and the connection goes on', async () => {
  const client = await alice();
  assert.equal(code(await subscribe(client, 'news', {}, SUB_KEY)), 103);
  assert.equal(code(await client.request({ subscribe: { channel: 'news', token: 'x' } })), 103);
  assert.equal(code(await client.request({ subscribe: { channel: 'news', token: await sign({ sub: 'alice' }) } })), 103);
  assert.equal(code(await subscribe(client, 'news', { exp: now() - 1 })), 109);
  assert.equal(code(await subscribe(client, 'news', { nbf: now() + 100 })), 109);
  assert.equal(code(await subscribe(client, 'news', { channel: 7 })), 103);
  assert.equal(code(await subscribe(client, 'news')), 0);
  await client.close();
});

test('a good token of somebody or something else ends the connection', async () => {
  for (const claims of [{ channel: 'other' }, { sub: 'bob' }, { sub: '' }, { client: 'f00d' }, { channel: 'News' }]) {
    const client = await alice();
    const token = await sign({ sub: 'alice', channel: 'news', ...claims });
    client.send(JSON.stringify({ id: 2, subscribe: { channel: 'news', token } }));
    assert.deepEqual(await client.closed(), { code: 3500, reason: 'invalid token' }, JSON.stringify(claims));
  }
});

test('a token may name the one client it is for', async () => {
  const client = await alice();
  assert.equal(code(await subscribe(client, 'news', { client: client.info.client })), 0);
  await client.close();
});

test('a subscription token is no connection token', async () => {
  const token = await sign({ sub: 'alice', channel: 'news' });
  await assert.rejects(connect(server, { connect: { token } }), /3500/);
});

/* --- its end --- */

test('a subscription ends with its token; a new one prolongs it', async () => {
  const client = await alice();
  await subscribe(client, 'news', { exp: now() + 2 });
  await subscribe(client, 'chat', { exp: now() + 2 });
  const token = await sign({ sub: 'alice', channel: 'chat', exp: now() + 100 });
  const renewed = await client.call({ sub_refresh: { channel: 'chat', token } });
  assert.equal(renewed.expires, true);
  assert.ok(renewed.ttl > 95 && renewed.ttl <= 100);
  assert.deepEqual(await client.push(), {
    channel: 'news', unsubscribe: { code: 2501, reason: 'subscription expired' },
  });
  assert.equal(code(await subscribe(client, 'chat')), 105);
  await client.close();
});

test('sub_refresh says what is wrong', async () => {
  const client = await alice();
  const token = await sign({ sub: 'alice', channel: 'news' });
  assert.equal(code(await client.request({ sub_refresh: { channel: 'news', token } })), 103);
  await subscribe(client, 'news', { exp: now() + 100 });
  assert.equal(code(await client.request({ sub_refresh: { channel: 'news', token: '' } })), 107);
  const old = await sign({ sub: 'alice', channel: 'news', exp: now() - 1 });
  assert.equal(code(await client.request({ sub_refresh: { channel: 'news', token: old } })), 110);
  assert.deepEqual(await client.call({ sub_refresh: { channel: 'news', token } }), {});
  for (const [channel, bad] of [['news', 'x'], ['news', await sign({ sub: 'bob', channel: 'news' })]]) {
    const other = await alice();
    await subscribe(other, channel);
    other.send(JSON.stringify({ id: 99, sub_refresh: { channel, token: bad } }));
    assert.deepEqual(await other.closed(), { code: 3500, reason: 'invalid token' });
  }
  await client.close();
});

test('refresh with other channels makes the client connect again', async () => {
  const first = await sign({ sub: 'alice', channels: ['a', 'b'] });
  for (const [claims, expected] of [[{ channels: ['b', 'a', 'a'] }, 0], [{ subs: { a: {}, b: {} } }, 0],
    [{ channels: ['a'] }, 3010], [{ channels: ['a', 'c'] }, 3010], [{}, 3010]]) {
    const client = await connect(server, { connect: { token: first } });
    const token = await sign({ sub: 'alice', ...claims });
    if (expected === 0) {
      await client.call({ refresh: { token } });
      await client.close();
      continue;
    }
    client.send(JSON.stringify({ id: 2, refresh: { token } }));
    assert.equal((await client.closed()).code, expected, JSON.stringify(claims));
  }
});

/* --- server-side subscriptions with options --- */

test('"subs" gives channels with info, data and overrides', async () => {
  const client = await alice({
    channels: ['plain'],
    subs: { 'kept:e': { info: { seat: 1 }, data: 'hello', override: { force_recovery: { value: true } } }, '$own': {} },
  });
  assert.deepEqual(Object.keys(client.info.subs).sort(), ['$own', 'kept:e', 'plain']);
  assert.equal(client.info.subs['kept:e'].recoverable, true);
  assert.equal(client.info.subs['kept:e'].data, 'hello');
  assert.deepEqual(client.info.subs.plain, {});
  await client.close();
});

/* --- capabilities --- */

test('capabilities permit commands in the channels they name', async () => {
  const client = await alice({
    caps: [
      { channels: ['news', 'kept:f'], allow: ['sub', 'pub'] },
      { channels: ['room?', 'kept:x*'], match: 'wildcard', allow: ['sub', 'prs', 'hst'] },
      { channels: ['^log-[0-9]+$'], match: 'regex', allow: ['sub'] },
      { channels: ['kept:f'], match: '', allow: ['hst', 'prs'] },
      { channels: ['*'], match: 'wildcard', allow: [] },
      { channels: ['$secret', 'own:a#bob'], allow: ['sub', 'pub'] },
    ],
  });
  const may = async (command) => code(await client.request(command)) === 0;
  const cases = { news: 1, 'kept:f': 1, room7: 1, room77: 0, 'kept:xyz': 1, 'kept:y': 0, 'log-12': 1, 'log-x': 0,
    'a-log-12': 0, other: 0, $secret: 0, 'own:a#bob': 0, $news: 0 };
  for (const [channel, expected] of Object.entries(cases))
    assert.equal(await may({ subscribe: { channel } }), expected === 1, channel);
  assert.ok(await may({ publish: { channel: 'news', data: 1 } }));
  assert.ok(await may({ publish: { channel: 'kept:f', data: 1 } }));
  assert.ok(!await may({ publish: { channel: 'room7', data: 1 } }));
  assert.ok(await may({ history: { channel: 'kept:f', limit: 1 } }));
  assert.ok(await may({ presence: { channel: 'kept:xyz' } }));
  assert.ok(!await may({ presence: { channel: 'kept:y' } }));
  await client.close();
});

test('a refreshed token brings its capabilities along, and takes the old ones away', async () => {
  const caps = [{ channels: ['news'], allow: ['sub'] }];
  const client = await alice({ caps });
  assert.equal(code(await client.request({ subscribe: { channel: 'news' } })), 0);
  await client.call({ unsubscribe: { channel: 'news' } });
  await client.call({ refresh: { token: await sign({ sub: 'alice' }) } });
  assert.equal(code(await client.request({ subscribe: { channel: 'news' } })), 103);
  await client.call({ refresh: { token: await sign({ sub: 'alice', caps }) } });
  assert.equal(code(await client.request({ subscribe: { channel: 'news' } })), 0);
  await client.close();
});

test('scopes permit what the configuration says', async (t) => {
  const scopes = ['chat.read=sub+hst=kept:*', 'chat.write=pub=kept:*', 'watch=prs=*'];
  const { token } = config.client;
  const own = await startServer({ config: { ...config, client: { ...config.client, token: { ...token, scopes } } } });
  t.after(() => own.stop());
  const client = await connect(own, { connect: { token: await sign({ sub: 'al', scope: 'openid chat.read' }) } });
  assert.equal(code(await client.request({ subscribe: { channel: 'kept:a' } })), 0);
  assert.equal(code(await client.request({ subscribe: { channel: '$kept:a' } })), 103);
  assert.equal(code(await client.request({ subscribe: { channel: 'news' } })), 103);
  assert.equal(code(await client.request({ history: { channel: 'kept:b', limit: 1 } })), 0);
  assert.equal(code(await client.request({ publish: { channel: 'kept:a', data: 1 } })), 103);
  await client.call({ refresh: { token: await sign({ sub: 'al', scope: 'chat.write' }) } });
  assert.equal(code(await client.request({ publish: { channel: 'kept:a', data: 1 } })), 0);
  assert.equal(code(await client.request({ subscribe: { channel: 'kept:b' } })), 103);
  await client.close();
});

/* --- keys and claims of their own --- */

test('subscription tokens can have a key, an audience and a user claim of their own', async (t) => {
  const own = await startServer({
    config: {
      client: {
        token: { hmac_secret_key: KEY.toString(), issuer: 'https://login.example' },
        subscription_token: {
          enabled: true, hmac_secret_key: SUB_KEY.toString(), audience_regex: '^chat(-eu)?$', user_id_claim: 'app.uid',
        },
      },
    },
  });
  t.after(() => own.stop());
  await assert.rejects(connect(own, { connect: { token: await sign({ sub: 'alice' }) } }), /3500/);
  await assert.rejects(connect(own, { connect: { token: await sign({ sub: 'alice', iss: 'https://login.example/' }) } }),
    /3500/);
  const client = await connect(own, { connect: { token: await sign({ sub: 'alice', iss: 'https://login.example' }) } });
  const claims = { app: { uid: 'alice' }, channel: 'news', aud: ['x', 'chat-eu'] };
  const attempt = async (more, key = SUB_KEY) =>
    code(await client.request({ subscribe: { channel: 'news', token: await sign({ ...claims, ...more }, key) } }));
  assert.equal(await attempt({}, KEY), 103);
  assert.equal(await attempt({ aud: 'chat-us' }), 103);
  assert.equal(await attempt({ aud: ['chat', 7] }), 103);
  assert.equal(await attempt({ aud: undefined }), 103);
  assert.equal(await attempt({ app: { uid: 7 } }), 103);
  assert.equal(await attempt({}), 0);
  await client.close();
});

test('refresh and sub_refresh wait for a key that is being fetched', async (t) => {
  const pairs = ['first', 'second'].map((kid) => ({ kid, ...generateKeyPairSync('ed25519') }));
  const [first, second] = pairs;
  const published = [first];
  const endpoint = http.createServer((request, response) => response.end(JSON.stringify({
    keys: published.map(({ kid, publicKey }) => ({ kid, use: 'sig', ...publicKey.export({ format: 'jwk' }) })),
  })));
  await new Promise((resolve) => endpoint.listen(0, '127.0.0.1', resolve));
  t.after(() => endpoint.close());
  const own = await startServer({
    config: {
      client: {
        token: {
          jwks_public_endpoint: `http://127.0.0.1:${endpoint.address().port}/keys`, jwks_retry_interval: '100ms',
        },
      },
    },
  });
  t.after(() => own.stop());
  const signed = ({ kid, privateKey }, claims) =>
    new SignJWT({ sub: 'al', ...claims }).setProtectedHeader({ alg: 'EdDSA', kid }).sign(privateKey);
  const client = await connect(own, { connect: { token: await signed(first) } });
  const claims = { channel: 'news', exp: now() + 100 };
  await client.call({ subscribe: { channel: 'news', token: await signed(first, claims) } });
  published.push(second);
  const commands = [
    { sub_refresh: { channel: 'news', token: await signed(second, claims) } },
    { refresh: { token: await signed(second) } },
  ];
  const { error } = await client.request(commands[0]);
  assert.deepEqual(error, { code: 100, message: 'internal server error', temporary: true });
  for (const command of commands)
    await until(async () => !(await client.request(command)).error, 'the second key');
  await client.close();
});

/* --- the SDK --- */

test('the SDK keeps connection and subscription over the end of their tokens', async (t) => {
  const asked = { connection: 0, subscription: 0 };
  let lost = 0, finish;
  const enough = new Promise((resolve) => (finish = resolve));
  const count = (what) => {
    asked[what]++;
    if (asked.connection >= 3 && asked.subscription >= 3)
      finish();
  };
  const client = new Centrifuge(server.wsUrl, {
    websocket: WebSocket,
    getToken: () => {
      count('connection');
      return sign({ sub: 'alice', exp: now() + 2 });
    },
  });
  t.after(() => client.disconnect());
  const sub = client.newSubscription('$private', {
    getToken: ({ channel }) => {
      count('subscription');
      return sign({ sub: 'alice', channel, exp: now() + 2, allow: ['pub'] });
    },
  });
  sub.subscribe();
  client.connect();
  await within(5000, sub.ready(), 'the SDK to subscribe');
  client.on('connecting', () => lost++);
  sub.on('subscribing', () => lost++);
  await within(20000, enough, () => `tokens to be asked for: ${JSON.stringify(asked)}`);
  const arrival = event(sub, 'publication');
  await sub.publish('still here');
  assert.equal((await arrival).data, 'still here');
  assert.equal(lost, 0);
});

test('the SDK subscribes again with a new token when it comes too late', async (t) => {
  let asked = 0;
  const client = new Centrifuge(server.wsUrl, { websocket: WebSocket, token: await sign({ sub: 'alice' }) });
  t.after(() => client.disconnect());
  const sub = client.newSubscription('news', {
    token: await sign({ sub: 'alice', channel: 'news', exp: now() - 1 }),
    minResubscribeDelay: 20,
    maxResubscribeDelay: 100,
    getToken: ({ channel }) => {
      asked++;
      return sign({ sub: 'alice', channel });
    },
  });
  sub.subscribe();
  client.connect();
  await within(5000, sub.ready(), 'the SDK to subscribe');
  assert.equal(asked, 1);
});
