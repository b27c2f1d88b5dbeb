/* Keys of tokens from outside: public keys of every kind and sets of keys, from a file and from an
 * endpoint that is rotated, goes down, lies and comes back. Tokens are those of npm `jose` and `jsonwebtoken`.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import fs from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import { EventSource } from 'eventsource';
import { SignJWT } from 'jose';
import jsonwebtoken from 'jsonwebtoken';
import WebSocket from 'ws';
import { sum, untilMetrics } from './helpers/http.mjs';
import { event, openChannels, runCarillon, startServer, temporaryFile, until } from './helpers/server.mjs';
import { Client } from './helpers/protocol.mjs';

const PAIRS = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  p256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  p384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  p521: generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  ed: generateKeyPairSync('ed25519'),
};
const KINDS = {
  RS256: 'rsa', RS384: 'rsa', RS512: 'rsa', PS256: 'rsa', PS384: 'rsa', PS512: 'rsa',
  ES256: 'p256', ES384: 'p384', ES512: 'p521', EdDSA: 'ed',
};
const OPTIONS = {
  rsa: 'rsa_public_key', p256: 'ecdsa_public_key', p384: 'ecdsa_public_key', p521: 'ecdsa_public_key',
  ed: 'ed25519_public_key',
};
const now = () => Math.floor(Date.now() / 1000);
const pem = (pair) => pair.publicKey.export({ type: 'spki', format: 'pem' });
const jwk = (pair, more) => ({ ...pair.publicKey.export({ format: 'jwk' }), ...more });
const SET = { keys: Object.entries(PAIRS).map(([kid, pair]) => jwk(pair, { kid, use: 'sig' })) };
const MAKERS = {
  jose: (alg, pair, kid, claims) => new SignJWT(claims).setProtectedHeader({ alg, kid }).sign(pair.privateKey),
  jsonwebtoken: (alg, pair, kid, claims) => jsonwebtoken.sign(claims, pair.privateKey, { algorithm: alg, keyid: kid }),
};
const sign = (alg, pair, kid) => MAKERS.jose(alg, pair, kid, { sub: 'alice', exp: now() + 100 });

const configWith = (token) => ({ client: { token }, channel: { without_namespace: openChannels } });
const fileWith = (token) => temporaryFile('config.json', JSON.stringify(configWith(token)));
const check = (token, keys) => runCarillon(['token', 'check', token, '--config', fileWith(keys)]);

/* What the server says: "alice", an error's code, or the code it closes with. */
async function answer(server, token) {
  const client = await Client.open(server);
  const arrival = client.reply(1);
  client.send(JSON.stringify({ id: 1, connect: { token } }));
  const line = await arrival;
  if (line === null)
    return (await client.closed()).code;
  client.terminate();
  const reply = JSON.parse(line);
  return reply.error ? reply.error.code : 'alice';
}

/* --- fixed keys --- */

for (const [alg, kind] of Object.entries(KINDS))
  for (const [maker, make] of Object.entries(MAKERS)) {
    if (maker === 'jsonwebtoken' && alg === 'EdDSA')
      continue; /* which it does not know */
    test(`a token of ${maker} with ${alg} is good for its key, and for no other`, async () => {
      const token = await make(alg, PAIRS[kind], kind, { sub: 'alice' });
      const { code, stdout } = await check(token, { [OPTIONS[kind]]: pem(PAIRS[kind]) });
      assert.match(stdout, /^good\nuser +alice\n/);
      assert.equal(code, 0);
      for (const [other, pair] of Object.entries(PAIRS))
        if (other !== kind)
          assert.match((await check(token, { [OPTIONS[other]]: pem(pair) })).stdout, /^invalid: alg in the header/);
      const file = temporaryFile('set.json', JSON.stringify(SET));
      assert.match((await check(token, { jwks_file: file })).stdout, /^good\n/);
    });
  }

test('several fixed keys are good at once', async () => {
  const server = await startServer({
    config: configWith({
      hmac_secret_key: 'h'.repeat(64), hmac_previous_secret_key: 'p'.repeat(64),
      hmac_previous_secret_key_valid_until: now() + 3600,
      rsa_public_key: pem(PAIRS.rsa), ecdsa_public_key: pem(PAIRS.p256), ed25519_public_key: pem(PAIRS.ed),
    }),
  });
  for (const alg of ['RS256', 'PS512', 'ES256', 'EdDSA'])
    assert.equal(await answer(server, await sign(alg, PAIRS[KINDS[alg]])), 'alice');
  for (const [letter, expected] of [['h', 'alice'], ['p', 'alice'], ['x', 3500]])
    assert.equal(await answer(server, jsonwebtoken.sign({ sub: 'a' }, letter.repeat(64))), expected);
  assert.equal(await answer(server, await sign('ES384', PAIRS.p384)), 3500);
  assert.equal(await answer(server, jsonwebtoken.sign({ sub: 'a' }, pem(PAIRS.rsa), { algorithm: 'HS256' })), 3500);
  await server.stop();
});

