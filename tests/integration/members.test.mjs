/* Joins and leaves of channels with many members: announced in batches, or not at all. The watchers
 * are the unmodified npm package `centrifuge`; what they got is also counted frame by frame.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { deadline, openChannels, openConfig, startServer, within } from './helpers/server.mjs';
import { connect } from './helpers/protocol.mjs';

/* Long enough for all that a test does within one interval. */
const INTERVAL_MS = deadline(1500);
const members = {
  ...openChannels, presence: true, join_leave: true, allow_presence_for_subscriber: true,
  allow_presence_for_client: true, allow_presence_for_anonymous: true,
};

let server;
before(async () => {
  server = await startServer({
    config: {
      client: openConfig.client,
      channel: {
        namespaces: [
          { name: 'few', ...members, join_leave_max_members: 5 },
          { name: 'batch', ...members, join_leave_interval: `${INTERVAL_MS}ms` },
        ],
      },
    },
  });
});
after(() => server.stop());

/* An SDK client that keeps its frames, and its joins and leaves in one channel. */
class Member {
  frames = [];
  seen = []; /* 'join <client>' and 'leave <client>' */
  #watchers = new Set();

  static async open(t, channel, options = { joinLeave: true }) {
    const member = new Member(t);
    await within(5000, member.client.ready(), 'the SDK to connect');
    await member.subscribe(channel, options);
    return member;
  }

  constructor(t) {
    const member = this;
    class Recorder extends WebSocket {
      constructor(...args) {
        super(...args);
        this.on('message', (data) => member.frames.push(data.toString()));
      }
    }
    this.client = new Centrifuge(server.wsUrl, { websocket: Recorder });
    this.client.on('connected', ({ client }) => (this.id = client));
    this.client.connect();
    t.after(() => this.client.disconnect());
  }

