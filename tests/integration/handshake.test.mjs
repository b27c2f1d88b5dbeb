/* The handshake table: each row sends exact bytes and must get exactly its status; after each row the
 * server must still answer. `closed` means the connection ends without an answer or with a 4xx.
 *
 * A bare LF as line end and a space before a header's colon are accepted by libwebsockets
 * (docs/protocol.md), so those two rows allow 101 and 400.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openConfig, startServer } from './helpers/server.mjs';
import { assertRests, openFiles } from './helpers/process.mjs';
import { ACCEPT, KEY, RawSocket, RawWebSocket, upgradeRequest } from './helpers/rawsocket.mjs';
import { text } from './helpers/wsframes.mjs';

let server; /* no allowed_origins: every Origin is refused */
let originServer;
let files;
let folds; /* rows that may last until the header deadline of 10 s: they begin first */

const ws = (headers, rest = {}) => upgradeRequest({ headers, ...rest });
const many = (count, line) => Array.from({ length: count }, (_, i) => line(i)).join('');

before(async () => {
  const origins = { ...openConfig.client, allowed_origins: ['https://app.example', 'http://*.dev.example'] };
  [server, originServer] = await Promise.all([
    startServer({ workers: 1, config: { ...openConfig, health: { enabled: true } } }),
    startServer({ config: { ...openConfig, client: origins } }),
  ]);
  files = openFiles(server);
  const list = [
    ['a folded header', ws({ 'X-Folded': 'a\r\n b' })],
    ['NUL in a header', ws({ 'X-Nul': 'a\0b' })],
    ['a head that never ends', 'GET / HTTP/1.1\r\nHost: x\r\nX-Slow: '],
    ['no byte at all', ''],
  ];
  folds = list.map(([name, bytes]) => [name, endOf(bytes).catch((error) => ({ error }))]);
});
after(() => Promise.all([server.stop(), originServer.stop()]));

async function endOf(bytes) {
  const raw = await RawSocket.open(server.port);
  raw.write(bytes);
  await raw.ended(11500);
  raw.destroy();
  return { bytes: raw.bytes.toString('latin1') };
}

const GET = 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n';

/* On a new connection; the server has one worker, so none can be stuck unseen. */
async function alive() {
  const { status } = await statusOf(GET);
  assert.equal(status, 200);
}

/* The status line's number, 'closed' for an end without one. */
async function statusOf(bytes, { on = server, pieces } = {}) {
  const raw = await RawSocket.open(on.port);
  try {
    if (pieces)
      await raw.writeSlowly(bytes, pieces);
    else
      raw.write(bytes);
    const response = await raw.response();
    return { status: response?.status ?? 'closed', response };
  } finally {
    raw.destroy();
  }
}

function rows(title, list) {
  test(title, async (t) => {
    for (const [name, expected, bytes, options] of list)
      await t.test(name, async () => {
        const { status } = await statusOf(bytes, options);
        assert.ok([expected].flat().includes(status), `answered ${status}, expected ${expected}`);
        await alive();
      });
  });
}

test('a good request is switched to WebSocket with the right accept value', async () => {
  const { status, response } = await statusOf(ws());
  assert.equal(status, 101);
  assert.equal(response.headers.get('upgrade').toLowerCase(), 'websocket');
  assert.match(response.headers.get('connection'), /^upgrade$/i);
  assert.equal(response.headers.get('sec-websocket-accept'), ACCEPT);
  assert.equal(response.headers.has('sec-websocket-protocol'), false);
  assert.equal(response.headers.has('sec-websocket-extensions'), false);
});

test('426 names the version that is spoken', async () => {
  const { status, response } = await statusOf(ws({ 'Sec-WebSocket-Version': '12' }));
  assert.equal(status, 426);
  assert.equal(response.headers.get('sec-websocket-version'), '13');
});

test('a refusal says why in its body', async () => {
  const { response } = await statusOf(ws({ 'Sec-WebSocket-Key': 'short' }));
  assert.equal(response.status, 400);
  assert.ok(response.text.trim().length > 0);
});

