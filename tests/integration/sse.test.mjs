/* Plain Server-Sent Events: the same session as a WebSocket, read by npm eventsource and by hand. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EventSource } from 'eventsource';
import { api, untilMetrics, sum } from './helpers/http.mjs';
import { RawSocket } from './helpers/rawsocket.mjs';
import { deadline, startServer } from './helpers/server.mjs';

let server;
before(async () => {
  server = await startServer({ config: {
    client: { allow_anonymous_connect_without_token: true, allowed_origins: ['https://good.example'] },
    channel: { without_namespace: {
      presence: true, join_leave: true, force_push_join_leave: true,
      allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true } },
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
  const status = async (path, init) => (await fetch(server.url + path, init)).status;
  assert.equal(await status('/sse'), 400);
  assert.equal(await status('/sse?channel=%01'), 400);
  assert.equal(await status('/sse?channel=no:such'), 404);
  assert.equal(await status('/sse?channel=$private'), 403);
  assert.equal(await status('/sse?channel=a&token=nonsense'), 401);
  assert.equal(await status('/sse?channel=a', { method: 'POST', body: 'x' }), 405);
  await subscribed(0);
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
  await subscribed(0);
});

test('stray bytes are thrown away, and a half-closed stream ends', async () => {
  const raw = await stream('/sse?channel=half');
  await subscribed(1);
  raw.write('stray bytes\r\nGET / HTTP/1.1\r\n\r\n');
  await api(server, 'publish', '{"channel":"half","data":"still here"}');
  await untilMetrics(server, (m) => sum(m, /deliveries_total/) > 0, 'a delivery');
  raw.end();
  await subscribed(0);
});
