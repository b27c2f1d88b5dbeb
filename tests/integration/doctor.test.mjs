/* carillon doctor against real servers: all is well, and one thing after the other is not. What proxies do wrong:
 * doctor-proxy.test.mjs. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { listen, startParrot, startProxy } from './helpers/badproxy.mjs';
import { makeAuthority } from './helpers/certificates.mjs';
import { assertFailed, doctor, makeToken, patience, secret } from './helpers/doctor.mjs';
import { freePort, startNode, startRedis } from './helpers/redis.mjs';
import { binary, openConfig, root, runCarillon, startServer, temporaryFile, until } from './helpers/server.mjs';

const config = {
  client: {
    token: { hmac_secret_key: secret }, allowed_origins: ['https://good.example'], ping_interval: '3s', pong_timeout: '2900ms',
  },
  prometheus: { enabled: true },
};
const quiet = ['--idle', '0'];
const good = ['--origin', 'https://good.example'];

let server, token;
before(async () => {
  server = await startServer({ config });
  token = makeToken();
});
after(() => server.stop());

/* --- all is well ------------------------------------------------------------------------------ */

test('a server that is well: every check says so', async () => {
  const found = await doctor(server.wsUrl, good, { token });
  assert.deepEqual(found.failed, []);
  for (const name of ['name', 'tcp', 'carillon', 'clock', 'upgrade', 'origin', 'claims', 'token', 'http_stream', 'sse', 'ready',
                      'limits', 'idle'])
    assert.match(found.check(name).result, /^(ok|warn)$/, JSON.stringify(found.check(name)));
  assert.match(found.check('claims').seen, /user "alice", ends in (59|60) min/);
  assert.match(found.check('token').seen, /connected with the token, .*version \d+\.\d+\.\d+, ping 3 s/);
  assert.match(found.check('http_stream').seen, /events arrived|events come/);
  assert.match(found.check('idle').seen, /ping came after/);
  assert.match(found.check('limits').seen, /^\d+ of at most \d+ connections are open/);
});

test('all forms of the URL lead to the same endpoints', async () => {
  for (const url of [server.url, `${server.url}/`, `${server.url}/connection/websocket`, server.wsUrl, server.wsUrl.replace('127.0.0.1', 'localhost')])
    assert.deepEqual((await doctor(url, quiet, { token })).failed, [], url);
});

test('lines for people, one per check, and the token in none', async () => {
  const file = temporaryFile('token', `${token}\n`);
  for (const [args, input] of [[['--token-file', file], ''], [['--token', token], ''], [['--token', '-'], `${token}\n`]]) {
    const child = execFile(binary, ['doctor', server.wsUrl, ...quiet, ...args]);
    child.stdin.end(input);
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    const [code] = await new Promise((resolve) => child.once('close', (...end) => resolve(end)));
    assert.equal(code, 0, text);
    assert.match(text, /^ok    name        127\.0\.0\.1 is 127\.0\.0\.1\nok    tcp /);
    assert.match(text, /^ok    token       connected with the token/m);
    assert.match(text, /\n\d+ ok, \d+ to look at, 0 failed, \d+ not checked\n$/);
    assert.ok(!text.includes(token.split('.')[2]));
  }
});

test('a token on the command line leaves the process list', async (t) => {
  const silent = await listen(t, net.createServer(() => {}));
  const child = execFile(binary, ['doctor', silent.url, '--token', token]);
  t.after(() => child.kill('SIGKILL'));
  await until(() => {
    const words = fs.readFileSync(`/proc/${child.pid}/cmdline`, 'latin1');
    return words.includes('doctor') && !words.includes(token);
  }, 'the token to be gone');
  child.kill('SIGKILL');
});

