/* Plain Server-Sent Events with resume: Last-Event-ID brings what was missed, once each, or says that it cannot. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EventSource } from 'eventsource';
import jsonwebtoken from 'jsonwebtoken';
import { EventParser, EventReader } from './helpers/eventstream.mjs';
import { api, metrics, sum, untilSubscribed } from './helpers/http.mjs';
import { flakyLink } from './helpers/readers.mjs';
import { startNodes, startRedis } from './helpers/redis.mjs';
import { openChannels, startServer, until, within } from './helpers/server.mjs';

const SECRET = 'a secret of the tests, 32 bytes long';
const config = {
  client: { allow_anonymous_connect_without_token: true, token: { hmac_secret_key: SECRET } },
  channel: {
    without_namespace: { ...openChannels, history_size: 10000, history_ttl: '60s', force_recovery: true },
    namespaces: [{ name: 'plain', ...openChannels }, { name: 'short', ...openChannels, history_size: 2, history_ttl: '60s', force_recovery: true },
      { name: 'newest', ...openChannels, history_size: 1, history_ttl: '60s', force_recovery: true, force_recovery_mode: 'cache', conflation: true }],
  },
  http_api: { insecure: true },
};
const ID = /^[0-9a-f]{6}[A-Za-z]{8}\d+(\.[0-9a-f]{6}[A-Za-z]{8}\d+)*$/;

let server;
before(async () => (server = await startServer({ config })));
after(() => server.stop());

const publish = async (channel, data, node = server) => {
  const { json } = await api(node, 'publish', JSON.stringify({ channel, data }));
  assert.ok(json.result, JSON.stringify(json));
};

/* Reads until `count` events are there. */
async function read(path, count, lastId) {
  const events = [];
  const reader = new EventReader(server.url + path, (event) => events.push(event), { lastId });
  await until(() => events.length >= count, () => `${count} events, got ${JSON.stringify(events)}`).finally(() => reader.close());
  return events;
}

/* The id of a stream that has just begun. */
async function idOf(path) {
  const reader = new EventReader(server.url + path, () => {});
  await until(() => reader.lastId, 'an id').finally(() => reader.close());
  return reader.lastId;
}

test('who comes back with the id gets what was missed first, then what is live', async () => {
  const events = [];
  const reader = new EventReader(`${server.url}/sse?channel=a`, (event) => events.push(event));
  await until(() => reader.lastId, 'the stream');
  await publish('a', 1);
  await until(() => events.length === 1, 'the message').finally(() => reader.close());
  const [{ id, data }] = events;
  assert.equal(data, '1');
  assert.match(id, ID);
  await publish('a', 2);
  await publish('a', 3);
  const second = read('/sse?channel=a', 3, id);
  await publish('a', 4);
  assert.deepEqual((await second).map((event) => event.data), ['2', '3', '4']);
});

test('what was missed is named as its channel, too, and a POST resumes', async () => {
  const id = await idOf('/sse?channel=named');
  await publish('named', 1);
  const [{ event, data }] = await read('/sse?channel=named&event=channel', 1, id);
  assert.deepEqual([event, data], ['named', '1']);
  const events = [];
  const text = JSON.stringify({ channels: ['named'], last_event_id: id, event: 'channel' });
  const reader = new EventReader(`${server.url}/sse`, (one) => events.push(one), { post: { type: 'application/json', text } });
  await until(() => events.length === 1, 'what was missed').finally(() => reader.close());
  assert.deepEqual([events[0].event, events[0].data], ['named', '1']);
});

test('the id of a stream is there before its first message', async () => {
  const id = await idOf('/sse?channel=early');
  await publish('early', 'missed');
  assert.deepEqual((await read('/sse?channel=early', 1, id)).map(({ data }) => data), ['"missed"']);
});

test('the query resumes, too, under both names, and the header is over it', async () => {
  const before = await idOf('/sse?channel=query');
  await publish('query', 1);
  const [{ id }] = await read('/sse?channel=query', 1, before);
  await publish('query', 2);
  for (const name of ['last_event_id', 'lastEventId'])
    assert.equal((await read(`/sse?channel=query&${name}=${before}`, 2))[1].data, '2');
  assert.equal((await read(`/sse?channel=query&last_event_id=${before}`, 1, id))[0].data, '2');
});

