/* What a back end asks of channels that remember: publish with all its options, history in all its shapes,
 * presence, and batches of everything. A real server, and subscribers that see what is delivered. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { api } from './helpers/http.mjs';
import { startNode, startRedis } from './helpers/redis.mjs';
import { connect } from './helpers/protocol.mjs';
import { openChannels, openConfig, startServer } from './helpers/server.mjs';

const remembers = { history_size: 5, history_ttl: '60s' };
const config = {
  client: openConfig.client,
  channel: {
    without_namespace: { ...openChannels, ...remembers, presence: true, allowed_delta_types: ['fossil'], allow_positioning: true },
    namespaces: [{ name: 'plain', ...openChannels }],
  },
  http_api: { insecure: true },
};

let server, redis;
before(async () => {
  server = await startServer({ config });
  redis = await startRedis();
});
after(async () => {
  await server.stop();
  await redis.stop();
});

let channels = 0;
const newChannel = () => `channel${++channels}`;

/* The result; an error fails the test. */
async function call(method, body, node = server) {
  const { status, json } = await api(node, method, body);
  assert.equal(status, 200);
  assert.equal(json.error, undefined, JSON.stringify(json));
  return json.result;
}

/* The error: its code. */
async function errorCode(method, body, node = server) {
  const { status, json, text } = await api(node, method, body);
  assert.equal(status, 200, text);
  assert.equal(json.result, undefined, text);
  return json.error.code;
}

async function subscriber(channel, extra = {}) {
  const client = await connect(server);
  const { error } = await client.request({ subscribe: { channel, ...extra } });
  assert.equal(error, undefined);
  return client;
}

/* All that a subscriber gets up to a last publication, of which the caller knows the data. */
async function deliveredUntil(client, channel, last) {
  const seen = [];
  for (;;) {
    const { channel: from, pub } = await client.push();
    assert.equal(from, channel);
    if (pub.data === last)
      return seen;
    seen.push(pub);
  }
}

const publishMany = async (channel, count) => {
  for (let data = 1; data <= count; data++)
    await call('publish', { channel, data });
};
const offsets = ({ publications }) => publications.map(({ offset }) => offset);

