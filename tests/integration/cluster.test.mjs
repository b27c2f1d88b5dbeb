/* Three nodes on one real Redis are one server for whoever asks it: the API's methods reach the
 * connections of all, are answered when all have done it, and name the nodes that did not. A user's
 * newest connection is the only one, wherever it is.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import jsonwebtoken from 'jsonwebtoken';
import { api, metrics, sum } from './helpers/http.mjs';
import { connect } from './helpers/protocol.mjs';
import { startNode, startRedis } from './helpers/redis.mjs';
import { deadline, openChannels, until, within } from './helpers/server.mjs';

const SECRET = 'a secret for the tests of many nodes';
const PREFIX = 'carillon:1:centrifugo:';
const NAMES = ['alpha', 'beta', 'gamma'];
/* An answer with a node missing comes after one second; a tick and a slow machine are added. */
const BOUND_MS = deadline(1600);
const base = {
  client: { token: { hmac_secret_key: SECRET }, allow_anonymous_connect_without_token: true },
  channel: {
    without_namespace: { ...openChannels, presence: true },
    namespaces: [{
      name: 'few', ...openChannels, presence: true, join_leave: true, force_push_join_leave: true,
      join_leave_max_members: 2,
    }],
  },
  http_api: { insecure: true }, health: { enabled: true }, prometheus: { enabled: true },
};
const single = {
  ...base,
  client: {
    ...base.client, subscribe_to_user_personal_channel: { enabled: true, single_connection: true },
  },
};

const start = (name, config = base, ...args) =>
  startNode(redis, { config, args: [`--node.name=${name}`, ...args] });

let redis, nodes;
before(async () => {
  redis = await startRedis();
  nodes = await Promise.all(NAMES.map((name) => start(name)));
});
after(async () => {
  await Promise.all(nodes.map((node) => node.stop()));
  await redis.stop();
});

/* A connection of the user, which is closed when the test ends. */
async function join(t, node, user) {
  const token = jsonwebtoken.sign({ sub: user }, SECRET, { noTimestamp: true });
  const client = await connect(node, { connect: { token } });
  t.after(() => client.terminate());
  return client;
}

const onEach = (t, user, list = nodes) => Promise.all(list.map((node) => join(t, node, user)));

/* The result of a method, and how long it took. */
async function call(node, method, body = {}) {
  const { status, json, text } = await api(node, method, body);
  assert.equal(status, 200, text);
  assert.equal(json.error, undefined, text);
  return json.result;
}

async function failure(node, method, body = {}) {
  const from = performance.now();
  const { json, text } = await api(node, method, body);
  assert.ok(json.error, text);
  return { ...json.error, ms: performance.now() - from };
}

/* Where a node is not answered yet, or still named. */
const answers = async (node, method, body) => !(await api(node, method, body)).json.error;

/* --- what reaches all ------------------------------------------------------------------------- */

test('subscribe and unsubscribe reach the connections of a user on all nodes', async (t) => {
  const ann = await onEach(t, 'ann');
  const bob = await onEach(t, 'bob');
  for (const asked of nodes) {
    await call(asked, 'subscribe', { user: 'ann', channel: 'gifts', data: { a: 1 } });
    for (const client of ann)
      assert.deepEqual(await client.push(), { channel: 'gifts', subscribe: { data: { a: 1 } } });
    await call(asked, 'publish', { channel: 'gifts', data: 'x' });
    for (const client of ann)
      assert.equal((await client.push()).pub.data, 'x');
    await call(asked, 'unsubscribe', { user: 'ann', channel: 'gifts' });
    for (const client of ann)
      assert.equal((await client.push()).unsubscribe.code, 2000);
  }
  assert.ok(bob.every(({ pending }) => pending === 0));
});