test('a previous key is good until its time', async () => {
  const token = jsonwebtoken.sign({ sub: 'a' }, 'p'.repeat(64));
  const keys = { hmac_secret_key: 'h'.repeat(64), hmac_previous_secret_key: 'p'.repeat(64) };
  assert.match((await check(token, keys)).stdout, /^good/);
  assert.match((await check(token, { ...keys, hmac_previous_secret_key_valid_until: now() + 100 })).stdout, /^good/);
  assert.match((await check(token, { ...keys, hmac_previous_secret_key_valid_until: now() - 1 })).stdout,
    /^invalid: the signature is wrong/);
});

/* --- what stops the start --- */

const REFUSED = {
  'a PEM text as secret': [{ hmac_secret_key: pem(PAIRS.rsa).replaceAll('\n', '') }, /hmac_secret_key: is a PEM text/],
  'a private key': [{ rsa_public_key: PAIRS.rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }) }, /is a private key/],
  'a short RSA key': [{ rsa_public_key: pem(generateKeyPairSync('rsa', { modulusLength: 1024 })) }, /less than 2048/],
  'a key of another kind': [{ rsa_public_key: pem(PAIRS.p256) }, /rsa_public_key: is no RSA key/],
  'a file that is not there': [{ ecdsa_public_key: '/nowhere/x.pem' }, /cannot be read/],
  'a previous key\'s end alone': [{ hmac_previous_secret_key_valid_until: 1 }, /hmac_previous_secret_key is not/],
  'a template': [{ jwks_public_endpoint: 'https://{{tenant}}.example.com/jwks' }, /placeholders/],
  'http to elsewhere': [{ jwks_public_endpoint: 'http://example.com/jwks' }, /must begin with https/],
  'no URL': [{ jwks_public_endpoint: 'example.com' }, /must be a URL/],
  'a password in the URL': [{ jwks_public_endpoint: 'https://u:p@example.com/' }, /without a user/],
  'a set with a duplicate kid': [{ jwks: [jwk(PAIRS.p256, { kid: 'a' }), jwk(PAIRS.p384, { kid: 'a' })] }, /same kid/],
  'a set with a key for encryption': [{ jwks: [jwk(PAIRS.p256, { kid: 'a', use: 'enc' })] }, /key 0 of it .*use is not sig/],
  'a set with a key without kid': [{ jwks: [jwk(PAIRS.p256)] }, /has no kid/],
  'a set that is none': [{ jwks: {} }, /no JSON Web Key Set/],
};

for (const [name, [token, words]] of Object.entries(REFUSED))
  test(`${name} stops the start`, async () => {
    if (token.jwks)
      token.jwks_file = temporaryFile('set.json', JSON.stringify({ keys: token.jwks }));
    delete token.jwks;
    const { code, stderr } = await runCarillon(['--config', fileWith(token), '--port', '0']);
    assert.match(stderr, words);
    assert.equal(code, 1);
  });

test('a short secret gets a warning, with --strict and in config check it is refused', async () => {
  const file = fileWith({ hmac_secret_key: 'secret' });
  const token = jsonwebtoken.sign({ sub: 'a' }, 'secret');
  const { code, stderr } = await runCarillon(['token', 'check', token, '--config', file]);
  assert.match(stderr, /WARN .*hmac_secret_key: is shorter than 32 bytes/);
  assert.equal(code, 0);
  const strict = await runCarillon(['--strict', '--config', file]);
  assert.match(strict.stderr, /hmac_secret_key: is shorter than 32 bytes/);
  assert.equal(strict.code, 1);
  assert.equal((await runCarillon(['config', 'check', file])).code, 1);
});

/* --- an endpoint --- */

class Endpoint {
  requests = 0;
  body = SET;

  static async start(makeServer = (handler) => http.createServer(handler)) {
    const e = new Endpoint();
    e.server = makeServer((request, response) => {
      e.requests++;
      e.last = request;
      e.respond(response);
    });
    e.server.listen(0, '127.0.0.1');
    await once(e.server, 'listening');
    e.port = e.server.address().port;
    return e;
  }

