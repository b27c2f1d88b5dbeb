/* carillon doctor through proxies that do what proxies do wrong. */
import assert from 'node:assert/strict';
import { PassThrough, Transform } from 'node:stream';
import { after, before, test } from 'node:test';
import zlib from 'node:zlib';
import { startProxy } from './helpers/badproxy.mjs';
import { assertFailed, doctor, patience } from './helpers/doctor.mjs';
import { openConfig, startServer } from './helpers/server.mjs';

let server;
before(async () => (server = await startServer({ config: {
  ...openConfig, client: { ...openConfig.client, allowed_origins: ['https://good.example'] } } })));
after(() => server.stop());

const quiet = ['--idle', '0'];
const STREAMS = ['/connection/http_stream', '/connection/sse'];
const isStream = ({ path, head }) => STREAMS.includes(path) && head.startsWith('HTTP/1.1 200');

async function through(t, options, args = quiet) {
  const proxy = await startProxy(t, server.port, options);
  return doctor(proxy.url, args);
}

/* Both streams failed, and nothing else. */
function assertStreamsFailed(found, seen, advice) {
  assert.deepEqual(found.failed, ['http_stream', 'sse'], found.stdout);
  for (const name of found.failed) {
    assert.match(found.check(name).seen, seen);
    assert.match(found.check(name).do, advice);
  }
}

test('a proxy that changes nothing', async (t) => {
  assert.deepEqual((await through(t, {}, [...quiet, '--origin', 'https://good.example'])).failed, []);
});

/* --- the handshake ---------------------------------------------------------------------------- */

const without = (name) => (head) => head.replace(new RegExp(`^${name}:.*\r\n`, 'im'), '');

test('a proxy that swallows headers of the handshake: which one, and the directive', async (t) => {
  const rows = [
    [without('Upgrade'), /400: the only upgrade offered/, /proxy_set_header Upgrade \$http_upgrade/],
    [without('Connection'), /400: Connection: Upgrade is missing/, /proxy_set_header Connection "upgrade"/],
    [(head) => without('Upgrade')(without('Connection')(head)).replace('HTTP/1.1', 'HTTP/1.0'), /505: .* needs HTTP\/1\.1/, /proxy_http_version 1\.1/],
    [without('Sec-WebSocket-Version'), /426/, /Sec-WebSocket-\*/],
    [without('Sec-WebSocket-Key'), /400: exactly one Sec-WebSocket-Key/, /Sec-WebSocket-\*/],
    [(head) => head.replace('/connection/websocket', '/websocket'), /404: no (WebSocket at this|such) path/, /proxy_pass replaces/],
  ];
  for (const [request, seen, advice] of rows)
    assertFailed(await through(t, { request }), 'upgrade', seen, advice);
});

const refuse = (status, more = '') => ({ head, asked }) =>
  (/^upgrade:/im.test(asked) ? { head: `HTTP/1.1 ${status} No\r\nServer: nginx\r\n${more}Content-Length: 0\r\n\r\n`, through: new PassThrough() } : { head });

test('a proxy that refuses the handshake itself', async (t) => {
  const rows = [[200, /a page came instead/], [401, /auth_basic/], [403, /firewall/], [404, /no location/], [426, /http_upgrade/],
                [429, /limit_req/], [502, /proxy_pass/], [503, /no server that is up/], [504, /waits in vain/], [418, /log/]];
  for (const [status, advice] of rows)
    assertFailed(await through(t, { answer: refuse(status) }), 'upgrade', new RegExp(`^nginx answers ${status} instead of 101`), advice);
  assertFailed(await through(t, { answer: refuse(302, 'Location: /login\r\n') }), 'upgrade', /302 and Location: \/login/, /log in/);
});

test('a 101 that is no answer to this handshake', async (t) => {
  const answer = ({ head }) => ({ head: head.replace(/^sec-websocket-accept:.*\r\n/im, 'Sec-WebSocket-Accept: x\r\n') });
  assertFailed(await through(t, { answer }), 'upgrade', /wrong Sec-WebSocket-Accept/, /cache/);
});

test('a proxy that answers handshakes and passes nothing on', async (t) => {
  const swallow = () => new Transform({ transform: (chunk, encoding, done) => done() });
  const answer = ({ head }) => (head.startsWith('HTTP/1.1 101') ? { head, through: swallow() } : { head });
  assertFailed(await through(t, { answer }, [...quiet, ...patience(2)]), 'token', /no reply to connect/, /passes nothing on/);
});

test('what comes is no WebSocket any more', async (t) => {
  const spoil = () => new Transform({ transform: (chunk, encoding, done) => done(null, chunk.map(() => 0xff)) });
  const answer = ({ head }) => (head.startsWith('HTTP/1.1 101') ? { head, through: spoil() } : { head });
  assertFailed(await through(t, { answer }), 'token', /no WebSocket/, /changes/);
});

/* --- streams ---------------------------------------------------------------------------------- */

