/* The HTTP API: publish, broadcast and info, its keys and its refusals; and how HTTP itself behaves. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openConfig, startServer } from './helpers/server.mjs';
import { connect } from './helpers/protocol.mjs';
import { assertRests } from './helpers/process.mjs';
import { RawSocket } from './helpers/rawsocket.mjs';
import { api } from './helpers/http.mjs';

const KEY = 'http-test-key';
const METHODS = ['publish', 'broadcast', 'presence', 'presence_stats', 'history', 'history_remove', 'info', 'batch'];
let server;
let slowBody; /* lasts as long as the server's deadline: it begins first */

before(async () => {
  server = await startServer({
    config: {
      client: openConfig.client,
      channel: { ...openConfig.channel, namespaces: [{ name: 'closed' }] },
      http_api: { key: KEY },
      health: { enabled: true },
    },
  });
  slowBody = stall().catch((error) => error);
});
after(() => server.stop());

/* A body that never comes to its end, one byte now and then. */
async function stall() {
  const raw = await RawSocket.open(server.port);
  raw.write(request('publish', '', { 'Content-Length': 1000 }));
  const drip = setInterval(() => !raw.isOver && raw.write('{'), 1000);
  try {
    await raw.ended(15000);
  } finally {
    clearInterval(drip);
    raw.destroy();
  }
}

function request(method, body, headers = {}) {
  const all = {
    Host: '127.0.0.1', 'X-API-Key': KEY, 'Content-Length': Buffer.byteLength(body), ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST /api/${method} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
}

const publish = (data, channel = 'c') => JSON.stringify({ channel, data });
const ok = (method, body, options) => api(server, method, body, { key: KEY, ...options });

async function subscriber(...channels) {
  const client = await connect(server);
  for (const channel of channels)
    await client.subscribe(channel);
  return client;
}

/* --- methods ----------------------------------------------------------------------------------- */

test('publish reaches subscribers, without info, and answers an empty result', async () => {
  const client = await subscriber('api-1');
  const answer = await ok('publish', { channel: 'api-1', data: { n: 1 } });
  assert.equal(answer.status, 200);
  assert.equal(answer.text, '{"result":{}}');
  assert.match(answer.type, /^application\/json/);
  assert.deepEqual(await client.push(), { channel: 'api-1', pub: { data: { n: 1 } } });
});

test('publish needs no permission of the namespace', async () => {
  assert.equal((await ok('publish', { channel: 'closed:x', data: 1 })).text, '{"result":{}}');
});

test('broadcast reaches every channel and answers for each in order', async () => {
  const client = await subscriber('b-1', 'b-2');
  const answer = await ok('broadcast', { channels: ['b-1', 'nobody:x', 'b-2'], data: 'hi' });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json, {
    result: {
      responses: [{ result: {} }, { error: { code: 102, message: 'unknown channel' } }, { result: {} }],
    },
  });
  const channels = [await client.push(), await client.push()].map(({ channel, pub }) => `${channel} ${pub.data}`);
  assert.deepEqual(channels.sort(), ['b-1 hi', 'b-2 hi']);
});

test('info describes the node', async () => {
  await subscriber('info-1', 'info-2');
  const { status, json } = await ok('info', {});
  assert.equal(status, 200);
  assert.equal(json.result.nodes.length, 1);
  const [node] = json.result.nodes;
  assert.ok(node.uid && node.name && node.version, JSON.stringify(node));
  for (const counter of ['num_clients', 'num_users', 'num_subs', 'num_channels', 'uptime'])
    assert.equal(typeof node[counter], 'number', counter);
  assert.ok(node.num_clients >= 1 && node.num_subs >= 2, JSON.stringify(node));
});

const REFUSED = [
  ['an unknown namespace', 'publish', { channel: 'nobody:x', data: 1 }, 102, 'unknown channel', 404],
  ['no channel', 'publish', { data: 1 }, 107, 'bad request', 400],
  ['an empty channel', 'publish', { channel: '', data: 1 }, 107, 'bad request', 400],
  ['a channel of 256 bytes', 'publish', { channel: 'n'.repeat(256), data: 1 }, 107, 'bad request', 400],
  ['a channel outside ASCII', 'publish', { channel: 'caf\u00e9', data: 1 }, 107, 'bad request', 400],
  ['no data', 'publish', { channel: 'c' }, 107, 'bad request', 400],
  ['broken base64', 'publish', { channel: 'c', b64data: '*' }, 107, 'bad request', 400],
  ['no channels', 'broadcast', { data: 1 }, 107, 'bad request', 400],
  ['an empty list of channels', 'broadcast', { channels: [], data: 1 }, 107, 'bad request', 400],
  ['a broadcast without data', 'broadcast', { channels: ['c'] }, 107, 'bad request', 400],
];