test('disconnect closes the connections on all nodes, but for the whitelist', async (t) => {
  const ann = await onEach(t, 'ann');
  const spared = ann[1].info.client;
  await call(nodes[2], 'disconnect', {
    user: 'ann', whitelist: [spared], disconnect: { code: 4321, reason: 'go' },
  });
  for (const client of [ann[0], ann[2]])
    assert.deepEqual(await client.closed(), { code: 4321, reason: 'go' });
  await call(nodes[0], 'disconnect', { user: 'ann', client: spared });
  assert.equal((await ann[1].closed()).code, 3503);
});

test('refresh reaches all nodes', async (t) => {
  const ann = await onEach(t, 'ann');
  const expire_at = Math.floor(Date.now() / 1000) + 1000;
  await call(nodes[0], 'refresh', { user: 'ann', expire_at });
  for (const client of ann) {
    const { refresh } = await client.push();
    assert.ok(refresh.expires && refresh.ttl > 900, JSON.stringify(refresh));
  }
  await call(nodes[1], 'refresh', { user: 'ann', expired: true });
  for (const client of ann)
    assert.equal((await client.closed()).code, 3005);
});

test('an override and an info travel with a subscription', async (t) => {
  const ann = await join(t, nodes[0], 'ann');
  await call(nodes[2], 'subscribe', {
    user: 'ann', channel: 'secret', info: { n: 1 }, override: { presence: { value: false } },
  });
  await ann.push();
  await call(nodes[2], 'subscribe', { user: 'ann', channel: 'public', info: { n: 2 } });
  await ann.push();
  assert.deepEqual((await call(nodes[1], 'presence', { channel: 'secret' })).presence, {});
  const { presence } = await call(nodes[1], 'presence', { channel: 'public' });
  assert.deepEqual(Object.values(presence).map(({ chan_info }) => chan_info), [{ n: 2 }]);
});

test('channels are those of all nodes, counted together, page by page', async (t) => {
  const expected = {};
  await Promise.all(nodes.map(async (node, n) => {
    const client = await join(t, node, 'reader');
    for (let i = 0; i < 30; i++)
      if (i % (n + 1) === 0) {
        const channel = `page-${String(i).padStart(3, '0')}`;
        await client.subscribe(channel);
        expected[channel] = (expected[channel] ?? 0) + 1;
      }
  }));
  const seen = {};
  for (let cursor, pages = 0; pages < 20; pages++) {
    const page = await call(nodes[pages % 3], 'channels', { pattern: 'page-*', limit: 7, cursor });
    for (const [name, { num_clients }] of Object.entries(page.channels))
      seen[name] = (seen[name] ?? 0) + num_clients;
    assert.ok(Object.keys(page.channels).length <= 7);
    cursor = page.cursor;
    if (cursor === undefined)
      break;
  }
  assert.deepEqual(seen, expected);
});

test('info has the figures of all nodes', async (t) => {
  await join(t, nodes[0], 'ann');
  await onEach(t, 'bob', nodes.slice(1));
  await until(async () => {
    const info = await call(nodes[1], 'info');
    assert.equal(info.missing, undefined);
    assert.deepEqual(info.nodes.map(({ name }) => name), NAMES);
    assert.ok(info.nodes.every(({ process, version }) => process.rss > 1e6 && version));
    return info.nodes.map(({ num_clients }) => num_clients).join() === '1,1,1';
  }, 'one client on each node'); /* those of the tests before are leaving */
});

test('a thousand calls at once are all answered', async (t) => {
  await onEach(t, 'ann');
  const commands = Array.from({ length: 250 }, (_, i) =>
    ({ subscribe: { user: 'ann', channel: `many-${i}` } }));
  const results = await Promise.all([0, 1, 2, 0].map((n) =>
    call(nodes[n], 'batch', { commands, parallel: true })));
  for (const { replies } of results)
    assert.ok(replies.every(({ subscribe }) => subscribe), JSON.stringify(replies.find((r) => r.error)));
});