describe('publish', () => {
  test('tells offset and epoch in a channel with history, and nothing in another', async () => {
    const channel = newChannel();
    const first = await call('publish', { channel, data: 1 });
    assert.equal(first.offset, 1);
    assert.match(first.epoch, /^[A-Za-z]{8}$/);
    assert.deepEqual(await call('publish', { channel, data: 2 }), { offset: 2, epoch: first.epoch });
    assert.deepEqual(await call('publish', { channel: 'plain:x', data: 1 }), {});
  });

  test('skip_history: delivered, not kept, not numbered', async () => {
    const channel = newChannel();
    const client = await subscriber(channel);
    await call('publish', { channel, data: 'kept' });
    assert.deepEqual(await call('publish', { channel, data: 'skipped', skip_history: true }), {});
    await call('publish', { channel, data: 'end' });
    assert.deepEqual((await deliveredUntil(client, channel, 'end')).map(({ data, offset }) => [data, offset]),
                     [['kept', 1], ['skipped', undefined]]);
    const { publications, offset } = await call('history', { channel, limit: -1 });
    assert.deepEqual(publications.map(({ data }) => data), ['kept', 'end']);
    assert.equal(offset, 2);
  });

  test('idempotency_key: twice the same key is one publication with one position', async () => {
    const channel = newChannel();
    const client = await subscriber(channel);
    const publication = { channel, data: 'once', idempotency_key: 'order-17' };
    const first = await call('publish', publication);
    assert.deepEqual(await call('publish', publication), first);
    assert.deepEqual(await call('publish', { ...publication, data: 'other data' }), first);
    const { offset } = await call('publish', { channel, data: 'again', idempotency_key: 'order-18' });
    assert.equal(offset, 2);
    await call('publish', { channel, data: 'end' });
    assert.deepEqual((await deliveredUntil(client, channel, 'end')).map(({ data }) => data), ['once', 'again']);
    assert.equal((await call('history', { channel })).offset, 3);
  });

  test('idempotency_key works without history, and per channel', async () => {
    const client = await subscriber('plain:a');
    for (const channel of ['plain:a', 'plain:b', 'plain:a'])
      assert.deepEqual(await call('publish', { channel, data: 'once', idempotency_key: 'k' }), {});
    await call('broadcast', { channels: ['plain:a', 'plain:c'], data: 'twice', idempotency_key: 'k' });
    await call('publish', { channel: 'plain:a', data: 'end' });
    assert.deepEqual((await deliveredUntil(client, 'plain:a', 'end')).map(({ data }) => data), ['once']);
  });

  test('version: what is not newer is suppressed, and the answer is the top', async () => {
    const channel = newChannel();
    const client = await subscriber(channel);
    const version = (data, extra) => call('publish', { channel, data, ...extra });
    const five = await version('v5', { version: 5 });
    assert.deepEqual(await version('v4', { version: 4 }), five);
    assert.deepEqual(await version('v5 again', { version: 5 }), five);
    assert.equal((await version('v6', { version: 6 })).offset, 2);
    assert.equal((await version('v1 of b', { version: 1, version_epoch: 'b' })).offset, 3);
    assert.equal((await version('v1 of b again', { version: 1, version_epoch: 'b' })).offset, 3);
    await version('end');
    assert.deepEqual((await deliveredUntil(client, channel, 'end')).map(({ data }) => data), ['v5', 'v6', 'v1 of b']);
  });

  test('delta: a subscriber that negotiated it gets a patch', async () => {
    const channel = newChannel();
    const client = await subscriber(channel, { delta: 'fossil', positioned: true });
    const text = 'a rather long text that does not change much, '.repeat(10);
    await call('publish', { channel, data: { text, n: 1 }, delta: true });
    await call('publish', { channel, data: { text, n: 2 }, delta: true });
    await call('publish', { channel, data: { text, n: 3 } });
    const pubs = [(await client.push()).pub, (await client.push()).pub, (await client.push()).pub];
    assert.deepEqual(pubs.map(({ delta }) => delta), [undefined, true, undefined]);
    assert.ok(pubs[1].data.length < 60, pubs[1].data);
    assert.deepEqual(JSON.parse(pubs[2].data), { text, n: 3 });
  });

  test('tags and b64data', async () => {
    const channel = newChannel();
    const client = await subscriber(channel);
    await call('publish', { channel, b64data: Buffer.from('{"a":\n[1]}').toString('base64'), tags: { kind: 'x' } });
    const pub = { data: { a: [1] }, offset: 1, tags: { kind: 'x' } };
    const { epoch, ...pushed } = (await client.push()).pub; /* a push tells the epoch with offset 1 */
    assert.deepEqual(pushed, pub);
    const history = await call('history', { channel, limit: 1 });
    assert.deepEqual(history, { publications: [pub], epoch, offset: 1 });
  });

  test('broadcast tells the position of each', async () => {
    const [a, b] = [newChannel(), newChannel()];
    await publishMany(b, 3);
    const { responses } = await call('broadcast', { channels: [a, 'plain:x', 'no:such', b], data: 1 });
    assert.equal(responses[0].result.offset, 1);
    assert.deepEqual(responses[1], { result: {} });
    assert.equal(responses[2].error.code, 102);
    assert.equal(responses[3].result.offset, 4);
    assert.notEqual(responses[0].result.epoch, responses[3].result.epoch);
  });

  test('options of a wrong type are a bad request that says why', async () => {
    for (const [name, value] of Object.entries({ skip_history: 1, delta: 'fossil', idempotency_key: 5, version: -1,
                                                 version_epoch: {}, tags: { a: 1 } })) {
      const { status, json } = await api(server, 'publish', { channel: 'plain:x', data: 1, [name]: value });
      assert.equal(status, 200);
      assert.equal(json.error.code, 107);
      assert.match(json.error.message, new RegExp(`"${name}"`));
    }
    const twice = await api(server, 'publish', '{"channel":"plain:x","data":1,"version":1,"version":2}');
    assert.equal(twice.json.error.code, 107);
    const broken = await api(server, 'publish', '{"channel":"plain:x","data":1,}');
    assert.equal(broken.status, 400);
    assert.match(broken.text, /not valid JSON: .* at byte \d+/);
  });
});

