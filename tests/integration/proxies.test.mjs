/* Carillon behind real nginx and HAProxy, with the files of deploy/ and what docs/proxies.md says of them: TLS at the
 * proxy, two nodes over Redis, no sticky sessions.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';
import { EventParser } from './helpers/eventstream.mjs';
import { api, metrics, sum } from './helpers/http.mjs';
import { startProxy } from './helpers/proxies.mjs';
import { startNodes, startRedis } from './helpers/redis.mjs';
import { event, openChannels, root, startServer, until, within } from './helpers/server.mjs';

/* The certificates are made by the test and fetch takes no authority; curl checks them. */
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';

const config = {
  client: { allow_anonymous_connect_without_token: true, ping_interval: '2s', pong_timeout: '1900ms' },
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

/* A stream read by curl, which checks the certificate: { events, comments, status lines } as they come. */
function curl(t, proxy, path, { flags = [], headers = {} } = {}) {
  const lines = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const child = spawn('curl', ['-sSN', '-i', '--cacert', proxy.ca, '--noproxy', '*', ...flags, ...lines, proxy.url + path],
                      { stdio: ['ignore', 'pipe', 'pipe'] });
  const stream = { text: '', errors: '', events: [], head: null, id: '' };
  const parser = new EventParser((e) => stream.events.push(e));
  child.stderr.on('data', (chunk) => (stream.errors += chunk));
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    stream.text += chunk;
    const end = stream.head === null ? stream.text.indexOf('\r\n\r\n') : 0;
    if (end < 0)
      return;
    const body = stream.head === null ? stream.text.slice(end + 4) : chunk;
    stream.head ??= stream.text.slice(0, end);
    parser.push(body);
    stream.id = parser.id;
  });
  stream.ended = new Promise((resolve) => child.once('close', resolve));
  stream.close = async () => {
    child.kill('SIGKILL');
    await stream.ended;
  };
  t.after(() => child.kill('SIGKILL'));
  return stream;
}

