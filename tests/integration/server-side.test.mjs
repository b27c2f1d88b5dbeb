/* What the server does to a client that did not ask: subscriptions from the token, the personal channel and
 * the back end, and the API methods that act on a user's connections on every worker. The judge is the
 * unmodified npm package `centrifuge`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import jsonwebtoken from 'jsonwebtoken';
import WebSocket from 'ws';
import { api, sum, untilMetrics } from './helpers/http.mjs';
import { Client, connect } from './helpers/protocol.mjs';
import { event, openChannels, startServer, within } from './helpers/server.mjs';

const SECRET = 'a secret for the tests of server-side subscriptions';
const now = () => Math.floor(Date.now() / 1000);
const tokenOf = (sub, claims = {}) => jsonwebtoken.sign({ sub, ...claims }, SECRET, { noTimestamp: true });

const config = ({ client = {}, ...rest } = {}) => ({
  client: { token: { hmac_secret_key: SECRET }, allow_anonymous_connect_without_token: true, ...client },
  channel: {
    without_namespace: { ...openChannels, presence: true },
    namespaces: [
      { name: 'kept', ...openChannels, history_size: 100, history_ttl: '1m', force_recovery: true },
      {
        name: 'seen', ...openChannels, presence: true, join_leave: true, force_push_join_leave: true,
        allow_presence_for_client: true,
      },
      { name: 'own', presence: true, history_size: 100, history_ttl: '1m', force_recovery: true },
    ],
  },
  http_api: { insecure: true },
  ...rest,
});

/* A server for one test, which is run with one worker and with four. */
function both(name, options, run) {
  for (const workers of [1, 4])
    test(`${name} (workers: ${workers})`, async (t) => {
      const server = await startServer({ config: config(options), workers });
      try {
        await run(t, server, workers);
      } finally {
        await Promise.all(clients.splice(0).map((client) => client.disconnect()));
        await server.stop();
      }
    });
}

const clients = [];

function sdk(server, options = {}) {
  const client = new Centrifuge(server.wsUrl, {
    websocket: WebSocket, minReconnectDelay: 20, maxReconnectDelay: 100, ...options,
  });
  client.events = [];
  for (const name of ['subscribed', 'unsubscribed', 'publication', 'join', 'leave'])
    client.on(name, (context) => client.events.push([name, context.channel, context]));
  clients.push(client);
  return client;
}

async function online(server, user, { claims, ...options } = {}) {
  const client = sdk(server, { ...(user ? { token: tokenOf(user, claims) } : {}), ...options });
  client.connect();
  await within(5000, client.ready(), 'the SDK to connect');
  return client;
}

const some = (count, make) => Promise.all(Array.from({ length: count }, (_, i) => make(i)));

/* A method that must succeed: its result. */
async function call(server, method, body) {
  const { status, json, text } = await api(server, method, body);
  assert.equal(status, 200, text);
  assert.equal(json.error, undefined, text);
  return json.result;
}

const failed = async (server, method, body) => (await api(server, method, body)).json.error?.code;
const names = (client) => client.events.map(([name, channel]) => `${name} ${channel}`);

/* Waits until what the client heard satisfies the check. */
async function heard(client, check, what) {
  const seen = () => `${what}; it heard ${JSON.stringify(names(client))}`;
  let stop;
  const done = new Promise((resolve) => {
    stop = setInterval(() => check(client.events) && resolve(), 2);
  });
  await within(5000, done, seen).finally(() => clearInterval(stop));
}

/* The id of a connection, which the SDK does not keep: in a channel of its own it is the only one. */
async function idOf(server, client) {
  const sub = client.newSubscription(`mark-${Math.random()}`);
  sub.subscribe();
  await within(5000, sub.ready(), 'a subscription');
  const { presence } = await call(server, 'presence', { channel: sub.channel });
  client.removeSubscription(sub);
  return Object.keys(presence)[0];
}

/* --- who is there ----------------------------------------------------------------------------- */

