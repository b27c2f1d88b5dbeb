/* Clients that half-close, send a stray byte or stop reading cost no CPU, over every transport. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { api, sum, untilMetrics } from './helpers/http.mjs';
import { cpuMs } from './helpers/process.mjs';
import { RawSocket, RawWebSocket } from './helpers/rawsocket.mjs';
import { openConfig, startServer } from './helpers/server.mjs';
import { text } from './helpers/wsframes.mjs';

const CLIENTS = 10;
const PAYLOAD_BYTES = 60000;
const BURST = 300; /* times the payload: more than the kernel takes, less than the queue holds */

let server;
before(async () => {
  server = await startServer({ config: {
    ...openConfig,
    client: { ...openConfig.client, queue_max_size: 32 * 1024 * 1024, ping_interval: '600s' },
    http_api: { insecure: true },
    plain_sse: { heartbeat_interval: '600s' },
  } });
});
after(() => server.stop());

async function openWebSocket(channel) {
  const ws = await RawWebSocket.open(server);
  ws.write(text(`{"id":2,"subscribe":{"channel":"${channel}"}}`));
  await ws.message();
  return ws.raw;
}

async function request(head, body = '') {
  const raw = await RawSocket.open(server.port);
  raw.write(`${head} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  return raw;
}

async function openPlain(channel) {
  const raw = await request(`GET /sse?channel=${channel}`);
  await raw.until(() => raw.bytes.includes('retry:'), 'the first bytes');
  return raw;
}

async function openEmulated(channel, ...connecting) {
  const raw = await request(...connecting);
  await raw.until(() => raw.bytes.includes('"session"'), 'the answer to connect');
  const [, session] = /"session":"([^"]+)"/.exec(raw.bytes.toString('latin1'));
  const [, node] = /"node":"([^"]+)"/.exec(raw.bytes.toString('latin1'));
  const data = `{"id":2,"subscribe":{"channel":"${channel}"}}`;
  const answer = await fetch(`${server.url}/emulation`, { method: 'POST', body: JSON.stringify({ session, node, data }) });
  assert.equal(answer.status, 204);
  await raw.until(() => raw.bytes.includes('"subscribe"'), 'the answer to subscribe');
  return raw;
}

const CONNECT = '{"id":1,"connect":{}}';
const TRANSPORTS = {
  'WebSocket': openWebSocket,
  'plain SSE': openPlain,
  'SSE of the SDK': (channel) => openEmulated(channel, `GET /connection/sse?cf_connect=${encodeURIComponent(CONNECT)}`),
  'HTTP streaming': (channel) => openEmulated(channel, 'POST /connection/http_stream', CONNECT),
};

const STATES = {
  'half-closes': (raw) => raw.end(),
  'sends a stray byte': (raw) => raw.write('x'),
  'stops reading': (raw) => raw.socket.pause(),
};

/* What is still on its way to the sockets costs something at first; a client that costs does so for ever. */
async function assertRests(what) {
  const LOOKS = 10;
  for (let look = 1; ; look++) {
    const before = cpuMs(server);
    await new Promise((resolve) => setTimeout(resolve, 500)); /* the time over which it is measured */
    const used = cpuMs(server) - before;
    if (used <= 50)
      return;
    assert.ok(look < LOOKS, `${what}: ${used} ms of CPU in half a second, again and again`);
  }
}

const fill = async (channel) => {
  const body = JSON.stringify({ channel, data: 'x'.repeat(PAYLOAD_BYTES) });
  for (let n = 0; n < BURST; n++)
    await api(server, 'publish', body);
};

/* All that waited comes. */
async function readOn(raw) {
  let bytes = 0;
  raw.onData = (chunk) => (bytes += chunk.length);
  raw.socket.resume();
  await raw.until(() => bytes >= BURST * PAYLOAD_BYTES, () => `${BURST * PAYLOAD_BYTES} bytes (${bytes} came)`, 20000);
}

for (const [transport, open] of Object.entries(TRANSPORTS))
  for (const [state, enter] of Object.entries(STATES))
    test(`${transport}: a client that ${state} costs no CPU`, async () => {
      const channel = `${transport}-${state}`.replaceAll(' ', '_');
      const all = [];
      for (let i = 0; i < CLIENTS; i++)
        all.push(await open(channel));
      await untilMetrics(server, (m) => sum(m, /node_num_subscriptions/) === CLIENTS, 'all are subscribed');
      for (const raw of all)
        enter(raw);
      if (state === 'stops reading')
        await fill(channel);
      else if (state === 'half-closes')
        await untilMetrics(server, (m) => sum(m, /node_num_subscriptions/) === 0, 'they are gone');
      await assertRests(`${CLIENTS} over ${transport}`);
      if (state === 'stops reading')
        await readOn(all[0]);
      for (const raw of all)
        raw.destroy();
      await untilMetrics(server, (m) => sum(m, /node_num_subscriptions/) === 0, 'they are gone');
    });