rows('good handshakes', [
  ['several connection tokens', 101, ws({ Connection: 'keep-alive, Upgrade' })],
  ['WebSocket in other case', 101, ws({ Upgrade: 'WebSocket' })],
  ['WEBSOCKET in capitals', 101, ws({ Upgrade: 'WEBSOCKET' })],
  ['upgrade in small letters', 101, ws({ Connection: 'upgrade' })],
  ['header names in other case', 101, ws({ 'Sec-WebSocket-Key': null, 'SEC-WEBSOCKET-KEY': KEY })],
  ['an unknown query', 101, ws({}, { path: '/connection/websocket?cf_protocol_version=v2&x=%20' })],
  ['the subprotocol we speak', 101, ws({ 'Sec-WebSocket-Protocol': 'centrifuge-json' })],
  ['one byte at a time', 101, ws(), { pieces: 1 }],
  ['a URI of 3,000 bytes', 101, ws({}, { path: `/connection/websocket?x=${'u'.repeat(2976)}` })],
  ['100 headers', 101, upgradeRequest({ extra: many(100, (i) => `X-H${i}: v\r\n`) })],
  ['extensions that we do not speak', 101, ws({ 'Sec-WebSocket-Extensions': 'x-webkit-deflate-frame, foo; bar=1' })],
]);

