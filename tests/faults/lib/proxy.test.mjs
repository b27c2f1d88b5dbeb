/* The fault proxy does to a connection what it was told, and nothing else. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { after, before, beforeEach, test } from 'node:test';
import { startProxy } from './proxy.mjs';
import { deadline, until, within } from '../../integration/helpers/server.mjs';

let echo, proxy;
before(async () => {
  echo = net.createServer({ noDelay: true }, (socket) => socket.on('error', () => {}).pipe(socket));
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
});
after(() => echo.close());
beforeEach(async () => {
  await proxy?.close();
  proxy = await startProxy({ port: echo.address().port });
});
after(() => proxy.close());

async function connect() {
  const socket = net.connect({ port: proxy.port, host: '127.0.0.1', noDelay: true });
  const peer = { socket, pieces: [], error: null, isClosed: false };
  socket.on('data', (chunk) => peer.pieces.push(chunk));
  socket.on('error', (error) => (peer.error = error.code));
  socket.on('close', () => (peer.isClosed = true));
  await once(socket, 'connect');
  peer.text = () => Buffer.concat(peer.pieces).toString();
  return peer;
}

/* Sends, and gives how many milliseconds the whole echo took. */
async function roundTrip(peer, text) {
  const want = peer.text() + text;
  const start = performance.now();
  peer.socket.write(text);
  await until(() => peer.text() === want, () => `the echo of ${text.slice(0, 40)}; got ${peer.text().slice(0, 40)}`);
  return performance.now() - start;
}

test('without a fault bytes pass as they are, a large amount too, and an end is an end', async () => {
  const peer = await connect();
  const text = 'all of it '.repeat(500000);
  await roundTrip(peer, text);
  peer.socket.end();
  await until(() => peer.isClosed, 'the end');
  assert.equal(peer.error, null);
  assert.equal(proxy.bytes, 2 * text.length);
  await until(() => proxy.connections.size === 0, 'the proxy to let go');
});

test('latency and jitter delay, and keep the order', async () => {
  const peer = await connect();
  await proxy.set({ latencyMs: 50, jitterMs: 40 });
  const texts = Array.from({ length: 30 }, (_, n) => `<${n}>`);
  const start = performance.now();
  for (const text of texts)
    peer.socket.write(text);
  await until(() => peer.text() === texts.join(''), 'all in order');
  assert.ok(performance.now() - start > 20, 'it took its time');
  await proxy.heal();
  assert.ok(await roundTrip(peer, 'fast') < deadline(50));
  peer.socket.destroy();
});

test('bandwidth is what it says', async () => {
  const peer = await connect();
  await proxy.set({ bytesPerS: 100000, sliceBytes: 1000 });
  const took = await roundTrip(peer, 'x'.repeat(30000));
  assert.ok(took > 280, `${took} ms for 30 KB at 100 KB/s`);
  peer.socket.destroy();
});

test('the slicer sends small pieces', async () => {
  const peer = await connect();
  await proxy.set({ sliceBytes: 1, bytesPerS: 200 }); /* so slowly that no two of all arrive together */
  await roundTrip(peer, 'these are the pieces');
  assert.ok(peer.pieces.length > 1);
  peer.socket.destroy();
});

test('a black hole is silent; when it is gone, connections that lost something are reset, others live', async () => {
  const [loser, idler] = [await connect(), await connect()];
  await Promise.all([loser, idler].map((peer) => roundTrip(peer, 'before')));
  await proxy.set({ isBlackHole: true });
  loser.socket.write('lost');
  const late = await connect(); /* it is taken, and nothing comes */
  late.socket.write('lost too');
  proxy.reset();
  await assert.rejects(within(100, Promise.race([loser, late].map(({ socket }) => once(socket, 'data'))), 'silence'),
                       /silence/);
  assert.ok(![loser, idler, late].some(({ isClosed }) => isClosed));
  await proxy.heal();
  await until(() => loser.isClosed && late.isClosed, 'the reset');
  assert.equal(loser.error, 'ECONNRESET');
  const fresh = await connect();
  await roundTrip(fresh, 'after');
  fresh.socket.destroy();
  idler.socket.destroy();
});

test('reset, limit and down', async () => {
  const [reset, limited] = [await connect(), await connect()];
  await Promise.all([reset, limited].map((peer) => roundTrip(peer, 'hello')));
  proxy.reset();
  await until(() => reset.isClosed && limited.isClosed, 'the resets');
  assert.deepEqual([reset.error, limited.error], ['ECONNRESET', 'ECONNRESET']);

  await proxy.set({ limitBytes: 10 });
  const short = await connect();
  await roundTrip(short, '123456789');
  short.socket.write('0');
  await until(() => short.isClosed, 'the end at the limit');

  await proxy.set({ limitBytes: Infinity, isDown: true });
  await assert.rejects(connect(), /ECONNREFUSED/);
  await proxy.set({ isDown: false });
  const fresh = await connect();
  await roundTrip(fresh, 'up again');
  fresh.socket.destroy();
  await assert.rejects(proxy.set({ isdown: true }), /no such fault: isdown/);
});