  respond(response) {
    response.setHeader('Content-Type', 'application/json');
    response.end(typeof this.body === 'string' ? this.body : JSON.stringify(this.body));
  }

  url(scheme = 'http', host = '127.0.0.1') {
    return `${scheme}://${host}:${this.port}/keys.json?v=1`;
  }

  async stop() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}

const fast = (endpoint) => ({ jwks_public_endpoint: endpoint.url(), jwks_retry_interval: '200ms' });

test('keys of an endpoint are there when the server is ready', async () => {
  const endpoint = await Endpoint.start();
  const server = await startServer({ config: configWith(fast(endpoint)) });
  assert.equal(endpoint.requests, 1);
  assert.equal(endpoint.last.url, '/keys.json?v=1');
  assert.equal(endpoint.last.headers.host, `127.0.0.1:${endpoint.port}`);
  for (const alg of Object.keys(KINDS))
    assert.equal(await answer(server, await sign(alg, PAIRS[KINDS[alg]], KINDS[alg])), 'alice');
  assert.equal(await answer(server, await sign('ES256', PAIRS.p256)), 3500, 'no kid: no key is tried');
  assert.equal(await answer(server, await sign('ES256', PAIRS.p256, 'p384')), 3500, 'the key of another kid');
  assert.equal(endpoint.requests, 1);
  await server.stop();
  await endpoint.stop();
});

test('a rotated key is fetched when a token names it, and the SDK gets in', async () => {
  const endpoint = await Endpoint.start();
  const server = await startServer({ config: configWith(fast(endpoint)) });
  endpoint.body = { keys: [jwk(PAIRS.p256, { kid: 'new' })] };
  const client = new Centrifuge(server.wsUrl, {
    websocket: WebSocket, minReconnectDelay: 50, maxReconnectDelay: 100,
    getToken: () => sign('ES256', PAIRS.p256, 'new'),
  });
  client.connect();
  await event(client, 'connected');
  client.disconnect();
  assert.equal(endpoint.requests, 2);
  /* The old key is gone with the old set. */
  assert.equal(await answer(server, await sign('RS256', PAIRS.rsa, 'rsa')), 109);
  await server.stop();
  await endpoint.stop();
});

test('a rotated key does not stop a plain stream, which has no other token', async (t) => {
  const endpoint = await Endpoint.start();
  const server = await startServer({ config: configWith(fast(endpoint)) });
  endpoint.body = { keys: [jwk(PAIRS.p256, { kid: 'new' })] };
  const source = new EventSource(`${server.url}/sse?channel=a&token=${await sign('ES256', PAIRS.p256, 'new')}`);
  t.after(() => source.close());
  await untilMetrics(server, (m) => sum(m, /node_num_subscriptions/) === 1, 'the subscription');
  assert.equal(endpoint.requests, 2);
  source.close();
  await server.stop();
  await endpoint.stop();
});

test('however many unknown names come, the endpoint is asked once per interval', async () => {
  const endpoint = await Endpoint.start();
  const server = await startServer({
    config: configWith({ ...fast(endpoint), jwks_retry_interval: '30s' }),
  });
  for (let i = 0; i < 20; i++)
    assert.equal(await answer(server, await sign('ES256', PAIRS.p256, `unknown ${i}`)), 109);
  assert.equal(endpoint.requests, 1);
  assert.equal(await answer(server, await sign('ES256', PAIRS.p256, 'p256')), 'alice');
  await server.stop();
  await endpoint.stop();
});

const NONSENSE = {
  'an error': (response) => { response.statusCode = 500; response.end(JSON.stringify(SET)); },
  'a redirect': (response) => { response.writeHead(302, { Location: '/other' }); response.end(); },
  'HTML': (response) => response.end('<html>'),
  'no keys': (response) => response.end('{"keys":[]}'),
  'two keys of one name': (response) =>
    response.end(JSON.stringify({ keys: [jwk(PAIRS.p256, { kid: 'a' }), jwk(PAIRS.p384, { kid: 'a' })] })),
  'too much': (response) => response.end(JSON.stringify({ ...SET, x: 'x'.repeat(300000) })),
  'too many keys': (response) =>
    response.end(JSON.stringify({ keys: Array.from({ length: 101 }, (_, i) => jwk(PAIRS.p256, { kid: `${i}` })) })),
  'half an answer': (response) => { response.writeHead(200, { 'Content-Length': 1000 }); response.write('{'); response.destroy(); },
  'a cut connection': (response) => response.destroy(),
};

