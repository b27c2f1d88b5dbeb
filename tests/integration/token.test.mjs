/* Connection tokens from outside: those of npm `jose` and `jsonwebtoken`, of `carillon token`, and of the
 * examples in docs/auth.md, judged by `carillon token check` and by a server; and forged ones.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Centrifuge, UnauthorizedError } from 'centrifuge';
import { jwtVerify, SignJWT } from 'jose';
import jsonwebtoken from 'jsonwebtoken';
import WebSocket from 'ws';
import { binary, openChannels, root, runCarillon, startServer, temporaryFile, within } from './helpers/server.mjs';
import { Client, connect } from './helpers/protocol.mjs';

const SECRET = 'a secret of at least 64 bytes, which is what HS512 should have: ok';
const KEY = Buffer.from(SECRET);
const ENV = { CARILLON_CLIENT_TOKEN_HMAC_SECRET_KEY: SECRET };
const HMAC = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' };
const ALGORITHMS = Object.keys(HMAC);
const INFO = { name: 'Al', n: 1.5, list: [null, 'é'] };
const CLAIMS = { sub: 'alice', info: INFO, channels: ['news', 'chat'] };
const now = () => Math.floor(Date.now() / 1000);

const config = { client: { token: { hmac_secret_key: SECRET } }, channel: { without_namespace: openChannels } };
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' });

let server;
const refused = []; /* tokens that must not be in the log */
before(async () => (server = await startServer({ config, args: ['--log-level', 'debug'] })));
after(() => server.stop());

const MAKERS = {
  jose: (claims, alg, key = KEY) => new SignJWT(claims).setProtectedHeader({ alg }).sign(key),
  jsonwebtoken: (claims, algorithm, key = SECRET) =>
    jsonwebtoken.sign(claims, key, { algorithm, noTimestamp: true, allowInsecureKeySizes: true }),
};

const encode = (value) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/* By hand, for what no library signs. */
function forge(header, claims, { alg = 'HS256', secret = SECRET } = {}) {
  const text = `${encode(header)}.${encode(claims)}`;
  return `${text}.${createHmac(HMAC[alg], secret).update(text).digest('base64url')}`;
}

const check = (token, env = ENV) => runCarillon(['token', 'check', token], { env });

/* What the server says: { connect } or { error }, or { closed }. */
async function answer(token) {
  const client = await Client.open(server);
  const arrival = client.reply(1);
  client.send(JSON.stringify({ id: 1, connect: { token } }));
  const line = await arrival;
  if (line === null)
    return { closed: await client.closed() };
  client.terminate();
  return JSON.parse(line);
}

/* --- good ones --- */

const good = { alg: 'HS256', typ: 'JWT' };
const INVALID_TOKEN = { closed: { code: 3500, reason: 'invalid token' } };

for (const [maker, make] of Object.entries(MAKERS))
  for (const alg of ALGORITHMS)
    test(`a token of ${maker} with ${alg} is good`, async () => {
      const token = await make({ ...CLAIMS, exp: now() + 100 }, alg);
      const { code, stdout } = await check(token);
      assert.match(stdout, /^good\nuser +alice\nexpires +\d+ = 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\nclaims +\{.*\}\n$/);
      assert.equal(code, 0);
      const client = await connect(server, { connect: { token } });
      assert.ok(client.info.expires && client.info.ttl > 90 && client.info.ttl <= 100);
      assert.deepEqual(Object.keys(client.info.subs).sort(), ['chat', 'news']);
      await client.publish('news', 1);
      const { pub } = await client.push();
      assert.equal(pub.info.user, 'alice');
      assert.deepEqual(pub.info.conn_info, INFO);
      await client.close();
    });

test('a token without an end and without a user gives a connection like that', async () => {
  const token = await MAKERS.jose({}, 'HS256');
  assert.match((await check(token)).stdout, /^good\nuser +\(anonymous\)\nclaims +\{\}\n$/);
  const { connect: info } = await answer(token);
  assert.equal(info.expires, undefined);
  assert.equal(info.subs, undefined);
});