both('info counts users, and anonymous as one', {}, async (t, server) => {
  const users = async () => (await call(server, 'info', {})).nodes[0];
  assert.equal((await users()).num_users, 0);
  const ann = await some(5, () => online(server, 'ann'));
  const nobody = await some(5, () => online(server));
  await online(server, 'bob');
  const info = await users();
  assert.deepEqual([info.num_clients, info.num_users], [11, 3]);
  nobody.forEach((client) => client.disconnect());
  ann.slice(1).forEach((client) => client.disconnect());
  await untilMetrics(server, (samples) => sum(samples, /^carillon_node_num_clients$/) === 2, 'two clients');
  assert.equal((await users()).num_users, 2);
});

/* --- subscribe -------------------------------------------------------------------------------- */

both('subscribe reaches every connection of the user, and nobody else', {}, async (t, server) => {
  const ann = await some(8, () => online(server, 'ann'));
  const bob = await online(server, 'bob');
  assert.deepEqual(await call(server, 'subscribe', { user: 'ann', channel: 'news', data: { hello: 1 } }), {});
  await call(server, 'publish', { channel: 'news', data: 'first' });
  for (const client of ann) {
    await heard(client, (events) => events.length === 2, 'subscribed and a publication');
    assert.deepEqual(names(client), ['subscribed news', 'publication news']);
    assert.deepEqual(client.events[0][2].data, { hello: 1 });
    assert.equal(client.events[1][2].data, 'first');
  }
  assert.deepEqual(bob.events, []);
  assert.equal((await call(server, 'presence_stats', { channel: 'news' })).num_clients, 8);
});

both('subscribe of one connection, with an info that others see', {}, async (t, server) => {
  const [one, other] = await some(2, () => online(server, 'ann', { claims: { info: { name: 'Ann' } } }));
  const id = await idOf(server, one);
  const watcher = await online(server, 'eve');
  const sub = watcher.newSubscription('seen:room');
  sub.subscribe();
  await within(5000, sub.ready(), 'a subscription');
  const join = new Promise((resolve) => {
    sub.on('join', (context) => context.info.user === 'ann' && resolve(context));
  });
  await call(server, 'subscribe', { user: 'ann', client: id, channel: 'seen:room', info: { role: 'dj' } });
  const { info } = await within(5000, join, 'her join');
  assert.deepEqual([info.user, info.client, info.connInfo, info.chanInfo],
                   ['ann', id, { name: 'Ann' }, { role: 'dj' }]);
  const { clients: present } = await sub.presence();
  assert.deepEqual(present[id].chanInfo, { role: 'dj' });
  const seen = event(sub, 'publication');
  await one.publish('seen:room', 'from inside');
  assert.deepEqual((await seen).info.chanInfo, { role: 'dj' });
  const leave = event(sub, 'leave');
  await call(server, 'unsubscribe', { user: 'ann', channel: 'seen:room' });
  assert.deepEqual((await leave).info.chanInfo, { role: 'dj' });
  assert.ok(!names(other).includes('subscribed seen:room'));
});

both('subscribe with recover_since sends what was missed, once and in order', {}, async (t, server) => {
  const client = await online(server, 'ann');
  for (let i = 1; i <= 5; i++)
    await call(server, 'publish', { channel: 'kept:log', data: i });
  const { epoch } = await call(server, 'history', { channel: 'kept:log' });
  await call(server, 'subscribe', { user: 'ann', channel: 'kept:log', recover_since: { offset: 2, epoch } });
  await call(server, 'publish', { channel: 'kept:log', data: 6 });
  await heard(client, (events) => events.length === 5, 'subscribed and four publications');
  const [subscribed, ...publications] = client.events.map(([, , context]) => context);
  assert.equal(names(client)[0], 'subscribed kept:log');
  assert.deepEqual([subscribed.recoverable, subscribed.positioned, subscribed.streamPosition],
                   [true, true, { offset: 2, epoch }]);
  assert.deepEqual(publications.map(({ data, offset }) => [data, offset]), [[3, 3], [4, 4], [5, 5], [6, 6]]);
});

