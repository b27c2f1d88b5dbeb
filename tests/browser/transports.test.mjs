/* Chromium's own EventSource, and the unmodified SDK forced onto each transport, over a network that breaks, and from
 * pages of other origins.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, test as nodeTest } from 'node:test';
import { api, untilSubscribed } from '../integration/helpers/http.mjs';
import { flakyLink } from '../integration/helpers/readers.mjs';
import { deadline, openChannels, root, startServer, until } from '../integration/helpers/server.mjs';
import { launchBrowser } from './helpers/demo.mjs';

const SDK_FILE = path.join(root, 'web-demo/node_modules/centrifuge/dist/centrifuge.js');
const TRANSPORTS = ['websocket', 'sse', 'http_stream'];

let browser;
let server;
let good; /* origins: one that may, and one that may not */
let evil;

const test = (name, body) => nodeTest(name, { timeout: deadline(60000) }, body);

/* Serves an empty page with the SDK, from an origin of its own. */
async function startPages() {
  const pages = http.createServer((request, response) => {
    const isSdk = request.url === '/sdk.js';
    response.writeHead(200, { 'Content-Type': isSdk ? 'text/javascript' : 'text/html' });
    response.end(isSdk ? fs.readFileSync(SDK_FILE) : '<!doctype html><link rel="icon" href="data:,"><script src="/sdk.js"></script>');
  }).listen(0, '127.0.0.1');
  await once(pages, 'listening');
  pages.unref();
  return { origin: `http://127.0.0.1:${pages.address().port}`, close: () => pages.close() };
}

before(async () => {
  [good, evil] = await Promise.all([startPages(), startPages()]);
  server = await startServer({ config: {
    client: { allow_anonymous_connect_without_token: true, allowed_origins: [good.origin] },
    channel: { without_namespace: {
      ...openChannels, history_size: 10000, history_ttl: '60s', force_recovery: true,
      presence: true, allow_presence_for_client: true, allow_presence_for_anonymous: true,
      allow_history_for_client: true, allow_history_for_anonymous: true,
    } },
    http_api: { insecure: true },
  } });
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
  await server?.stop();
  for (const pages of [good, evil])
    pages?.close();
});

async function openPage(t, { origin } = good) {
  const page = await browser.newPage();
  page.setDefaultTimeout(deadline(15000));
  await page.goto(origin);
  t.after(() => page.close());
  return page;
}

/* text: JSON of the data, byte for byte. */
async function publish(channel, text) {
  const { json } = await api(server, 'publish', `{"channel":"${channel}","data":${text}}`);
  assert.ok(json.result, JSON.stringify(json));
}

const upTo = (count) => Array.from({ length: count }, (_, n) => n + 1);

/* In the page: a stream into `seen`, with what it says beside messages. */
function listen(page, url) {
  return page.evaluate((to) => new Promise((resolve) => {
    Object.assign(window, { seen: [], ids: [], said: [], opened: 0 });
    const source = window.source = new EventSource(to, { withCredentials: true });
    source.onopen = () => resolve(window.opened += 1);
    source.onmessage = ({ data, lastEventId }) => {
      window.seen.push(data);
      window.ids.push(lastEventId);
    };
    for (const name of ['lost', 'disconnect'])
      source.addEventListener(name, ({ data }) => window.said.push(`${name} ${data}`));
    source.onerror = () => source.readyState === EventSource.CLOSED && resolve('closed');
  }), url);
}

const seenBy = (page, count) => page.waitForFunction((n) => window.seen.length >= n, count).then(() => page.evaluate(() => window.seen));

