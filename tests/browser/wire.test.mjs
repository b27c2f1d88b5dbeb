/* What the demo page says of the wire: each transport works by its switch, numbers are those of the connection,
 * and the curl line that it offers is run as it was copied.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test as nodeTest } from 'node:test';
import { api } from '../integration/helpers/http.mjs';
import { flakyLink } from '../integration/helpers/readers.mjs';
import { deadline, startServer, until } from '../integration/helpers/server.mjs';
import { demoConfig, launchBrowser, SERVER_GONE, visit } from './helpers/demo.mjs';

const TRANSPORTS = ['websocket', 'sse', 'http_stream', 'eventsource'];
const ROWS_MAX = 100;

let browser;
let server;

const test = (name, body) => nodeTest(name, { timeout: deadline(60000) }, body);

before(async () => {
  /* No heartbeats, which no page can count. */
  const config = demoConfig((c) => (c.plain_sse = { heartbeat_interval: '10m' }));
  [browser, server] = await Promise.all([launchBrowser(), startServer({ config })]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function tell(room, ...all) {
  for (const data of all) {
    const { json } = await api(server, 'publish', { channel: `chat-${room}`, data });
    assert.ok(json.result, JSON.stringify(json));
  }
}

/* What the page says of a transport: frames and bytes down and up, and what the last message took. */
async function figures(visitor, transport) {
  const cells = await visitor.page.locator(`#figures [data-transport="${transport}"] td`).allTextContents();
  const [downFrames, down, upFrames, up, costDown, costUp] = cells.map((text) => Number(text.replace(/[,+]/g, '')) || 0);
  return { downFrames, down, upFrames, up, costDown, costUp, isRequest: cells[5].endsWith('+') };
}

for (const transport of TRANSPORTS) {
  test(`over ${transport} messages go both ways, and are shown as they went`, async () => {
    const room = `ways-${transport}`;
    const [ann, ben] = await Promise.all([visit(browser, server, { room, name: 'Ann' }), visit(browser, server, { room, name: 'Ben' })]);
    if (transport !== 'websocket')
      await ann.switchTo(transport);
    await ann.say('up 🔔 <b>');
    await ben.sees('up 🔔 <b>');
    await ann.isSent();
    await ben.say('and down');
    await ann.sees('and down');
    const row = (way, word, text) => ann.page.locator(`#frames [data-way="${way}"]`, { has: ann.page.locator('b', { hasText: word }) })
      .locator('code', { hasText: text });
    await row('out', /^publish/, 'up 🔔 <b>').waitFor();
    await row('in', /^message/, 'and down').waitFor();
    assert.equal(await ann.page.locator('#figures [aria-current="true"]').getAttribute('data-transport'), transport);
    assert.equal((await figures(ann, transport)).isRequest, transport !== 'websocket');
    await Promise.all([ann.leave(), ben.leave()]);
  });
}

/* What the page and the link have counted once nothing travels. */
async function counts(visitor, link, transport) {
  const QUIET_LOOKS = 20;
  let last, looks = 0;
  await until(async () => {
    const now = JSON.stringify({ page: await figures(visitor, transport), link: link.bytes });
    looks = now === last ? looks + 1 : 0;
    last = now;
    return looks === QUIET_LOOKS;
  }, 'a quiet moment', 10000);
  return JSON.parse(last);
}

/* Something else may travel meanwhile, such as a ping or the question who is here: then once more. */
async function inPeace(body) {
  for (let round = 1; ; round++)
    try {
      return await body(round);
    } catch (error) {
      if (round === 3)
        throw error;
    }
}

test('all bytes of a WebSocket are counted, both ways', async () => {
  const link = await flakyLink([server.port]);
  const ann = await visit(browser, link, { room: 'count', name: 'Ann' });
  await inPeace(async (round) => {
    const before = await counts(ann, link, 'websocket'); /* the page itself came over the link, too */
    await ann.say(`x ${round}`);
    await ann.say(`${round} ${'é'.repeat(500)}`);
    await tell('count', `${round} ${'y'.repeat(70000)}`);
    await ann.sees(`${round} yyy`);
    const { page, link: bytes } = await counts(ann, link, 'websocket');
    assert.deepEqual([page.down - before.page.down, page.up - before.page.up],
                     [bytes.down - before.link.down, bytes.up - before.link.up]);
    assert.ok(page.costDown > 70000);
  });
  await ann.leave();
  link.close();
});

for (const transport of TRANSPORTS.slice(1)) {
  test(`over ${transport} all bytes of the stream are counted, and of what is sent but its headers`, async () => {
    const link = await flakyLink([server.port]);
    const room = `count-${transport}`;
    const ann = await visit(browser, link, { room, name: 'Ann' });
    await ann.switchTo(transport);
    await inPeace(async (round) => {
      const before = await counts(ann, link, transport);
      await tell(room, `down ${round}`, 'é'.repeat(500), `${round} ${'y'.repeat(70000)}`);
      await ann.sees(`${round} yyy`);
      const { page, link: bytes } = await counts(ann, link, transport);
      assert.equal(page.down - before.page.down, bytes.down - before.link.down);
    });
    let sent = 0;
    ann.page.on('request', (request) => (sent += request.postDataBuffer()?.length ?? 0));
    await inPeace(async (round) => {
      const before = await counts(ann, link, transport);
      sent = 0;
      await ann.say(`to be sent é ${round}`);
      await ann.sees(`to be sent é ${round}`);
      const { page, link: bytes } = await counts(ann, link, transport);
      assert.equal(page.up - before.page.up, sent);
      assert.equal(page.costUp, sent);
      assert.ok(bytes.up - before.link.up > sent + 300, 'headers of a request come with it');
    });
    await ann.leave();
    link.close();
  });
}

for (const transport of TRANSPORTS) {
  test(`over ${transport} a page that was offline, or whose connection was cut, has missed nothing`, async () => {
    const link = await flakyLink([server.port]);
    const expected = [SERVER_GONE, /ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_NETWORK_IO_SUSPENDED|ERR_ABORTED/];
    const room = `away-${transport}`;
    const ann = await visit(browser, link, { room, name: 'Ann', expected });
    if (transport !== 'websocket')
      await ann.switchTo(transport);
    await tell(room, { text: 'no. 1.' });
    await ann.sees('no. 1.');
    for (let n = 2; n <= 9; n += 4) {
      await ann.page.context().setOffline(true);
      link.cut();
      await ann.phase('reconnecting');
      await tell(room, { text: `no. ${n}.` }, { text: `no. ${n + 1}.` });
      await ann.page.context().setOffline(false);
      await tell(room, { text: `no. ${n + 2}.` });
      await ann.sees(`no. ${n + 2}.`);
      link.cut();
      await tell(room, { text: `no. ${n + 3}.` });
      await ann.sees(`no. ${n + 3}.`);
      await ann.phase('connected');
    }
    assert.deepEqual(await ann.words(), Array.from({ length: 9 }, (_, n) => `no. ${n + 1}.`));
    await ann.leave();
    link.close();
  });
}

test('the curl line that the page copies gives the next message in a terminal', async (t) => {
  const room = "köln ✨ ($:#)'";
  const ann = await visit(browser, server, { room, name: 'Ann', permissions: ['clipboard-read', 'clipboard-write'] });
  await ann.page.click('#copy-listen');
  await ann.page.locator('#copy-listen', { hasText: 'Copied' }).waitFor();
  const line = await ann.page.evaluate(() => navigator.clipboard.readText());
  assert.equal(line, await ann.page.textContent('#listen'));
  const shell = spawn('sh', ['-c', `exec ${line}`], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => shell.kill());
  let printed = '';
  shell.stdout.setEncoding('utf8').on('data', (text) => (printed += text));
  await until(() => printed.includes('\n'), 'the stream');
  await ann.say('to the terminal');
  await until(() => /^data: .*"to the terminal"/m.test(printed), () => `the message, after ${printed}`);
  await ann.leave();
});

test('the switch is a group of radio buttons, worked by the arrow keys', async () => {
  const ann = await visit(browser, server, { room: 'arrows' });
  await ann.page.focus('#transport [value="websocket"]');
  for (const transport of [...TRANSPORTS.slice(1), 'websocket']) {
    await ann.page.keyboard.press('ArrowRight');
    await ann.page.waitForFunction((name) => document.getElementById('info-transport').textContent === name, transport);
    await ann.phase('connected');
  }
  assert.equal(await ann.page.getByRole('radio', { name: 'EventSource' }).count(), 1);
  await ann.page.getByRole('group', { name: 'Transport' }).waitFor();
  await ann.leave();
});

test('the list keeps the newest frames, and stands still for who reads above', async () => {
  const ann = await visit(browser, server, { room: 'many' });
  await tell('many', ...Array.from({ length: 150 }, (_, n) => ({ text: `line ${n}.` })));
  const rows = ann.page.locator('#frames li');
  await rows.filter({ hasText: 'line 149.' }).waitFor();
  assert.equal(await rows.count(), ROWS_MAX);
  const list = ann.page.locator('#frames');
  const top = () => list.evaluate((element) => element.scrollTop);
  await list.evaluate((element) => element.scrollTo(0, element.scrollHeight / 2));
  const there = await ann.page.evaluate(() => {
    const { left, top: y } = document.getElementById('frames').getBoundingClientRect();
    return document.elementFromPoint(left + 90, y + 30).closest('li')?.textContent;
  });
  await tell('many', { text: 'one more' });
  await rows.filter({ hasText: 'one more' }).waitFor();
  assert.ok(await top() > 0 && !await list.evaluate((e) => e.scrollHeight - e.scrollTop - e.clientHeight < 30), there);
  await ann.leave();
});

test('nothing around the list moves, whatever travels', async () => {
  const ann = await visit(browser, server, { room: 'still' });
  await ann.page.evaluate(() => {
    window.moved = [];
    const isOurs = ({ node }) => node && document.querySelector('aside').contains(node) && !document.getElementById('frames').contains(node);
    new PerformanceObserver((list) => list.getEntries().forEach(({ sources }) => window.moved.push(...sources.filter(isOurs).map(({ node }) => node.nodeName))))
      .observe({ type: 'layout-shift', buffered: true });
  });
  await tell('still', ...Array.from({ length: 40 }, (_, n) => ({ text: `${n}. ${'long '.repeat(n)}` })));
  await ann.page.locator('#frames li', { hasText: '39. ' }).waitFor();
  await ann.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  assert.deepEqual(await ann.page.evaluate(() => window.moved), []);
  await ann.leave();
});

test('without the SDK the page offers what it has', async () => {
  const ann = await visit(browser, server, { room: 'few', hasSdk: false });
  const isOffered = (value) => ann.page.locator(`#transport [value="${value}"]`).isEnabled();
  assert.deepEqual(await Promise.all(TRANSPORTS.map(isOffered)), [true, false, false, true]);
  await ann.switchTo('eventsource');
  await ann.say('still');
  await ann.sees('still');
  await ann.leave();
});

test('what travels fits a phone and a desktop, in light and dark', async () => {
  const folder = path.join(os.tmpdir(), 'carillon-demo-screenshots');
  fs.mkdirSync(folder, { recursive: true });
  const ann = await visit(browser, server, { room: 'look', name: 'Ann', locale: 'en-GB' });
  for (const transport of [...TRANSPORTS.slice(1), 'websocket']) {
    await ann.switchTo(transport);
    await ann.say(`Hello over ${transport}`);
    await ann.sees(`Hello over ${transport}`);
    await ann.isSent();
  }
  for (const [width, height] of [[1280, 720], [1440, 1000], [390, 844], [320, 640]])
    for (const colorScheme of ['light', 'dark']) {
      await ann.page.setViewportSize({ width, height });
      await ann.systemIs(colorScheme);
      if (width < 860 && await ann.page.getAttribute('#wire-toggle', 'aria-expanded') === 'false') {
        assert.ok(await ann.page.locator('#figures').isHidden());
        await ann.page.click('#wire-toggle');
      }
      const outside = await ann.page.evaluate(() => [...document.querySelectorAll('#wire, #transport, #figures :is(th, td), #frames, #copy-listen, #wire-toggle')]
        .filter((element) => element.checkVisibility())
        .filter((element) => {
          const { left, right, bottom } = element.getBoundingClientRect();
          return left < 0 || right > innerWidth || bottom > innerHeight || element.scrollWidth > element.clientWidth + 1;
        }).map(({ id, textContent }) => id || textContent));
      assert.deepEqual(outside, [], `inside at ${width}`);
      await ann.page.screenshot({ path: path.join(folder, `wire-${colorScheme}-${width}.png`) });
    }
  await ann.page.focus('#wire-toggle');
  await ann.page.keyboard.press('Escape');
  await ann.page.locator('#figures').waitFor({ state: 'hidden' });
  await ann.leave();
});