test('above its limit a channel announces no joins and leaves, counted over all nodes', async (t) => {
  const channel = 'few:room';
  const members = async (count) => until(async () =>
    (await call(nodes[0], 'presence_stats', { channel })).num_clients === count, `${count} members`);
  const watcher = await join(t, nodes[0], 'watcher');
  await watcher.subscribe(channel);
  assert.equal((await watcher.push()).join.info.user, 'watcher');
  const others = [];
  for (const [i, node] of nodes.entries()) {
    others.push(await join(t, node, `u${i}`));
    await others[i].subscribe(channel);
    await members(i + 2);
  }
  await others[2].publish(channel, 'all are in');
  assert.equal((await watcher.push()).join.info.user, 'u0');
  assert.equal((await watcher.push()).pub.data, 'all are in');
  for (const i of [2, 1, 0]) {
    await others[i].call({ unsubscribe: { channel } });
    await members(i + 1);
  }
  assert.equal((await watcher.push()).leave.info.user, 'u0');
  assert.equal(watcher.pending, 0);
});

/* --- notes that are none ---------------------------------------------------------------------- */

function envelope(kind, { op = 1, id = 0n, from = 'stranger', body = '' }) {
  const head = Buffer.alloc(24);
  head.write(`CRC1${kind}`, 'latin1');
  head[5] = op;
  head.writeBigUInt64LE(id, 8);
  head.writeUInt32LE(from.length, 16);
  head.writeUInt32LE(body.length, 20);
  return Buffer.concat([head, Buffer.from(from), Buffer.from(body)]);
}

test('a node answers what it does not know, and counts what is no note', async (t) => {
  const listener = redis.client.duplicate();
  t.after(() => listener.disconnect());
  await listener.subscribe(`${PREFIX}ctl:stranger`);
  const heard = [];
  let wake = () => {};
  listener.on('messageBuffer', (channel, message) => {
    heard.push(message);
    wake();
  });
  const all = (count) => within(5000, new Promise((resolve) => {
    wake = () => heard.length >= count && resolve();
    wake();
  }), () => `${count} answers, not ${heard.length}`);
  await redis.client.publish(`${PREFIX}ctl`, envelope('Q', { op: 99, id: 7n }));
  await redis.client.publish(`${PREFIX}ctl`, envelope('Q', { op: 1, id: 8n, body: 'nonsense' }));
  await all(6);
  assert.deepEqual(heard.map((m) => [m[4], m[6], m.readBigUInt64LE(8)])
    .sort((a, b) => Number(a[2] - b[2])),
  [...Array(3).fill([65, 1, 7n]), ...Array(3).fill([65, 2, 8n])]);
  const garbage = async () => sum(await metrics(nodes[0]), /cluster_garbage_total/);
  const before = await garbage();
  const whole = envelope('Q', { op: 1, id: 9n, body: 'x' });
  for (let n = 0; n < whole.length; n++)
    await redis.client.publish(`${PREFIX}ctl`, whole.subarray(0, n));
  await until(async () => await garbage() === before + whole.length, 'all to be counted');
  await call(nodes[0], 'info');
});

/* --- nodes that do not answer ----------------------------------------------------------------- */

/* All its threads have stopped. */
async function freeze(node) {
  const tasks = `/proc/${node.pid}/task`;
  node.signal('SIGSTOP');
  await until(() => fs.readdirSync(tasks).every((id) =>
    /\) T /.test(fs.readFileSync(`${tasks}/${id}/stat`, 'latin1'))), 'the node to be frozen');
}