both('an override changes the options of these subscriptions alone', {}, async (t, server) => {
  const [ann, bob] = [await online(server, 'ann'), await online(server, 'bob')];
  await call(server, 'subscribe', { user: 'ann', channel: 'kept:x', override: { force_recovery: { value: false } } });
  await call(server, 'subscribe', { user: 'bob', channel: 'kept:x' });
  for (const [client, recoverable] of [[ann, false], [bob, true]]) {
    await heard(client, (events) => events.length === 1, 'subscribed');
    assert.equal(client.events[0][2].recoverable, recoverable);
  }
  await call(server, 'subscribe', { user: 'ann', channel: 'quiet', override: { presence: { value: false } } });
  await call(server, 'subscribe', { user: 'bob', channel: 'quiet' });
  assert.equal((await call(server, 'presence_stats', { channel: 'quiet' })).num_clients, 1);
});

both('anonymous connections are those of the empty user', {}, async (t, server) => {
  const nobody = await some(4, () => online(server));
  const ann = await online(server, 'ann');
  await call(server, 'subscribe', { user: '', channel: 'all' });
  for (const client of nobody)
    await heard(client, (events) => events.length === 1, 'subscribed');
  assert.deepEqual(ann.events, []);
});

/* --- unsubscribe ------------------------------------------------------------------------------ */

both('unsubscribe ends client-side and server-side subscriptions', {}, async (t, server) => {
  const ann = await some(6, (i) => online(server, 'ann', i % 2 ? { claims: { channels: ['news'] } } : {}));
  const subs = await Promise.all(ann.filter((_, i) => i % 2 === 0).map(async (client) => {
    const sub = client.newSubscription('news');
    sub.subscribe();
    await within(5000, sub.ready(), 'a subscription');
    return sub;
  }));
  const ends = subs.map((sub) => event(sub, 'unsubscribed'));
  const others = ann.filter((_, i) => i % 2).map((client) => event(client, 'unsubscribed'));
  assert.deepEqual(await call(server, 'unsubscribe', { user: 'ann', channel: 'news' }), {});
  for (const { code, reason } of await Promise.all(ends))
    assert.deepEqual([code, reason], [2000, 'server unsubscribe']);
  for (const { channel } of await Promise.all(others))
    assert.equal(channel, 'news');
  assert.equal((await call(server, 'presence_stats', { channel: 'news' })).num_clients, 0);
  subs[0].subscribe(); /* it may come back */
  await within(5000, subs[0].ready(), 'a subscription');
});

both('the push of unsubscribe comes to those who were not subscribed, too', {}, async (t, server) => {
  const raw = await connect(server, { connect: { token: tokenOf('ann') } });
  await call(server, 'unsubscribe', { user: 'ann', channel: 'never' });
  assert.deepEqual(await raw.push(),
                   { channel: 'never', unsubscribe: { code: 2000, reason: 'server unsubscribe' } });
  raw.terminate();
});

both('a subscribe that is under way is answered, then taken away', {}, async (t, server) => {
  const rounds = 60;
  for (let round = 0; round < rounds; round++) {
    const raw = await connect(server, { connect: { token: tokenOf('ann') } });
    const channel = `${round % 2 ? 'kept:' : ''}race-${round}`;
    const [reply] = await Promise.all([
      raw.request({ subscribe: { channel } }),
      call(server, 'unsubscribe', { user: 'ann', channel }),
    ]);
    assert.equal(reply.error, undefined);
    const { unsubscribe } = await raw.push();
    assert.equal(unsubscribe.code, 2000);
    /* Which came first? The reply and the push say the same as the presence of the subscription. */
    const lines = raw.frames.join('\n').split('\n');
    const isFirst = lines.findIndex((line) => line.includes('"unsubscribe"')) <
      lines.findIndex((line) => line.includes('"subscribe"'));
    const again = await raw.request({ subscribe: { channel } });
    assert.equal(again.error?.code, isFirst ? 105 : undefined, lines.join('\n'));
    raw.terminate();
  }
});

both('commands behind a subscribe that was taken away are run', {}, async (t, server) => {
  for (let round = 0; round < 30; round++) {
    const raw = await connect(server, { connect: { token: tokenOf('ann') } });
    const channel = `kept:behind-${round}`;
    const replies = [raw.reply(100), raw.reply(101), raw.reply(102)];
    raw.send(`{"id":100,"subscribe":{"channel":"${channel}"}}\n` +
      `{"id":101,"publish":{"channel":"${channel}","data":1}}\n{"id":102,"unsubscribe":{"channel":"${channel}"}}`);
    await call(server, 'unsubscribe', { user: 'ann', channel });
    for (const reply of await Promise.all(replies))
      assert.equal(JSON.parse(reply).error, undefined, reply);
    raw.terminate();
  }
});