test('wrong usage is status 2 and a line that says what', async () => {
  const rows = [
    [[], /the URL is missing/], [['ftp://x'], /must be ws:/], [['http://x', '--origin', 'x'], /--origin must be/],
    [['http://x', '--idle', 'x'], /--idle must be/], [['http://x', '--timeout', '0'], /--timeout must be/],
    [['http://x', 'secret-word'], /word 2 is no option/], [['http://x', '--token'], /--token needs a value/],
    [['http://x', '--token', 'a b'], /has a character/], [['http://x', '--token-file', '/no/such'], /cannot be read/],
    [['http://x', '--token', 'x'.repeat(8193)], /longer than 8192/], [['http://x', '--config', '/no/such'], /no\/such/],
    [['http://user@x'], /must be ws:/],
  ];
  for (const [args, text] of rows) {
    const { code, stderr } = await runCarillon(['doctor', ...args]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, text);
    assert.doesNotMatch(stderr, /secret-word/);
  }
  const help = await runCarillon(['doctor', '--help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /Usage: carillon doctor URL/);
});

/* --- the way there ---------------------------------------------------------------------------- */

test('a name that does not resolve', async () => {
  assertFailed(await doctor('wss://no-such-host.invalid', patience(10)), 'name', /^no-such-host\.invalid: /, /getent hosts/);
});

test('nothing listens', async () => {
  assertFailed(await doctor(`ws://127.0.0.1:${await freePort()}`), 'tcp', /connection refused/, /http_server\.port/);
});

test('something accepts and says nothing', async (t) => {
  const silent = await listen(t, net.createServer(() => {}));
  assertFailed(await doctor(silent.url, patience(1)), 'carillon', /no answer in time/, /is the process alive/);
});

test('something that is not Carillon', async (t) => {
  const page = await startParrot(t, 'HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nContent-Length: 2\r\n\r\nhi');
  assertFailed(await doctor(page.url), 'carillon', /^nginx\/1\.22\.1 answers GET \/connection\/websocket with 200/, /a location for this path/);
  const gone = await startParrot(t, 'HTTP/1.1 502 Bad Gateway\r\n\r\n');
  assertFailed(await doctor(gone.url), 'carillon', /with 502/, /proxy_pass/);
  const moved = await startParrot(t, 'HTTP/1.1 301 Moved\r\nLocation: https://x.example/\r\nContent-Length: 0\r\n\r\n');
  assertFailed(await doctor(moved.url), 'carillon', /Location: https:\/\/x\.example\//, /use the URL it names/);
  const ssh = await startParrot(t, 'SSH-2.0-OpenSSH_9.2\r\n');
  assertFailed(await doctor(ssh.url), 'carillon', /no HTTP/, /right port/);
});

test('answers that do not end, or drip, are left in time', async (t) => {
  const endless = await listen(t, net.createServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    const more = () => {
      while (socket.writable && socket.write('X-More: and more\r\n'.repeat(100)))
        continue;
    };
    socket.on('drain', more);
    more();
  }));
  assertFailed(await doctor(endless.url), 'carillon', /more than 100 fields|longer than 16 KiB/, /right port/);
  const drip = await listen(t, net.createServer((socket) => {
    const text = 'HTTP/1.1 200 OK\r\nX: '.padEnd(100000, 'x');
    let at = 0;
    const timer = setInterval(() => socket.write(text[at++]), 20);
    socket.once('close', () => clearInterval(timer));
  }));
  assertFailed(await doctor(drip.url, patience(1)), 'carillon', /does not end/, /right port/);
  const body = await listen(t, net.createServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    const more = () => {
      while (socket.writable && socket.write(`4000\r\n${'y'.repeat(0x4000)}\r\n`))
        continue;
    };
    socket.on('drain', more);
    more();
  }));
  assertFailed(await doctor(body.url), 'carillon', /not Carillon/, /location/);
});

/* --- TLS -------------------------------------------------------------------------------------- */