test('the old keys stay while the endpoint lies or is down, which is said once', async () => {
  const endpoint = await Endpoint.start();
  const server = await startServer({ config: configWith({ ...fast(endpoint), jwks_refresh_interval: '1s' }) });
  const good = await sign('EdDSA', PAIRS.ed, 'ed');
  for (const respond of Object.values(NONSENSE)) {
    const before = endpoint.requests;
    endpoint.respond = respond;
    assert.equal(await answer(server, await sign('ES256', PAIRS.p256, 'new')), 109);
    await until(() => endpoint.requests > before + 1, 'the endpoint to be asked again');
    assert.equal(await answer(server, good), 'alice');
  }
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const count = (result) => Number(metrics.match(
    new RegExp(`^carillon_jwks_fetches_total\\{section="client.token",result="${result}"\\} (\\d+)$`, 'm'))[1]);
  assert.equal(count('ok'), 1);
  assert.ok(count('failed') >= Object.keys(NONSENSE).length);
  const { port } = endpoint;
  await endpoint.stop();
  assert.equal(await answer(server, await sign('ES256', PAIRS.p256, 'new')), 109);
  assert.equal(await answer(server, good), 'alice');
  assert.equal(server.logs().filter((line) => /WARN .*no keys/.test(line)).length, 1);
  /* and it comes back, with another set */
  const again = http.createServer((_, response) => response.end(JSON.stringify({ keys: [jwk(PAIRS.p384, { kid: 'new' })] })));
  again.listen(port, '127.0.0.1');
  await server.waitLog(/INFO .*keys fetched again/);
  assert.equal(await answer(server, await sign('ES384', PAIRS.p384, 'new')), 'alice');
  assert.equal(await answer(server, good), 109);
  await server.stop();
  again.closeAllConnections();
  again.close();
});

test('without any keys yet tokens are good later, and the server starts and stops in time', async () => {
  const endpoint = await Endpoint.start();
  const answers = [];
  endpoint.respond = (response) => answers.push(response); /* never */
  const server = await startServer({ config: configWith(fast(endpoint)) });
  assert.equal(await answer(server, await sign('ES256', PAIRS.p256, 'p256')), 109);
  const start = performance.now();
  await server.stop();
  assert.ok(performance.now() - start < 4000, 'it does not wait for the endpoint');
  await endpoint.stop();
});

test('chunks, and a body until the end, are read', async () => {
  const endpoint = await Endpoint.start();
  const text = JSON.stringify(SET);
  endpoint.respond = (response) => { response.write(text.slice(0, 100)); response.end(text.slice(100)); };
  const token = await sign('PS384', PAIRS.rsa, 'rsa');
  assert.match((await check(token, fast(endpoint))).stdout, /^good/);
  endpoint.respond = (response) => {
    response.shouldKeepAlive = false;
    response.removeHeader('Transfer-Encoding');
    response.useChunkedEncodingByDefault = false;
    response.writeHead(200);
    response.end(text);
  };
  assert.match((await check(token, fast(endpoint))).stdout, /^good/);
  await endpoint.stop();
});

test('token check says when there is no endpoint', async () => {
  const endpoint = await Endpoint.start();
  await endpoint.stop();
  const { code, stderr } = await check(await sign('ES256', PAIRS.p256, 'p256'), fast(endpoint));
  assert.match(stderr, /jwks_public_endpoint: no connection/);
  assert.equal(code, 1);
});

/* --- TLS --- */

let certificate;
before(() => {
  const key = temporaryFile('key.pem', '');
  const cert = path.join(path.dirname(key), 'cert.pem');
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-keyout', key, '-out', cert, '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
    { stdio: 'ignore' });
  certificate = { key: fs.readFileSync(key), cert: fs.readFileSync(cert), file: cert };
});

test('an https endpoint must have a certificate that is trusted, for its name', async () => {
  const endpoint = await Endpoint.start((handler) => https.createServer(certificate, handler));
  const token = await sign('RS512', PAIRS.rsa, 'rsa');
  const ask = (host, env) => runCarillon(
    ['token', 'check', token, '--config', fileWith({ jwks_public_endpoint: endpoint.url('https', host) })], { env });
  for (const host of ['127.0.0.1', 'localhost'])
    assert.match((await ask(host, { SSL_CERT_FILE: certificate.file })).stdout, /^good/);
  for (const [host, env] of [['127.0.0.1', {}], ['127.0.0.2', { SSL_CERT_FILE: certificate.file }]])
    assert.match((await ask(host, env)).stderr, host === '127.0.0.2' ? /no connection|not trusted/ : /not trusted/);
  await endpoint.stop();
});