describe('history', () => {
  const channel = newChannel();
  let epoch;
  before(async () => {
    await publishMany(channel, 7); /* 3 to 7 are kept */
    ({ epoch } = await call('history', { channel }));
  });
  const read = (question) => call('history', { channel, ...question });

  test('limit 0 is the position', async () => {
    assert.deepEqual(await read({}), { publications: [], epoch, offset: 7 });
    assert.deepEqual(await read({ limit: 0 }), { publications: [], epoch, offset: 7 });
  });

  test('limit, since and reverse in all combinations', async () => {
    const rows = [
      [{ limit: 2 }, [3, 4]],
      [{ limit: -1 }, [3, 4, 5, 6, 7]],
      [{ limit: 100 }, [3, 4, 5, 6, 7]],
      [{ limit: 2, reverse: true }, [7, 6]],
      [{ limit: -1, reverse: true }, [7, 6, 5, 4, 3]],
      [{ limit: -1, since: { offset: 5, epoch } }, [6, 7]],
      [{ limit: 1, since: { offset: 5, epoch } }, [6]],
      [{ limit: -1, since: { offset: 1, epoch } }, [3, 4, 5, 6, 7]],
      [{ limit: -1, since: { offset: 0, epoch: '' } }, [3, 4, 5, 6, 7]],
      [{ limit: -1, since: { offset: 7, epoch } }, []],
      [{ limit: -1, since: { offset: 9007199254740991, epoch } }, []],
      [{ limit: -1, reverse: true, since: { offset: 5, epoch } }, [4, 3]],
      [{ limit: 1, reverse: true, since: { offset: 5, epoch } }, [4]],
      [{ limit: -1, reverse: true, since: { offset: 2, epoch } }, []],
    ];
    for (const [question, expected] of rows) {
      const result = await read(question);
      assert.deepEqual(offsets(result), expected, JSON.stringify(question));
      assert.deepEqual(result.publications.map(({ data }) => data), expected);
      assert.deepEqual([result.offset, result.epoch, result.truncated], [7, epoch, undefined]);
    }
  });

  test('errors: 107, 102, 108, 112, and their statuses in transport mode', async () => {
    const rows = [
      [{ limit: -1, reverse: true, since: { offset: 0, epoch } }, 107, 400],
      [{ limit: '1' }, 107, 400],
      [{ since: [] }, 107, 400],
      [{ channel: '' }, 107, 400],
      [{ channel: 'x'.repeat(256) }, 107, 400],
      [{ channel: 'a\u0007b' }, 107, 400],
      [{ channel: 'no:such' }, 102, 404],
      [{ channel: 'plain:x' }, 108, 400],
      [{ limit: -1, since: { offset: 5, epoch: 'XXXXXXXX' } }, 112, 416],
      [{ since: { offset: 5, epoch: 'malformed epoch' } }, 112, 416],
    ];
    for (const [question, code, status] of rows) {
      const body = { channel, ...question };
      assert.equal(await errorCode('history', body), code, JSON.stringify(question));
      const headers = { 'X-Centrifugo-Error-Mode': 'transport' };
      const answer = await api(server, 'history', body, { headers });
      assert.equal(answer.status, status, JSON.stringify(question));
      assert.equal(answer.json.error.code, code);
    }
  });

  test('history_remove forgets the publications, not the position', async () => {
    const other = newChannel();
    await publishMany(other, 3);
    const { epoch: before } = await call('history', { channel: other });
    assert.deepEqual(await call('history_remove', { channel: other }), {});
    assert.deepEqual(await call('history', { channel: other, limit: -1 }), { publications: [], epoch: before, offset: 3 });
    assert.deepEqual(await call('publish', { channel: other, data: 4 }), { offset: 4, epoch: before });
    assert.deepEqual(await call('history_remove', { channel: newChannel() }), {}); /* never was */
    assert.equal(await errorCode('history_remove', { channel: 'plain:x' }), 108);
    assert.equal(await errorCode('history_remove', { channel: 'no:such' }), 102);
    assert.equal(await errorCode('history_remove', {}), 107);
  });
});

describe('presence', () => {
  test('tells who is there, and how many', async () => {
    const channel = newChannel();
    assert.deepEqual(await call('presence', { channel }), { presence: {} });
    const client = await subscriber(channel);
    const id = client.info.client;
    assert.deepEqual(await call('presence', { channel }), { presence: { [id]: { user: '', client: id } } });
    await subscriber(channel);
    assert.deepEqual(await call('presence_stats', { channel }), { num_clients: 2, num_users: 1 });
  });

  test('is 108 where it is off, 102 and 107 as everywhere', async () => {
    for (const method of ['presence', 'presence_stats']) {
      assert.equal(await errorCode(method, { channel: 'plain:x' }), 108);
      assert.equal(await errorCode(method, { channel: 'no:such' }), 102);
      assert.equal(await errorCode(method, { channel: 5 }), 107);
    }
  });
});

