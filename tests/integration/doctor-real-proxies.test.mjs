/* carillon doctor through real nginx and HAProxy: all is well with the files of deploy/, and each mistake that
 * docs/proxies.md names is found, with its cure. (What no configuration of theirs does: doctor-proxy.test.mjs.)
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http2 from 'node:http2';
import { after, before, test } from 'node:test';
import { listen } from './helpers/badproxy.mjs';
import { makeAuthority } from './helpers/certificates.mjs';
import { assertFailed, doctor, makeToken, patience, secret } from './helpers/doctor.mjs';
import { startProxy } from './helpers/proxies.mjs';
import { startNodes, startRedis } from './helpers/redis.mjs';

const ORIGIN = 'https://good.example';
const config = {
  client: { token: { hmac_secret_key: secret }, allowed_origins: [ORIGIN], ping_interval: '5m' },
  http_api: { insecure: true },
};
const quiet = ['--idle', '0'];
const STREAMS = ['http_stream', 'sse'];

let redis, nodes, token;
before(async () => {
  redis = await startRedis();
  nodes = await startNodes(redis, 2, { config });
  token = makeToken();
});
after(async () => {
  await Promise.all((nodes ?? []).map((node) => node.stop()));
  await redis?.stop();
});

/* Two nodes with other options of client. */
async function nodesWith(t, prefix, options) {
  const client = { ...config.client, ...options };
  const own = await startNodes(redis, 2, { config: { ...config, client, engine: { redis: { prefix } } } });
  t.after(() => Promise.all(own.map((node) => node.stop())));
  return own;
}

/* What the doctor finds behind a proxy whose file was changed so. */
async function behind(t, name, edit, { args = quiet, to = nodes, origin = ORIGIN, given = token } = {}) {
  const proxy = await startProxy(name, to, { edit });
  t.after(() => proxy.stop());
  return doctor(proxy.url, ['--ca', proxy.ca, ...(origin ? ['--origin', origin] : []), ...args], { token: given });
}

const before443 = (text) => [/(?=        location = \/metrics)/, `${text}\n`];
const withoutUpgrade = [/proxy_set_header (Upgrade|Connection) .*;/g, ''];

function assertStreams(found, result, seen, advice) {
  for (const name of STREAMS) {
    assert.equal(found.check(name).result, result, found.stdout);
    assert.match(found.check(name).seen, seen);
    assert.match(found.check(name).do, advice);
  }
}

for (const name of ['nginx', 'haproxy'])
  test(`${name} with the file of deploy/: nothing to complain of`, async (t) => {
    const to = await nodesWith(t, name, { ping_interval: '2s', pong_timeout: '1900ms' });
    const found = await behind(t, name, [], { to, args: patience(10) });
    assert.deepEqual(found.failed, [], found.stdout);
    for (const check of ['carillon', 'upgrade', 'origin', 'token', ...STREAMS, 'ready', 'idle', 'idle_stream'])
      assert.equal(found.check(check).result, 'ok', found.stdout);
    assert.equal(found.check('limits').result, 'skip', '/metrics is not for the world');
  });

/* --- WebSocket -------------------------------------------------------------------------------- */

test('nginx without the headers of an upgrade, or without HTTP/1.1; the streams stand in for what cannot be asked', async (t) => {
  const rows = [
    [withoutUpgrade, /400: the only upgrade offered/, /proxy_set_header Upgrade \$http_upgrade/],
    [[/proxy_set_header Connection .*;/, ''], /400: Connection: Upgrade is missing/, /proxy_set_header Connection/],
    [[/proxy_http_version 1\.1;/, ''], /505: .*needs HTTP\/1\.1/, /proxy_http_version 1\.1/],
  ];
  for (const [edit, seen, advice] of rows) {
    const found = await behind(t, 'nginx', [edit]);
    assertFailed(found, 'upgrade', seen, advice);
    assertStreamsGood(found);
  }
  const evil = await behind(t, 'nginx', [withoutUpgrade], { origin: 'https://evil.example' });
  assert.deepEqual(evil.failed, ['upgrade', ...STREAMS]);
  assertStreams(evil, 'fail', /403: this origin/, /client\.allowed_origins/);
  const other = await behind(t, 'nginx', [withoutUpgrade], { given: makeToken([], 'another-secret-of-more-than-32-bytes-xx') });
  assert.deepEqual(other.failed, ['upgrade', ...STREAMS]);
  assertStreams(other, 'fail', /refuses the token.*3500/, /another key than client\.token/);
});

function assertStreamsGood(found) {
  for (const name of STREAMS)
    assert.match(found.check(name).seen, /browsers may read it/, found.stdout);
}

test('nginx that says an origin of its own', async (t) => {
  const found = await behind(t, 'nginx', [[/proxy_set_header Host \$host;/, '$& proxy_set_header Origin https://inside.example;']], { origin: '' });
  assert.deepEqual(found.failed, ['upgrade', ...STREAMS], found.stdout);
  for (const check of found.failed)
    assert.match(found.check(check).do, /no Origin was sent, so the proxy adds one/);
});