test('a frozen node is named in time, and the others have done it', async (t) => {
  const ann = await onEach(t, 'ann');
  await freeze(nodes[1]);
  t.after(() => nodes[1].signal('SIGCONT'));
  const error = await failure(nodes[0], 'disconnect', { user: 'ann' });
  assert.equal(error.code, 100);
  assert.match(error.message, /done on 2 of 3 nodes; not on "beta" \([0-9a-f]+\): no answer in time$/);
  assert.ok(error.ms < BOUND_MS, `${error.ms} ms`);
  for (const client of [ann[0], ann[2]])
    assert.equal((await client.closed()).code, 3503);
  const channels = await failure(nodes[2], 'channels');
  assert.match(channels.message, /"beta"/);
  assert.ok(channels.ms < BOUND_MS, `${channels.ms} ms`);
  const info = await call(nodes[0], 'info');
  assert.deepEqual(info.nodes.map(({ name }) => name), ['alpha', 'gamma']);
  assert.deepEqual(info.missing.map(({ name, reason }) => [name, reason]), [['beta', 'no answer in time']]);
  nodes[1].signal('SIGCONT');
  assert.equal((await ann[1].closed()).code, 3503); /* late, but it does */
  await until(() => answers(nodes[0], 'info'), 'beta to be back');
  await until(() => answers(nodes[0], 'channels'), 'beta to be back');
});

test('a node that was killed is named until it is gone, one that was stopped is not', async (t) => {
  const doomed = await start('doomed');
  const stopped = await start('stopped');
  assert.equal((await call(nodes[0], 'info')).nodes.length, 5); /* from its first moment */
  await stopped.stop();
  assert.equal((await call(nodes[0], 'info')).nodes.length, 4);
  const ann = await join(t, nodes[1], 'ann');
  await doomed.kill();
  const error = await failure(nodes[0], 'subscribe', { user: 'ann', channel: 'x' });
  assert.match(error.message, /done on 3 of 4 nodes; not on "doomed" /);
  assert.equal((await ann.push()).channel, 'x');
  await until(() => answers(nodes[0], 'channels'), 'doomed to be forgotten', 30000);
});

/* --- Redis ------------------------------------------------------------------------------------ */

/* Waits until each node has read in the registry that the others are there. */
async function beats(server, count) {
  const read = async () => Object.values(await server.client.hgetall(`${PREFIX}nodes`)).map(Number);
  await until(async () => (await read()).length === count, 'all nodes to be registered');
  const then = await read();
  await until(async () => (await read()).every((number, i) => number >= then[i] + 2), 'two beats');
}

test('without Redis a call fails at once and does nothing; with it nodes are whole again', async (t) => {
  const own = await startRedis();
  t.after(() => own.stop());
  const pair = await Promise.all(['one', 'two'].map((name) =>
    startNode(own, { config: base, args: [`--node.name=${name}`] })));
  t.after(() => Promise.all(pair.map((node) => node.stop())));
  const ann = await onEach(t, 'ann', pair);

  own.freeze();
  const frozen = await failure(pair[0], 'disconnect', { user: 'ann' });
  assert.equal(frozen.code, 100);
  assert.match(frozen.message, /did not answer in time; it may or may not have been done/);
  assert.ok(frozen.ms < BOUND_MS, `${frozen.ms} ms`);
  own.thaw(); /* the question is in Redis' socket: it is late, and done */
  for (const client of ann)
    assert.equal((await client.closed(10000)).code, 3503);

  const bob = await onEach(t, 'bob', pair);
  await beats(own, pair.length);
  await own.kill();
  await Promise.all(pair.map((node) => node.waitLog(/redis is away/)));
  const away = await failure(pair[0], 'disconnect', { user: 'bob' });
  assert.match(away.message, /nothing was done: /);
  assert.ok(away.ms < deadline(500), `${away.ms} ms`);
  await own.start();
  await until(() => answers(pair[0], 'info'), 'node one to have Redis again', 10000);
  /* Two may still be on its way; Redis has lost the registry, one has not forgotten two. */
  const first = await call(pair[0], 'info');
  assert.equal(first.nodes.length + (first.missing ?? []).length, 2);
  await until(async () => (await call(pair[0], 'info')).nodes.length === 2, 'both nodes', 10000);
  assert.deepEqual(bob.map(({ socket }) => socket.readyState), [1, 1]); /* open, nothing was done */
});

/* --- a single connection ---------------------------------------------------------------------- */

