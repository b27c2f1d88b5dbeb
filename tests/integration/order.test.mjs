/* One channel, four workers, many publishers at once: everybody sees one and the same order. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { deadline, openConfig, startServer, within } from './helpers/server.mjs';
import { connect } from './helpers/protocol.mjs';
import { api } from './helpers/http.mjs';

let server;
before(async () => {
  server = await startServer({ workers: 4, config: { ...openConfig, http_api: { insecure: true } } });
});
after(() => server.stop());

const connectMany = (count) => Promise.all(Array.from({ length: count }, () => connect(server)));

/* The next `count` publications of a client, as their data. */
async function collect(client, count) {
  const seen = [];
  while (seen.length < count)
    seen.push((await client.push()).pub.data);
  return seen;
}

/* Every publisher's own numbers must come in the order in which it sent them. */
function checkOwnOrder(seen, publishers, count) {
  const next = Array(publishers).fill(0);
  for (const data of seen) {
    const [publisher, number] = data.split('-').map(Number);
    assert.equal(number, next[publisher], `publisher ${publisher}`);
    next[publisher]++;
  }
  assert.deepEqual(next, Array(publishers).fill(count));
}

test('8 publishers of 500 messages, 20 subscribers: one order, each publisher in its own', async () => {
  const [readers, writers] = await Promise.all([connectMany(20), connectMany(8)]);
  await Promise.all(readers.map((reader) => reader.subscribe('order')));
  const collected = Promise.all(readers.map((reader) => collect(reader, 8 * 500)));
  const replies = writers.flatMap((writer, w) => Array.from({ length: 500 }, (_, n) =>
    writer.publish('order', `${w}-${n}`)));
  await within(15000, Promise.all(replies), 'all publishes to be answered');
  const all = await within(15000, collected, 'all publications');
  checkOwnOrder(all[0], 8, 500);
  for (const seen of all.slice(1))
    assert.deepEqual(seen, all[0]);
});

test('clients and the API together: still one order', async () => {
  const [readers, writers] = await Promise.all([connectMany(8), connectMany(3)]);
  await Promise.all(readers.map((reader) => reader.subscribe('mixed')));
  const collected = Promise.all(readers.map((reader) => collect(reader, 5 * 100)));
  const overApi = async (w) => {
    for (let n = 0; n < 100; n++)
      assert.equal((await api(server, 'publish', { channel: 'mixed', data: `${w}-${n}` })).status, 200);
  };
  await Promise.all([
    overApi(3), overApi(4),
    ...writers.flatMap((writer, w) => Array.from({ length: 100 }, (_, n) => writer.publish('mixed', `${w}-${n}`))),
  ]);
  const all = await within(10000, collected, 'all publications');
  checkOwnOrder(all[0], 5, 100);
  for (const seen of all.slice(1))
    assert.deepEqual(seen, all[0]);
});

test('who publishes in the frame in which it subscribes gets the message, after the reply', async () => {
  const client = await connect(server);
  for (let i = 0; i < 50; i++) {
    const channel = `own-${i}`;
    const [s, p] = [1000 + 2 * i, 1001 + 2 * i];
    const replies = [client.reply(s), client.reply(p)];
    client.send(`{"id":${s},"subscribe":{"channel":"${channel}"}}\n` +
      `{"id":${p},"publish":{"channel":"${channel}","data":${i}}}`);
    await Promise.all(replies);
    assert.equal((await client.push()).pub.data, i);
  }
  const lines = client.frames.join('\n').split('\n');
  for (let i = 0; i < 50; i++)
    assert.ok(lines.indexOf(`{"id":${1000 + 2 * i},"subscribe":{}}`) <
      lines.findIndex((line) => line.includes(`"channel":"own-${i}","pub"`) ||
        (line.includes('"pub"') && line.includes(`"own-${i}"`))));
});

test('subscribing and leaving under load loses nothing that lies between', async () => {
  const [reader, writer, witness] = await connectMany(3);
  await witness.subscribe('churn');
  const count = 300;
  const published = (async () => {
    for (let n = 0; n < count; n++)
      await writer.publish('churn', n);
  })();
  for (let round = 0; round < 20; round++) {
    await reader.subscribe('churn');
    await reader.call({ unsubscribe: { channel: 'churn' } });
  }
  await within(10000, published, 'all publishes');
  assert.deepEqual(await collect(witness, count), Array.from({ length: count }, (_, n) => n));
  const seen = [];
  while (reader.pending > 0)
    seen.push((await reader.push()).pub.data);
  assert.deepEqual(seen, [...new Set(seen)].sort((a, b) => a - b), 'in order, none twice');
  await reader.subscribe('churn');
  await writer.publish('churn', 'end');
  const end = performance.now() + deadline(5000);
  while ((await reader.push()).pub.data !== 'end')
    assert.ok(performance.now() < end);
});