test('HTTP/2 alone', async (t) => {
  assertFailed(await behind(t, 'haproxy', [[/alpn h2,http\/1\.1/, 'proto h2']]), 'carillon', /no HTTP answer/, /alpn h2,http\/1\.1/);
  const { cert, key } = makeAuthority().issue('DNS:localhost');
  const strict = await listen(t, http2.createSecureServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }));
  assertFailed(await doctor(`https://localhost:${strict.port}`, [...quiet, '--insecure']), 'tls', /takes no HTTP\/1\.1/, /alpn h2,http\/1\.1/);
});

/* --- streams ---------------------------------------------------------------------------------- */

const deaf = [/proxy_buffering off;/, 'proxy_ignore_headers X-Accel-Buffering;'];
const unbuffer = /proxy_buffering off.*proxy_ignore_headers X-Accel-Buffering/;

test('nginx that buffers: only when it is told to ignore what Carillon says', async (t) => {
  assert.deepEqual((await behind(t, 'nginx', [[/proxy_buffering off;/, '']])).failed, []);
  const found = await behind(t, 'nginx', [deaf], { args: [...quiet, ...patience(3)] });
  assert.deepEqual(found.failed, STREAMS);
  assertStreams(found, 'fail', /the first event.* did not arrive/, unbuffer);
});

test('nginx that buffers until the server gives up, sooner than the doctor', async (t) => {
  const to = await nodesWith(t, 'eager', { ping_interval: '2s', pong_timeout: '1s' });
  const found = await behind(t, 'nginx', [deaf], { to, args: [...quiet, ...patience(20)] });
  assert.deepEqual(found.failed, STREAMS);
  assertStreams(found, 'fail', /the first event.* only when the server had given up with 3012/, unbuffer);
});

test('nginx that compresses', async (t) => {
  const gzip = [/server_tokens off;/, 'server_tokens off; gzip on; gzip_min_length 0; gzip_types text/event-stream application/json;'];
  const found = await behind(t, 'nginx', [gzip]);
  assert.deepEqual(found.failed, [], 'it flushes');
  assertStreams(found, 'warn', /Content-Encoding: gzip/, /gzip off|gzip_types/);
});

test('no way for /emulation, or for more than the WebSocket: its pages are not repeated', async (t) => {
  const rows = [
    ['nginx', before443('location /emulation { return 404; }'), /^\/emulation answers 404$/, /emulation\.handler_prefix/],
    ['nginx', before443('location /emulation { default_type text/html; return 200 "<!doctype html>"; }'), /^\/emulation answers 200$/, /a page came/],
    ['nginx', [/client_max_body_size 1100k;/, 'client_max_body_size 100;'], /^nginx answers 413 at/, /client_max_body_size/, []],
    ['haproxy', [/(?=    http-request return)/, '    http-request deny if { path /emulation }\n'], /^\/emulation answers 403$/, /refuses/],
  ];
  for (const [name, edit, seen, advice, failed = STREAMS] of rows) {
    const found = await behind(t, name, [edit]);
    assert.deepEqual(found.failed, failed, found.stdout);
    assertStreams(found, failed.length ? 'fail' : 'warn', seen, advice);
  }
});

test('a page where the streams should be', async (t) => {
  const page = before443('location ~ ^/connection/(sse|http_stream) { default_type text/html; return 200 "<!doctype html>"; }');
  const found = await behind(t, 'nginx', [page]);
  assert.deepEqual(found.failed, []);
  assertStreams(found, 'warn', /nginx answers 200 at \/connection/, /a page came instead/);
});

/* --- quiet connections ------------------------------------------------------------------------ */

/* Debian 12's HAProxy, 2.6, cuts streams by "timeout tunnel", 13's, 3.0, only what is upgraded. */
const haproxyMajor = () => Number(/version (\d+)/.exec(execFileSync('haproxy', ['-v'], { encoding: 'utf8' }))[1]);

test('time-outs shorter than the ping, for WebSocket and for streams', async (t) => {
  const rows = [
    ['nginx', [/proxy_read_timeout 75s/, 'proxy_read_timeout 3s'], ['idle', 'idle_stream']],
    ['haproxy', [/timeout tunnel 75s/, 'timeout tunnel 3s'], haproxyMajor() < 3 ? ['idle', 'idle_stream'] : ['idle']],
    ['haproxy', [/timeout server 75s\n *timeout tunnel 75s/, 'timeout server 3s'], ['idle', 'idle_stream']],
    ['nginx', before443('location /connection/sse { proxy_pass http://carillon; proxy_read_timeout 3s; }'), ['idle_stream']],
  ];
  for (const [name, edit, failed] of rows) {
    const found = await behind(t, name, [edit], { args: ['--idle', '6', ...patience(10)] });
    assert.deepEqual(found.failed, failed, found.stdout);
    for (const check of failed) {
      assert.match(found.check(check).seen, /cut .*before the first ping/);
      assert.match(found.check(check).do, name === 'nginx' ? /proxy_read_timeout/ : /timeout tunnel/);
    }
  }
});

/* --- certificates ----------------------------------------------------------------------------- */

test('a certificate of another authority, and a port without TLS that leads to it', async (t) => {
  const proxy = await startProxy('nginx', nodes);
  t.after(() => proxy.stop());
  assertFailed(await doctor(proxy.url, quiet, { token }), 'tls', /issuer|certificate/, /fullchain\.pem|--ca FILE/);
  assertFailed(await doctor(proxy.plainUrl, quiet, { token }), 'carillon', /308 and Location: https:/, /use the URL it names/);
});