const REFUSED = [
  ['version 12', 426, ws({ 'Sec-WebSocket-Version': '12' })],
  ['version 14', 426, ws({ 'Sec-WebSocket-Version': '14' })],
  ['no version', 426, ws({ 'Sec-WebSocket-Version': null })],
  ['no Host', 400, ws({ Host: null })],
  ['POST', 405, ws({}, { method: 'POST' })],
  ['PUT', 405, ws({}, { method: 'PUT' })],
  ['HTTP/1.0', 505, ws({}, { version: 'HTTP/1.0' })],
  ['a short key', 400, ws({ 'Sec-WebSocket-Key': 'c2hvcnQ=' })],
  ['a key that is not base64', 400, ws({ 'Sec-WebSocket-Key': '!!!!!!!!!!!!!!!!!!!!!!==' })],
  ['an empty key', 400, ws({ 'Sec-WebSocket-Key': '' })],
  ['no key', 400, ws({ 'Sec-WebSocket-Key': null })],
  ['two keys', 400, ws({ 'Sec-WebSocket-Key': [KEY, KEY] })],
  ['a key of 300 bytes', 400, ws({ 'Sec-WebSocket-Key': 'A'.repeat(300) })],
  ['Connection without Upgrade', 400, ws({ Connection: 'keep-alive' })],
  ['no Connection', 400, ws({ Connection: null })],
  ['Content-Length', 400, ws({ 'Content-Length': '5' }) + 'hello'],
  ['Content-Length 0', [400, 101], ws({ 'Content-Length': '0' })],
  ['Transfer-Encoding', 400, ws({ 'Transfer-Encoding': 'chunked' }) + '0\r\n\r\n'],
  ['h2c', 400, ws({ Upgrade: 'h2c', Connection: 'Upgrade, HTTP2-Settings', 'HTTP2-Settings': 'AAMAAABkAAQAAP__' })],
  ['another Upgrade token', 400, ws({ Upgrade: 'foo' })],
  ['another Upgrade token on another path', [400, 404], ws({ Upgrade: 'foo' }, { path: '/' })],
  ['an empty Upgrade', 400, ws({ Upgrade: '' })],
  ['a plain GET of the WebSocket path', [400, 426], 'GET /connection/websocket HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['another path', 404, ws({}, { path: '/connection/elsewhere' })],
  ['a longer path', 404, ws({}, { path: '/connection/websocket/more' })],
  ['any Origin, none being configured', 403, ws({ Origin: 'https://app.example' })],
  ['the null Origin', 403, ws({ Origin: 'null' })],
  ['an unknown subprotocol', ['closed', 400], ws({ 'Sec-WebSocket-Protocol': 'soap' })],
  ['the Protobuf subprotocol, which is not spoken', ['closed', 400], ws({ 'Sec-WebSocket-Protocol': 'centrifuge-protobuf' })],
  ['a URI of 5,000 bytes', ['closed', 400, 414, 431], ws({}, { path: `/connection/websocket?x=${'u'.repeat(4976)}` })],
  ['1,000 headers', ['closed', 400, 431], upgradeRequest({ extra: many(1000, (i) => `X-H${i}: v\r\n`) })],
  ['one header of 10 KB', ['closed', 400, 431], ws({ 'X-Big': 'b'.repeat(10000) })],
  ['the HTTP/2 preface', [400, 403, 404, 405, 'closed'], 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['a method that is none', ['closed', 400, 403, 404, 405, 501], 'FROB / HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['binary garbage', ['closed', 400], Buffer.from(Array.from({ length: 256 }, (_, i) => i ^ 0x95))],
  ['a TLS hello', ['closed', 400], Buffer.from('16030100c8010000c40303' + '5a'.repeat(190), 'hex')],
  ['a bare LF after each line', [101, 400, 'closed'], ws().replaceAll('\r\n', '\n')],
  ['a space before a colon', [101, 400, 'closed'], ws().replace('Version:', 'Version :')],
];
rows('refused handshakes', REFUSED);

/* Later requests of a connection take another way through the server than the first: the status may be
 * another one, but what is refused there is refused here. */
async function secondStatus(bytes, isPipelined) {
  const raw = await RawSocket.open(server.port);
  try {
    raw.write(isPipelined ? Buffer.concat([Buffer.from(GET), Buffer.from(bytes)]) : GET);
    assert.equal((await raw.response())?.status, 200);
    if (!isPipelined)
      raw.write(bytes);
    return (await raw.response())?.status ?? 'closed';
  } finally {
    raw.destroy();
  }
}

for (const [title, isPipelined] of [['after', false], ['in one segment with', true]])
  test(`refused just so ${title} a good request on the same connection`, async (t) => {
    for (const [name, expected, bytes] of REFUSED)
      await t.test(name, async () => {
        const status = await secondStatus(bytes, isPipelined);
        const isRefused = status === 'closed' || status >= 400;
        assert.ok(isRefused || [expected].flat().includes(status), `answered ${status}`);
        await alive();
      });
    await t.test('a GET with a body', async () => {
      const status = await secondStatus(GET.replace('\r\n\r\n', '\r\nContent-Length: 2\r\n\r\nxx'), isPipelined);
      assert.ok([200, 400, 413, 'closed'].includes(status), `answered ${status}`);
      await alive();
    });
  });

test('with origins configured, exactly those are accepted', async (t) => {
  const list = [
    ['https://app.example', 101], ['HTTPS://APP.example', 101], ['http://a.dev.example', 101],
    [null, 101], ['http://app.example', 403], ['https://app.example:444', 403],
    ['https://app.example.evil.example', 403], ['https://evil.example/https://app.example', 403],
    ['https://evilapp.example', 403], ['null', 403],
  ];
  for (const [origin, expected] of list)
    await t.test(String(origin), async () => {
      const { status } = await statusOf(ws({ Origin: origin }), { on: originServer });
      assert.equal(status, expected);
    });
});

test('a WebSocket opened byte by byte speaks the protocol', async () => {
  const raw = await RawSocket.open(server.port);
  await raw.writeSlowly(ws(), 1);
  assert.equal((await raw.response()).status, 101);
  const socket = new RawWebSocket(raw);
  await raw.writeSlowly(text('{"id":1,"connect":{}}'), 1);
  assert.match(await socket.message(), /"connect":/);
  socket.destroy();
});

test('frames in the same segment as the handshake are read', async () => {
  const raw = await RawSocket.open(server.port);
  raw.write(Buffer.concat([Buffer.from(ws()), text('{"id":1,"connect":{}}')]));
  assert.equal((await raw.response()).status, 101);
  const socket = new RawWebSocket(raw);
  assert.match(await socket.message(), /"connect":/);
  socket.destroy();
});

test('50 extension offers do no harm', async () => {
  await statusOf(ws({ 'Sec-WebSocket-Extensions': many(50, (i) => `x-ext-${i}, `) + 'last' }));
  await alive();
});

test('an extension name of 300 bytes does no harm', async () => {
  await statusOf(ws({ 'Sec-WebSocket-Extensions': 'e'.repeat(300) }));
  await alive();
});

test('compression with a bad window is declined', async () => {
  const offer = 'permessage-deflate; server_max_window_bits=99';
  const { status, response } = await statusOf(ws({ 'Sec-WebSocket-Extensions': offer }));
  assert.equal(status, 101);
  assert.equal(response.headers.has('sec-websocket-extensions'), false);
});

test('50 connections at once with an unknown Upgrade after a good request', async () => {
  const odd = ws({ Upgrade: 'foo' });
  await Promise.all(Array.from({ length: 50 }, async (_, i) => {
    const raw = await RawSocket.open(server.port);
    raw.write(i % 2 ? GET + odd : odd);
    await raw.response();
    raw.destroy();
  }));
  await alive();
});

test('an upgrade after a keep-alive request works', async () => {
  const raw = await RawSocket.open(server.port);
  raw.write(GET);
  assert.equal((await raw.response()).status, 200);
  raw.write(ws());
  assert.equal((await raw.response()).status, 101);
  raw.destroy();
});

test('what never becomes a request ends within 10 s', async (t) => {
  for (const [name, promise] of folds)
    await t.test(name, async () => {
      const { bytes, error } = await promise;
      assert.equal(error, undefined); /* "not within": still open after 11.5 s */
      assert.doesNotMatch(bytes, /^HTTP\/1.1 101/);
    });
  await alive();
});

test('after all this nothing leaks and nothing spins', () => assertRests(server, files));
