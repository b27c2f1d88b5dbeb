/* Unidirectional Server-Sent Events: a connect in the URL or the body, then bare pushes, read by npm eventsource and strictly. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import { EventSource } from 'eventsource';
import jsonwebtoken from 'jsonwebtoken';
import WebSocket from 'ws';
import { EventParser } from './helpers/eventstream.mjs';
import { api } from './helpers/http.mjs';
import { startNodes, startRedis } from './helpers/redis.mjs';
import { openChannels, startServer, until } from './helpers/server.mjs';

const SECRET = 'a secret of the tests, 32 bytes long';
const config = {
  client: { allow_anonymous_connect_without_token: true, allowed_origins: ['https://good.example'], ping_interval: '1s', pong_timeout: '500ms',
            token: { hmac_secret_key: SECRET }, channel_limit: 20 },
  channel: {
    without_namespace: { ...openChannels, history_size: 100, history_ttl: '60s', force_recovery: true, presence: true, join_leave: true,
                         allow_user_limited_channels: true },
    namespaces: [{ name: 'closed' }, { name: 'seen', ...openChannels, presence: true, join_leave: true, force_push_join_leave: true }],
  },
  http_api: { insecure: true },
  uni_sse: { enabled: true },
};
const PATH = '/connection/uni_sse';

let server;
before(async () => (server = await startServer({ config, workers: 2 })));
after(() => server.stop());

const publish = async (channel, data, node = server) => {
  const { json } = await api(node, 'publish', JSON.stringify({ channel, data }));
  assert.ok(json.result, JSON.stringify(json));
  return json.result;
};
const sign = (claims, options = { expiresIn: 60 }) => jsonwebtoken.sign({ sub: 'ann', ...claims }, SECRET, options);
const urlOf = (connect, node = server) => `${node.url}${PATH}?cf_connect=${encodeURIComponent(JSON.stringify(connect))}`;

/* All pushes of one stream, as they come. */
function open(t, connect, { node = server, post = false, body = JSON.stringify(connect) } = {}) {
  const pushes = [];
  const abort = new AbortController();
  const parser = new EventParser(({ data }) => pushes.push(JSON.parse(data)));
  const read = async () => {
    const options = post ? { method: 'POST', body } : {};
    const response = await fetch(post ? node.url + PATH : urlOf(connect, node), { ...options, signal: abort.signal });
    pushes.status = response.status;
    pushes.head = response.headers;
    const decoder = new TextDecoder();
    for await (const chunk of response.body)
      parser.push(decoder.decode(chunk, { stream: true }).replace(/^\r\n/, ''));
    pushes.isOver = true;
  };
  read().catch((e) => abort.signal.aborted || Promise.reject(e));
  pushes.close = () => abort.abort();
  t.after(pushes.close);
  return pushes;
}

const pub = (data) => (push) => JSON.stringify(push.pub?.data) === JSON.stringify(data);

test('an EventSource connects by its URL: the connect push, publications, pings', async () => {
  const source = new EventSource(urlOf({ subs: { 'uni-1': {}, 'uni-2': {} }, name: 'test', version: '1' }));
  const pushes = [];
  source.onmessage = ({ data }) => pushes.push(JSON.parse(data));
  await until(() => pushes.length > 0, 'the connect push');
  const { connect } = pushes[0];
  assert.deepEqual(Object.keys(connect).sort(), ['client', 'ping', 'session', 'subs', 'version']);
  assert.deepEqual(Object.keys(connect.subs).sort(), ['uni-1', 'uni-2']);
  assert.equal(connect.subs['uni-1'].recoverable, true);
  const { offset, epoch } = await publish('uni-1', { text: 'é\u2028\r\n\u0000"' });
  await until(() => pushes.length > 1, 'the publication');
  assert.deepEqual(pushes[1], { channel: 'uni-1', pub: { data: { text: 'é\u2028\r\n\u0000"' }, offset, epoch } });
  await publish('uni-2', 'x'.repeat(65536));
  await until(() => pushes.some(pub('x'.repeat(65536))), '64 KB');
  await until(() => pushes.filter((push) => JSON.stringify(push) === '{}').length > 1, 'pings');
  source.close();
});

