/* RFC 6455 by hand-made frames: one row, one connection. Messages that must be delivered whole are
 * publish commands of exactly so many bytes; they come back as publications.
 *
 * Not here, because libwebsockets accepts them and its API cannot refuse them (docs/protocol.md):
 * unmasked client frames, and lengths that are not minimal. Of a burst of pings only the first is
 * answered; no row sends two pings without reading the pong.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openConfig, startServer } from './helpers/server.mjs';
import { assertRests, openFiles } from './helpers/process.mjs';
import { RawWebSocket } from './helpers/rawsocket.mjs';
import { close, fragments, frame, OP, ping, text } from './helpers/wsframes.mjs';

let server;
let files;
before(async () => {
  server = await startServer({ config: openConfig });
  files = openFiles(server);
});
after(() => server.stop());

let nextId = 1;

/* A publish command with this payload, to a channel of its own. */
function publishText(data) {
  const id = ++nextId;
  const channel = `r${id}`;
  return { id, channel, data, command: `{"id":${id},"publish":{"channel":"${channel}","data":"${data}"}}` };
}

/* The same of exactly `size` bytes. */
function publish(size) {
  const bare = Buffer.byteLength(publishText('').command);
  const one = publishText('x'.repeat(size - bare - 2)); /* the next id may be longer by a digit, twice */
  const missing = size - Buffer.byteLength(one.command);
  one.data += 'y'.repeat(missing);
  one.command = one.command.slice(0, -3) + 'y'.repeat(missing) + '"}}';
  assert.equal(one.command.length, size);
  return one;
}

/* The bytes of a command cut into pieces of these sizes, the last one taking the rest. */
function cut(command, ...sizes) {
  const bytes = Buffer.from(command);
  let at = 0;
  const pieces = sizes.map((size) => bytes.subarray(at, (at += size)));
  return [...pieces, bytes.subarray(at)];
}

async function open(channel) {
  const ws = await RawWebSocket.open(server);
  ws.write(text(`{"id":2,"subscribe":{"channel":"${channel}"}}`));
  assert.equal(await ws.message(), '{"id":2,"subscribe":{}}');
  return ws;
}

/* The publication with this payload must come, and the reply. */
async function expectPublication(ws, { id, data }, onControl) {
  let isSeen = false;
  let isAnswered = false;
  while (!isSeen || !isAnswered) {
    const message = await ws.message({ onControl });
    assert.notEqual(message, null, `closed: ${JSON.stringify(ws.close)}`);
    for (const line of message.split('\n')) {
      isSeen ||= line.includes(`"data":"${data}"`);
      isAnswered ||= line === `{"id":${id},"publish":{}}`;
    }
  }
}

async function answered(what, write) {
  const ws = await open(what.channel);
  await write(ws);
  await expectPublication(ws, what);
  ws.write(close(1000));
  assert.equal((await ws.ended({ echo: false })).code, 1000);
}

/* The server must fail the connection with one of these codes. Our echo of its close frame is not sent: a
 * server in the middle of a broken frame would take it for the rest of that frame. */
async function failsWith(codes, ...bytes) {
  const ws = await RawWebSocket.open(server);
  ws.write(Buffer.concat(bytes));
  const { code } = await ws.closing();
  assert.ok(codes.includes(code), `closed with ${code}, expected ${codes.join(' or ')}`);
  ws.destroy();
}

/* One sub-test for each [name, ...arguments]; 16 at a time. */
function rows(title, list, run) {
  test(title, { concurrency: 16 }, (t) =>
    Promise.all(list.map(([name, ...row]) => t.test(name, () => run(...row)))));
}

test('a message of 0 bytes is 3501', () => failsWith([3501], text('')));
test('0 bytes in three fragments are 3501', () => failsWith([3501], ...fragments(['', '', ''])));
test('a binary message on a JSON connection is 1003', () => failsWith([1003], frame(OP.binary, '{}')));
test('an empty binary message is 1003', () => failsWith([1003], frame(OP.binary)));
test('a fragmented binary message is 1003', () =>
  failsWith([1003], ...fragments(['{"id":3,', '"rpc":{}}'], OP.binary)));
test('65,537 bytes are 1009', () => failsWith([1009], text(publish(65537).command)));
test('65,537 bytes in fragments are 1009', () =>
  failsWith([1009], ...fragments(cut(publish(65537).command, 30000, 30000))));