test('info is passed on byte for byte, on one line', async () => {
  const info = '{ "big": 123456789012345678901234567890, "huge": 1e400,\r\n "twice": 1, "twice": "\\u00e9\\/" }';
  const token = forge({ alg: 'HS256' }, `{"sub":"a","channels":["news"],"info":${info}}`);
  const client = await connect(server, { connect: { token } });
  await client.publish('news', 1);
  assert.ok((await client.pushText()).includes(`"conn_info":${info.replace('\r\n', '')}`));
  await client.close();
});

test('a subscription token is checked as one, and made', async () => {
  const { code, stdout } = await check(forge(good, { sub: 'al', channel: 'news', channels: [], exp: now() + 100 }));
  assert.match(stdout, /^good\nuser +al\nchannel +news\nexpires .*\nclaims .*\nignored +channels\n$/);
  assert.equal(code, 0);
  assert.match((await check(forge(good, { channel: 'nowhere:a' }))).stdout, /^invalid: .*unknown namespace/);
  assert.match((await check(forge(good, { channel: 7 }))).stdout, /^invalid: channel is not a string/);
  assert.deepEqual(await answer(forge(good, { ...CLAIMS, channel: 'news' })), INVALID_TOKEN);
  const made = (await make(['--user', 'al', '--subscription', 'chat'])).stdout.trim();
  const { payload } = await jwtVerify(made, KEY);
  assert.deepEqual([payload.sub, payload.channel, payload.channels], ['al', 'chat', undefined]);
  const own = {
    CARILLON_CLIENT_SUBSCRIPTION_TOKEN_ENABLED: 'true',
    CARILLON_CLIENT_SUBSCRIPTION_TOKEN_HMAC_SECRET_KEY: 'a key of more than 32 bytes for subscriptions',
  };
  const other = (await make(['--user', 'al', '--subscription', 'chat'], { ...ENV, ...own })).stdout.trim();
  await assert.rejects(jwtVerify(other, KEY));
  assert.match((await check(other, { ...ENV, ...own })).stdout, /^good\nuser +al\nchannel +chat\n/);
  assert.match((await check(made, { ...ENV, ...own })).stdout, /^invalid: the signature is wrong/);
  assert.equal((await make(['--user', 'al', '--subscription', ''])).code, 1);
});

