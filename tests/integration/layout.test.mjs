/* A rolling upgrade: nodes of the first form of the layout in Redis, which know no history, run together with
 * these. The test speaks that form by hand, byte for byte (channels/redis_envelope.h, redis_shared.h). */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { api } from './helpers/http.mjs';
import { connect } from './helpers/protocol.mjs';
import { startNodes, startRedis } from './helpers/redis.mjs';
import { openChannels, openConfig, until } from './helpers/server.mjs';

const config = {
  client: openConfig.client,
  channel: { without_namespace: {
    ...openChannels, history_size: 100, history_ttl: '60s', force_recovery: true, presence: true,
    allow_presence_for_client: true, allow_presence_for_anonymous: true,
  } },
  http_api: { insecure: true },
};
const BASE = 'carillon:1:centrifugo:';

/* kind 'P' or 'J'; the texts are data, tags, user, client, conn_info, chan_info. */
function envelope(kind, ...texts) {
  const head = Buffer.alloc(32);
  head.write(`CRN1${kind}`);
  const all = Array.from({ length: 6 }, (_, i) => Buffer.from(texts[i] ?? ''));
  all.forEach((text, i) => head.writeUInt32LE(text.length, 8 + 4 * i));
  return Buffer.concat([head, ...all]);
}

/* A node of the first form: beats, listens and publishes. */
class FirstNode {
  heard = [];
  #beat = 0;

  constructor(redis) {
    this.redis = redis;
  }

  async start(channel) {
    this.name = `${BASE}ch:${channel}`;
    this.listener = this.redis.client.duplicate();
    this.listener.on('messageBuffer', (_, bytes) => this.heard.push(bytes));
    await this.listener.subscribe(this.name);
    const beat = () => this.redis.client.hset(`${BASE}nodes`, 'first-form', String(++this.#beat));
    await beat();
    this.timer = setInterval(beat, 500);
    await until(() => this.redis.client.exists(`${BASE}legacy`), 'the nodes to have seen it');
  }

  /* What it understands: the others are garbage to it. */
  get understood() {
    return this.heard.filter((bytes) => bytes.subarray(0, 4).toString() === 'CRN1')
      .map((bytes) => bytes.subarray(32, 32 + bytes.readUInt32LE(8)).toString());
  }

  publish(data) {
    return this.redis.client.publish(this.name, envelope('P', data));
  }

  async stop() {
    clearInterval(this.timer);
    await this.redis.client.hdel(`${BASE}nodes`, 'first-form');
    this.listener.disconnect();
  }
}

let redis, a, b, first;
before(async () => {
  redis = await startRedis();
  [a, b] = await startNodes(redis, 2, { config });
  first = new FirstNode(redis);
  await first.start('room');
});
after(async () => {
  clearInterval(first.timer);
  first.listener.disconnect();
  await Promise.all([a.stop(), b.stop()]);
  await redis.stop();
});

test('publications with history reach both forms, each once and in order', async () => {
  const client = await connect(b);
  const { subscribe: { epoch } } = await client.request({ subscribe: { channel: 'room' } });
  const count = 200;
  await Promise.all(Array.from({ length: count }, (_, n) => api(n % 2 ? a : b, 'publish', { channel: 'room', data: n })));
  const seen = [];
  for (let n = 1; n <= count; n++) {
    const { pub } = await client.push();
    assert.equal(pub.offset, n);
    seen.push(String(pub.data));
  }
  await until(() => first.understood.length >= count, 'all of them at the node of the first form');
  assert.deepEqual(first.understood, seen);
  const other = await connect(a);
  const { subscribe } = await other.request({ subscribe: { channel: 'room', recover: true, epoch, offset: count - 50 } });
  assert.equal(subscribe.recovered, true);
  assert.equal(subscribe.publications.length, 50);
  await Promise.all([client.close(), other.close()]);
});

test('what a node of the first form publishes reaches subscribers, between those that are numbered', async () => {
  const client = await connect(b);
  await client.request({ subscribe: { channel: 'room' } });
  for (let n = 0; n < 20; n++) {
    await first.publish(`"old ${n}"`);
    assert.deepEqual((await client.push()).pub, { data: `old ${n}` });
    const { json: { result } } = await api(a, 'publish', { channel: 'room', data: n });
    const { pub } = await client.push();
    assert.deepEqual([pub.data, pub.offset], [n, result.offset]);
  }
  assert.equal(client.pending, 0);
  await client.close();
});

test('its members are seen', async () => {
  const client = await connect(a);
  await client.request({ subscribe: { channel: 'room' } });
  const join = envelope('J', '', '', 'ann', '11111111-0000-4000-8000-000000000000');
  await redis.client.hset(`${BASE}presence:room`, '11111111-0000-4000-8000-000000000000',
                          Buffer.concat([Buffer.from('first-form A'), join]));
  const { presence: { presence } } = await client.request({ presence: { channel: 'room' } });
  assert.deepEqual(Object.values(presence).map(({ user }) => user).sort(), ['', 'ann']);
  await client.close();
});

test('when the last one is gone nothing is published twice any more', async () => {
  await first.stop();
  await until(async () => !await redis.client.exists(`${BASE}legacy`), 'the nodes to have forgotten it', 10000);
  const listener = redis.client.duplicate();
  const heard = [];
  listener.on('messageBuffer', (_, bytes) => heard.push(bytes.subarray(0, 4).toString()));
  await listener.subscribe(`${BASE}ch:room`);
  const client = await connect(b);
  await client.request({ subscribe: { channel: 'room' } });
  for (let n = 0; n < 3; n++) {
    await api(a, 'publish', { channel: 'room', data: n });
    assert.equal((await client.push()).pub.data, n);
  }
  await first.publish('"end"'); /* comes behind all others */
  assert.equal((await client.push()).pub.data, 'end');
  await until(() => heard.includes('CRN1'), 'the end');
  assert.deepEqual(heard, ['CRN2', 'CRN2', 'CRN2', 'CRN1']);
  listener.disconnect();
  await client.close();
});