describe('batch', () => {
  test('one after the other: each command sees what those before it did', async () => {
    const channel = newChannel();
    const client = await subscriber(channel);
    const { replies } = await call('batch', { commands: [
      { publish: { channel, data: 1 } },
      { history: { channel, limit: -1 } },
      { broadcast: { channels: [channel, 'no:such'], data: 2 } },
      { history: { channel, limit: 1, reverse: true } },
      { no_such: {} },
      { history_remove: { channel } },
      { history: { channel, limit: -1 } },
      { presence: { channel } },
      { presence_stats: { channel } },
      { info: {} },
      { publish: { channel, data: 3, version: 'x' } },
    ] });
    assert.equal(replies.length, 11);
    const { epoch } = replies[0].publish;
    assert.equal(replies[0].publish.offset, 1);
    assert.deepEqual(offsets(replies[1].history), [1]);
    assert.deepEqual(replies[2].broadcast.responses[0].result, { offset: 2, epoch });
    assert.equal(replies[2].broadcast.responses[1].error.code, 102);
    assert.deepEqual(offsets(replies[3].history), [2]);
    assert.equal(replies[4].error.code, 104);
    assert.deepEqual(replies[5], { history_remove: {} });
    assert.deepEqual(replies[6].history, { publications: [], epoch, offset: 2 });
    assert.deepEqual(Object.keys(replies[7].presence.presence), [client.info.client]);
    assert.deepEqual(replies[8].presence_stats, { num_clients: 1, num_users: 1 });
    assert.equal(replies[9].info.nodes.length, 1);
    assert.equal(replies[10].error.code, 107);
  });

  test('10,000 commands, in order, one by one and in parallel; 10,001 are refused', async () => {
    for (const parallel of [false, true]) {
      const channel = newChannel();
      const commands = Array.from({ length: 10000 }, (_, data) => ({ publish: { channel, data } }));
      const { replies } = await call('batch', { commands, parallel });
      /* The memory engine answers in order also when many are open. */
      assert.deepEqual(replies.map(({ publish }) => publish.offset), commands.map((_, i) => i + 1));
      assert.equal(await errorCode('batch', { commands: [...commands, commands[0]], parallel }), 107);
      assert.equal((await call('history', { channel })).offset, 10000);
    }
  });

  test('a batch that is none is refused', async () => {
    assert.equal(await errorCode('batch', {}), 107);
    assert.equal(await errorCode('batch', { commands: {} }), 107);
    assert.equal(await errorCode('batch', { commands: [], parallel: 'yes' }), 107);
    assert.deepEqual(await call('batch', { commands: [] }), { replies: [] });
  });
});

test('an answer is bounded, says so, and the rest can be asked for', async () => {
  const large = await startServer({ config: {
    ...config,
    client: { ...config.client, queue_max_size: 8 << 20 },
    channel: { without_namespace: { ...openChannels, history_size: 100, history_ttl: '60s' } },
  } });
  const data = 'x'.repeat(1000000);
  for (let i = 0; i < 40; i++)
    await call('publish', { channel: 'big', data }, large);
  const seen = [];
  for (let since; seen.length < 40;) {
    const { publications, offset, epoch, truncated } = await call('history', { channel: 'big', limit: -1, since }, large);
    seen.push(...publications.map((p) => p.offset));
    assert.equal(offset, 40);
    assert.ok(publications.length <= 16);
    assert.equal(truncated, seen.length < 40 ? true : undefined);
    since = { offset: seen.at(-1), epoch };
  }
  assert.deepEqual(seen, Array.from({ length: 40 }, (_, i) => i + 1));
  for (const parallel of [false, true]) {
    const commands = Array.from({ length: 50 }, () => ({ history: { channel: 'big', limit: -1 } }));
    const { text, json } = await api(large, 'batch', { commands, parallel });
    assert.ok(text.length < (parallel ? 80 : 20) << 20, `${text.length}`);
    assert.equal(json.result.replies.length, 50);
    if (!parallel)
      assert.equal(json.result.replies[49].error.code, 107);
  }
  await large.stop();
});

test('with Redis, a channel without history has none, and the rest works', async () => {
  const node = await startNode(redis, { config: { ...openConfig, http_api: { insecure: true } } });
  assert.equal(await errorCode('history', { channel: 'x', limit: -1 }, node), 108);
  assert.equal(await errorCode('history_remove', { channel: 'x' }, node), 108);
  for (let i = 0; i < 2; i++)
    assert.deepEqual(await call('publish', { channel: 'x', data: 1, idempotency_key: 'k' }, node), {});
  const options = { skip_history: true, delta: true, version: 3, version_epoch: 'e', tags: { a: 'b' } };
  assert.deepEqual(await call('publish', { channel: 'x', data: 1, ...options }, node), {});
  const { replies } = await call('batch', { commands: [{ publish: { channel: 'x', data: 1 } }, { history: { channel: 'x' } }] }, node);
  assert.deepEqual(replies[0], { publish: {} });
  assert.equal(replies[1].error.code, 108);
  await node.stop();
});