test('claims that mean nothing here are named by check', async () => {
  const token = forge({ alg: 'HS256' }, '{"sub":"a","aud":"x","labels":{},"\\u001b[31m":"\x9b"}');
  const { stdout } = await check(token);
  assert.match(stdout, /^good\n/);
  assert.match(stdout, /^ignored +labels \\x1b\[31m$/m);
  assert.doesNotMatch(stdout, /[^\x20-\x7e\n]/);
});

/* --- bad ones --- */

const INVALID = { /* name: [token, what check says] */
  'signed with another key': () => [forge(good, CLAIMS, { secret: 'other' }), /signature is wrong/],
  'alg none, of jsonwebtoken': () => [jsonwebtoken.sign({ sub: 'a' }, '', { algorithm: 'none' }), /two dots/],
  'alg none, with a signature': () => [forge({ alg: 'none' }, CLAIMS), /alg in the header/],
  'alg NoNe, with a signature': () => [forge({ alg: 'NoNe' }, CLAIMS), /alg in the header/],
  'RS256': async () => [await MAKERS.jose(CLAIMS, 'RS256', rsa.privateKey), /alg in the header/],
  'PS512': async () => [await MAKERS.jose(CLAIMS, 'PS512', rsa.privateKey), /alg in the header/],
  'ES256': async () => [await MAKERS.jose(CLAIMS, 'ES256', ec.privateKey), /alg in the header/],
  'its own key in the header': () => [
    forge({ ...good, jwk: { kty: 'oct', k: encode('mine') } }, CLAIMS, { secret: 'mine' }), /signature is wrong/],
  'a public key as the secret': () => [forge(good, CLAIMS, { secret: pem }), /signature is wrong/],
  'the signature of another algorithm': () => [forge(good, CLAIMS, { alg: 'HS512' }), /as many bytes/],
  'crit': () => [forge({ ...good, crit: ['exp'], exp: 1 }, CLAIMS), /not supported/],
  'b64 false': () => [forge({ ...good, b64: false }, CLAIMS), /not supported/],
  'another typ': () => [forge({ ...good, typ: 'at+jwt' }, CLAIMS), /typ in the header/],
  'alg twice': () => [forge('{"alg":"HS256","alg":"HS256"}', CLAIMS), /different names/],
  'sub twice': () => [forge(good, '{"sub":"a","sub":"b"}'), /different names/],
  'padding': () => [`${forge(good, CLAIMS)}=`, /as many bytes/],
  'a byte above ASCII': () => [forge(good, CLAIMS).replace(/.$/, 'é'), /as many bytes/],
  'bits left over': () => [`${forge(good, CLAIMS).slice(0, -1)}B`, /as many bytes/],
  'a line end': () => [`${forge(good, CLAIMS)}\n`, /as many bytes/],
  'two parts': () => [forge(good, CLAIMS).split('.').slice(0, 2).join('.'), /two dots/],
  'five parts': () => [`${forge(good, CLAIMS)}.a.b`, /two dots/],
  'no token at all': () => ['x', /two dots/],
  'too long': () => [forge(good, { ...CLAIMS, info: 'x'.repeat(8192) }), /longer than 8192/],
  '60,000 dots': () => ['.'.repeat(60000), /longer than 8192/],
  'exp as a string': () => [forge(good, { ...CLAIMS, exp: '1999999999' }), /must be numbers/],
  'exp null': () => [forge(good, { ...CLAIMS, exp: null }), /must be numbers/],
  'exp in milliseconds': () => [forge(good, { ...CLAIMS, exp: Date.now() }), /must be numbers/],
  'exp too large': () => [forge(good, '{"exp":1e400}'), /must be numbers/],
  'sub as a number': () => [forge(good, { sub: 42 }), /sub is not a string/],
  'sub with an escape sequence': () => [forge(good, { sub: 'a\x1b[31m' }), /control characters/],
  'sub of 10 KB': () => [forge(good, { sub: 'x'.repeat(5000) }), /longer than 255/],
  'claims that are no object': () => [forge(good, '["sub"]'), /JSON object/],
};
const EXPIRED = {
  'exp in the past': () => [MAKERS.jsonwebtoken({ ...CLAIMS, exp: now() - 1 }, 'HS256'), /exp is in the past/],
  'exp now': () => [MAKERS.jsonwebtoken({ ...CLAIMS, exp: now() }, 'HS256'), /exp is in the past/],
  'nbf in the future': () => [MAKERS.jsonwebtoken({ ...CLAIMS, nbf: now() + 100 }, 'HS256'), /nbf is in the future/],
  'expire_at in the past': () => [forge(good, { ...CLAIMS, expire_at: now() - 1 }), /expire_at is in the past/],
};

function refuses(rows, word, expected) {
  for (const [name, make] of Object.entries(rows))
    test(`${word}: ${name}`, async () => {
      const [token, why] = await make();
      refused.push(token);
      const { code, stdout } = await check(token);
      assert.match(stdout.split('\n')[0], why);
      assert.ok(stdout.startsWith(`${word}: `), stdout);
      assert.equal(code, 1);
      assert.deepEqual(await answer(token), expected);
    });
}
refuses(INVALID, 'invalid', { closed: { code: 3500, reason: 'invalid token' } });
refuses(EXPIRED, 'expired', { id: 1, error: { code: 109, message: 'token expired' } });

test('the log says why, and holds no token', async () => {
  const lines = server.logs();
  assert.ok(lines.some((line) => /token refused .*fault="the signature is wrong/.test(line)));
  for (const token of refused.filter((one) => one.length > 10))
    for (const part of [token, token.split('.')[1], token.split('.')[2]])
      assert.ok(!part || part.length < 10 || !lines.some((line) => line.includes(part)), `the log holds ${part}`);
  assert.ok(!lines.some((line) => line.includes(SECRET)));
});

/* --- the SDK --- */

test('the SDK asks for a new token when the first one has expired', async (t) => {
  let asked = 0;
  const client = new Centrifuge(server.wsUrl, {
    websocket: WebSocket,
    token: await MAKERS.jose({ ...CLAIMS, exp: now() - 1 }, 'HS256'),
    minReconnectDelay: 20,
    maxReconnectDelay: 100,
    getToken: () => {
      asked++;
      return MAKERS.jose({ ...CLAIMS, exp: now() + 100 }, 'HS512');
    },
  });
  t.after(() => client.disconnect());
  client.connect();
  await within(5000, client.ready(), 'the SDK to connect');
  assert.equal(asked, 1);
});

test('the SDK stays connected over the end of its tokens', async (t) => {
  let asked = 0, lost = 0;
  let askedEnough;
  const enough = new Promise((resolve) => (askedEnough = resolve));
  const client = new Centrifuge(server.wsUrl, {
    websocket: WebSocket,
    getToken: () => {
      if (++asked === 3)
        askedEnough();
      return MAKERS.jose({ ...CLAIMS, exp: now() + 2 }, 'HS256');
    },
  });
  t.after(() => client.disconnect());
  client.connect();
  await within(5000, client.ready(), 'the SDK to connect');
  client.on('connecting', () => lost++);
  await within(15000, enough, () => `three tokens to be asked for, ${asked} were`);
  await client.publish('news', 1);
  assert.equal(lost, 0);
});

test('the SDK stops when the back end says that the user is logged out', async (t) => {
  const client = new Centrifuge(server.wsUrl, {
    websocket: WebSocket,
    getToken: () => Promise.reject(new UnauthorizedError('logged out')),
  });
  t.after(() => client.disconnect());
  const arrival = new Promise((resolve) => client.once('disconnected', resolve));
  client.connect();
  assert.equal((await within(5000, arrival, 'the SDK to stop')).code, 1);
});

/* --- carillon token --- */

const make = (args, env = ENV) => runCarillon(['token', ...args], { env });

test('carillon token makes what jose and jsonwebtoken verify', async () => {
  const { code, stdout } = await make(['--user', 'al"ice', '--channel', 'news', '--channel=chat',
    '--info', JSON.stringify(INFO), '--ttl', '90s']);
  assert.equal(code, 0);
  const { payload, protectedHeader } = await jwtVerify(stdout.trim(), KEY);
  assert.deepEqual(protectedHeader, { alg: 'HS256', typ: 'JWT' });
  assert.equal(payload.exp - payload.iat, 90);
  assert.ok(Math.abs(payload.iat - now()) < 60);
  delete payload.exp;
  delete payload.iat;
  assert.deepEqual(payload, { ...CLAIMS, sub: 'al"ice' });
  assert.equal(jsonwebtoken.verify(stdout.trim(), SECRET).sub, 'al"ice');
});

test('carillon token: an hour is the preset, 0 is for ever', async () => {
  const claims = async (...more) => jsonwebtoken.decode((await make(['--user', 'a', ...more])).stdout.trim());
  const hour = await claims();
  assert.equal(hour.exp - hour.iat, 3600);
  assert.equal((await claims('--ttl', '0')).exp, undefined);
});

test('the key comes from the file, the environment, or a file it names; never from the command line', async () => {
  const secretFile = temporaryFile('secret', `${SECRET}\n`);
  const configFile = temporaryFile('config.json', JSON.stringify(config));
  for (const [args, env] of [[['--config', configFile], {}], [[], ENV],
    [[], { CARILLON_CLIENT_TOKEN_HMAC_SECRET_KEY_FILE: secretFile }]]) {
    const { stdout } = await make(['--user', 'a', ...args], env);
    assert.equal((await jwtVerify(stdout.trim(), KEY)).payload.sub, 'a');
  }
  for (const name of ['--client.token.hmac_secret_key', '--secret']) {
    const { code, stdout, stderr } = await make(['--user', 'a', `${name}=${SECRET}`]);
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^carillon: command line: /);
    assert.ok(!stderr.includes(SECRET));
  }
  const { code, stderr } = await make(['--user', 'a'], {});
  assert.equal(code, 1);
  assert.match(stderr, /there is no key/);
});

test('carillon token makes nothing that the server would refuse', async () => {
  for (const [args, why] of [
    [['--user', 'x'.repeat(256)], /longer than 255 bytes/],
    [['--user', 'a\x1b'], /control characters/],
    [['--user', 'a', '--channel', ''], /empty/],
    [['--user', 'a', '--channel', 'nowhere:x'], /unknown namespace/],
    [['--user', 'a', '--info', '{'], /--info is not JSON/],
    [['--user', 'a', '--info', JSON.stringify('x'.repeat(8192))], /longer than 8192/],
    [['--user', 'a', '--ttl', '1'], /--ttl/],
    [['--user', 'a', '--ttl', '1500ms'], /--ttl/],
    [['--user', 'a', '--ttl'], /--ttl needs a value/],
    [['--user'], /--user needs a value/],
    [['alice'], /Usage/],
    [['check'], /Usage/],
    [['check', '--config', 'x'], /Usage/],
    [[], /Usage/],
  ]) {
    const { code, stdout, stderr } = await make(args);
    assert.deepEqual([code, stdout], [1, ''], args.join(' '));
    assert.match(stderr, why);
  }
  const strict = { ...ENV, CARILLON_CLIENT_DISALLOW_ANONYMOUS_CONNECTION_TOKENS: 'true' };
  assert.match((await make(['--user', ''], strict)).stderr, /names no user/);
  assert.equal((await make(['--help'])).code, 0);
});

/* A command's output, with input on stdin. */
function run(command, args, { env = {}, input = '' } = {}) {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('CARILLON_'));
  return spawnSync(command, args, { env: { ...Object.fromEntries(kept), ...env }, input, encoding: 'utf8', timeout: 120000 });
}

test('carillon token check reads from stdin, too', async () => {
  const token = await MAKERS.jose({ sub: 'bob' }, 'HS384');
  for (const [input, first] of [[`${token}\n`, 'good'], [token, 'good'], ['', 'invalid: '],
    [`${'x'.repeat(100000)}\n`, 'invalid: it is longer than 8192 bytes']]) {
    const { stdout } = run(binary, ['token', 'check', '-'], { env: ENV, input });
    assert.ok(stdout.startsWith(first), stdout);
  }
});

/* --- docs/auth.md --- */

const LANGUAGES = {
  js: ['node', 'token.mjs', (file) => [file]],
  python: ['python3', 'token.py', (file) => [file]],
  php: ['php', 'token.php', (file) => [file]],
  go: ['go', 'main.go', (file) => ['run', file]],
};
const manual = fs.readFileSync(path.join(root, 'docs/auth.md'), 'utf8');

for (const [language, [command, name, args]] of Object.entries(LANGUAGES))
  test(`the example for ${language} in docs/auth.md makes good tokens`, async (t) => {
    const blocks = [...manual.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))];
    assert.equal(blocks.length, 1);
    const result = run(command, args(temporaryFile(name, blocks[0][1])), { env: { TOKEN_SECRET: SECRET } });
    if (result.error?.code === 'ENOENT')
      return t.skip(`${command} is not installed`);
    assert.equal(result.status, 0, result.stderr);
    const token = result.stdout.trim();
    const { payload } = await jwtVerify(token, KEY);
    assert.ok(Math.abs(payload.exp - now() - 3600) < 120);
    assert.deepEqual([payload.sub, payload.info], ['alice', { name: 'Alice' }]);
    assert.match((await check(token)).stdout, /^good\nuser +alice\n/);
  });
