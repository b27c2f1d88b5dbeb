/* Plain Server-Sent Events: the same session as a WebSocket, read by npm eventsource and by hand. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EventSource } from 'eventsource';
import jsonwebtoken from 'jsonwebtoken';
import { api, metrics, untilMetrics, sum } from './helpers/http.mjs';
import { EventReader } from './helpers/eventstream.mjs';
import { RawSocket } from './helpers/rawsocket.mjs';
import { deadline, openChannels, startServer, until } from './helpers/server.mjs';

let server;
before(async () => {
  server = await startServer({ config: {
    client: { allow_anonymous_connect_without_token: true, allowed_origins: ['https://good.example'] },
    channel: { without_namespace: {
      presence: true, join_leave: true, force_push_join_leave: true,
      allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true },
      namespaces: [{ name: 'post', ...openChannels }, { name: 'wild', ...openChannels, channel_regex: '^[^x]*$' }] },
    http_api: { insecure: true },
    plain_sse: { heartbeat_interval: '1s' },
  } });
});
after(() => server.stop());

const subscribed = (count) =>
  untilMetrics(server, (m) => sum(m, /node_num_subscriptions/) === count, `${count} subscriptions`);

test('an EventSource gets what is published to its channels, in order and byte for byte', async () => {
  const source = new EventSource(`${server.url}/sse?channel=a&channel=b%26c`);
  const seen = [];
  const done = new Promise((resolve) => {
    source.onmessage = ({ data }) => seen.push(data) === 3 && resolve();
  });
  await subscribed(2);
  await api(server, 'publish', '{"channel":"a","data":{"x": 1.50,"y":"\\u00e9"}}');
  await api(server, 'publish', '{"channel":"elsewhere","data":0}');
  await api(server, 'publish', '{"channel":"b&c","data":"line\\nline"}');
  await api(server, 'publish', '{"channel":"a","data":[\n1]}');
  await done;
  source.close();
  assert.deepEqual(seen, ['{"x": 1.50,"y":"\\u00e9"}', '"line\\nline"', '[1]']);
  await subscribed(0);
});

test('joins and leaves are no messages', async () => {
  const source = await fetch(`${server.url}/sse?channel=members`);
  await subscribed(1);
  const other = await fetch(`${server.url}/sse?channel=members`);
  await subscribed(2);
  await other.body.cancel();
  await subscribed(1);
  await api(server, 'publish', '{"channel":"members","data":1}');
  let text = '';
  for await (const chunk of source.body) {
    text += Buffer.from(chunk).toString();
    if (text.includes('data: 1\n'))
      break;
  }
  assert.doesNotMatch(text, /data: \n/);
  await subscribed(0);
});

async function stream(path, headers = {}) {
  const raw = await RawSocket.open(server.port);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('');
  raw.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${lines}\r\n`);
  return raw;
}

test('a stream begins with headers for proxies, a comment and a delay, and beats', async () => {
  const response = await fetch(`${server.url}/sse?channel=beat`, { signal: AbortSignal.timeout(deadline(8000)) });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  assert.equal(response.headers.get('x-accel-buffering'), 'no');
  assert.match(response.headers.get('cache-control'), /no-store.*no-transform/);
  let text = '';
  for await (const chunk of response.body) {
    text += Buffer.from(chunk).toString();
    if (text.includes('\n:\n\n'))
      break;
  }
  assert.match(text, /^: carillon\nretry: \d+\n\n/);
  await subscribed(0);
});

test('what is wrong with a request is a status', async () => {
  const status = async (path, init) => {
    const response = await fetch(server.url + path, init);
    assert.equal(response.headers.get('cache-control'), 'no-store', 'it is not to be kept by anybody in between');
    return response.status;
  };
  assert.equal(await status('/sse'), 400);
  assert.equal(await status('/sse?channel=a', { headers: { 'Last-Event-ID': 'stop' } }), 204);
  assert.equal(await status('/sse?channel=%01'), 400);
  assert.equal(await status('/sse?channel=no:such'), 404);
  assert.equal(await status('/sse?channel=$private'), 403);
  assert.equal(await status('/sse?channel=a&token=nonsense'), 401);
  assert.equal(await status('/sse?channel=a', { method: 'DELETE' }), 405);
  assert.equal(await status('/sse?channel=a', { method: 'HEAD' }), 405);
  assert.equal(await status('/sse?channel=a&event=other'), 400);
  await subscribed(0);
});

test('what is wrong with a token is said, and what it gives counts', async (t) => {
  const SECRET = 'a secret of the tests, 32 bytes long';
  const limited = await startServer({ config: {
    client: { token: { hmac_secret_key: SECRET }, channel_limit: 3 }, channel: { without_namespace: openChannels } } });
  t.after(() => limited.stop());
  const ask = async (channels, claims) => {
    const token = claims ? `&token=${jsonwebtoken.sign({ sub: 'ann', ...claims }, SECRET)}` : '';
    const response = await fetch(`${limited.url}/sse?${channels}${token}`);
    const text = response.status === 200 ? await response.body.cancel() : await response.text();
    return `${response.status} ${text ?? ''}`;
  };
  assert.match(await ask('channel=a'), /^401 a token is needed/);
  assert.match(await ask('channel=a', { exp: 1000 }), /^401 the token has expired/);
  assert.match(await ask('channel=a', { channels: ['no:such'] }), /^403 the token names a channel of an unknown namespace/);
  assert.match(await ask('channel=a', { channels: ['a', 'b', 'c', 'd'] }), /^403 the token names too many channels/);
  assert.match(await ask('channel=c&channel=d', { channels: ['a', 'b'] }), /^403 too many channels/);
  assert.match(await ask('channel=a&channel=a&channel=a&channel=a', { channels: ['a'] }), /^403 too many channels/);
  assert.match(await ask('channel=a&channel=c', { channels: ['a', 'b'] }), /^200 /);
});

const FORM = 'application/x-www-form-urlencoded';
const JSON_TYPE = 'application/json';
const post = (type, text) => ({ method: 'POST', headers: type ? { 'Content-Type': type } : {}, body: Buffer.from(text) });

test('a POST names its channels in a form, or in JSON, and in its query', async (t) => {
  const many = Array.from({ length: 100 }, (_, n) => `post:${n}-${'x'.repeat(50)}`);
  const asked = [
    [FORM, many.map((name) => `channel=${encodeURIComponent(name)}`).join('&')], [`${FORM}; charset=utf-8`, `&&channel=${many[7].replace(':', '%3a')}&`],
    [JSON_TYPE, JSON.stringify({ channels: many, last_event_id: null })], ['Application/JSON', ` {"channels": ["${many[7].replace('x', '\\u0078')}"], "other": [] } `],
  ];
  const events = asked.map(() => []);
  const readers = asked.map(([type, text], i) =>
    new EventReader(`${server.url}/sse?channel=post:query-${i}`, (event) => events[i].push(event.data), { post: { type, text } }));
  t.after(() => readers.forEach((reader) => reader.close()));
  await subscribed(206);
  await api(server, 'publish', { channel: many[7], data: 7 });
  for (let i = 0; i < readers.length; i++)
    await api(server, 'publish', { channel: `post:query-${i}`, data: i });
  await until(() => events.every(({ length }) => length === 2), 'two events each');
  readers.forEach((reader) => reader.close());
  assert.deepEqual(events.map((seen) => seen.sort()), [['0', '7'], ['1', '7'], ['2', '7'], ['3', '7']]);
  await subscribed(0);
});

test('what is wrong with a POST is said', async () => {
  const rows = [
    [post(undefined, 'channel=a'), 415, /form-urlencoded or application\/json/], [post('text/plain', 'channel=a'), 415, /Content-Type of a POST/],
    [post('multipart/form-data; boundary=x', ''), 415, /Content-Type/], [post('application/jsonx', '{"channels":["a"]}'), 415, /Content-Type/],
    [post(FORM, ''), 400, /name one channel/], [post(FORM, 'channels=a'), 400, /name one channel/], [post(FORM, 'channel='), 400, /name one channel/],
    [post(FORM, 'channel=a%00b'), 400, /encoded NUL/], [post(FORM, 'channel=a\0b'), 400, /encoded NUL/], [post(FORM, 'channel=%ff'), 400, /not a channel name/],
    [post(FORM, 'channel=a\r\nb'), 400, /not a channel name/], [post(FORM, `channel=${'a'.repeat(256)}`), 400, /not a channel name/],
    [post(FORM, `channel=a&last_event_id=${'a'.repeat(1025)}`), 400, /at most 1024 bytes/], [post(FORM, 'channel=a&event=%0a'), 400, /event can only be/],
    [post(FORM, 'channel=a&token=x'), 401, /token is not valid/], [post(FORM, 'x'.repeat(65537)), 413, /max_request_body_size/],
    [post(FORM, Array.from({ length: 129 }, (_, n) => `channel=n${n}`).join('&')), 403, /too many channels/],
    [post(JSON_TYPE, ''), 400, /the body is \{"channels"/], [post(JSON_TYPE, '["a"]'), 400, /the body is/], [post(JSON_TYPE, '{"channels":["a"]}x'), 400, /the body is/],
    [post(JSON_TYPE, '{"channels":"a"}'), 400, /the body is/], [post(JSON_TYPE, '{"channels":["a",1]}'), 400, /the body is/],
    [post(JSON_TYPE, '{"channels":["a"],"token":1}'), 400, /the body is/], [post(JSON_TYPE, '{"channels":["a\\u0000"]}'), 400, /without NUL/],
    [post(JSON_TYPE, '{"channels":["a"],"event":"x\\ny"}'), 400, /event can only be/], [post(JSON_TYPE, '{"channels":["a"],"channels":["b"]}'), 400, /the body is/],
    [post(JSON_TYPE, '{"channels":[]}'), 400, /name one channel/], [post(JSON_TYPE, '{"channels":["no:such"]}'), 404, /unknown channel/],
    [post(JSON_TYPE, '{"channels":["$private"]}'), 403, /no permission/],
  ];
  for (const [at, [init, status, text]] of rows.entries()) {
    const response = await fetch(`${server.url}/sse`, init);
    assert.equal(response.status, status, `row ${at}`);
    assert.match(await response.text(), text, `row ${at}`);
  }
  await subscribed(0);
});

test('with event=channel an event has the name of its channel, which cannot forge anything', async (t) => {
  const events = [];
  const plain = [];
  const own = ['lost', 'error', 'disconnect', 'unsubscribed', 'open'];
  const names = ['news', 'wild:caf\u00e9 \u2028', 'message', 'a b', ...own];
  const query = names.map((name) => `channel=${encodeURIComponent(name)}`).join('&');
  const readers = [
    new EventReader(`${server.url}/sse?event=channel&${query}`, (event) => events.push(event)),
    new EventReader(`${server.url}/sse?channel=news`, (event) => plain.push(event)),
    new EventReader(`${server.url}/sse`, (event) => plain.push(event), { post: { type: JSON_TYPE, text: '{"channels":["news"],"event":"channel"}' } }),
  ];
  t.after(() => readers.forEach((reader) => reader.close()));
  await subscribed(names.length + 2);
  for (const [n, channel] of names.entries())
    assert.ok((await api(server, 'publish', { channel, data: n })).json.result, channel);
  await until(() => events.length === names.length && plain.length === 2, 'all events');
  readers.forEach((reader) => reader.close());
  assert.deepEqual(events.map(({ event, data }) => [event, Number(data)]), names.map((name, n) => [own.includes(name) ? 'message' : name, n]));
  assert.deepEqual(plain.map(({ event }) => event).sort(), ['message', 'news']);
  await subscribed(0);
  for (const name of ['wild:a\ndata: forged\n\nb', 'wild:cr\rb'])
    assert.equal((await fetch(`${server.url}/sse?event=channel&channel=${encodeURIComponent(name)}`)).status, 400);
});

test('only allowed origins, and they are echoed', async () => {
  const get = (origin, method = 'GET') => fetch(`${server.url}/sse?channel=a`, { method, headers: { Origin: origin } });
  const good = await get('https://good.example');
  assert.equal(good.status, 200);
  assert.equal(good.headers.get('access-control-allow-origin'), 'https://good.example');
  assert.equal(good.headers.get('access-control-allow-credentials'), 'true');
  await good.body.cancel();
  assert.equal((await get('https://evil.example')).status, 403);
  assert.equal((await get('null')).status, 403);
  const preflight = await get('https://good.example', 'OPTIONS');
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers.get('access-control-allow-headers'), /last-event-id/);
  assert.equal(preflight.headers.get('access-control-allow-methods'), 'GET, POST');
  await subscribed(0);
});

test('stray bytes are thrown away, and a half-closed stream ends', async () => {
  const raw = await stream('/sse?channel=half');
  await subscribed(1);
  const before = sum(await metrics(server), /deliveries_total/);
  raw.write('stray bytes\r\nGET / HTTP/1.1\r\n\r\n');
  await api(server, 'publish', '{"channel":"half","data":"still here"}');
  await untilMetrics(server, (m) => sum(m, /deliveries_total/) > before, 'a delivery');
  raw.end();
  await subscribed(0);
});