test('one id holds the position of every channel; other channels may be named when coming back', async () => {
  const id = await idOf('/sse?channel=x1&channel=x2&channel=x3');
  await publish('x1', 'one');
  await publish('x2', 'two');
  await publish('x3', 'three');
  const data = async (path, count) => (await read(path, count, id)).map((event) => event.data).sort();
  assert.deepEqual(await data('/sse?channel=x3&channel=x1', 2), ['"one"', '"three"']);
  const seen = await read('/sse?channel=x2&channel=x4', 2, id);
  assert.deepEqual(seen.find(({ event }) => event === 'lost').data, '{"channel":"x4"}');
  assert.deepEqual(seen.find(({ event }) => event === 'message').data, '"two"');
});

test('what cannot be told any more is said, once, and the stream goes on', async () => {
  const id = await idOf('/sse?channel=short:a');
  for (let n = 1; n <= 5; n++)
    await publish('short:a', n);
  const events = [];
  const reader = new EventReader(`${server.url}/sse?channel=short:a`, (event) => events.push(event), { lastId: id });
  await until(() => events.length === 1, 'the mark');
  await publish('short:a', 6);
  await until(() => events.length === 2, 'the next message');
  reader.close();
  assert.deepEqual(events.map(({ event, data }) => [event, data]), [['lost', '{"channel":"short:a"}'], ['message', '6']]);
  await publish('short:a', 7);
  assert.equal((await read('/sse?channel=short:a', 1, events[0].id))[0].data, '6', 'the mark has an id');
});

/* The very first one of a stream that comes back: it may be cut behind that. */
async function firstId(path, lastId) {
  let text = '';
  const response = await fetch(server.url + path, { headers: { 'Last-Event-ID': lastId } });
  for await (const chunk of response.body) {
    text += Buffer.from(chunk);
    if (/^id: .*\n/m.test(text))
      break;
  }
  return /^id: (.*)\n/m.exec(text)[1];
}

test('an id that comes before all channels are subscribed to has their places, too', async () => {
  const token = jsonwebtoken.sign({ sub: 'ann', channels: ['early'] }, SECRET);
  const many = Array.from({ length: 40 }, (_, n) => `channel=n${n}&`).join('');
  for (const [path, count] of [[`/sse?channel=late&token=${token}`, 2], [`/sse?${many}channel=late`, 41]]) {
    const reader = new EventReader(server.url + path, () => {});
    await until(() => reader.lastId.split('.').length === count, 'all places').finally(() => reader.close());
    await publish('late', count);
    const id = await firstId(path, reader.lastId);
    assert.equal(id.split('.').length, count, id);
    const [{ event, data }] = await read(path, 1, id);
    assert.deepEqual([event, data], ['message', `${count}`]);
  }
});

test('channels that the token gives resume, too', async () => {
  const token = jsonwebtoken.sign({ sub: 'ann', channels: ['given-1', 'given-2'] }, SECRET, { expiresIn: 60 });
  const path = `/sse?channel=asked&token=${token}`;
  const reader = new EventReader(server.url + path, () => {});
  await until(() => reader.lastId.split('.').length === 3, 'the places of three').finally(() => reader.close());
  await publish('given-1', 1);
  await publish('given-2', 2);
  await publish('asked', 3);
  const seen = await read(path, 3, reader.lastId);
  assert.deepEqual(seen.map(({ data }) => data).sort(), ['1', '2', '3']);
  await publish('given-2', 4);
  assert.equal((await read(path, 1, seen.at(-1).id))[0].data, '4');
});

test('an id never stands behind a publication that waits for a slow reader, and comes with it', async (t) => {
  const events = [];
  const reader = new EventReader(`${server.url}/sse?channel=other&channel=newest:a`, (event) => events.push(event));
  t.after(() => reader.close());
  await until(() => reader.lastId.split('.').length === 2, 'both places');
  const offsetOf = (id) => Number(/\d+$/.exec(id.split('.')[1] ?? '0')[0]);
  assert.equal(offsetOf(reader.lastId), 0);
  reader.response.pause();
  let n = 0;
  do
    await publish('newest:a', { n: ++n, big: 'x'.repeat(60000) });
  while (sum(await metrics(server), /conflated/) < 2);
  await publish('other', 'mark');
  reader.response.resume();
  await until(() => events.some(({ data }) => data.includes(`"n":${n},`)), 'the newest');
  let seen = 0;
  for (const { id, data } of events) {
    seen = data === '"mark"' ? seen : JSON.parse(data).n;
    assert.ok(offsetOf(id) <= seen, `${id} before ${seen}`);
  }
  assert.ok(events.some(({ data }) => data === '"mark"'));
  assert.equal(offsetOf(events.at(-1).id), n);
});

