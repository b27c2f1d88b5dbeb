/* A client that comes back misses nothing, gets nothing twice, or is told: the unmodified SDK, sockets cut at
 * random moments while a publisher runs at full speed. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { api, sum, untilMetrics } from './helpers/http.mjs';
import { connect } from './helpers/protocol.mjs';
import { checkedReader, publishAll } from './helpers/readers.mjs';
import { startNode, startNodes, startRedis } from './helpers/redis.mjs';
import { deadline, openChannels, openConfig, startServer, until } from './helpers/server.mjs';

const remembers = { history_size: 10000, history_ttl: '60s', force_recovery: true };
const reads = { allow_history_for_client: true, allow_history_for_anonymous: true };
const config = {
  client: openConfig.client,
  channel: {
    without_namespace: { ...openChannels, ...remembers, ...reads },
    namespaces: [
      { name: 'short', ...openChannels, ...remembers, ...reads, history_size: 5 },
      { name: 'cache', ...openChannels, ...remembers, history_size: 1, force_recovery_mode: 'cache', auto_cache_recover: true },
      { name: 'delta', ...openChannels, ...remembers, allowed_delta_types: ['fossil'], delta_publish: true },
      { name: 'newest', ...openChannels, conflation: true },
      { name: 'ask', ...openChannels, ...remembers, force_recovery: false, allow_positioning: true, allow_recovery: true },
    ],
  },
  http_api: { insecure: true }, prometheus: { enabled: true },
};

/* Else a reader that was away for a tenth of a second has missed too much. */
const patient = { ...config, client: { ...config.client, recovery_max_publication_limit: 10000 } };

async function cutManyTimes(servers, { rounds, readerCount, channel, options, makeData }) {
  const [server] = servers;
  const readers = await Promise.all(Array.from({ length: readerCount }, () => checkedReader(servers, channel, options)));
  const publisher = publishAll(server, channel, makeData);
  for (let round = 0; round < rounds; round++) {
    const reader = readers[round % readerCount];
    const before = reader.recoveries + reader.told;
    reader.link.cut();
    if (round % 3 === 0) /* another time while it is coming back */
      setTimeout(() => reader.link.cut(), Math.random() * 8);
    await until(() => reader.recoveries + reader.told > before, `round ${round}: a return`, 20000);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 6)); /* the moment is random */
  }
  const count = await publisher.stop();
  const lastOffset = (await api(server, 'history', { channel, limit: 0 })).json?.result?.offset ?? count;
  await until(() => readers.every(({ next }) => next === lastOffset + 1),
              () => `all ${lastOffset} offsets: ${readers.map(({ next }) => next)}`, 20000);
  for (const { faults } of readers)
    assert.deepEqual(faults, []);
  const recoveries = readers.reduce((sum, reader) => sum + reader.recoveries, 0);
  assert.ok(recoveries > rounds / 2, `${recoveries} recoveries in ${rounds} rounds`);
  readers.forEach((reader) => reader.close());
  await Promise.all(servers.map((one) => one.stop()));
  return readers;
}

describe('sockets are cut while a publisher runs', () => {
  for (const workers of [1, 2, 4, 8])
    test(`${workers} workers`, { timeout: deadline(90000) }, async () =>
      cutManyTimes([await startServer({ config: patient, workers })],
                   { rounds: workers === 2 ? 200 : 60, readerCount: 4, channel: 'live' }));

  test('two nodes, and each return is to the other one', { timeout: deadline(90000) }, async () => {
    const redis = await startRedis();
    await cutManyTimes(await startNodes(redis, 2, { config: patient }),
                       { rounds: 200, readerCount: 4, channel: 'live' });
    await redis.stop();
  });

  test('with deltas', { timeout: deadline(90000) }, async () => {
    const text = 'the same words in every message, but for the number: ';
    const readers = await cutManyTimes([await startServer({ config: patient, workers: 2 })], {
      rounds: 60, readerCount: 3, channel: 'delta:live', options: { delta: 'fossil' },
      makeData: (n) => ({ before: n, text: text.repeat(4), é: `€${n}`, after: n }),
    });
    for (const { last } of readers)
      assert.equal(last.text, text.repeat(4));
  });
});