test('TLS: good, soon over, expired, for another name, of an unknown authority, none at all', async (t) => {
  const ca = makeAuthority(), trusted = ['--ca', ca.file, ...quiet];
  const behind = async (cert) => `wss://localhost:${(await startProxy(t, server.port, { tls: cert })).port}`;
  const fine = await behind(ca.issue('DNS:localhost,IP:127.0.0.1', { days: 100 }));
  let found = await doctor(fine, [...trusted, ...good], { token });
  assert.deepEqual(found.failed, []);
  assert.match(found.check('tls').seen, /TLSv1\.[23], certificate for localhost, an address, until \d{4}-\d\d-\d\d \((99|100) days\)/);
  assert.equal(found.check('tls').result, 'ok');
  assert.equal((await doctor(fine.replace('localhost', '127.0.0.1'), trusted, { token })).check('tls').result, 'ok');
  found = await doctor(await behind(ca.issue('DNS:localhost')), trusted, { token });
  assert.match(found.check('tls').do, /renew/);
  assert.equal(found.check('tls').result, 'warn');
  assertFailed(await doctor(await behind(ca.issue('DNS:localhost', { isExpired: true })), trusted, { token }), 'tls', /expired.*2020-01-02/, /renew/);
  const other = await behind(ca.issue('DNS:other.example'));
  assertFailed(await doctor(other, trusted, { token }), 'tls', /mismatch.*other\.example/, /a URL with a name/);
  assertFailed(await doctor(fine, quiet, { token }), 'tls', /issuer|certificate/, /fullchain\.pem|--ca FILE/);
  assertFailed(await doctor(`wss://localhost:${server.port}`, trusted, { token }), 'tls', /cut during the TLS handshake|speaks no TLS/, /the right scheme/);
  assertFailed(await doctor(fine.replace('wss:', 'ws:'), quiet), 'carillon', /./, /right port and scheme/);
  found = await doctor(other, [...trusted, '--insecure'], { token });
  assert.deepEqual(found.failed, []);
  assert.match(found.check('tls').seen, /going on/);
});

test('no byte goes to a server whose certificate is not trusted', async (t) => {
  const ca = makeAuthority();
  let seen = 0;
  const proxy = await startProxy(t, server.port, { tls: ca.issue('DNS:localhost'), request: (head) => (seen++, head) });
  assertFailed(await doctor(`wss://localhost:${proxy.port}`, quiet, { token }), 'tls', /./, /./);
  assert.equal(seen, 0);
});

test('a handshake of TLS that is never answered', async (t) => {
  const silent = await listen(t, net.createServer(() => {}));
  assertFailed(await doctor(silent.url.replace('http', 'https'), patience(1)), 'tls', /in time/, /TLS port/);
});

/* --- who may ---------------------------------------------------------------------------------- */

test('an origin that is not allowed; the rest is checked without', async () => {
  const found = await doctor(server.wsUrl, ['--origin', 'https://evil.example', ...quiet], { token });
  assertFailed(found, 'origin', /403: this origin is not in client\.allowed_origins/, /client\.allowed_origins/);
  assert.equal(found.check('token').result, 'ok');
});

test('tokens: none, nonsense, expired, of another key, of another kind', async () => {
  const ask = (made, args = []) => doctor(server.wsUrl, [...quiet, ...args], { token: made });
  assertFailed(await ask(undefined), 'token', /3501/, /--token-file.*allow_anonymous_connect_without_token/);
  let found = await ask('nonsense');
  assert.deepEqual(found.failed, ['claims', 'token']);
  assert.match(found.check('claims').seen, /no JWT/);
  found = await ask(makeToken([], 'another-secret-of-more-than-32-bytes-xx'));
  assertFailed(found, 'token', /3500: invalid token/, /another key than client\.token/);
  found = await ask(makeToken(['--subscription', 'news']));
  assert.deepEqual(found.failed, ['claims', 'token']);
  assert.match(found.check('claims').seen, /subscription token/);
  const short = makeToken(['--ttl', '1s']);
  await until(() => Number(JSON.parse(Buffer.from(short.split('.')[1], 'base64url')).exp) * 1000 < Date.now(), 'its end');
  found = await ask(short);
  assert.deepEqual(found.failed, ['claims', 'token']);
  assert.match(found.check('claims').seen, /it has expired, exp is (now|\d+ s ago)/);
  assert.match(found.check('token').seen, /109: token expired/);
  assert.match(found.check('token').do, /getToken/);
});