test('EventSource whose connection is cut again and again gets all, in order, none twice', async (t) => {
  const page = await openPage(t);
  const link = await flakyLink([server.port]);
  t.after(() => link.close());
  const CUTS = 4, PACE_MS = 10, GAP_MAX = 200; /* fewer than a recovery gives */
  await listen(page, `${link.url}/sse?channel=cut-a&channel=cut-b`);
  await Promise.all(['cut-a', 'cut-b'].map((channel) => untilSubscribed(server, channel)));
  let count = 0;
  const speak = async () => {
    await publish(count % 2 ? 'cut-b' : 'cut-a', ++count);
    await new Promise((resolve) => setTimeout(resolve, PACE_MS));
  };
  for (let cut = 1; cut <= CUTS; cut++) {
    const before = await page.evaluate(() => window.opened);
    let isBack = false;
    const back = page.waitForFunction((n) => window.opened > n, before).then(() => (isBack = true));
    link.cut();
    for (let gap = 0; gap < GAP_MAX && !isBack; gap++)
      await speak();
    await back;
    for (let live = 0; live < 10; live++)
      await speak();
  }
  const seen = (await seenBy(page, count)).map(Number);
  await publish('cut-a', '"last"');
  assert.equal((await seenBy(page, count + 1)).at(-1), '"last"', 'and nothing more');
  for (const rest of [0, 1]) /* there is one order in each channel */
    assert.deepEqual(seen.filter((n) => n % 2 === rest), upTo(count).filter((n) => n % 2 === rest));
  assert.deepEqual(await page.evaluate(() => window.said), []);
});

test('EventSource that was offline, and one of a page loaded anew, go on where they were', async (t) => {
  const page = await openPage(t);
  const link = await flakyLink([server.port]);
  t.after(() => link.close());
  const url = `${link.url}/sse?channel=away`;
  await listen(page, url);
  await untilSubscribed(server, 'away');
  await publish('away', 1);
  await seenBy(page, 1);
  await page.context().setOffline(true); /* lets an open stream live */
  link.cut();
  await page.waitForFunction(() => window.source.readyState === EventSource.CONNECTING);
  await publish('away', 2);
  await page.context().setOffline(false);
  assert.deepEqual(await seenBy(page, 2), ['1', '2']);
  const id = await page.evaluate(() => window.ids.at(-1));
  await page.goto('about:blank');
  await publish('away', 3);
  await page.goto(good.origin);
  await listen(page, `${url}&last_event_id=${id}`);
  assert.deepEqual(await seenBy(page, 1), ['3']);
});

/* JSON texts that a line, a string of C or JavaScript, or a buffer could break on. */
const HARD = [
  String.raw`"cr \r lf \n crlf \r\n\r\n nul \u0000 end"`, String.raw`"\u2028 \u2029 \ufeff \ud83d\ude00"`,
  '"\u2028\u2029\u0085\ufeff 😀 raw"', '"data: x"', '{"id":1,"data":"id: 7\\n\\nevent: lost\\ndata: x"}', '""', 'false',
  `"${'x'.repeat(65536)}é"`, `"${'é'.repeat(16000)}\\n${'\\u0000'.repeat(5000)}"`,
];

test('hard payloads come out of EventSource byte for byte', async (t) => {
  const page = await openPage(t);
  await listen(page, `${server.url}/sse?channel=hard`);
  await untilSubscribed(server, 'hard');
  for (const text of HARD)
    await publish('hard', text);
  assert.deepEqual(await seenBy(page, HARD.length), HARD);
});

/* In the page: an SDK client, with what came in `seen`. */
function startSdk(page, transport, base, channel) {
  const endpoint = transport === 'websocket' ? base.replace('http', 'ws') : base;
  return page.evaluate(async ([name, at, up, to]) => {
    Object.assign(window, { seen: [], offsets: [], recovered: [], refused: 0 });
    const client = window.client = new window.Centrifuge([{ transport: name, endpoint: `${at}/connection/${name}` }],
                                                         { emulationEndpoint: `${up}/emulation`, minReconnectDelay: 20, maxReconnectDelay: 200 });
    client.on('error', () => (window.refused += 1));
    const sub = window.sub = client.newSubscription(to);
    sub.on('publication', ({ data, offset }) => {
      window.seen.push(data);
      window.offsets.push(offset);
    });
    sub.on('subscribed', ({ wasRecovering, recovered }) => wasRecovering && window.recovered.push(recovered));
    sub.subscribe();
    client.connect();
    return Promise.race([sub.ready().then(() => client._transport.subName()),
                         new Promise((resolve) => client.on('error', ({ error }) => resolve(error.message)))]);
  }, [transport, endpoint, base, channel]);
}