const FORMS = [
  ['in one frame', (ws, { command }) => ws.write(text(command))],
  ['in odd-sized TCP pieces', (ws, { command }) =>
    ws.raw.writeSlowly(text(command), command.length < 1000 ? 1 : 1009)],
  ['in two fragments', (ws, { command }) => ws.write(...fragments(cut(command, 61)))],
  ['in ten fragments', (ws, { command }) =>
    ws.write(...fragments(cut(command, ...Array(9).fill(Math.floor(command.length / 10)))))],
  ['with empty fragments around', (ws, { command }) => ws.write(...fragments(['', command, '']))],
];
for (const size of [125, 126, 127, 128, 4095, 4096, 4097, 65535, 65536])
  rows(`${size} bytes are answered`, FORMS, (write) => {
    const one = publish(size);
    return answered(one, (ws) => write(ws, one));
  });

const masks = [0x00000000, 0xffffffff, 0x000000ff, 0x80000001];
rows('each byte of the mask counts', masks.map((mask) => [mask.toString(16), mask]), (mask) => {
  const one = publish(130);
  return answered(one, (ws) => ws.write(text(one.command, { mask })));
});

test('three messages in one TCP segment are answered', async () => {
  const all = [publish(126), publish(127), publish(65000)];
  const ws = await open(all[0].channel);
  for (const { id, channel } of all.slice(1)) {
    ws.write(text(`{"id":${id + 1000},"subscribe":{"channel":"${channel}"}}`));
    await ws.message();
  }
  ws.write(Buffer.concat(all.map(({ command }) => text(command))));
  for (const one of all)
    await expectPublication(ws, one);
  ws.destroy();
});

/* --- ping and pong ----------------------------------------------------------------------------- */

for (const size of [0, 1, 124, 125])
  test(`a ping of ${size} bytes gets a pong with the same payload`, async () => {
    const ws = await RawWebSocket.open(server);
    const payload = Buffer.alloc(size, 0xf5);
    ws.write(ping(payload));
    const pong = await ws.frame();
    assert.equal(pong.opcode, OP.pong);
    assert.deepEqual(pong.payload, payload);
    ws.destroy();
  });

test('a ping in one-byte pieces is answered', async () => {
  const ws = await RawWebSocket.open(server);
  await ws.raw.writeSlowly(ping('hello'), 1);
  assert.deepEqual((await ws.frame()).payload.toString(), 'hello');
  ws.destroy();
});

rows('an unsolicited pong frame is ignored', [['empty', ''], ['125 bytes', 'p'.repeat(125)]], (payload) => {
  const one = publish(130);
  return answered(one, (ws) => ws.write(frame(OP.pong, payload), text(one.command)));
});

test('a ping between fragments is answered at once, and the message completes', async () => {
  const one = publish(1000);
  const ws = await open(one.channel);
  const [first, second] = fragments(cut(one.command, 500));
  ws.write(first, ping('now'));
  const pong = await ws.frame();
  assert.equal(pong.opcode, OP.pong);
  assert.equal(pong.payload.toString(), 'now');
  ws.write(second);
  await expectPublication(ws, one);
  ws.destroy();
});

test('a pong between fragments is ignored, and the message completes', () => {
  const one = publish(1000);
  const [first, second] = fragments(cut(one.command, 500));
  return answered(one, (ws) => ws.write(first, frame(OP.pong, 'x'), second));
});

/* --- frames that break the rules ---------------------------------------------------------------- */

/* libwebsockets cuts these without a close frame: RFC 6455, 7.1.7 allows that (docs/protocol.md). */
rows('control frames over 125 bytes fail the connection', [
  ['a ping of 126 bytes', ping('x'.repeat(126))],
  ['a pong of 126 bytes', frame(OP.pong, 'x'.repeat(126))],
  ['a close of 126 bytes', frame(OP.close, Buffer.alloc(126, 3))],
  ['a ping with a 64-bit length', ping('x', { length: 70000 })],
], (bytes) => failsWith([1002, 1006], bytes));