test('more is missed, in many channels, than the queue takes: all of it comes', async (t) => {
  const path = `/sse?${Array.from({ length: 20 }, (_, n) => `channel=m${n}`).join('&')}`;
  for (const queue_max_size of [1048576, 65536]) {
    const node = await startServer({ config: { ...config, client: { ...config.client, queue_max_size } } });
    t.after(() => node.stop());
    const early = new EventReader(node.url + path, () => {});
    await until(() => early.lastId.split('.').length === 20, 'all places').finally(() => early.close());
    const commands = Array.from({ length: 250 }, (_, n) => ({ publish: { channel: '', data: { n, text: 'x'.repeat(60) } } }));
    for (let m = 0; m < 20; m++)
      for (let at = 0; at < 250; at += 50)
        await api(node, 'batch', { commands: commands.slice(at, at + 50).map(({ publish: p }) => ({ publish: { channel: `m${m}`, data: { m, ...p.data } } })) });
    const seen = Array.from({ length: 20 }, () => []);
    const lost = [];
    const reader = new EventReader(node.url + path, ({ event, data }) => {
      const { m, n } = JSON.parse(data);
      if (event === 'message')
        seen[m].push(n);
      else if (event === 'lost')
        lost.push(data);
    }, { lastId: early.lastId });
    await until(() => seen.every(({ length }) => length >= 250), () => `all: ${seen.map(({ length }) => length)}`, 20000).finally(() => reader.close());
    assert.deepEqual(seen, seen.map(() => commands.map((_, n) => n)), 'no hole and no repeat');
    assert.deepEqual(lost, []);
  }
});

test('a channel that keeps nothing has no id, and nobody is told of a loss', async () => {
  let text = '';
  const response = await fetch(`${server.url}/sse?channel=plain:a`, { headers: { 'Last-Event-ID': 'anything' } });
  const publishing = setInterval(() => publish('plain:a', 1), 20);
  for await (const chunk of response.body) {
    text += Buffer.from(chunk);
    if (/data: 1\n\n/.test(text))
      break;
  }
  clearInterval(publishing);
  assert.doesNotMatch(text, /^id:|lost/m);
});

test('hostile ids: told as a loss, or 400 with the maximum', async () => {
  const good = await idOf('/sse?channel=hostile');
  const ids = ['x', '0', '...', 'null', '-1', good.slice(0, 10), `${good}9999999999999999999999`, good.replace(/\d+$/, '99'),
               good.replace(/[A-Za-z]{8}\d+$/, 'ZZZZZZZZ1'), 'é', '%00', '{"a":1}', '.'.repeat(1024), 'a'.repeat(1024)];
  for (const id of ids) {
    const [{ event, data }] = await read('/sse?channel=hostile', 1, Buffer.from(id).toString('latin1'));
    assert.deepEqual([event, data], ['lost', '{"channel":"hostile"}'], id);
  }
  for (const headers of [{ 'Last-Event-ID': 'a'.repeat(1025) }, {}]) {
    const path = `/sse?channel=hostile${headers['Last-Event-ID'] ? '' : `&last_event_id=${'a'.repeat(1025)}`}`;
    const response = await fetch(server.url + path, { headers });
    assert.equal(response.status, 400);
    assert.match(await response.text(), /at most 1024 bytes/);
  }
});

test('more channels than an id holds: it stays within its limit, the others are told', async () => {
  const names = Array.from({ length: 90 }, (_, n) => `many-${n}`);
  const path = `/sse?${names.map((name) => `channel=${name}`).join('&')}`;
  const reader = new EventReader(server.url + path, () => {});
  await until(() => reader.lastId.split('.').length > 50, 'a long id');
  await publish('many-89', 1);
  reader.close();
  assert.ok(reader.lastId.length <= 1024);
  assert.match(reader.lastId, ID);
  const events = await read(path, 10, reader.lastId);
  assert.ok(events.every(({ event }) => event === 'lost'));
});