test('with --config the keys and handler prefixes of the server are known', async (t) => {
  const moved = { ...config, websocket: { handler_prefix: '/ws' }, sse: { handler_prefix: '/s' }, http_stream: { handler_prefix: '/h' },
                  emulation: { handler_prefix: '/up' }, health: { ready_handler_prefix: '/r' }, prometheus: { enabled: true, handler_prefix: '/m' } };
  const other = await startServer({ config: moved });
  t.after(() => other.stop());
  const args = ['--config', temporaryFile('moved.json', JSON.stringify(moved)), ...quiet];
  let found = await doctor(other.url, args, { token });
  assert.deepEqual(found.failed, []);
  for (const name of ['http_stream', 'sse', 'ready', 'limits'])
    assert.match(found.check(name).result, /^(ok|warn)$/, JSON.stringify(found.check(name)));
  assert.match(found.check('claims').seen, /the keys of --config take it/);
  found = await doctor(other.url, args, { token: makeToken([], 'another-secret-of-more-than-32-bytes-xx') });
  assert.match(found.check('claims').seen, /signature/);
  found = await doctor(other.url, quiet, { token });
  assertFailed(found, 'upgrade', /404: no WebSocket at this path/, /websocket\.handler_prefix/);
  assert.deepEqual((await doctor(`ws://127.0.0.1:${other.port}/ws`, quiet, { token })).failed, []);
});

/* --- the server itself ------------------------------------------------------------------------ */

test('streams that are switched off are a warning', async (t) => {
  const plain = await startServer({ config: {
    ...openConfig, sse: { enabled: false }, http_stream: { enabled: false }, prometheus: { enabled: false } } });
  t.after(() => plain.stop());
  const found = await doctor(plain.url, quiet);
  assert.equal(found.code, 0);
  for (const name of ['sse', 'http_stream']) {
    assert.equal(found.check(name).result, 'warn');
    assert.match(found.check(name).do, /sse\.enabled, http_stream\.enabled/);
  }
  assert.equal(found.check('limits').result, 'skip');
  assert.match(found.check('limits').do, /run this on the host/);
});

test('Redis is down', async (t) => {
  const redis = await startRedis();
  const node = await startNode(redis, { config });
  t.after(async () => {
    await node.stop();
    await redis.stop(); /* its client, too, which would go on trying */
  });
  assert.equal((await doctor(node.url, quiet, { token })).check('ready').result, 'ok');
  await redis.kill();
  await until(async () => (await fetch(`${node.url}/ready`)).status === 503, '/ready to be 503');
  assertFailed(await doctor(node.url, quiet, { token }), 'ready', /not ready: redis/, /Redis/);
});

test('few descriptors, and none left', async (t) => {
  const small = await startServer({ config, fileLimit: 300 });
  t.after(() => small.stop());
  let found = await doctor(small.url, quiet, { token });
  assert.equal(found.check('limits').result, 'warn');
  assert.match(found.check('limits').seen, /300 descriptors/);
  assert.match(found.check('limits').do, /LimitNOFILE=/);
  const many = temporaryFile('many.json', JSON.stringify({ ...config, client: { ...config.client, connection_limit: 9999999 } }));
  found = await doctor(small.url, [...quiet, '--config', many], { token });
  assert.match(found.check('shell').seen, /^client\.connection_limit is 9999999, a server started from here may have \d+ descriptors/);
  const full = await startServer({ config: { ...config, client: { ...config.client, connection_limit: 1 } } });
  t.after(() => full.stop());
  const guest = net.connect(full.port, '127.0.0.1');
  t.after(() => guest.destroy());
  await until(async () => {
    found = await doctor(full.url, quiet, { token });
    return found.code === 1;
  }, 'the server to be full', 30000);
  assertFailed(found, 'carillon', /503/, /client\.connection_limit.*LimitNOFILE/);
});

/* --- words ------------------------------------------------------------------------------------ */

test('the words by which Carillon is known are those of the server', () => {
  const source = ['server/net', 'server/api'].flatMap((folder) => fs.readdirSync(root + folder)
    .filter((name) => name.endsWith('.c')).map((name) => fs.readFileSync(path.join(root, folder, name), 'utf8'))).join('\n');
  const known = fs.readFileSync(`${root}server/doctor/known.c`, 'utf8').split('statuses[]')[0];
  const texts = [...known.matchAll(/\{(\d{3}), "([^"]+)"/g)].map(([, , text]) => text);
  assert.ok(texts.length > 10);
  assert.deepEqual(texts.filter((text) => !source.includes(`"${text}"`)), []);
});