test('what cannot be done is answered with the error in a 200, or in transport mode by status', async (t) => {
  for (const [name, method, body, code, message, status] of REFUSED)
    await t.test(name, async () => {
      const plain = await ok(method, body);
      assert.equal(plain.status, 200);
      assert.deepEqual(Object.keys(plain.json), ['error']);
      assert.equal(plain.json.error.code, code);
      assert.ok(plain.json.error.message.startsWith(message), plain.json.error.message); /* then why */
      const strict = await ok(method, body, { headers: { 'X-Centrifugo-Error-Mode': 'transport' } });
      assert.equal(strict.status, status);
      assert.deepEqual(strict.json, plain.json);
    });
});

/* --- who and how ------------------------------------------------------------------------------- */

test('the key is taken in three ways', async () => {
  const body = publish(1);
  for (const options of [{ key: KEY }, { headers: { Authorization: `apikey ${KEY}` } },
                         { query: `?api_key=${KEY}` }])
    assert.equal((await api(server, 'publish', body, options)).status, 200, JSON.stringify(options));
});

test('without the right key the answer is 401, whatever the method', async () => {
  const bad = [{}, { key: '' }, { key: 'wrong' }, { key: `${KEY}x` }, { key: KEY.slice(0, -1) },
               { headers: { Authorization: KEY } }, { headers: { Authorization: `Bearer ${KEY}` } },
               { query: '?api_key=wrong' }, { query: `?api_keyx=${KEY}` }];
  for (const options of bad)
    for (const method of [...METHODS, 'nothing'])
      assert.equal((await api(server, method, '{}', options)).status, 401, JSON.stringify(options));
});

test('a server without a key refuses everybody, an insecure one nobody', async () => {
  const [keyless, insecure] = await Promise.all([
    startServer({ workers: 1 }),
    startServer({ workers: 1, config: { http_api: { insecure: true } } }),
  ]);
  const refused = await api(keyless, 'publish', publish(1), { key: '' });
  assert.ok([401, 404].includes(refused.status), `answered ${refused.status}`);
  assert.equal((await api(insecure, 'publish', publish(1))).status, 200);
  await Promise.all([keyless.stop(), insecure.stop()]);
});

test('an unknown method is 404 with the list of methods', async () => {
  const { status, text } = await ok('nothing', '{}');
  assert.equal(status, 404);
  for (const method of METHODS)
    assert.ok(text.includes(method), text);
});

test('other methods than POST are 405', async () => {
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const response = await fetch(`${server.url}/api/publish`, { method, headers: { 'X-API-Key': KEY } });
    assert.equal(response.status, 405, method);
    await response.arrayBuffer();
  }
});

test('unreadable JSON is 400 and says where', async (t) => {
  const bodies = [['empty', ''], ['text', 'hello'], ['truncated', '{"channel":"c","data":'],
                  ['a trailing comma', '{"channel":"c","data":1,}'], ['two values', '{} {}'],
                  ['a broken payload', '{"channel":"c","data":{]}'], ['not UTF-8', '{"channel":"c","data":"\xff"}'],
                  ['600 open brackets', '['.repeat(600)]];
  for (const [name, body] of bodies)
    await t.test(name, async () => {
      const raw = await RawSocket.open(server.port);
      raw.write(Buffer.from(request('publish', '', { 'Content-Length': Buffer.byteLength(body, 'latin1') })),
        Buffer.from(body, 'latin1'));
      const { status, text } = await raw.response();
      assert.equal(status, 400);
      if (body !== '')
        assert.match(text, /\d/, 'the position');
      raw.destroy();
    });
});

test('JSON of the wrong shape is refused with 400 or error 107', async () => {
  const bodies = ['[]', '"x"', '{"channel":5,"data":1}', '{"channel":"a","channel":"b","data":1}',
                  '{"channel":"c","data":1,"tags":[]}'];
  for (const body of bodies) {
    const { status, json } = await ok('publish', body);
    assert.ok(status === 400 || json?.error?.code === 107, `${body}: ${status} ${JSON.stringify(json)}`);
  }
});

test('a chunked body is 411', async () => {
  const raw = await RawSocket.open(server.port);
  raw.write(request('publish', '', { 'Content-Length': null, 'Transfer-Encoding': 'chunked' }),
    `5\r\nhello\r\n0\r\n\r\n`);
  assert.equal((await raw.response()).status, 411);
});

test('a body without length is refused', async () => {
  const raw = await RawSocket.open(server.port);
  raw.write(request('publish', '', { 'Content-Length': null }));
  assert.ok([400, 411].includes((await raw.response()).status));
});

test('bad lengths are refused', async (t) => {
  for (const length of ['-1', 'x', '18446744073709551616', '99999999999999999999999'])
    await t.test(length, async () => {
      const raw = await RawSocket.open(server.port);
      raw.write(request('publish', '', { 'Content-Length': length }));
      const response = await raw.response({ limitMs: 8000 });
      assert.ok(response === null || [400, 411, 413].includes(response.status), `${response?.status}`);
      raw.destroy();
    });
});

test('a length and chunked together are refused', async () => {
  const raw = await RawSocket.open(server.port);
  raw.write(request('publish', publish(1), { 'Transfer-Encoding': 'chunked' }));
  assert.ok([400, 411].includes((await raw.response()).status));
});

