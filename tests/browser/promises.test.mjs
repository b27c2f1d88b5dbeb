/* Every promise at once, on real parts: nodes on one Redis, each kind of reader, the same bytes, while a
 * client floods and a node is killed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import { EventSource } from 'eventsource';
import jsonwebtoken from 'jsonwebtoken';
import WebSocket from 'ws';
import { api, sum, untilMetrics } from '../integration/helpers/http.mjs';
import { connect } from '../integration/helpers/protocol.mjs';
import { startNodes, startRedis } from '../integration/helpers/redis.mjs';
import { deadline, within } from '../integration/helpers/server.mjs';
import { demoConfig, launchBrowser, visit } from './helpers/demo.mjs';

const SECRET = 'a secret of the tests, 32 bytes long';
const CHANNEL = 'chat-promises';
const COUNT = 40;

const tokenOf = (sub) => jsonwebtoken.sign({ sub }, SECRET, { expiresIn: 60 });

/* Spaces, escapes, a number and a key order that no parser and printer would give back. */
const publication = (n) => `{"name":"Robot", "text":"no. ${n}: \\u00e9 é \u2028 <b>", "n": ${n}.50e0}`;
const expected = Array.from({ length: COUNT }, (_, n) => publication(n));

/* Collects the payloads of one reader; all() waits until there are COUNT. */
class Reader {
  seen = [];
  #done;
  #wake;

  constructor(name) {
    this.name = name;
    this.#done = new Promise((resolve) => (this.#wake = resolve));
  }

  take(data) {
    if (this.seen.push(data) === COUNT)
      this.#wake();
  }

  /* A frame of the line protocol, as it came; where it lies in the history stands behind the data. */
  takeFrame(text) {
    for (const line of text.split('\n')) {
      const start = `{"push":{"channel":"${CHANNEL}","pub":{"data":`;
      if (line.startsWith(start))
        this.take(line.slice(start.length).replace(/,"offset":\d+(,"epoch":"\w+")?\}\}\}$/, ''));
    }
  }

  all() {
    return within(20000, this.#done, () => `${COUNT} publications at ${this.name}, ${this.seen.length} came`);
  }
}

/* An unmodified SDK whose WebSocket tells the reader what arrives. */
async function sdkReader(t, node, reader) {
  class Overheard extends WebSocket {
    constructor(...args) {
      super(...args);
      this.on('message', (data) => reader.takeFrame(data.toString()));
    }
  }
  const sdk = new Centrifuge(node.wsUrl, { websocket: Overheard, getToken: async () => tokenOf('ann') });
  t.after(() => sdk.disconnect());
  const sub = sdk.newSubscription(CHANNEL);
  sub.subscribe();
  sdk.connect();
  await sub.ready(deadline(5000));
  return sdk;
}

function curlReader(t, node, reader) {
  const curl = spawn('curl', ['-sN', '-H', `Authorization: Bearer ${tokenOf('curl')}`,
                              `${node.url}/sse?channel=${CHANNEL}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => curl.kill());
  let rest = '';
  curl.stdout.setEncoding('utf8').on('data', (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines)
      if (line.startsWith('data: '))
        reader.take(line.slice('data: '.length));
  });
}

/* Publishes as fast as it can until it is put out: what it was told. */
async function flood(node) {
  const client = await connect(node, { connect: { token: tokenOf('mallory') } });
  for (let n = 0; n < 5000; n++)
    client.send(`{"id":${n + 2},"publish":{"channel":"flood","data":${n}}}`);
  const end = await client.closed(15000);
  return { end, refused: client.frames.filter((text) => /"error":\{"code":111/.test(text)).length };
}

test('one publication reaches every kind of reader on every node, whatever else goes on',
     { timeout: deadline(60000) }, async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const config = demoConfig((c) => {
    c.client.token = { hmac_secret_key: SECRET };
    Object.assign(c.channel.without_namespace, {
      presence: true, join_leave: true, allow_presence_for_client: true, allow_presence_for_anonymous: true,
    });
  });
  const [a, b, third] = await startNodes(redis, 3, { config });
  const browser = await launchBrowser();
  t.after(() => browser.close());

  const readers = ['SDK', 'EventSource', 'curl', 'page'].map((name) => new Reader(name));
  const [ofSdk, ofSource, ofCurl, ofPage] = readers;
  await sdkReader(t, b, ofSdk);
  const source = new EventSource(`${a.url}/sse?channel=${CHANNEL}&token=${tokenOf('source')}`);
  source.onmessage = ({ data }) => ofSource.take(data);
  t.after(() => source.close());
  curlReader(t, b, ofCurl);
  const visitor = await visit(browser, a, {
    room: 'promises',
    onPage: (page) => page.on('websocket', (ws) => ws.on('framereceived', ({ payload }) => ofPage.takeFrame(payload))),
  });
  const witness = await connect(third, { connect: { token: tokenOf('third') } });
  await witness.call({ subscribe: { channel: CHANNEL } });
  /* Who is here, as seen from another node: SDK, EventSource, curl, page, witness. */
  const asker = await connect(b, { connect: { token: tokenOf('asker') } });
  const isHere = async (count) => (await asker.call({ presence_stats: { channel: CHANNEL } })).num_clients === count;
  await within(5000, (async () => { while (!await isHere(5)); })(), 'five to be here');

  const flooding = flood(a);
  for (let n = 0; n < COUNT; n++) {
    const { json } = await api(a, 'publish', `{"channel":"${CHANNEL}","data":${publication(n)}}`);
    assert.equal(json.result.offset, n + 1);
    if (n === COUNT / 2)
      await third.kill();
  }
  await Promise.all(readers.map((reader) => reader.all()));
  for (const { name, seen } of readers)
    assert.deepEqual(seen, expected, name);
  await visitor.sees(`no. ${COUNT - 1}: é é`);
  const { end, refused } = await flooding;
  assert.deepEqual(end, { code: 3013, reason: 'too many requests' });
  assert.ok(refused > 0, 'refused with 111 before it is put out');
  await untilMetrics(a, (m) => sum(m, /client_limited_commands_total/) > 0, 'the limit at work');
  await within(20000, (async () => { while (!await isHere(4)) await new Promise((r) => setTimeout(r, 50)); })(),
               'the member of the killed node to be gone');

  await visitor.leave();
  source.close();
  await asker.close();
  await Promise.all([a, b].map((node) => node.stop()));
});