/* --- disconnect ------------------------------------------------------------------------------- */

both('disconnect ends all connections of the user but those in the whitelist', {}, async (t, server) => {
  const ann = await some(6, () => online(server, 'ann'));
  const bob = await online(server, 'bob');
  const spared = await idOf(server, ann[0]);
  const ends = ann.slice(1).map((client) => event(client, 'disconnected'));
  await call(server, 'disconnect', { user: 'ann', whitelist: [spared] });
  for (const { code, reason } of await Promise.all(ends))
    assert.deepEqual([code, reason], [3503, 'force disconnect']);
  assert.deepEqual([ann[0].state, bob.state], ['connected', 'connected']);
  const end = event(ann[0], 'disconnected');
  await call(server, 'disconnect', { user: 'ann', client: spared, disconnect: { code: 4711, reason: 'gone fishing' } });
  assert.deepEqual(await end.then(({ code, reason }) => [code, reason]), [4711, 'gone fishing']);
});

both('a code below 3500 makes the SDK come back', {}, async (t, server) => {
  const ann = await online(server, 'ann');
  const again = event(ann, 'connecting');
  await call(server, 'disconnect', { user: 'ann', disconnect: { code: 3011, reason: 'force reconnect' } });
  assert.equal((await again).code, 3011);
  await within(5000, ann.ready(), 'the SDK to reconnect');
});

both('who is still connecting is disconnected, too', {}, async (t, server) => {
  for (let round = 0; round < 30; round++) {
    const raw = await Client.open(server);
    const channels = Array.from({ length: 50 }, (_, i) => `kept:${round}-${i}`);
    raw.send(JSON.stringify({ id: 1, connect: { token: tokenOf('ann', { channels }) } }));
    await untilMetrics(server, (samples) => sum(samples, /^carillon_client_commands_total$/) === round + 1,
                       'the connect');
    await call(server, 'disconnect', { user: 'ann' });
    assert.equal((await raw.closed()).code, 3503);
  }
});

/* --- refresh ---------------------------------------------------------------------------------- */

both('refresh changes when a connection expires, and what others know of it', {}, async (t, server) => {
  const raws = await some(4, () => connect(server, { connect: { token: tokenOf('ann') } }));
  await call(server, 'refresh', { user: 'ann', expire_at: now() + 1000, info: { v: 2 } });
  for (const raw of raws) {
    const { refresh } = await raw.push();
    assert.equal(refresh.expires, true);
    assert.ok(refresh.ttl > 990 && refresh.ttl <= 1000, `${refresh.ttl}`);
  }
  await raws[0].subscribe('news');
  const { presence } = await call(server, 'presence', { channel: 'news' });
  assert.deepEqual(Object.values(presence)[0].conn_info, { v: 2 });
  await call(server, 'refresh', { user: 'ann' });
  for (const raw of raws)
    assert.deepEqual(await raw.push(), { refresh: {} });
  await call(server, 'refresh', { user: 'ann', expired: true });
  for (const raw of raws)
    assert.deepEqual(await raw.closed(), { code: 3005, reason: 'connection expired' });
});

both('a time in the past ends it', {}, async (t, server) => {
  const raw = await connect(server, { connect: { token: tokenOf('ann') } });
  await call(server, 'refresh', { user: 'ann', expire_at: now() - 10 });
  assert.equal((await raw.closed()).code, 3005);
});

/* --- channels --------------------------------------------------------------------------------- */

