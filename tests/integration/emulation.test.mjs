/* The unmodified SDK where WebSocket cannot go: HTTP streaming and Server-Sent Events down, /emulation up. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import { EventSource } from 'eventsource';
import { api } from './helpers/http.mjs';
import { startNodes, startRedis } from './helpers/redis.mjs';
import { event, openChannels, startServer, until } from './helpers/server.mjs';

const config = {
  client: { allow_anonymous_connect_without_token: true, allowed_origins: ['https://good.example'] },
  channel: { without_namespace: {
    ...openChannels, history_size: 100, history_ttl: '60s', force_recovery: true,
    presence: true, allow_presence_for_client: true, allow_presence_for_anonymous: true,
    allow_history_for_client: true, allow_history_for_anonymous: true,
  } },
  http_api: { insecure: true },
};

let server;
before(async () => (server = await startServer({ config, workers: 4 })));
after(() => server.stop());

const ENDPOINTS = { sse: '/connection/sse', http_stream: '/connection/http_stream' };

function makeSdk(t, node, transport, options = {}) {
  const sdk = new Centrifuge([{ transport, endpoint: node.url + ENDPOINTS[transport] }],
                             { emulationEndpoint: `${(options.up ?? node).url}/emulation`, eventsource: EventSource, ...options });
  t.after(() => sdk.disconnect());
  return sdk;
}

for (const transport of ['http_stream', 'sse']) {
  test(`the SDK over ${transport}: connect, subscribe, publish, presence, history, pings`, async (t) => {
    const sdk = makeSdk(t, server, transport);
    const channel = `all-${transport}`;
    const sub = sdk.newSubscription(channel);
    const seen = [];
    sub.on('publication', ({ data }) => seen.push(data));
    const connected = event(sdk, 'connected');
    sdk.connect();
    sub.subscribe();
    assert.equal((await connected).transport, transport);
    await sub.ready(5000);
    for (let n = 0; n < 20; n++)
      await sub.publish({ n, text: 'é\u2028\n"' });
    await api(server, 'publish', JSON.stringify({ channel, data: 'x'.repeat(65000) }));
    await until(() => seen.length === 21, '21 publications');
    assert.deepEqual(seen.slice(0, 20), Array.from({ length: 20 }, (_, n) => ({ n, text: 'é\u2028\n"' })));
    assert.equal((await sub.presenceStats()).numClients, 1);
    assert.equal((await sub.history({ limit: 3 })).publications.length, 3);
    await sub.unsubscribe();
  });

  test(`the SDK over ${transport} recovers what it missed`, async (t) => {
    const sdk = makeSdk(t, server, transport, { minReconnectDelay: 50, maxReconnectDelay: 100 });
    const channel = `recover-${transport}`;
    const sub = sdk.newSubscription(channel);
    const seen = [];
    sub.on('publication', ({ data }) => seen.push(data));
    sub.subscribe();
    sdk.connect();
    await sub.ready(5000);
    await api(server, 'publish', JSON.stringify({ channel, data: 1 }));
    await until(() => seen.length === 1, 'the first');
    sdk.disconnect();
    await api(server, 'publish', JSON.stringify({ channel, data: 2 }));
    sdk.connect();
    await until(() => seen.length === 2, 'what was missed');
    assert.deepEqual(seen, [1, 2]);
  });
}

test('the server can disconnect', async (t) => {
  const sdk = makeSdk(t, server, 'http_stream', {});
  sdk.connect();
  await sdk.ready(5000);
  const ended = event(sdk, 'disconnected');
  await fetch(`${server.url}/emulation`, { method: 'POST', body: JSON.stringify({ session: sdk._session, node: sdk._node, data: '{"id":1' }) });
  assert.equal((await ended).code, 3501);
});

test('who does not know the session does not speak for the client', async (t) => {
  const sdk = makeSdk(t, server, 'sse');
  sdk.connect();
  await sdk.ready(5000);
  const [secret, worker, slot, generation] = sdk._session.split('.');
  const send = (session) => fetch(`${server.url}/emulation`, { method: 'POST', body: JSON.stringify({ session, node: sdk._node, data: 'broken' }) });
  const other = secret.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
  for (const session of [`${other}.${worker}.${slot}.${generation}`, `${secret}.${worker}.${slot}.${Number(generation) + 1}`,
                         `${secret}.${(Number(worker) + 1) % 4}.${slot}.${generation}`, `${secret}.${worker}.4294967295.1`])
    assert.equal((await send(session)).status, 204, session);
  for (const session of [`${secret}.64.0.0`, `${secret}.0.0`, `${secret}.0.0.0.0`, `${secret}0.0.0.0`, '', `${secret}.-1.0.0`, `${secret}.0.0.99999999999`,
                         'x'.repeat(1000)])
    assert.equal((await send(session)).status, 400, session);
  await sdk.publish('still-here', 1);
  const ended = event(sdk, 'disconnected');
  await send(sdk._session);
  assert.equal((await ended).code, 3501, 'who knows it does');
});

test('over two nodes without sticky sessions: commands go to the other node', async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const [a, b] = await startNodes(redis, 2, { config });
  for (const node of ['', '*', 'a b', '\u0000', 'A'.repeat(32), '0'.repeat(65)]) {
    const body = JSON.stringify({ session: `${'0'.repeat(32)}.0.0.0`, node, data: '{}' });
    assert.equal((await fetch(`${a.url}/emulation`, { method: 'POST', body })).status, 404, node);
  }
  for (const transport of ['http_stream', 'sse']) {
    const sdk = makeSdk(t, a, transport, { up: b });
    const sub = sdk.newSubscription(`nodes-${transport}`);
    const seen = [];
    sub.on('publication', ({ data }) => seen.push(data));
    sub.subscribe();
    sdk.connect();
    await sub.ready(5000);
    for (let n = 0; n < 10; n++)
      await sub.publish(n);
    await until(() => seen.length === 10, 'ten publications');
    sdk.disconnect();
  }
  await Promise.all([a, b].map((node) => node.stop()));
});

test('what is wrong with a request is a status', async () => {
  const ask = (path, options) => fetch(server.url + path, options);
  const post = (path, body, headers) => ask(path, { method: 'POST', body, headers });
  const rows = [
    [ask('/connection/sse'), 400], [ask('/connection/http_stream'), 405], [ask('/emulation'), 405],
    [post('/connection/http_stream', ''), 400], [post('/emulation', 'x'), 400], [post('/emulation', '{}'), 400],
    [post('/emulation', '{"session":"x","node":"y","data":"{}"}'), 400],
    [post('/emulation', `{"session":"${'0'.repeat(32)}.0.0.0","node":"y","data":"{}"}`), 404],
    [post('/emulation', 'x'.repeat(70000)), 413], [post('/connection/http_stream', 'x'.repeat(70000)), 413],
    [post('/connection/http_stream', '{"id":1,"connect":{}}', { Origin: 'https://evil.example' }), 403],
    [ask('/emulation', { method: 'OPTIONS', headers: { Origin: 'https://good.example' } }), 204],
    [ask('/connection/sse', { method: 'DELETE' }), 405],
  ];
  for (const [at, [answer, status]] of rows.entries())
    assert.equal((await answer).status, status, `row ${at}`);
});