test('payloads: escapes, U+2028 and 64 KB arrive byte for byte, live and resumed', async () => {
  const id = await idOf('/sse?channel=bytes');
  const payloads = ['"a\\r\\nb\\u0000c\u2028d"', `"${'x'.repeat(65536)}"`, '{"id: 1":"data: \\n\\n"}'];
  const live = read('/sse?channel=bytes', 3, id);
  for (const payload of payloads)
    await api(server, 'publish', `{"channel":"bytes","data":${payload}}`);
  assert.deepEqual((await live).map(({ data }) => data), payloads);
  assert.deepEqual((await read('/sse?channel=bytes', 3, id)).map(({ data }) => data), payloads);
});

test('npm eventsource comes back by itself and misses nothing', async (t) => {
  const link = await flakyLink([server.port]);
  await publish('npm', 0);
  const source = new EventSource(`${link.url}/sse?channel=npm`);
  t.after(() => source.close());
  t.after(() => link.close());
  const seen = [];
  source.onmessage = ({ data }) => seen.push(Number(data));
  await within(5000, new Promise((resolve) => (source.onopen = resolve)), 'the stream');
  await untilSubscribed(server, 'npm');
  let n = 0;
  for (let round = 0; round < 2; round++) {
    await publish('npm', ++n);
    await until(() => seen.at(-1) === n, 'a live message');
    link.cut();
    await publish('npm', ++n);
  }
  await until(() => seen.length >= n, 'what was missed', 10000);
  assert.deepEqual(seen, Array.from({ length: n }, (_, i) => i + 1));
});

/* Cut at random moments while messages come: each reader gets 1..N of each channel, once each and in order. */
async function cutAtRandom(servers, rounds, channels) {
  const links = await Promise.all([0, 1, 2].map((n) => flakyLink([...servers.slice(n % servers.length), ...servers].map(({ port }) => port))));
  const faults = [];
  const readers = links.map((link) => {
    const last = new Map(channels.map((channel) => [channel, 0]));
    const path = `/sse?${channels.map((channel) => `channel=${channel}`).join('&')}`;
    const reader = new EventReader(link.url + path, ({ event, data }) => {
      const { channel, n } = event === 'message' ? JSON.parse(data) : {};
      if (event !== 'message' || n !== last.get(channel) + 1)
        faults.push(`${event} ${data} after ${last.get(channel)}`);
      last.set(channel, n);
    });
    reader.isAt = (n) => [...last.values()].every((seen) => seen === n);
    return reader;
  });
  await until(() => readers.every(({ lastId }) => lastId && lastId.split('.').length === channels.length), 'all to listen');
  let n = 0;
  for (let round = 0; round < rounds; round++) {
    n++;
    await Promise.all(channels.map((channel, i) => publish(channel, { channel, n }, servers[i % servers.length])));
    if (Math.random() < 0.8)
      links[round % links.length].cut();
  }
  await until(() => readers.every((reader) => reader.isAt(n)), () => `all to have ${n}; ${faults.slice(0, 5)}`, 10000);
  const opened = readers.reduce((total, reader) => total + reader.opened, 0);
  readers.forEach((reader) => reader.close());
  links.forEach((link) => link.close());
  assert.deepEqual(faults, []);
  return opened;
}

test('200 cuts at random moments: no hole, no repeat', async () => {
  const opened = await cutAtRandom([server], 300, ['cut-1', 'cut-2', 'cut-3']);
  assert.ok(opened > 50, `${opened} streams`);
  await cutAtRandom([server], 200, ['cut-alone']);
});

test('the id is good on every node', async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const nodes = await startNodes(redis, 2, { config });
  await cutAtRandom(nodes, 150, ['nodes-1', 'nodes-2']);
  await Promise.all(nodes.map((node) => node.stop()));
});

test('the strict reader gets the same from any pieces', () => {
  const bytes = ': hello\nretry: 1\n\nid: abc\ndata: {"x":1}\n\n:\n\nid: d\n\nevent: lost\ndata: {"channel":"é"}\n\n';
  const parse = (...pieces) => {
    const events = [];
    const parser = new EventParser((event) => events.push(event));
    pieces.forEach((piece) => parser.push(piece));
    return events;
  };
  const expected = [{ id: 'abc', event: 'message', data: '{"x":1}' }, { id: 'd', event: 'lost', data: '{"channel":"é"}' }];
  for (let at = 0; at <= bytes.length; at++)
    assert.deepEqual(parse(bytes.slice(0, at), bytes.slice(at)), expected);
});