const PROTOCOLS = ['--http1.1', '--http2'];
const beats = ({ text }) => text.match(/^:$/gm)?.length ?? 0;
const streamIsOpen = (stream) => until(() => stream.id, () => `a stream with an id; so far: ${stream.text}${stream.errors}`);
const clientCount = async (node) => sum(await metrics(node), /^carillon_node_num_clients/);
const allClients = async () => (await clientCount(nodes[0])) + (await clientCount(nodes[1]));

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

    for (const [protocol, flags] of Object.entries({ 'HTTP/1.1': ['--http1.1'], 'HTTP/2': ['--http2'] }))
      test(`curl reads /sse over ${protocol}: each event as it is published, and heartbeats`, async (t) => {
        const channel = `${name}-curl-${protocol.replace('/', '')}`;
        const stream = curl(t, proxy, `/sse?channel=${channel}`, { flags });
        await streamIsOpen(stream);
        assert.match(stream.head, new RegExp(`^${protocol} 200`));
        assert.match(stream.text, /: carillon\nretry: \d+\n/);
        /* Not the next one before this one is there: whoever waits for more to send has nothing. */
        for (let n = 0; n < 5; n++) {
          await publish(proxy, channel, n);
          await until(() => stream.events.length === n + 1, () => `event ${n}; so far: ${stream.text}`);
        }
        await publish(proxy, channel, 'x'.repeat(65000));
        await until(() => stream.events.length === 6, 'an event of 64 KB');
        assert.equal(stream.events[5].data.length, 65002);
        const before = beats(stream);
        await until(() => beats(stream) > before, 'a heartbeat');
        const was = await allClients();
        await stream.close();
        await until(async () => await allClients() < was, 'the node to see that the client went');
      });

    test('an EventSource is brought back and misses nothing when the proxy is started again', async (t) => {
      const channel = `${name}-again`;
      const start = curl(t, proxy, `/sse?channel=${channel}`);
      await streamIsOpen(start);
      await start.close();
      const source = new EventSource(`${proxy.url}/sse?channel=${channel}&last_event_id=${start.id}`);
      t.after(() => source.close());
      const seen = [];
      source.onmessage = ({ data }) => seen.push(Number(data));
      await publish(proxy, channel, 1);
      await until(() => seen.length === 1, 'the first');
      await proxy.restart();
      await publish(nodes[0], channel, 2);
      await until(() => seen.length === 2, 'what was missed', 20000);
      await publish(nodes[1], channel, 3);
      await until(() => seen.length === 3, 'what is live');
      assert.deepEqual(seen, [1, 2, 3]);
    });

    test('many streams share one connection of HTTP/2', async (t) => {
      const session = http2.connect(proxy.url);
      t.after(() => session.destroy());
      const got = new Set();
      for (let n = 0; n < 30; n++) {
        const parser = new EventParser(() => got.add(n));
        session.request({ ':path': `/sse?channel=${name}-many` }).setEncoding('utf8').on('data', (text) => {
          parser.push(text);
          if (parser.id)
            open.add(n);
        });
      }
      const open = new Set();
      await until(() => open.size === 30, () => `30 streams, there are ${open.size}`);
      await publish(proxy, `${name}-many`, 1);
      await until(() => got.size === 30, () => `30 events, there are ${got.size}`);
    });

    test('a body as large as the API takes, the demo, the redirection, and what is not for the world', async () => {
      const data = Array.from({ length: 17 }, () => 'x'.repeat(63000)); /* 1,071,000 bytes, more than nginx's own limit */
      const commands = data.map((text) => ({ publish: { channel: `${name}-body`, data: text } }));
      const { status, json } = await api(proxy, 'batch', JSON.stringify({ commands }));
      assert.equal(status, 200);
      assert.equal(json.result.replies.filter(({ publish: done }) => done?.offset).length, 17);
      assert.match(await (await fetch(proxy.url)).text(), /<title>/);
      assert.equal((await fetch(`${proxy.url}/health`)).status, 200);
      assert.equal((await fetch(`${proxy.url}/metrics`)).status, 404);
      const plain = await fetch(`${proxy.plainUrl}/sse?channel=a`, { redirect: 'manual' });
      assert.equal(plain.status, 308);
      assert.match(plain.headers.get('location'), /^https:.*\/sse\?channel=a$/);
    });

    test('the query, where tokens are, is not in its log', async () => {
      assert.equal((await fetch(`${proxy.url}/sse?channel=a&token=secret-of-the-query`)).status, 401);
      await until(() => / 401 /.test(proxy.log()), () => `the request in the log: ${proxy.log()}`);
      assert.doesNotMatch(proxy.log(), /secret-of-the-query|channel=/);
    });
  });

