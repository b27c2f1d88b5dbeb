/* Limits: message size, fragments, publication size, connections, descriptors, floods. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openConfig, startServer } from './helpers/server.mjs';
import { connect } from './helpers/protocol.mjs';
import { cpuMs } from './helpers/process.mjs';
import { RawSocket, RawWebSocket, upgradeRequest } from './helpers/rawsocket.mjs';
import { close, fragments, frame, OP, ping, text } from './helpers/wsframes.mjs';

let server;
before(async () => (server = await startServer({ config: { ...openConfig, health: { enabled: true } } })));
after(() => server.stop());

async function closeCode(...bytes) {
  const ws = await RawWebSocket.open(server);
  for (const part of bytes)
    ws.write(part);
  return ws.ended();
}

async function witness(on = server) {
  const client = await connect(on);
  await client.subscribe('witness');
  await client.publish('witness', 1);
  assert.equal((await client.push()).pub.data, 1);
  await client.close();
}

/* --- one message ------------------------------------------------------------------------------- */

test('a frame that declares too much is 1009 before its payload comes', async (t) => {
  for (const [name, length] of [['65,537 bytes', 65537], ['4 GiB', 2 ** 32], ['1 TiB', 2 ** 40]])
    await t.test(name, async () => {
      const ws = await RawWebSocket.open(server);
      ws.write(text('x'.repeat(1000), { length }));
      assert.equal((await ws.closing()).code, 1009);
      ws.destroy();
      await witness();
    });
});

test('a length with its top bit set is refused', async () => {
  const ws = await RawWebSocket.open(server);
  ws.write(frame(OP.text, 'x'.repeat(100), { length: 2n ** 63n + 5n }));
  const { code } = await ws.closing();
  assert.ok([1002, 1006, 1009].includes(code), `closed with ${code}`);
  ws.destroy();
  await witness();
});

test('fragments count together', async () => {
  const { code } = await closeCode(...fragments(Array(66).fill('x'.repeat(1000))));
  assert.equal(code, 1009);
});

test('1,000 fragments of one message are answered, more than 1,024 are not', async () => {
  const command = '{"id":2,"publish":{"channel":"f","data":1}}';
  const pad = (count) => [command, ...Array(count - 1).fill('')];
  const ws = await RawWebSocket.open(server);
  ws.write(Buffer.concat(fragments(pad(1000))));
  assert.equal(await ws.message(), '{"id":2,"publish":{}}');
  ws.destroy();
  const { code } = await closeCode(Buffer.concat(fragments(pad(1100))));
  assert.ok([1008, 1009].includes(code), `closed with ${code}`);
});

test('100,000 empty continuations are cut off', async () => {
  const piece = frame(OP.continuation, '', { fin: false });
  const { code } = await closeCode(text('{', { fin: false }), Buffer.concat(Array(100000).fill(piece)));
  assert.ok([1006, 1008, 1009].includes(code), `closed with ${code}`);
  await witness();
});

test('100,000 pings on one connection do not hold up another', async () => {
  const ws = await RawWebSocket.open(server);
  ws.write(Buffer.concat(Array(100000).fill(ping('flood'))));
  await witness();
  ws.write(text('{"id":2,"rpc":{}}'), close(1000));
  await ws.ended({ echo: false, limitMs: 10000 }); /* a valid stream to its end */
  await witness();
});

test('the message limit is an option', async () => {
  const tiny = await startServer({ workers: 1, config: { ...openConfig, websocket: { message_size_limit: 1000 } } });
  const ws = await RawWebSocket.open(tiny);
  const head = '{"id":2,"publish":{"channel":"c","data":"';
  const command = (size) => `${head}${'x'.repeat(size - head.length - 3)}"}}`;
  ws.write(text(command(1000)));
  assert.equal(await ws.message(), '{"id":2,"publish":{}}');
  ws.write(text(command(1001)));
  assert.equal((await ws.ended()).code, 1009);
  await tiny.stop();
});