const hello = '{"id":3,"rpc":{}}';
const broken = [
  ['a fragmented ping', ping('x', { fin: false })],
  ['a fragmented pong', frame(OP.pong, 'x', { fin: false })],
  ['a fragmented close', frame(OP.close, '', { fin: false })],
  ['a continuation without start, final', frame(OP.continuation, hello)],
  ['a continuation without start, not final', frame(OP.continuation, hello, { fin: false })],
  ['a text frame inside a message', text('{"id":3,', { fin: false }), text(hello)],
  ['a fragmented text frame inside a message', text('{"id":3,', { fin: false }), text(hello, { fin: false })],
  ['a binary frame inside a message', text('{"id":3,', { fin: false }), frame(OP.binary, hello)],
  ['a text frame inside a message of three', text('{"id":3,', { fin: false }),
    frame(OP.continuation, '"rpc":', { fin: false }), text('{}}')],
];
for (const [bit, rsv] of [['RSV1', 4], ['RSV2', 2], ['RSV3', 1], ['all RSV bits', 7]]) {
  broken.push([`${bit} on text`, text(hello, { rsv })]);
  broken.push([`${bit} on a ping`, ping('x', { rsv })]);
  broken.push([`${bit} on a close`, frame(OP.close, '', { rsv })]);
  broken.push([`${bit} on a continuation`, text('{"id":3,', { fin: false }),
    frame(OP.continuation, '"rpc":{}}', { rsv })]);
}
for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
  broken.push([`opcode ${opcode}, empty`, frame(opcode)]);
  broken.push([`opcode ${opcode} with a payload`, frame(opcode, hello)]);
}
broken.push(['opcode 5 inside a message', text('{"id":3,', { fin: false }), frame(5, 'x')]);
broken.push(['opcode 11 inside a message', text('{"id":3,', { fin: false }), frame(11, 'x')]);
rows('broken frames are 1002', broken, (...bytes) => failsWith([1002], ...bytes));

rows('after its close frame the server sends nothing more, and the connection ends', [
  ['a bad command', 3501, text('hello')],
  ['a command, then a bad one', 3501, text(hello), text('hello')],
  ['a command, then a broken frame', 1002, text(hello), frame(OP.continuation, hello)],
  ['a command, then text that is not UTF-8', 1007, text(hello), text(Buffer.from([0xff, 0x22]))],
  ['a command, then too much', 1009, text(hello), text('x'.repeat(65537))],
  ['a bad command, then pings', 3501, text('hello'), ping('a'), ping('b')],
], async (expected, ...bytes) => {
  const ws = await RawWebSocket.open(server);
  ws.write(Buffer.concat(bytes));
  assert.equal((await ws.ended()).code, expected);
});

/* --- UTF-8 ------------------------------------------------------------------------------------- */

const HEAD = Buffer.from('{"id":3,"publish":{"channel":"r","data":"');
const TAIL = Buffer.from('"}}');
const badText = [
  ['a lone continuation byte', [0x80]],
  ['a lead byte without continuation', [0xc3, 0x28]],
  ['an overlong slash of 2 bytes', [0xc0, 0xaf]],
  ['an overlong slash of 3 bytes', [0xe0, 0x80, 0xaf]],
  ['an overlong slash of 4 bytes', [0xf0, 0x80, 0x80, 0xaf]],
  ['an overlong 0x7ff', [0xe0, 0x9f, 0xbf]],
  ['an overlong 0xffff', [0xf0, 0x8f, 0xbf, 0xbf]],
  ['an overlong NUL', [0xc0, 0x80]],
  ['a high surrogate', [0xed, 0xa0, 0x80]],
  ['a low surrogate', [0xed, 0xbf, 0xbf]],
  ['a surrogate pair', [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]],
  ['U+110000', [0xf4, 0x90, 0x80, 0x80]],
  ['5 bytes', [0xf8, 0x88, 0x80, 0x80, 0x80]],
  ['6 bytes', [0xfc, 0x84, 0x80, 0x80, 0x80, 0x80]],
  ['0xfe', [0xfe]],
  ['0xff', [0xff]],
];
rows('text that is not UTF-8 is 1007', badText, (bytes) =>
  failsWith([1007], text(Buffer.concat([HEAD, Buffer.from(bytes), TAIL]))));
rows('and so it is before the message ends, as soon as it is certain', badText, (bytes) =>
  failsWith([1007], text(Buffer.concat([HEAD, Buffer.from(bytes), TAIL]), { fin: false })));
rows('and before the frame ends', badText, (bytes) =>
  failsWith([1007], text(Buffer.concat([HEAD, Buffer.from(bytes), TAIL]), { length: 500 })));