for (const name of ['nginx', 'haproxy']) {
  test(`${name}: the node learns the address and the scheme, whatever the client says of them`, async (t) => {
    const heads = [];
    const recorder = http.createServer((q, answer) => {
      heads.push(q.headers);
      answer.end();
    }).listen(0, '127.0.0.1');
    await once(recorder, 'listening');
    t.after(() => recorder.close());
    const node = { port: recorder.address().port };
    const proxy = await startProxy(name, [node, node]);
    t.after(() => proxy.stop());
    await fetch(proxy.url, { headers: { 'X-Forwarded-For': '6.6.6.6', 'X-Forwarded-Proto': 'http' } });
    const head = heads.find((one) => one['x-forwarded-for']);
    assert.equal(head['x-forwarded-for'], '127.0.0.1');
    assert.equal(head['x-forwarded-proto'], 'https');
    assert.match(head.host, /^localhost/);
    recorder.closeAllConnections?.();
  });

  test(`${name}: quiet streams outlive its time-outs by Carillon's heartbeats, and only by them`, async (t) => {
    const edit = [[/75s/g, '5s']]; /* one that comes late does not count as silence */
    const proxy = await startProxy(name, nodes, { edit });
    t.after(() => proxy.stop());
    const streams = PROTOCOLS.map((flag) => curl(t, proxy, `/sse?channel=${name}-idle`, { flags: [flag] }));
    const sdks = Object.keys(ENDPOINTS).map((transport) => makeSdk(t, proxy, transport));
    let lost = 0;
    for (const sdk of sdks) {
      sdk.connect();
      await sdk.ready(5000);
      sdk.on('connecting', () => lost++).on('disconnected', () => lost++);
    }
    await until(() => streams.every((stream) => beats(stream) >= 8), 'eight heartbeats, one a second', 20000);
    assert.equal(lost, 0);
    for (const sdk of sdks)
      sdk.removeAllListeners();

    const silent = await startServer({ config: { ...config, plain_sse: { heartbeat_interval: '10m' } } });
    t.after(() => silent.stop());
    const other = await startProxy(name, [silent, silent], { edit });
    t.after(() => other.stop());
    const cut = PROTOCOLS.map((flag) => curl(t, other, '/sse?channel=silent', { flags: [flag] }));
    await Promise.all(cut.map(streamIsOpen));
    await within(20000, Promise.all(cut.map(({ ended }) => ended)), 'the proxy to cut streams without heartbeats');
    if (name === 'nginx')
      assert.match(cut.map(({ errors }) => errors).join(), /\(18\) transfer closed.*\(92\)[^\n]*INTERNAL_ERROR/s);
    else
      await until(() => / [cs]D-- ?$/m.test(other.log()), () => `a time-out in the log: ${other.log()}`);
  });

  test(`${name}: a reload cuts the streams of the old processes after a while, and Last-Event-ID goes on`, async (t) => {
    const proxy = await startProxy(name, nodes, { edit: [[/(worker_shutdown_timeout|hard-stop-after) 30s/, '$1 1s']] });
    t.after(() => proxy.stop());
    const path = `/sse?channel=${name}-reload`;
    const old = PROTOCOLS.map((flag) => curl(t, proxy, path, { flags: [flag] }));
    await Promise.all(old.map(streamIsOpen));
    proxy.reload();
    await within(20000, Promise.all(old.map(({ ended }) => ended)), 'the old streams to end');
    await publish(proxy, `${name}-reload`, 'missed');
    const next = curl(t, proxy, path, { headers: { 'Last-Event-ID': old[0].id } });
    await until(() => next.events.length === 1, () => `what was missed; so far: ${next.text}${next.errors}`);
    assert.equal(next.events[0].data, '"missed"');
  });

  test(`${name}: a node stops: its clients end on the other one and miss nothing`, async (t) => {
    const pair = await startNodes(redis, 2, { config });
    const [gone, left] = pair;
    t.after(() => left.stop());
    const proxy = await startProxy(name, pair);
    t.after(() => proxy.stop());
    const channel = `${name}-stop`;
    const seen = Array.from({ length: 12 }, () => []);
    for (const [n, list] of seen.entries()) {
      const sub = makeSdk(t, proxy, Object.keys(ENDPOINTS)[n % 3]).newSubscription(channel);
      sub.on('publication', ({ data }) => list.push(data));
      sub.subscribe();
      sub._centrifuge.connect();
      await sub.ready(5000);
    }
    assert.ok(await clientCount(gone) > 0, 'the proxy uses both');
    await publish(proxy, channel, 1);
    await until(() => seen.every((list) => list.length === 1), 'the first');
    await gone.stop();
    await publish(left, channel, 2);
    await until(() => seen.every((list) => list.length === 2), 'all on the other node', 20000);
    for (let n = 0; n < 10; n++)
      assert.equal((await fetch(`${proxy.url}/health`)).status, 200);
    await publish(proxy, channel, 3);
    await until(() => seen.every((list) => list.length === 3), 'the third');
    assert.deepEqual(seen, seen.map(() => [1, 2, 3]));
    await until(async () => await clientCount(left) === 12, 'all clients to be counted there');
  });
}