test('a POST does the same; no connect, null and an empty object are one of nobody', async (t) => {
  const posted = open(t, { subs: { 'uni-post': {} } }, { post: true });
  await until(() => posted.length > 0, 'connect');
  assert.equal(posted.head.get('content-type'), 'text/event-stream');
  assert.equal(posted.head.get('x-accel-buffering'), 'no');
  await publish('uni-post', 1);
  await until(() => posted.some(pub(1)), 'the publication');
  const nobody = [open(t, {}, { post: true, body: 'null' }), open(t, {}, { post: true, body: ' {} ' }), open(t, {}), open(t, null)];
  await until(() => nobody.every((pushes) => pushes.length > 0), 'connects');
  assert.ok(nobody.every(([{ connect }]) => connect.client && !connect.subs));
});

test('resume: what was missed is in the connect push, and what cannot be told is said', async (t) => {
  const first = open(t, { subs: { back: {} } });
  await until(() => first.length > 0, 'connect');
  await publish('back', 1);
  await until(() => first.some(pub(1)), 'the first');
  first.close();
  const { offset } = first.find(pub(1)).pub;
  const { epoch } = first[0].connect.subs.back;
  await publish('back', 2);
  await publish('back', 3);
  const second = open(t, { subs: { back: { recover: true, offset, epoch } } });
  await until(() => second.length > 0, 'connect');
  const { recovered, was_recovering, publications } = second[0].connect.subs.back;
  assert.deepEqual([recovered, was_recovering, publications.map(({ data }) => data)], [true, true, [2, 3]]);
  await publish('back', 4);
  await until(() => second.some(pub(4)), 'live');
  const lost = open(t, { subs: { back: { recover: true, offset, epoch: 'ZZZZZZZZ' } } });
  await until(() => lost.length > 0, 'connect');
  assert.deepEqual([lost[0].connect.subs.back.recovered, lost[0].connect.subs.back.was_recovering], [undefined, true]);
});

test('permissions are those of a WebSocket: what may not be subscribed to is passed over', async (t) => {
  const token = sign({ channels: ['given'] });
  const pushes = open(t, { token, subs: { 'closed:a': {}, '$private': {}, 'bad\u0001name': {}, 'caf\u00e9': {}, 'mine#ann': {}, 'other#bob': {}, given: {}, free: {}, 'esc"1': {}, 'esc"2': {} } });
  await until(() => pushes.length > 0, 'connect');
  const { subs, expires, ttl } = pushes[0].connect;
  assert.deepEqual(Object.keys(subs).sort(), ['esc"1', 'esc"2', 'free', 'given', 'mine#ann']);
  assert.ok(expires && ttl > 50 && ttl <= 60);
});

test('a refused connect is a disconnect push, then the end', async (t) => {
  const many = Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`many-${n}`, {}]));
  const rows = [
    [{ token: 'nonsense' }, 3500], [{ token: sign({}, { expiresIn: -60 }) }, 3005], [{ subs: { 'no-such:a': {} } }, 3501], [{ subs: many }, 3505],
  ];
  for (const [connect, code] of rows) {
    const pushes = open(t, connect);
    await until(() => pushes.isOver, JSON.stringify(connect));
    assert.equal(pushes.length, 1);
    assert.equal(pushes[0].disconnect.code, code);
    assert.ok(pushes[0].disconnect.reason);
  }
});

test('the server API reaches a one-way client: subscribe, unsubscribe, refresh, disconnect, by its session', async (t) => {
  const call = async (method, params) => assert.ok((await api(server, method, JSON.stringify(params))).json.result, method);
  const token = sign({});
  const one = open(t, { token });
  const other = open(t, { token });
  await until(() => one.length > 0 && other.length > 0, 'connects');
  const { session } = one[0].connect;
  await call('subscribe', { user: 'ann', session, channel: 'late' });
  await until(() => one.some(({ subscribe }) => subscribe), 'the subscription');
  assert.equal(one.find(({ subscribe }) => subscribe).channel, 'late');
  await publish('late', 1);
  await until(() => one.some(pub(1)), 'its publication');
  await call('unsubscribe', { user: 'ann', session, channel: 'late' });
  await until(() => one.some(({ unsubscribe }) => unsubscribe), 'the end of it');
  assert.deepEqual(one.find(({ unsubscribe }) => unsubscribe), { channel: 'late', unsubscribe: { code: 2000, reason: 'server unsubscribe' } });
  await call('refresh', { user: 'ann', session, expire_at: Math.floor(Date.now() / 1000) + 100 });
  await until(() => one.some(({ refresh }) => refresh?.ttl > 90), 'the refresh');
  await call('disconnect', { user: 'ann', session, disconnect: { code: 4321, reason: 'enough "of" it' } });
  await until(() => one.isOver, 'the end');
  assert.deepEqual(one.at(-1), { disconnect: { code: 4321, reason: 'enough "of" it' } });
  await call('disconnect', { user: 'ann' });
  await until(() => other.isOver, 'the end of the other');
  assert.deepEqual(other.filter((push) => Object.keys(push).length > 0).map((push) => Object.keys(push)[0]), ['connect', 'disconnect'],
                   'the other one was told nothing before');
  assert.equal(other.at(-1).disconnect.code, 3503);
});