test('too much is 413: a body over the limit, and a publication over a quarter of the queue', async () => {
  const limit = 262144; /* a quarter of client.queue_max_size, 1 MiB */
  assert.equal((await ok('publish', publish('x'.repeat(limit * 0.95)))).status, 200);
  assert.equal((await ok('publish', publish('x'.repeat(limit + 1)))).status, 413);
  const raw = await RawSocket.open(server.port);
  raw.write(request('publish', '', { 'Content-Length': 64 * 1024 * 1024 }));
  assert.equal((await raw.response()).status, 413); /* before the body is sent */
  raw.destroy();
});

/* --- HTTP -------------------------------------------------------------------------------------- */

test('Expect: 100-continue is answered, or refused with 417', async () => {
  const raw = await RawSocket.open(server.port);
  const body = publish('expected');
  raw.write(request('publish', '', { 'Content-Length': body.length, Expect: '100-continue' }));
  const first = await raw.response();
  assert.ok([100, 417].includes(first.status), `answered ${first.status}`);
  if (first.status === 100) {
    raw.write(body);
    assert.equal((await raw.response()).status, 200);
  }
});

test('requests on one connection are answered one after the other', async () => {
  const client = await subscriber('keep-alive');
  const raw = await RawSocket.open(server.port);
  for (let i = 0; i < 3; i++) {
    raw.write(request('publish', publish(i, 'keep-alive')));
    assert.equal((await raw.response()).text, '{"result":{}}');
    assert.equal((await client.push()).pub.data, i);
  }
  raw.destroy();
});

/* Sends all requests at once. When an answer says `Connection: close` the server has not looked at the
 * rest (RFC 9112, 9.3 and 9.6), which is sent again on a new connection. */
async function pipeline(requests) {
  const statuses = [];
  while (statuses.length < requests.length) {
    const raw = await RawSocket.open(server.port);
    raw.write(requests.slice(statuses.length).join(''));
    let response = await raw.response();
    assert.notEqual(response, null, 'the first request of a connection is answered');
    for (; response; response = await raw.response()) {
      statuses.push(response.status);
      if (response.headers.get('connection') === 'close' || statuses.length === requests.length)
        break;
    }
    assert.ok(response, 'a connection ends only after `Connection: close`');
    raw.destroy();
  }
  return statuses;
}

test('pipelined requests are answered in order, and each is done once', async () => {
  const client = await subscriber('pipe');
  const get = 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n';
  const statuses = await pipeline([request('publish', publish(1, 'pipe')), get, request('publish', publish(2, 'pipe')),
                                   request('nothing', '{}'), get, request('publish', publish(3, 'pipe'))]);
  assert.deepEqual(statuses, [200, 200, 200, 404, 200, 200]);
  for (const n of [1, 2, 3])
    assert.equal((await client.push()).pub.data, n);
  assert.equal(client.pending, 0);
});

test('a body behind another request in one segment does not stop a worker', async (t) => {
  const get = 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n';
  const rows = [
    ['a publish', request('publish', publish(1))],
    ['a publish without key', request('publish', '{}', { 'X-API-Key': 'x' })],
    ['a GET with a body', get.replace('\r\n\r\n', '\r\nContent-Length: 2\r\n\r\nxx')],
    ['a POST to nowhere', request('publish', '{}').replace('/api/publish', '/nowhere')],
  ];
  const config = { health: { enabled: true }, http_api: { key: KEY } };
  for (const [name, bytes] of rows)
    await t.test(name, async () => {
      const one = await startServer({ workers: 1, config });
      const raw = await RawSocket.open(one.port);
      raw.write(get + bytes + get);
      assert.equal((await raw.response()).status, 200);
      await raw.response(); /* the second, or the end */
      raw.destroy();
      const probe = await RawSocket.open(one.port);
      probe.write(get);
      assert.equal((await probe.response()).status, 200);
      probe.destroy();
      await one.stop();
    });
});

test('a body in small pieces is read', async () => {
  const raw = await RawSocket.open(server.port);
  await raw.writeSlowly(request('publish', publish('slow')), 7);
  assert.equal((await raw.response()).text, '{"result":{}}');
});

test('a client that goes away inside its body harms nobody', async () => {
  const raw = await RawSocket.open(server.port);
  raw.write(request('publish', '{"chan', { 'Content-Length': 500 }));
  raw.destroy();
  assert.equal((await ok('publish', publish(1))).status, 200);
});

test('100 publishes at once all arrive', async () => {
  const client = await subscriber('burst');
  const all = Array.from({ length: 100 }, (_, i) => ok('publish', { channel: 'burst', data: i }));
  assert.ok((await Promise.all(all)).every(({ status }) => status === 200));
  const seen = [];
  for (let i = 0; i < 100; i++)
    seen.push((await client.push()).pub.data);
  assert.deepEqual(seen.sort((a, b) => a - b), Array.from({ length: 100 }, (_, i) => i));
});

test('a body that trickles in for ever is cut off', async () => {
  assert.equal(await slowBody, undefined); /* else: still open after 15 s */
});

test('after all this nothing spins', () => assertRests(server, Infinity));