for (const engine of ['memory', 'redis']) describe(`one server, engine ${engine}`, () => {
  let server, redis;
  before(async () => {
    redis = engine === 'redis' && await startRedis();
    server = await (redis ? startNode(redis, { config }) : startServer({ config }));
  });
  after(async () => {
    await server.stop();
    if (redis)
      await redis.stop();
  });

  const publishMany = async (channel, from, count) => {
    for (let n = from; n < from + count; n++)
      assert.ok((await api(server, 'publish', { channel, data: n })).json.result);
  };
  const subscribe = async (params) => {
    const client = await connect(server);
    const reply = await client.request({ subscribe: params });
    return [client, reply];
  };

  test('a fresh subscription is told where the channel stands', async () => {
    await publishMany('stands', 0, 3);
    const [client, { subscribe: result }] = await subscribe({ channel: 'stands' });
    assert.match(result.epoch, /^[A-Za-z]{8}$/);
    assert.deepEqual(result, { recoverable: true, positioned: true, epoch: result.epoch, offset: 3 });
    await publishMany('stands', 3, 1);
    assert.deepEqual((await client.push()).pub, { data: 3, offset: 4 });
    await client.close();
  });

  test('who was away gets exactly what it missed, in one reply', async () => {
    const [first, { subscribe: { epoch } }] = await subscribe({ channel: 'away' });
    await first.close();
    await publishMany('away', 1, 100);
    const [client, { subscribe: result }] = await subscribe({ channel: 'away', recover: true, epoch, offset: 20 });
    assert.equal(result.recovered, true);
    assert.equal(result.was_recovering, true);
    assert.equal(result.offset, 20);
    assert.deepEqual(result.publications.map(({ offset, data }) => [offset, data]),
                     Array.from({ length: 80 }, (_, n) => [n + 21, n + 21]));
    await publishMany('away', 101, 1);
    assert.equal((await client.push()).pub.offset, 101);
    await client.close();
  });

  test('an empty epoch and offset 0 mean everything, while nothing is gone', async () => {
    await publishMany('short:all', 1, 5);
    const [, { subscribe: all }] = await subscribe({ channel: 'short:all', recover: true });
    assert.equal(all.recovered, true);
    assert.equal(all.publications.length, 5);
    assert.equal(all.publications[0].epoch, all.epoch, 'the first publication tells the epoch');
    await publishMany('short:all', 6, 1);
    const [, { subscribe: less }] = await subscribe({ channel: 'short:all', recover: true });
    assert.deepEqual(less, { recoverable: true, positioned: true, epoch: all.epoch, offset: 6, was_recovering: true });
  });

  test('what cannot be recovered is told: foreign and malformed epochs, offsets beyond the top, gone', async () => {
    await publishMany('short:gone', 1, 12);
    const [, { subscribe: { epoch } }] = await subscribe({ channel: 'short:gone' });
    const failed = { recoverable: true, positioned: true, epoch, offset: 12, was_recovering: true };
    for (const position of [
      { epoch: 'abcdefgh', offset: 12 }, { epoch: 'x', offset: 12 }, { epoch: 'ünïcode!', offset: 12 },
      { epoch: 'x'.repeat(300), offset: 1 }, { epoch, offset: 13 }, { epoch, offset: 2 ** 53 },
      { epoch, offset: 6 }, { epoch, offset: 0 },
    ]) {
      const [client, reply] = await subscribe({ channel: 'short:gone', recover: true, ...position });
      assert.deepEqual(reply.subscribe, failed, JSON.stringify(position));
      await client.close();
      const [, strict] = await subscribe({ channel: 'short:gone', recover: true, ...position, flag: 2 });
      assert.deepEqual(strict.error, { code: 112, message: 'unrecoverable position' });
    }
    const [, { subscribe: good }] = await subscribe({ channel: 'short:gone', recover: true, epoch, offset: 7 });
    assert.equal(good.publications.length, 5);
    const [, { subscribe: top }] = await subscribe({ channel: 'short:gone', recover: true, epoch, offset: 12 });
    assert.deepEqual(top, { ...failed, recovered: true });
  });

  test('more than client.recovery_max_publication_limit is not recovered', async () => {
    const [, { subscribe: { epoch } }] = await subscribe({ channel: 'many' });
    await publishMany('many', 1, 301);
    const [, { subscribe: over }] = await subscribe({ channel: 'many', recover: true, epoch });
    assert.equal(over.recovered, undefined);
    const [, { subscribe: just }] = await subscribe({ channel: 'many', recover: true, epoch, offset: 1 });
    assert.equal(just.publications.length, 300);
  });

  test('positions are kept for those who ask where it is allowed, and for nobody else', async () => {
    const [, { subscribe: plain }] = await subscribe({ channel: 'ask:x' });
    assert.deepEqual(plain, {});
    const [, { subscribe: positioned }] = await subscribe({ channel: 'ask:x', positioned: true });
    assert.deepEqual(Object.keys(positioned).sort(), ['epoch', 'positioned']);
    const [, { subscribe: recoverable }] = await subscribe({ channel: 'ask:x', recoverable: true });
    assert.equal(recoverable.recoverable && recoverable.positioned, true);
  });

  test('cache mode gives the newest to whoever comes, and only once', async () => {
    const [, { subscribe: empty }] = await subscribe({ channel: 'cache:x' });
    assert.equal(empty.publications, undefined);
    await publishMany('cache:x', 1, 7);
    const [client, { subscribe: fresh }] = await subscribe({ channel: 'cache:x' });
    assert.deepEqual(fresh.publications, [{ data: 7, offset: 7 }]);
    await publishMany('cache:x', 8, 1);
    assert.equal((await client.push()).pub.offset, 8);
    const { epoch } = fresh;
    const [, { subscribe: had }] = await subscribe({ channel: 'cache:x', recover: true, epoch, offset: 8 });
    assert.deepEqual([had.recovered, had.publications, had.offset], [true, undefined, 8]);
    const [, { subscribe: late }] = await subscribe({ channel: 'cache:x', recover: true, epoch, offset: 2 });
    assert.deepEqual(late.publications, [{ data: 8, offset: 8 }]);
  });

  test('the history command, in all its shapes', async () => {
    await publishMany('short:read', 1, 7);
    const client = await connect(server);
    const history = async (params) => (await client.call({ history: { channel: 'short:read', ...params } }));
    const offsets = async (params) => (await history(params)).publications.map(({ offset }) => offset);
    const { epoch, ...rest } = await history({});
    assert.deepEqual(rest, { publications: [], offset: 7 });
    assert.deepEqual(await offsets({ limit: -1 }), [3, 4, 5, 6, 7]);
    assert.deepEqual(await offsets({ limit: 2 }), [3, 4]);
    assert.deepEqual(await offsets({ limit: 2, reverse: true }), [7, 6]);
    assert.deepEqual(await offsets({ limit: -1, since: { offset: 5, epoch } }), [6, 7]);
    assert.deepEqual(await offsets({ limit: -1, since: { offset: 5, epoch }, reverse: true }), [4, 3]);
    assert.deepEqual(await offsets({ limit: -1, since: { offset: 1, epoch } }), [3, 4, 5, 6, 7]);
    assert.deepEqual(await offsets({ limit: -1, since: { offset: 1, epoch }, reverse: true }), []);
    assert.deepEqual(await offsets({ limit: -1, since: { offset: 7, epoch } }), []);
    assert.deepEqual(await offsets({ limit: -1, since: { offset: 99, epoch } }), []);
    const code = async (params) => (await client.request({ history: { channel: 'short:read', ...params } })).error?.code;
    assert.equal(await code({ since: { offset: 1, epoch: 'abcdefgh' }, limit: 1 }), 112);
    assert.equal(await code({ since: { offset: 0, epoch }, limit: 1, reverse: true }), 107);
    assert.equal(await code({ channel: 'ask:x', limit: 1 }), 103);
    assert.equal(await code({ channel: 'no:such', limit: 1 }), 102);
    await client.close();
  });

  test('a recovery that the queue cannot take at once comes in parts', { timeout: deadline(30000) }, async () => {
    const reader = await checkedReader([server], 'large');
    const large = 'x'.repeat(60000);
    await api(server, 'publish', { channel: 'large', data: 0 });
    await until(() => reader.next === 2, 'the first', 20000);
    reader.sdk.disconnect();
    for (let n = 0; n < 60; n++) /* 3.6 MB, of which half a megabyte goes out at once */
      await api(server, 'publish', { channel: 'large', data: large });
    reader.sdk.connect();
    await until(() => reader.next === 62, () => `all of it: ${reader.next}`, 20000);
    assert.deepEqual(reader.faults, []);
    assert.ok(reader.recoveries > 3 && reader.told === 0, `${reader.recoveries} parts`);
    reader.close();
  });

  test('conflation: a slow reader gets the newest, without it the close', { timeout: deadline(30000) }, async () => {
    const slow = await connect(server);
    const closed = await connect(server);
    await slow.subscribe('newest:x');
    await closed.subscribe('live');
    slow.socket.pause();
    closed.socket.pause();
    const COUNT = 1500;
    for (let n = 0; n < COUNT; n++) {
      const data = { n, pad: 'x'.repeat(10000) };
      await api(server, 'broadcast', { channels: ['newest:x', 'live'], data });
    }
    slow.socket.resume();
    closed.socket.resume();
    const seen = [];
    while (seen.at(-1) !== COUNT - 1)
      seen.push((await slow.push()).pub.data.n);
    assert.ok(seen.length < COUNT, 'some were left out');
    assert.deepEqual(seen, [...seen].sort((x, y) => x - y));
    assert.deepEqual(await closed.closed(), { code: 3008, reason: 'slow' });
    await untilMetrics(server, (m) => sum(m, /conflated_total/) === COUNT - seen.length, 'what was left out is counted');
    await slow.close();
  });

  test('asking about a million channels that never were costs nothing', async () => {
    const client = await connect(server);
    const epochs = await Promise.all(Array.from({ length: 2000 }, (_, n) => client.call({ history: { channel: `never-${n}` } })));
    assert.ok(epochs.every(({ offset, epoch }) => offset === 0 && /^[A-Za-z]{8}$/.test(epoch)));
    const { epoch } = epochs[0];
    await publishMany('never-0', 1, 1);
    assert.equal((await client.call({ history: { channel: 'never-0', limit: 1 } })).epoch, epoch);
    await client.close();
  });
});