test('a publication over a quarter of the queue limit is error 107', async () => {
  const config = { ...openConfig, client: { ...openConfig.client, queue_max_size: 65536 } };
  const low = await startServer({ workers: 1, config });
  const client = await connect(low);
  await client.subscribe('q');
  await client.publish('q', 'x'.repeat(15000));
  assert.equal((await client.push()).pub.data.length, 15000);
  const { error } = await client.request({ publish: { channel: 'q', data: 'x'.repeat(17000) } });
  assert.deepEqual(error, { code: 107, message: 'bad request' });
  await low.stop();
});

/* --- many connections -------------------------------------------------------------------------- */

async function handshakeStatus(on) {
  const raw = await RawSocket.open(on.port);
  raw.write(upgradeRequest());
  const response = await raw.response();
  return { raw, response, status: response?.status ?? 'closed' };
}

test('connections over client.connection_limit are answered 503, and leaving makes room', async () => {
  const config = { ...openConfig, client: { ...openConfig.client, connection_limit: 5 } };
  const few = await startServer({ config });
  const clients = [];
  for (let i = 0; i < 5; i++)
    clients.push(await connect(few));
  for (let i = 0; i < 3; i++) {
    const { status, raw } = await handshakeStatus(few);
    assert.equal(status, 503);
    raw.destroy();
  }
  await clients[0].publish('still', 1);
  await clients.pop().close();
  let again;
  for (let i = 0; i < 50 && again !== 101; i++) { /* the server sees the end of a socket a moment later */
    const { status, raw } = await handshakeStatus(few);
    again = status;
    raw.destroy();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(again, 101);
  await few.stop();
});

test('with few descriptors the server says what it can hold, refuses the rest and stays calm', async () => {
  const low = await startServer({ fileLimit: 200, config: openConfig, allowErrors: true });
  const capacity = Number(/connections_max=(\d+)/.exec(low.readyLine)?.[1]);
  assert.ok(capacity > 50 && capacity < 200, low.readyLine);
  const all = await Promise.all(Array.from({ length: 300 }, () => RawSocket.open(low.port)));
  for (const raw of all)
    raw.write(upgradeRequest());
  const responses = await Promise.all(all.map((raw) => raw.response({ limitMs: 10000 })));
  const good = all.filter((_, i) => responses[i]?.status === 101);
  const other = responses.filter((response) => response !== null && ![101, 503].includes(response.status));
  assert.equal(other.length, 0, 'refusals are 503 or a closed connection');
  assert.ok(good.length >= capacity - 5 && good.length <= capacity, `${good.length} of ${capacity}`);

  const [before, lines] = [cpuMs(low), low.logs().length];
  await new Promise((resolve) => setTimeout(resolve, 1000)); /* the time over which CPU is measured */
  const used = cpuMs(low) - before;
  assert.ok(used <= 100, `${used} ms of CPU in a second with nothing to do`);
  assert.ok(low.logs().length - lines < 20, low.logs().slice(-20).join('\n'));

  const ws = new RawWebSocket(good[0]);
  ws.write(text('{"id":1,"connect":{}}'));
  assert.match(await ws.message(), /"connect":/);
  for (const raw of all)
    raw.destroy();
  let status;
  const end = performance.now() + 5000;
  while (status !== 101 && performance.now() < end) {
    const next = await handshakeStatus(low);
    status = next.status;
    next.raw.destroy();
  }
  assert.equal(status, 101, 'service after release');
  await low.stop();
});

test('client.connection_rate_limit lets so many in per second', async () => {
  const config = { ...openConfig, client: { ...openConfig.client, connection_rate_limit: 20 } };
  const slow = await startServer({ workers: 1, config });
  const start = performance.now();
  const statuses = await Promise.all(Array.from({ length: 100 }, async () => {
    const { status, raw } = await handshakeStatus(slow);
    raw.destroy();
    return status;
  }));
  const seconds = (performance.now() - start) / 1000;
  const good = statuses.filter((status) => status === 101).length;
  assert.ok(good >= 15 && good <= 20 + 20 * seconds + 2, `${good} in ${seconds} s`);
  assert.ok(statuses.every((status) => [101, 503, 'closed'].includes(status)), String(statuses));
  await slow.stop();
});
