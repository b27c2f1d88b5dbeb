/* /health, /ready, /metrics and the files of the demo page. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { openConfig, startServer, temporaryFile } from './helpers/server.mjs';
import { connect } from './helpers/protocol.mjs';
import { RawSocket } from './helpers/rawsocket.mjs';
import { api, metrics, sum, untilMetrics } from './helpers/http.mjs';

let server;
let folder;

before(async () => {
  folder = path.dirname(temporaryFile('secret.txt', 'top secret'));
  const page = path.join(folder, 'page');
  fs.mkdirSync(path.join(page, 'js'), { recursive: true });
  fs.writeFileSync(path.join(page, 'index.html'), '<!doctype html><title>hello</title>');
  fs.writeFileSync(path.join(page, 'js', 'app.js'), 'export const x = 1;\n');
  fs.writeFileSync(path.join(page, 'style.css'), 'body { color: red }\n');
  fs.writeFileSync(path.join(page, 'big.js'), `/* ${'b'.repeat(300000)} */`);
  server = await startServer({
    config: {
      ...openConfig,
      health: { enabled: true }, prometheus: { enabled: true }, http_api: { insecure: true },
      demo: { enabled: true, path: page },
    },
  });
});
after(() => server.stop());

async function get(target, method = 'GET') {
  const raw = await RawSocket.open(server.port);
  raw.write(`${method} ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  const response = await raw.response({ isHead: method === 'HEAD' });
  raw.destroy();
  return response;
}

test('/health and /ready are 200 while the server serves', async () => {
  for (const target of ['/health', '/ready'])
    assert.equal((await get(target)).status, 200, target);
  assert.equal((await get('/health')).text.trim(), '{}');
});

test('the page and its files come with their types', async () => {
  const rows = [['/', /text\/html/, '<title>hello'], ['/index.html', /text\/html/, '<title>hello'],
                ['/js/app.js', /javascript/, 'export const x'], ['/style.css', /text\/css/, 'color: red'],
                ['/index.html?v=1', /text\/html/, '<title>hello']];
  for (const [target, type, content] of rows) {
    const { status, headers, text } = await get(target);
    assert.equal(status, 200, target);
    assert.match(headers.get('content-type'), type);
    assert.ok(text.includes(content), text);
  }
});

test('a large file arrives whole', async () => {
  const { status, body } = await get('/big.js');
  assert.equal(status, 200);
  assert.equal(body.length, 300006);
});

test('HEAD has the headers of GET and no body', async () => {
  const raw = await RawSocket.open(server.port);
  raw.write('HEAD /big.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  const { status, headers } = await raw.response({ isHead: true });
  assert.equal(status, 200);
  assert.equal(headers.get('content-length'), '300006');
  await raw.ended(8000);
  assert.equal(raw.bytes.length, 0);
});

test('what is not there is 404', async () => {
  for (const target of ['/nothing.html', '/js/', '/js', '/js/nothing.js', '/index.html/x', '/.git/config'])
    assert.equal((await get(target)).status, 404, target);
});

test('nothing outside the folder is served, however it is asked for', async (t) => {
  const targets = ['/../secret.txt', '/js/../../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt',
                   '/js/..%2f..%2fsecret.txt', '/%2e%2e%2fsecret.txt', '//etc/passwd', '/..//etc/passwd',
                   '/....//....//etc/passwd', '/..\\secret.txt', '/%00/../secret.txt', '/index.html%00.txt',
                   `/..${folder}/secret.txt`, '/../../../../../../../../etc/passwd',
                   '/%252e%252e/secret.txt', '/js/%2e%2e/%2e%2e/secret.txt', '/./../secret.txt'];
  for (const target of targets)
    await t.test(target.replace(folder, 'FOLDER'), async () => {
      const response = await get(target);
      assert.ok(response === null || response.status === 404, `answered ${response?.status}`);
      assert.ok(!response?.text.includes('secret') && !response?.text.includes('root:'));
    });
});

test('a page is read, not written', async () => {
  for (const method of ['PUT', 'DELETE', 'POST']) {
    const response = await fetch(`${server.url}/index.html`, { method, body: 'new' });
    assert.ok([404, 405].includes(response.status), `${method}: ${response.status}`);
    await response.arrayBuffer();
  }
});

test('without the demo there are no files', async () => {
  const plain = await startServer({ workers: 1 });
  for (const target of ['/', '/index.html'])
    assert.equal((await fetch(plain.url + target)).status, 404);
  await plain.stop();
});

/* --- metrics ----------------------------------------------------------------------------------- */

const FAMILIES = {
  connections: /node_num_clients/,
  subscriptions: /node_num_subscriptions/,
  'messages in': /messages_received(\{|$)/,
  'messages out': /messages_sent(\{|$)/,
  'bytes in': /messages_received_size/,
  'bytes out': /messages_sent_size/,
  closes: /close|disconnects/,
  'loop lag': /lag/,
};

test('/metrics is Prometheus text and has every family', async () => {
  const response = await fetch(`${server.url}/metrics`);
  assert.match(response.headers.get('content-type'), /^text\/plain/);
  await response.arrayBuffer();
  const samples = await metrics(server);
  for (const [name, regex] of Object.entries(FAMILIES))
    assert.ok(samples.some((sample) => regex.test(sample.name)), name);
  const keys = samples.map(({ name, labels }) => name + labels);
  assert.equal(new Set(keys).size, keys.length, 'each sample occurs once');
});

test('gauges follow connections and subscriptions up and down', async () => {
  const start = await untilMetrics(server, (now) => sum(now, FAMILIES.connections) === 0, 'no clients');
  assert.equal(sum(start, FAMILIES.subscriptions), 0);
  const clients = await Promise.all(Array.from({ length: 7 }, () => connect(server)));
  for (const client of clients)
    await client.subscribe('gauge');
  const up = await untilMetrics(server, (now) => sum(now, FAMILIES.connections) === 7, '7 clients');
  assert.equal(sum(up, FAMILIES.subscriptions), 7);
  await Promise.all(clients.map((client) => client.close()));
  await untilMetrics(server, (now) => sum(now, FAMILIES.connections) === 0 &&
    sum(now, FAMILIES.subscriptions) === 0, 'no clients again');
});

test('counters of messages and bytes move by what was sent', async () => {
  const client = await connect(server);
  await client.subscribe('count');
  const was = await metrics(server);
  const size = 1000;
  for (let i = 0; i < 10; i++) {
    await api(server, 'publish', { channel: 'count', data: 'x'.repeat(size) });
    await client.push();
  }
  for (let i = 0; i < 5; i++)
    await client.publish('elsewhere', 'y'.repeat(size));
  const now = await metrics(server);
  const moved = (family) => sum(now, FAMILIES[family]) - sum(was, FAMILIES[family]);
  assert.equal(moved('messages in'), 5);
  assert.ok(moved('bytes in') >= 5 * size && moved('bytes in') < 5 * size + 1000, `${moved('bytes in')}`);
  assert.ok(moved('messages out') >= 15, `${moved('messages out')}`);
  assert.ok(moved('bytes out') >= 10 * size && moved('bytes out') < 10 * size + 5000, `${moved('bytes out')}`);
  await client.close();
});

test('closes are counted by reason', async () => {
  const counted = /(close|disconnects).*(bad request|bad_request|3501)/;
  const was = sum(await metrics(server), counted);
  const client = await connect(server);
  client.send('nonsense');
  await client.closed();
  await untilMetrics(server, (now) => sum(now, counted) === was + 1, 'one more close for a bad request');
});