for (const transport of TRANSPORTS) {
  test(`the SDK over ${transport}: publish, presence, history, hard payloads, from another origin`, async (t) => {
    const page = await openPage(t);
    const channel = `sdk-${transport}`;
    assert.equal(await startSdk(page, transport, server.url, channel), transport);
    for (const text of HARD)
      await publish(channel, text);
    assert.deepEqual(await seenBy(page, HARD.length), HARD.map((text) => JSON.parse(text)));
    const [offsets, clients, kept] = await page.evaluate(async () => {
      await window.sub.publish({ text: 'é\u0000\r\n\u2028' });
      return [window.offsets, (await window.sub.presenceStats()).numClients,
              (await window.sub.history({ limit: 1, reverse: true })).publications[0].data];
    });
    assert.deepEqual(await seenBy(page, HARD.length + 1).then((seen) => seen.at(-1)), { text: 'é\u0000\r\n\u2028' });
    assert.deepEqual(offsets.slice(0, HARD.length), upTo(HARD.length));
    assert.equal(clients, 1);
    assert.deepEqual(kept, { text: 'é\u0000\r\n\u2028' });
    const tooMuch = await page.evaluate(() => window.sub.publish('x'.repeat(70000)).catch(({ code }) => code));
    assert.equal(tooMuch, 11, 'connection closed, on each transport');
    if (transport === 'websocket') /* which is told so with a code that ends it for good; a request with 413 is only lost */
      return;
    await page.evaluate(() => window.sub.ready().then(() => window.sub.publish('back')));
    assert.equal((await seenBy(page, HARD.length + 2)).at(-1), 'back');
  });

  test(`the SDK over ${transport} whose connection is cut recovers all, in order, none twice`, async (t) => {
    const page = await openPage(t);
    const link = await flakyLink([server.port]);
    t.after(() => link.close());
    const channel = `cut-${transport}`, COUNT = 60;
    await startSdk(page, transport, link.url, channel);
    for (const n of upTo(COUNT)) {
      await publish(channel, n);
      if (n % 10 !== 0)
        continue;
      const before = await page.evaluate(() => window.recovered.length);
      link.cut();
      await publish(channel, `${n}.5`);
      await page.waitForFunction((count) => window.recovered.length > count, before);
    }
    const expected = upTo(COUNT).flatMap((n) => (n % 10 ? [n] : [n, n + 0.5]));
    assert.deepEqual(await seenBy(page, expected.length), expected);
    assert.ok((await page.evaluate(() => window.recovered)).every(Boolean));
  });

  test(`the SDK over ${transport} from an origin that is not allowed sees that it is refused`, async (t) => {
    const page = await openPage(t, evil);
    assert.match(await startSdk(page, transport, server.url, 'evil'), /transport closed/);
    await page.waitForFunction(() => window.refused >= 3);
    assert.equal(await page.evaluate(() => window.client.state), 'connecting', 'an SDK goes on trying');
    await publish('evil', 1);
    assert.deepEqual(await page.evaluate(() => window.seen), []);
  });
}

test('EventSource with credentials: open to an allowed origin, closed at once to another', async (t) => {
  assert.equal(await listen(await openPage(t), `${server.url}/sse?channel=cors`), 1);
  assert.equal(await listen(await openPage(t, evil), `${server.url}/sse?channel=cors`), 'closed');
});

test('Chromium opens six streams per server over HTTP/1.1: the seventh waits until one is closed', async (t) => {
  const page = await openPage(t);
  await page.evaluate((url) => {
    window.opened = new Set();
    window.sources = Array.from({ length: 7 }, (_, n) => Object.assign(new EventSource(`${url}-${n}`), { onopen: () => window.opened.add(n) }));
  }, `${server.url}/sse?channel=six`);
  await page.waitForFunction(() => window.opened.size === 6);
  await publish('six-0', 1); /* and back: the seventh has had its time */
  await page.evaluate((url) => Promise.race([fetch(url, { mode: 'no-cors' }).then(() => Promise.reject(new Error('a seventh connection'))),
                                             new Promise((resolve) => setTimeout(resolve, 300))]), `${server.url}/health`);
  assert.equal(await page.evaluate(() => window.opened.size), 6);
  await page.evaluate(() => window.sources[0].close());
  await page.waitForFunction(() => window.opened.size === 7);
});