async function startSingles(t) {
  const list = await Promise.all(NAMES.map((name) => start(name, single, '--engine.redis.prefix=single')));
  t.after(() => Promise.all(list.map((node) => node.stop())));
  return list;
}

const isOpen = ({ socket }) => socket.readyState === 1;

/* Waits until one is left, and makes sure that it stays. */
async function expectOne(singles, clients) {
  await until(() => clients.filter(isOpen).length <= 1,
    () => `one connection to be left, not ${clients.filter(isOpen).length}`);
  for (const node of singles) /* every node has done what it was told before */
    await call(node, 'disconnect', { user: 'nobody' });
  assert.equal(clients.filter(isOpen).length, 1);
  for (const client of clients)
    if (!isOpen(client))
      assert.deepEqual(await client.closed(), { code: 3504, reason: 'connection limit' });
}

test('a new connection closes the older one on another node', async (t) => {
  const singles = await startSingles(t);
  let last = await join(t, singles[0], 'ann');
  for (let i = 1; i < 12; i++) {
    const next = await join(t, singles[i % 3], 'ann');
    assert.deepEqual(await last.closed(), { code: 3504, reason: 'connection limit' });
    last = next;
  }
  await expectOne(singles, [last]);
});

test('of connections made at the same time on all nodes exactly one stays, 200 times', async (t) => {
  const singles = await startSingles(t);
  for (let round = 0; round < 200; round += 20)
    await Promise.all(Array.from({ length: 20 }, async (_, i) => {
      const clients = await onEach(t, `user-${round + i}`, singles);
      await expectOne(singles, clients);
      clients.forEach((client) => client.terminate());
    }));
});

/* The way of one node to Redis, which can be cut. */
async function openWay(t, port) {
  const sockets = new Set();
  const way = { isCut: false };
  const proxy = net.createServer((near) => {
    if (way.isCut) {
      near.destroy();
      return;
    }
    const far = net.connect(port, '127.0.0.1');
    for (const [one, other] of [[near, far], [far, near]]) {
      sockets.add(one);
      one.pipe(other);
      one.on('error', () => {});
      one.on('close', () => other.destroy());
    }
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  way.cut = () => {
    way.isCut = true;
    sockets.forEach((socket) => socket.destroy());
  };
  way.heal = () => (way.isCut = false);
  way.address = `redis://127.0.0.1:${proxy.address().port}`;
  t.after(() => {
    way.cut();
    proxy.close();
  });
  return way;
}

test('a node that was cut off closes what became older meanwhile, and only that', async (t) => {
  const way = await openWay(t, redis.port);
  const prefix = '--engine.redis.prefix=cut';
  const one = await start('one', single, prefix, `--engine.redis.address=${way.address}`);
  const two = await start('two', single, prefix);
  t.after(() => Promise.all([one, two].map((node) => node.stop())));
  const [ann, bob] = [await join(t, one, 'ann'), await join(t, one, 'bob')];
  way.cut();
  await one.waitLog(/redis is away/);
  const newer = await join(t, two, 'ann');
  await call(two, 'publish', { channel: 'x', data: 1 }); /* behind what `two` told */
  assert.ok(isOpen(ann) && isOpen(newer));
  way.heal();
  assert.deepEqual(await ann.closed(10000), { code: 3504, reason: 'connection limit' });
  await call(two, 'disconnect', { user: 'nobody' });
  assert.ok(isOpen(newer) && isOpen(bob));
});

test('connections made while Redis is away are compared when it is back', async (t) => {
  const own = await startRedis();
  t.after(() => own.stop());
  const node = await startNode(own, { config: single, workers: 1 });
  t.after(() => node.stop());
  const older = await join(t, node, 'ann');
  await own.kill();
  await node.waitLog(/redis is away/);
  const newer = await join(t, node, 'ann'); /* the node has her channel already */
  assert.ok(isOpen(older) && isOpen(newer));
  await own.start();
  assert.deepEqual(await older.closed(10000), { code: 3504, reason: 'connection limit' });
  assert.ok(isOpen(newer));
});