rows('a message that ends inside a code point is 1007', [
  ['of 2 bytes', [0xc3]], ['of 3 bytes', [0xe2, 0x82]], ['of 4 bytes', [0xf0, 0x9f, 0x98]],
], (bytes) => failsWith([1007], text(Buffer.concat([HEAD, Buffer.from(bytes)]))));

for (const character of ['\u00e9', '\u20ac', '\u{1f600}']) {
  const size = Buffer.byteLength(character);
  const cuts = Array.from({ length: size - 1 }, (_, i) => [`after byte ${i + 1}`, i + 1]);
  rows(`a code point of ${size} bytes may be cut by fragments`, cuts, (at) => {
    const one = publishText(`<${character}>`);
    const position = Buffer.from(one.command).indexOf(Buffer.from(character)) + at;
    return answered(one, (ws) => ws.write(...fragments(cut(one.command, position))));
  });
}

const points = [0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfffd, 0xffff, 0x10000, 0x10ffff];
rows('valid corner code points are answered', points.map((point) => [`U+${point.toString(16)}`, point]),
  (point) => {
    const one = publishText(String.fromCodePoint(point));
    return answered(one, (ws) => ws.write(text(one.command)));
  });

/* --- close -------------------------------------------------------------------------------------- */

async function echoes(bytes, codes) {
  const ws = await RawWebSocket.open(server);
  ws.write(bytes);
  const end = await ws.ended({ echo: false });
  assert.ok(codes.includes(end.code), `answered with ${JSON.stringify(end)}`);
}

test('a close without payload is answered', () => echoes(close(), [1005, 1000]));
const good = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
rows('good close codes are echoed', good.map((code) => [String(code), code]),
  (code) => echoes(close(code), [code]));
test('a close with a reason is echoed', () => echoes(close(1000, 'bye'), [1000]));
test('a close of 125 bytes is echoed', () => echoes(close(4000, 'r'.repeat(123)), [4000]));
test('a close with a reason in UTF-8 is echoed', () => echoes(close(1000, '\u00e9\u20ac'), [1000]));

const badCodes = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
rows('bad close codes are refused', badCodes.map((code) => [String(code), code]),
  (code) => failsWith([1002, 1007], close(code)));
rows('bad close frames are refused', [
  ['a payload of 1 byte', frame(OP.close, 'x')],
  ['a reason that is not UTF-8', frame(OP.close, Buffer.from([0x03, 0xe8, 0xff, 0xfe]))],
  ['a reason cut inside a code point', frame(OP.close, Buffer.from([0x03, 0xe8, 0xe2, 0x82]))],
], (bytes) => failsWith([1002, 1007], bytes));

test('data and pings after close are ignored', async () => {
  const witness = await open('after-close');
  const ws = await open('after-close');
  ws.write(Buffer.concat([close(1000),
    text('{"id":3,"publish":{"channel":"after-close","data":"ghost"}}'), ping('ghost')]));
  assert.equal((await ws.ended({ echo: false })).code, 1000); /* throws on any frame after close */
  witness.write(text('{"id":3,"publish":{"channel":"after-close","data":"real"}}'));
  for (;;) {
    const message = await witness.message();
    assert.doesNotMatch(message, /ghost/);
    if (message.includes('real'))
      break;
  }
  witness.destroy();
});

test('a second close is ignored', () => echoes(Buffer.concat([close(1000), close(1001)]), [1000]));
test('a close in the middle of a message is a clean end', () =>
  echoes(Buffer.concat([text('{"id":3,', { fin: false }), close(1000)]), [1000]));
test('a close in one-byte pieces is echoed', async () => {
  const ws = await RawWebSocket.open(server);
  await ws.raw.writeSlowly(close(1001, 'going'), 1);
  assert.equal((await ws.ended({ echo: false })).code, 1001);
});
test('a connection cut inside a frame harms nobody', async () => {
  for (const bytes of [text(publish(5000).command).subarray(0, 3000), text('x').subarray(0, 1)]) {
    const ws = await RawWebSocket.open(server);
    ws.write(bytes);
    ws.destroy();
  }
  const one = publish(200);
  await answered(one, (ws) => ws.write(text(one.command)));
});

test('after all this nothing leaks and nothing spins', () => assertRests(server, files));