test('joins and leaves are pushes; a one-way client is a member like others', async (t) => {
  const watcher = open(t, { subs: { 'seen:a': {} } });
  await until(() => watcher.length > 0, 'connect');
  const sdk = new Centrifuge(`ws://127.0.0.1:${server.port}/connection/websocket`, { websocket: WebSocket });
  const sub = sdk.newSubscription('seen:a');
  sub.subscribe();
  sdk.connect();
  await until(() => watcher.filter(({ join }) => join).length === 2, 'its own join and that of the other');
  sdk.disconnect();
  await until(() => watcher.some(({ leave }) => leave), 'the leave');
  const { channel, leave } = watcher.find((push) => push.leave);
  assert.equal(channel, 'seen:a');
  assert.ok(leave.info.client);
});

test('an expired token ends the stream; who knows the session cannot use it for commands', async (t) => {
  const short = await startServer({ config: { ...config, client: { ...config.client, expired_close_delay: '0s' } } });
  t.after(() => short.stop());
  const pushes = open(t, { token: sign({}, { expiresIn: 3 }) }, { node: short });
  await until(() => pushes.isOver, 'the end', 10000);
  assert.ok(pushes[0].connect, 'it was good at first');
  assert.equal(pushes.at(-1).disconnect.code, 3005);
  const one = open(t, {}, { node: short });
  await until(() => one.length > 0, 'connect');
  const body = JSON.stringify({ session: one[0].connect.session, node: '0', data: '{"id":1,"publish":{"channel":"x","data":1}}' });
  assert.equal((await fetch(`${short.url}/emulation`, { method: 'POST', body })).status, 404, 'the node is not told');
});

test('over two nodes', async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const [a, b] = await startNodes(redis, 2, { config });
  const first = open(t, { subs: { both: {} } }, { node: a });
  await until(() => first.length > 0, 'connect');
  await publish('both', 1, b);
  await until(() => first.some(pub(1)), 'the publication');
  const { epoch } = first[0].connect.subs.both;
  await publish('both', 2, a);
  const second = open(t, { subs: { both: { recover: true, offset: 1, epoch } } }, { node: b });
  await until(() => second.length > 0, 'connect');
  assert.deepEqual(second[0].connect.subs.both.publications.map(({ data }) => data), [2]);
  await Promise.all([a, b].map((node) => node.stop()));
  await until(() => first.isOver && second.isOver, 'both ends');
  assert.equal(first.at(-1).disconnect.code, 3001);
});

test('what is wrong with a request is a status', async () => {
  const ask = (query, options) => fetch(server.url + PATH + query, options);
  const post = (body, headers) => ask('', { method: 'POST', body, headers });
  const rows = [
    [ask('?cf_connect=x'), 400], [ask('?cf_connect=[]'), 400], [ask('?cf_connect=%7B%7D%7B%7D'), 400], [ask('?cf_connect={"token":1}'), 400],
    [ask('?cf_connect={"subs":{"a":1}}'), 400], [ask('?cf_connect={"subs":{"a":{"offset":"1"}}}'), 400], [ask('?cf_connect={"subs":["a"]}'), 400],
    [post(''), 400], [post('{'), 400], [post('"x"'), 400], [post('{"id":1,"connect":{}', {}), 400], [post(' '.repeat(70000)), 413],
    [post('\xff'), 400], [ask('', { method: 'DELETE' }), 405], [ask('', { method: 'HEAD' }), 405],
    [ask('', { headers: { Origin: 'https://evil.example' } }), 403], [ask('', { method: 'OPTIONS', headers: { Origin: 'https://good.example' } }), 204],
  ];
  for (const [at, [answer, status]] of rows.entries())
    assert.equal((await answer).status, status, `row ${at}`);
  const off = await startServer({ config: { ...config, uni_sse: {} } });
  assert.equal((await fetch(off.url + PATH)).status, 404, 'off unless it is switched on');
  await off.stop();
});
