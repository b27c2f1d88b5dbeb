/* Readers that do not keep up: the byte stream stays a valid sequence of frames however large the
 * messages and however many pings come in between, and who never reads is let go.
 *
 * The kernel takes some megabytes of a loopback connection, so the bursts here are larger than that:
 * only then does the server have to wait in the middle of a write.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { deadline, openConfig, startServer, within } from './helpers/server.mjs';
import { connect } from './helpers/protocol.mjs';
import { RawWebSocket } from './helpers/rawsocket.mjs';
import { OP, ping, text } from './helpers/wsframes.mjs';
import { api, metrics, sum, untilMetrics } from './helpers/http.mjs';

let server; /* room for bursts */
let small; /* the default queue of 1 MiB */

before(async () => {
  const quiet = { ping_interval: '600s' }; /* these readers answer no pings */
  const base = { ...openConfig, http_api: { insecure: true }, prometheus: { enabled: true } };
  [server, small] = await Promise.all([
    startServer({ config: { ...base, client: { ...base.client, queue_max_size: 32 * 1024 * 1024, ...quiet } } }),
    startServer({ config: base }),
  ]);
});
after(() => Promise.all([server.stop(), small.stop()]));

async function slowReader(on, channel) {
  const ws = await RawWebSocket.open(on);
  ws.write(text(`{"id":2,"subscribe":{"channel":"${channel}"}}`));
  assert.equal(await ws.message(), '{"id":2,"subscribe":{}}');
  return ws;
}

/* Sends a ping every millisecond; reads nothing at first, and after read() one piece (at most 64 KiB)
 * each time. */
function crawl(ws) {
  const crawler = { pings: 0, pongs: 0 };
  const take = ws.raw.onData;
  let isReading = false;
  ws.raw.socket.pause();
  ws.raw.onData = (chunk) => {
    take(chunk);
    ws.raw.socket.pause();
  };
  const timer = setInterval(() => {
    ws.write(ping(`p${crawler.pings++}`));
    if (isReading)
      ws.raw.socket.resume();
  }, 1);
  crawler.read = () => (isReading = true);
  crawler.onControl = ({ opcode }) => (crawler.pongs += opcode === OP.pong ? 1 : 0);
  crawler.stop = () => {
    clearInterval(timer);
    ws.raw.onData = take;
    ws.raw.socket.resume();
  };
  return crawler;
}

/* Publishes these payloads to a reader that crawls and pings: it must get all, whole and in order. */
async function checkCrawling(channel, payloads) {
  const ws = await slowReader(server, channel);
  const crawler = crawl(ws);
  try {
    for (const data of payloads) {
      const { status, text: answer } = await api(server, 'publish', { channel, data });
      assert.equal(status, 200, answer);
    }
    crawler.read();
    for (let next = 0; next < payloads.length;) {
      const message = await ws.message({ onControl: crawler.onControl, limitMs: 15000 });
      assert.notEqual(message, null, `closed at message ${next}: ${JSON.stringify(ws.close)}`);
      for (const line of message.split('\n'))
        assert.ok(JSON.parse(line).push.pub.data === payloads[next++], `message ${next - 1} is damaged`);
    }
  } finally {
    crawler.stop();
  }
  assert.ok(crawler.pings > 20, `only ${crawler.pings} pings were sent`);
  while (crawler.pongs === 0)
    crawler.onControl(await ws.frame());
  ws.destroy();
}

for (const [name, size, count] of [['10 KB', 10000, 900], ['70 KB', 70000, 140], ['250 KB', 250000, 40],
                                   ['1 MiB', 1048000, 10]])
  test(`a slow reader that pings all the time gets whole messages of ${name}`, () => {
    const filler = 'abcdefghij'.repeat(Math.ceil(size / 10)).slice(0, size - 8);
    const payloads = Array.from({ length: count }, (_, n) => String(n).padStart(6, '0') + filler);
    return checkCrawling(`slow-${size}`, payloads);
  });

test('small messages between large ones keep their order', () => {
  const sizes = [10, 65000, 200000, 126, 65536];
  return checkCrawling('sizes', Array.from({ length: 120 }, (_, n) => `${n} ${'y'.repeat(sizes[n % 5])}`));
});

const SLOW = /(close|disconnects).*(slow|3008)/;

/* Publishes until so many readers that do not read are counted as slow. */
async function floodUntilSlow(channel, count) {
  const data = 'z'.repeat(60000);
  const end = performance.now() + deadline(10000);
  while (sum(await metrics(small), SLOW) < count) {
    for (let i = 0; i < 20; i++)
      assert.equal((await api(small, 'publish', { channel, data })).status, 200);
    assert.ok(performance.now() < end, 'the server holds back no slow reader');
  }
}

test('who never reads is let go as slow, and counted; others get everything', async () => {
  const was = sum(await metrics(small), SLOW);
  const [stalled, dead] = [await slowReader(small, 'flood'), await slowReader(small, 'flood')];
  const healthy = await connect(small);
  await healthy.subscribe('flood');
  const seen = [];
  healthy.socket.on('message', (frame) => {
    for (const line of frame.toString().split('\n'))
      if (line.includes('"flood"'))
        seen.push(JSON.parse(line).push.pub.data);
  });
  stalled.raw.socket.pause();
  dead.raw.socket.pause(); /* reads nothing ever, not even the close frame: nobody may wait for it */
  await floodUntilSlow('flood', was + 2);
  await api(small, 'publish', { channel: 'flood', data: 'last' });
  const gotLast = async () => {
    while (seen.at(-1) !== 'last')
      await new Promise((resolve) => healthy.socket.once('message', resolve));
  };
  await within(5000, gotLast(), 'the last message at the healthy reader');
  assert.equal(seen.length % 20, 1, 'every message of every round, and the last');
  stalled.raw.socket.resume();
  const { code, reason } = await stalled.ended(); /* throws if the stream broke inside a frame */
  assert.ok(code === 3008 || code === 1006, `closed with ${code}`);
  if (code === 3008)
    assert.equal(reason, 'slow');
  await healthy.close();
  await untilMetrics(small, (now) => sum(now, /node_num_clients/) === 0, 'all clients gone', 10000); /* the dead one is cut after 5 s */
  dead.destroy();
});