test('channels are counted over all workers, page by page', async () => {
  for (const workers of [1, 4]) {
    const server = await startServer({ config: config(), workers });
    const raws = await some(12, () => connect(server));
    for (const [i, raw] of raws.entries())
      for (let k = 0; k <= i; k++)
        await raw.subscribe(`room-${String(k).padStart(2, '0')}`);
    await raws[3].subscribe('kept:x');
    const all = await call(server, 'channels', {});
    assert.equal(Object.keys(all.channels).length, 13);
    assert.equal(all.cursor, undefined);
    for (let k = 0; k < 12; k++)
      assert.deepEqual(all.channels[`room-${String(k).padStart(2, '0')}`], { num_clients: 12 - k });
    const pages = [];
    let cursor = '';
    do {
      const page = await call(server, 'channels', { pattern: 'room-*', limit: 5, cursor });
      pages.push(Object.entries(page.channels).map(([name, { num_clients: count }]) => `${name}=${count}`));
      ({ cursor } = page);
    } while (cursor);
    assert.deepEqual(pages.map((page) => page.length), [5, 5, 2]);
    assert.deepEqual(pages.flat(), Array.from({ length: 12 }, (_, k) => `room-${String(k).padStart(2, '0')}=${12 - k}`));
    assert.deepEqual(await call(server, 'channels', { pattern: 'room-0[13]' }),
                     { channels: { 'room-01': { num_clients: 11 }, 'room-03': { num_clients: 9 } } });
    assert.deepEqual(await call(server, 'channels', { pattern: 'none*' }), { channels: {} });
    for (const raw of raws)
      raw.terminate();
    await server.stop();
  }
});

/* --- personal channels ------------------------------------------------------------------------ */

const personal = (options = {}) => ({ client: { subscribe_to_user_personal_channel: { enabled: true, ...options } } });

both('every user has a personal channel, anonymous has none', personal(), async (t, server) => {
  const ann = await some(4, () => online(server, 'ann'));
  const nobody = await online(server);
  await call(server, 'publish', { channel: '#ann', data: 'psst' });
  for (const client of ann) {
    await heard(client, (events) => events.length === 2, 'subscribed and a publication');
    assert.deepEqual(names(client), ['subscribed #ann', 'publication #ann']);
  }
  assert.deepEqual(nobody.events, []);
});

const inNamespace = personal({ personal_channel_namespace: 'own' });

both('a personal channel is recovered after a lost connection', inNamespace, async (t, server) => {
  const ann = await online(server, 'ann', { claims: { channels: ['kept:a'] } });
  const bob = await online(server, 'bob');
  await heard(ann, (events) => events.length === 2, 'two subscriptions');
  await call(server, 'publish', { channel: 'own:#ann', data: 1 });
  await heard(ann, (events) => events.length === 3, 'a publication');
  const again = event(ann, 'connecting');
  const subscribed = new Promise((resolve) => {
    ann.on('subscribed', (context) => context.channel === 'own:#ann' && resolve(context));
  });
  ann.events.length = 0;
  ann._transport.close(); /* as a network does: without a word */
  await again;
  for (const data of [2, 3, 4])
    await call(server, 'publish', { channel: 'own:#ann', data });
  await call(server, 'publish', { channel: 'kept:a', data: 'a' });
  const context = await within(5000, subscribed, 'the subscription again');
  assert.deepEqual([context.wasRecovering, context.recovered], [true, true]);
  const of = (channel) => ann.events.filter((one) => one[0] === 'publication' && one[1] === channel)
    .map(([, , { data }]) => data);
  await heard(ann, () => of('own:#ann').length === 3 && of('kept:a').length === 1, 'what was missed');
  assert.deepEqual([of('own:#ann'), of('kept:a')], [[2, 3, 4], ['a']]);
  assert.deepEqual(names(bob), ['subscribed own:#bob']);
});

both('with single_connection the newest one stays', personal({ single_connection: true }), async (t, server) => {
  const bob = await online(server, 'bob');
  const nobody = await some(3, () => online(server));
  let last = await online(server, 'ann');
  for (let round = 0; round < 8; round++) {
    const end = event(last, 'disconnected');
    const next = await online(server, 'ann');
    assert.deepEqual(await end.then(({ code, reason }) => [code, reason]), [3504, 'connection limit']);
    last = next;
  }
  assert.ok([last, bob, ...nobody].every(({ state }) => state === 'connected'));
  const rivals = [last, ...Array.from({ length: 20 }, () => sdk(server, { token: tokenOf('ann') }))];
  let lost = 0;
  const settled = new Promise((resolve) => {
    for (const client of rivals)
      client.once('disconnected', () => ++lost === 20 && resolve());
  });
  rivals.forEach((client) => client.connect());
  await within(5000, settled, () => `all but one to be closed, not ${lost}`);
  assert.equal((await call(server, 'presence_stats', { channel: '#ann' })).num_clients, 1);
  assert.equal(rivals.filter(({ state }) => state === 'connected').length, 1);
});