test('a proxy that buffers', async (t) => {
  const hold = () => new Transform({ transform: (chunk, encoding, done) => done() });
  const answer = (a) => (isStream(a) ? { head: a.head, through: hold() } : a);
  assertStreamsFailed(await through(t, { answer }, [...quiet, ...patience(2)]), /did not arrive in/, /proxy_buffering off/);
});

test('a proxy that passes the first event on and holds back the next', async (t) => {
  let count = 0;
  const hold = () => {
    count = 0;
    return new Transform({ transform: (chunk, encoding, done) => (String(chunk).includes('"id":2') || count++ > 5 ? done() : done(null, chunk)) });
  };
  const answer = (a) => (isStream(a) ? { head: a.head, through: hold() } : a);
  assertStreamsFailed(await through(t, { answer }, [...quiet, ...patience(2)]), /event 2 did not arrive/, /proxy_buffering off/);
});

test('a proxy that collects for a while', async (t) => {
  const late = () => new Transform({ transform: (chunk, encoding, done) => setTimeout(() => done(null, chunk), 2000) });
  const answer = (a) => (a.path === '/connection/sse' ? { head: a.head, through: late() } : a);
  const { result, seen } = (await through(t, { answer }, [...quiet, ...patience(20)])).check('sse');
  assert.equal(result, 'warn', seen);
  assert.match(seen, /events come \d+ ms late/);
});

test('a proxy that compresses: events arrive, or wait in the compressor', async (t) => {
  const zipped = (options) => (a) => {
    if (!isStream(a) || !/^accept-encoding:.*gzip/im.test(a.asked))
      return a;
    return { head: a.head.replace('\r\n\r\n', '\r\nContent-Encoding: gzip\r\n\r\n'), through: zlib.createGzip(options) };
  };
  const found = await through(t, { answer: zipped({ flush: zlib.constants.Z_SYNC_FLUSH }) });
  assert.deepEqual(found.failed, []);
  for (const name of ['http_stream', 'sse']) {
    const both = found.checks.filter(({ check }) => check === name);
    assert.match(both[0].seen, /gzip.*the first event arrived/);
    assert.match(both[0].do, /gzip off/);
    assert.match(both[1].seen, /events/, 'and without compression');
  }
  assertStreamsFailed(await through(t, { answer: zipped({}) }, [...quiet, ...patience(2)]), /gzip.*did not arrive/, /gzip_types/);
});

test('a proxy that meddles with CORS', async (t) => {
  const args = [...quiet, '--origin', 'https://good.example'];
  const twice = (a) => (isStream(a) ? { head: a.head.replace('\r\n\r\n', '\r\nAccess-Control-Allow-Origin: *\r\n\r\n') } : a);
  assertStreamsFailed(await through(t, { answer: twice }, args), /^2 times/, /add_header/);
  const none = (a) => (isStream(a) ? { head: a.head.replace(/^access-control-allow-origin:.*\r\n/im, '') } : a);
  assertStreamsFailed(await through(t, { answer: none }, args), /^0 times/, /drops/);
});

test('a proxy that has no way for /emulation', async (t) => {
  const answer = (a) => (a.path === '/emulation' ? { head: 'HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n', through: new PassThrough() } : a);
  assertStreamsFailed(await through(t, { answer }), /\/emulation answers 404/, /emulation\.handler_prefix/);
});

/* --- quiet connections ------------------------------------------------------------------------ */

test('a proxy that gives up on quiet connections before the ping', async (t) => {
  const found = await through(t, { idleMs: 3000 }, patience(10));
  assert.deepEqual(found.failed, ['idle', 'idle_stream'], found.stdout);
  assert.match(found.check('idle').seen, /cut without a word after [\d.]+ s, before the first ping/);
  assert.match(found.check('idle').do, /every 25 s.*proxy_read_timeout/);
  assert.match(found.check('idle_stream').seen, /cut within [\d.]+ s, before the first ping/);
});

test('a proxy that holds pings back', async (t) => {
  const often = await startServer({ config: { ...openConfig, client: { ...openConfig.client, ping_interval: '1s', pong_timeout: '900ms' } } });
  t.after(() => often.stop());
  const hold = () => new Transform({ transform: (chunk, encoding, done) => (chunk.length < 10 ? done() : done(null, chunk)) });
  const proxy = await startProxy(t, often.port, { answer: ({ head }) => (head.startsWith('HTTP/1.1 101') ? { head, through: hold() } : { head }) });
  const found = await doctor(proxy.url);
  assert.deepEqual(found.failed, ['idle'], found.stdout);
  assert.match(found.check('idle').seen, /closed with 3012|cut without a word.*without a ping|no ping/);
  assert.match(found.check('idle').do, /holds back what the server sends/);
});

test('a short look at a quiet connection says that it was short', async (t) => {
  const found = await through(t, {}, ['--idle', '1']);
  assert.match(found.check('idle').seen, /lived for 1 s; pings come every 25 s/);
});
