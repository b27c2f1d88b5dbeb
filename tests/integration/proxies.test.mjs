/* Carillon behind real nginx and HAProxy, with the files of deploy/ and what docs/proxies.md says of them: TLS at the
 * proxy, two nodes over Redis, no sticky sessions.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';
import { api } from './helpers/http.mjs';
import { startProxy } from './helpers/proxies.mjs';
import { startNodes, startRedis } from './helpers/redis.mjs';
import { event, openChannels, until } from './helpers/server.mjs';

/* The certificates are made by the test and fetch takes no authority; curl checks them. */
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';

const config = {
  client: { allow_anonymous_connect_without_token: true, ping_interval: '1s', pong_timeout: '900ms' },
  channel: { without_namespace: { ...openChannels, history_size: 1000, history_ttl: '60s', force_recovery: true } },
  http_api: { insecure: true },
  plain_sse: { heartbeat_interval: '1s' },
  demo: { enabled: true },
  shutdown: { timeout: '5s' },
};
const ENDPOINTS = { websocket: '/connection/websocket', sse: '/connection/sse', http_stream: '/connection/http_stream' };

let redis, nodes;
before(async () => {
  redis = await startRedis();
  nodes = await startNodes(redis, 2, { config });
});
after(async () => {
  await Promise.all((nodes ?? []).map((node) => node.stop()));
  await redis?.stop();
});

const publish = async (proxy, channel, data) => {
  const { json, text } = await api(proxy, 'publish', JSON.stringify({ channel, data }));
  assert.ok(json?.result, text);
};

function makeSdk(t, proxy, transport) {
  const endpoint = (transport === 'websocket' ? proxy.url.replace('https', 'wss') : proxy.url) + ENDPOINTS[transport];
  const sdk = new Centrifuge([{ transport, endpoint }], {
    emulationEndpoint: `${proxy.url}/emulation`, eventsource: EventSource, websocket: WebSocket,
    minReconnectDelay: 20, maxReconnectDelay: 100,
  });
  t.after(() => sdk.disconnect());
  return sdk;
}

for (const name of ['nginx', 'haproxy'])
  describe(`behind ${name}`, () => {
    let proxy;
    before(async () => (proxy = await startProxy(name, nodes)));
    after(() => proxy?.stop());

    for (const transport of Object.keys(ENDPOINTS))
      test(`the SDK over ${transport}: connects, publishes, receives, recovers`, async (t) => {
        const sdk = makeSdk(t, proxy, transport);
        const channel = `${name}-${transport}`;
        const sub = sdk.newSubscription(channel);
        const seen = [];
        sub.on('publication', ({ data }) => seen.push(data));
        const connected = event(sdk, 'connected');
        sdk.connect();
        sub.subscribe();
        assert.equal((await connected).transport, transport);
        await sub.ready(5000);
        for (let n = 0; n < 10; n++)
          await sub.publish(n);
        await until(() => seen.length === 10, '10 publications');
        sdk.disconnect();
        await publish(proxy, channel, 10);
        sdk.connect();
        await sub.ready(5000);
        const big = 'x'.repeat(65000);
        await publish(proxy, channel, big);
        await until(() => seen.length === 12, 'what was missed and what is live');
        assert.deepEqual(seen, [...Array(11).keys(), big]);
      });
  });