/* --- bad input -------------------------------------------------------------------------------- */

both('bad requests are refused', {}, async (t, server) => {
  const user = 'ann', channel = 'news';
  for (const [code, method, body] of [
    [107, 'subscribe', { user }],
    [107, 'subscribe', { user, channel: '' }],
    [107, 'subscribe', { user: 7, channel }],
    [102, 'subscribe', { user, channel: 'no:such' }],
    [107, 'subscribe', { user, channel, expire_at: now() - 1 }],
    [107, 'subscribe', { user, channel, expire_at: -1 }],
    [107, 'subscribe', { user, channel, b64data: '!!' }],
    [107, 'subscribe', { user, channel, b64info: Buffer.from('{').toString('base64') }],
    [107, 'subscribe', { user, channel, recover_since: 3 }],
    [107, 'subscribe', { user, channel, override: { presence: true } }],
    [107, 'unsubscribe', { user, channel: '' }],
    [107, 'unsubscribe', { user }],
    [102, 'unsubscribe', { user, channel: 'no:such' }],
    [107, 'disconnect', { user, disconnect: { code: 2999, reason: 'x' } }],
    [107, 'disconnect', { user, disconnect: { code: 5000, reason: 'x' } }],
    [107, 'disconnect', { user, disconnect: { code: 4000, reason: 'x'.repeat(124) } }],
    [107, 'disconnect', { user, whitelist: 'all' }],
    [107, 'disconnect', { user, whitelist: [1] }],
    [107, 'disconnect', { user, whitelist: Array(1001).fill('a') }],
    [107, 'refresh', { user, expired: 1 }],
    [107, 'refresh', { user, expire_at: 'soon' }],
    [107, 'channels', { pattern: 'a{b,c}' }],
    [107, 'channels', { pattern: '[a' }],
    [107, 'channels', { pattern: 'x'.repeat(256) }],
    [107, 'channels', { limit: -1 }],
    [107, 'channels', { cursor: 5 }],
  ])
    assert.equal(await failed(server, method, body), code, `${method} ${JSON.stringify(body).slice(0, 100)}`);
  for (const [method, body] of [['subscribe', { user, channel }], ['unsubscribe', { user, channel }],
                                ['disconnect', { user, session: 'none' }], ['refresh', { user }]])
    assert.deepEqual(await call(server, method, body), {}); /* nobody is there */
});

/* --- many ------------------------------------------------------------------------------------- */

both('thousands of connections of one user', {}, async (t, server) => {
  const count = 2000, token = tokenOf('ann');
  const raws = [];
  while (raws.length < count)
    raws.push(...await some(100, () => connect(server, { connect: { token } })));
  await call(server, 'subscribe', { user: 'ann', channel: 'all', info: { a: 1 } });
  /* All workers have been told; some of their clients may still wait for the broker. */
  let stats;
  await within(10000, (async () => {
    do
      stats = await call(server, 'presence_stats', { channel: 'all' });
    while (stats.num_clients < count);
  })(), () => `${count} members: ${JSON.stringify(stats)}`);
  assert.deepEqual([stats.num_clients, stats.num_users], [count, 1]);
  assert.deepEqual((await call(server, 'channels', {})).channels, { 'all': { num_clients: count } });
  await call(server, 'unsubscribe', { user: 'ann', channel: 'all' });
  assert.equal((await call(server, 'presence_stats', { channel: 'all' })).num_clients, 0);
  await call(server, 'disconnect', { user: 'ann' });
  for (const { code } of await Promise.all(raws.map((raw) => raw.closed(20000))))
    assert.equal(code, 3503);
  await untilMetrics(server, (samples) => sum(samples, /^carillon_node_num_clients$/) === 0, 'none left', 20000);
  assert.equal((await call(server, 'info', {})).nodes[0].num_users, 0);
});