  async subscribe(channel, options) {
    this.sub = this.client.newSubscription(channel, options);
    for (const kind of ['join', 'leave'])
      this.sub.on(kind, ({ info }) => this.#note(`${kind} ${info.client}`));
    this.sub.on('publication', ({ data }) => this.#note(`publication ${data}`));
    this.sub.subscribe();
    await within(5000, this.sub.ready(), `a subscription of ${channel}`);
  }

  #note(what) {
    this.seen.push(what);
    for (const watcher of this.#watchers)
      watcher();
  }

  /* Resolves when all of these were seen, in any order. */
  async hears(...all) {
    let watcher;
    const heard = new Promise((resolve) => {
      watcher = () => all.every((one) => this.seen.includes(one)) && resolve();
      this.#watchers.add(watcher);
      watcher();
    });
    const what = () => `${all.length} events, of ${all.slice(0, 3)}; seen ${this.seen.slice(-5)}`;
    await within(15000, heard, what).finally(() => this.#watchers.delete(watcher));
  }

  /* What was seen since the last call. */
  news() {
    return this.seen.splice(0);
  }

  /* Lines of each frame that has joins or leaves. */
  batches() {
    return this.frames.map((frame) => frame.split('\n'))
      .filter((lines) => lines.some((line) => /^\{"push":.*"(join|leave)":\{/.test(line)));
  }
}

/* Watches, and has heard of its own join. */
async function openSettled(t, channel) {
  const watcher = await Member.open(t, channel);
  await watcher.hears(`join ${watcher.id}`);
  watcher.news();
  watcher.frames = [];
  return watcher;
}

/* Connected, and in no channel. */
async function openMany(t, count) {
  const clients = await Promise.all(Array.from({ length: count }, () => connect(server)));
  t.after(() => clients.forEach((client) => client.terminate()));
  return clients;
}

test('above its limit a channel announces no joins and leaves, below it does again', async (t) => {
  const channel = 'few:room';
  const watcher = await Member.open(t, channel);
  const others = [];
  for (let i = 0; i < 4; i++)
    others.push(await Member.open(t, channel, {}));
  const surplus = await openMany(t, 2);
  for (const client of surplus)
    await client.subscribe(channel);
  /* Behind all joins in the order of the channel. */
  await surplus[1].publish(channel, 'all are in');
  await watcher.hears('publication all are in');
  assert.deepEqual(watcher.news(), [
    ...[watcher, ...others].map(({ id }) => `join ${id}`), 'publication all are in',
  ]);
  assert.equal((await watcher.sub.presenceStats()).numClients, 7);

  for (const client of surplus)
    await client.call({ unsubscribe: { channel } });
  others[3].sub.unsubscribe();
  await watcher.hears(`leave ${others[3].id}`);
  assert.deepEqual(watcher.news(), [`leave ${others[3].id}`]);
  const late = await Member.open(t, channel, {});
  await watcher.hears(`join ${late.id}`);
  assert.deepEqual(watcher.news(), [`join ${late.id}`]);
});

test('200 clients that come within an interval are announced in one frame', async (t) => {
  const channel = 'batch:many';
  const watcher = await openSettled(t, channel);
  const clients = await openMany(t, 200);
  await Promise.all(clients.map((client, i) =>
    client.call({ subscribe: { channel, join_leave: i % 4 === 0 } })));
  assert.deepEqual(watcher.news(), []);
  await watcher.hears(...clients.map(({ info }) => `join ${info.client}`));
  assert.equal(watcher.news().length, 200);
  assert.equal(watcher.batches().length, 1);
  assert.equal(watcher.batches()[0].length, 200);

  /* Those who came with them hear of themselves and of all after them, in one frame, too. */
  for (const client of clients.filter((_, i) => i % 4 === 0)) {
    const heard = new Set([(await client.push()).join.info.client]);
    while (client.pending > 0)
      heard.add((await client.push()).join.info.client);
    assert.ok(heard.has(client.info.client));
    assert.equal(client.frames.filter((frame) => frame.includes('"join":{')).length, 1);
  }
  assert.equal(Object.keys((await watcher.sub.presence()).clients).length, 201);
});

test('who comes and goes within an interval is not mentioned', async (t) => {
  const channel = 'batch:short';
  const watcher = await openSettled(t, channel);
  const clients = await openMany(t, 40);
  for (let round = 0; round < 3; round++)
    await Promise.all(clients.map(async (client) => {
      await client.call({ subscribe: { channel } });
      await client.call({ unsubscribe: { channel } });
    }));
  await clients[7].call({ subscribe: { channel } });
  await watcher.hears(`join ${clients[7].info.client}`);
  assert.deepEqual(watcher.news(), [`join ${clients[7].info.client}`]);
  assert.deepEqual(watcher.batches().map((lines) => lines.length), [1]);

  await clients[7].call({ unsubscribe: { channel } });
  await clients[7].call({ subscribe: { channel } });
  await clients[9].call({ subscribe: { channel } });
  await watcher.hears(`join ${clients[9].info.client}`);
  assert.deepEqual(watcher.news(), [`join ${clients[9].info.client}`]);
});

test('what is heard fits to the presence that was read in between', async (t) => {
  const channel = 'batch:fits';
  const watcher = await openSettled(t, channel);
  const [stays, goes] = await openMany(t, 2);
  await stays.call({ subscribe: { channel } });
  await goes.call({ subscribe: { channel } });
  const late = await Member.open(t, channel);
  const read = Object.keys((await watcher.sub.presence()).clients);
  assert.deepEqual(read.sort(), [watcher.id, late.id, stays.info.client, goes.info.client].sort());
  assert.deepEqual(watcher.news().sort(),
    [stays.info.client, goes.info.client, late.id].map((id) => `join ${id}`).sort());
  await goes.call({ unsubscribe: { channel } });
  await Promise.all([watcher, late].map((one) => one.hears(`leave ${goes.info.client}`)));
  assert.deepEqual(watcher.news(), [`leave ${goes.info.client}`]);
  assert.deepEqual(late.news(), [`join ${late.id}`, `leave ${goes.info.client}`]);
});