/* The symptoms in docs/proxies.md. */
const status = (proxy) => new Promise((resolve) => {
  const socket = new WebSocket(proxy.url.replace('https', 'wss') + ENDPOINTS.websocket);
  socket.on('error', ({ message }) => resolve(Number(/response: (\d+)/.exec(message)?.[1])));
  socket.on('open', () => {
    resolve(101);
    socket.terminate();
  });
});

async function wrongNginx(t, ...edit) {
  const proxy = await startProxy('nginx', nodes, { edit });
  t.after(() => proxy.stop());
  return proxy;
}

test('nginx that buffers: a stream gives nothing, not even its status; the header alone keeps it from that', async (t) => {
  const [obeys, ignores] = await Promise.all(['', 'proxy_ignore_headers X-Accel-Buffering;'].map((more) =>
    wrongNginx(t, [/proxy_buffering off;/, `proxy_buffering on; ${more}`])));
  const [good, bad] = [obeys, ignores].map((proxy) => curl(t, proxy, '/sse?channel=buffered'));
  await streamIsOpen(good);
  await publish(obeys, 'buffered', 1);
  await until(() => good.events.length === 1 && beats(good) >= 2, 'the event and two heartbeats');
  assert.equal(bad.text, '');
  assert.equal(await status(ignores), 101);
});

test('nginx without the upgrade: 400; without HTTP/1.1: 505; with its own limit of a body: 413 in HTML', async (t) => {
  const header = await wrongNginx(t, [/proxy_set_header (Upgrade|Connection) .*;/g, '']);
  assert.equal(await status(header), 400);
  const old = await wrongNginx(t, [/proxy_http_version 1\.1;/, '']);
  assert.equal(await status(old), 505);
  const small = await wrongNginx(t, [/client_max_body_size 1100k;/, '']);
  const answer = await api(small, 'publish', 'x'.repeat(1060000));
  assert.equal(answer.status, 413);
  assert.match(answer.type, /html/);
});

test('WebSocket in HTTP/2: HAProxy takes it, nginx says that it does not', async (t) => {
  for (const [name, isTaken] of [['haproxy', true], ['nginx', false]]) {
    const proxy = await startProxy(name, nodes);
    t.after(() => proxy.stop());
    const session = http2.connect(proxy.url);
    t.after(() => session.destroy());
    const [settings] = await once(session, 'remoteSettings');
    assert.equal(Boolean(settings.enableConnectProtocol), isTaken, name);
    if (!isTaken)
      continue;
    const stream = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': ENDPOINTS.websocket,
                                     'sec-websocket-version': '13' }, { endStream: false });
    const [head] = await once(stream, 'response');
    assert.equal(head[':status'], 200);
    stream.destroy();
  }
});

test('what the manual shows is in the files', () => {
  const read = (file) => fs.readFileSync(`${root}${file}`, 'utf8');
  const shown = [...read('docs/proxies.md').matchAll(/<!-- from (\S+) -->\n```\w+\n(.*?)```/gs)];
  assert.deepEqual(shown.map(([, file]) => file), ['deploy/nginx.conf', 'deploy/haproxy.cfg']);
  for (const [, file, text] of shown)
    assert.ok(read(file).includes(text), file);
});

test('haproxy: a node that is not ready gets nobody new; when none is, those that live answer', async (t) => {
  const store = await startRedis();
  t.after(() => store.stop());
  const pair = await startNodes(store, 2, { config });
  t.after(() => Promise.all(pair.map((node) => node.stop())));
  const proxy = await startProxy('haproxy', pair);
  t.after(() => proxy.stop());
  await store.kill();
  await until(() => (proxy.log().match(/carillon\/node\d is DOWN/g) ?? []).length === 2, () => proxy.log(), 20000);
  const answer = await fetch(`${proxy.url}/sse?channel=a`);
  assert.equal(answer.status, 200, 'an EventSource comes back after that');
  await answer.body.cancel();
  await store.start();
  await until(() => (proxy.log().match(/carillon\/node\d is UP/g) ?? []).length === 2, () => proxy.log(), 20000);
});
