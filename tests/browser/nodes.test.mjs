/* The demo page over two nodes on a real Redis: side by side, by WebSocket and by EventSource, who is here, and
 * what the limits do to a flood.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test as nodeTest } from 'node:test';
import { api, sum, untilMetrics } from '../integration/helpers/http.mjs';
import { startNode, startNodes, startRedis } from '../integration/helpers/redis.mjs';
import { deadline, startServer } from '../integration/helpers/server.mjs';
import { demoConfig, launchBrowser, SERVER_GONE, visit, visitSplit } from './helpers/demo.mjs';

let browser;
let redis;
let nodes;

const test = (name, body) => nodeTest(name, { timeout: deadline(60000) }, body);

before(async () => {
  [browser, redis] = await Promise.all([launchBrowser(), startRedis()]);
  nodes = await startNodes(redis, 2, { config: demoConfig() });
});
after(async () => {
  await browser?.close();
  await Promise.all((nodes ?? []).map((node) => node.stop()));
  await redis?.stop();
});

/* The panes of a page that shows both nodes. */
async function sideBySide(options) {
  const both = await visitSplit(browser, nodes, options);
  return [both, await both.pane(0), await both.pane(1)];
}

test('what is written on one node appears on the other, and both panes share room and theme', async () => {
  const [both, left, right] = await sideBySide({ room: 'bridge', colorScheme: 'light' });
  assert.equal(await left.view.textContent('#node'), `127.0.0.1:${nodes[0].port}`);
  assert.equal(await right.view.textContent('#node'), `127.0.0.1:${nodes[1].port}`);
  await left.say('from the left');
  await right.sees('from the left');
  await right.say('from the right');
  await left.sees('from the right');
  for (const pane of [left, right])
    assert.deepEqual(await pane.words(), ['from the left', 'from the right']);

  await both.page.mouse.move(200, 400);
  await right.view.locator('.cursor .tag').waitFor();

  await left.view.fill('#room', 'tower');
  await left.view.press('#room', 'Enter');
  await right.view.waitForFunction(() => document.getElementById('room').value === 'tower');
  assert.equal(await both.page.evaluate(() => location.hash), '#room=tower');
  await right.say('up here');
  await left.sees('up here');

  await both.page.click('#theme');
  for (const pane of [left, right])
    await pane.view.locator('html[data-theme="dark"]').waitFor();
  await both.leave();
});

test('who is here is exact over both nodes, named as soon as they speak', async () => {
  const [both, left, right] = await sideBySide({ room: 'roll' });
  const ann = await visit(browser, nodes[1], { room: 'roll', name: 'Ann' });
  const guest = await visit(browser, nodes[0], { room: 'roll' });
  for (const visitor of [left, right, ann, guest])
    await visitor.isHere(4);
  assert.equal(await left.view.locator('#belfry [aria-label="guest"]').count(), 3);
  await ann.say('It is me');
  await left.view.locator('#belfry [aria-label="Ann"]').waitFor();
  assert.equal(await left.view.locator('#belfry [aria-label="guest"]').count(), 2);
  await guest.switchTo('eventsource');
  await left.isHere(4);
  assert.match(await guest.page.textContent('#here'), /^\d+ seen$/, 'EventSource cannot ask');
  await guest.leave();
  for (const visitor of [left, right, ann])
    await visitor.isHere(3);
  await ann.page.evaluate(() => (location.hash = '#room=elsewhere'));
  await ann.isHere(1);
  await left.isHere(2);
  await ann.leave();
  await both.leave();
});

test('a pane switches to EventSource and back: the same messages, both ways', async () => {
  const [both, left, right] = await sideBySide({ room: 'switch' });
  await left.say('before');
  await right.sees('before');
  await right.switchTo('eventsource');
  assert.ok(await right.view.locator('#sse-note').isVisible(), 'the page says what it cannot do');
  await untilMetrics(nodes[1], (m) => sum(m, /num_clients/) === 1, 'the socket is gone, the stream is there');
  await right.say('over SSE 🔔 <b>');
  await left.sees('over SSE 🔔 <b>');
  await left.say('over the socket');
  await right.sees('over the socket');
  await right.isSent();
  await api(nodes[0], 'publish', { channel: 'chat-switch', data: 'only a string' });
  const all = ['before', 'over SSE 🔔 <b>', 'over the socket', 'only a string'];
  for (const pane of [left, right]) {
    await pane.sees('only a string');
    assert.deepEqual(await pane.words(), all);
  }
  const box = await (await both.page.$('.pane:nth-child(2) iframe')).boundingBox();
  await both.page.mouse.move(box.x + 100, box.y + 300);
  await left.view.locator('.cursor .tag').waitFor();
  await both.page.mouse.move(100, 300);
  await right.view.locator('.cursor .tag').waitFor();

  await right.view.evaluate(() => (location.hash = '#room=annex'));
  await left.view.waitForFunction(() => document.getElementById('room').value === 'annex');
  await right.say('moved');
  await left.sees('moved');
  await right.switchTo('websocket');
  assert.ok(await right.view.locator('#sse-note').isHidden());
  await right.isHere(2);
  await right.say('back on the socket');
  await left.sees('back on the socket');
  await right.sees('moved');
  await both.leave();
});

test('when a node is killed the other goes on, and its pane comes back with it, reloaded or not', async () => {
  const mortal = await startNode(redis, { config: demoConfig() });
  const both = await visitSplit(browser, [nodes[0], mortal], { room: 'mortal', expected: [SERVER_GONE] });
  const [left, right] = [await both.pane(0), await both.pane(1)];
  const ann = await visit(browser, mortal, { room: 'mortal', expected: [SERVER_GONE] });
  await ann.switchTo('eventsource');
  await mortal.kill();
  for (const visitor of [right, ann])
    await visitor.phase('reconnecting');
  await left.say('still here');
  await left.sees('still here');
  await left.phase('connected');

  const second = await visitSplit(browser, [nodes[0]], { room: 'mortal', expected: [SERVER_GONE, /Failed to load/] });
  second.origins.push(mortal.url);
  await second.page.goto(`${nodes[0].url}/?nodes=${nodes[0].port},${mortal.port}#room=mortal`);
  await second.page.locator('.pane:nth-child(2) .absent', { hasText: 'does not answer' }).waitFor();

  const risen = await startNode(redis, { config: demoConfig(), port: mortal.port });
  for (const visitor of [right, ann])
    await visitor.phase('connected');
  await second.page.locator('.pane:nth-child(2) .absent').waitFor({ state: 'hidden' });
  const late = await second.pane(1);
  await late.phase('connected');
  await left.say('welcome back');
  for (const visitor of [right, ann, late])
    await visitor.sees('welcome back');
  for (const visitor of [ann, second, both])
    await visitor.leave();
  await risen.stop();
});

test('a stream that is refused says why', async () => {
  const closed = await startServer({ config: demoConfig(({ channel }) => {
    channel.without_namespace.allow_subscribe_for_anonymous = false;
  }) });
  const ann = await visit(browser, closed, { expected: [/403/] });
  await ann.choose('eventsource');
  await ann.phase('disconnected');
  await ann.page.locator('#alert', { hasText: /Disconnected: .+ \(403\)/ }).waitFor();
  await ann.leave();
  await closed.stop();
});

test('a flood is refused with 111, ended with 3013, and the page beside it stays', async () => {
  const ann = await visit(browser, nodes[0], { room: 'deluge', name: 'Ann' });
  const client = await ann.page.textContent('#info-client');
  await ann.page.click('#flood');
  await ann.page.locator('#flood-panel[data-end="3013"]').waitFor();
  const figure = async (name) => Number((await ann.page.textContent(`#flood-${name}`)).replace(/\D/g, ''));
  const [sent, accepted, refused] = [await figure('sent'), await figure('accepted'), await figure('refused')];
  const { client: { command_rate_burst: burst } } = demoConfig();
  assert.ok(accepted >= burst / 2 && accepted < 3 * burst, `${accepted} accepted`); /* some answers were on their way */
  assert.ok(refused >= 10 && accepted + refused <= sent, `${refused} of ${sent} refused`);
  assert.match(await ann.page.textContent('#flood-verdict'), /too many requests \(3013\)/);
  await ann.page.locator('#flood-trip', { hasText: /round trip [\d.,]+ ms/ }).waitFor();
  await ann.page.locator('#flood:enabled').waitFor();
  await ann.say('dry');
  await ann.sees('dry');
  assert.equal(await ann.page.textContent('#info-client'), client, 'the page was never disconnected');
  await ann.page.click('#flood-close');
  assert.ok(await ann.page.locator('#flood-panel').isHidden());
  await ann.leave();
});

test('side by side on a desktop, one above the other on a phone, in light and dark', async () => {
  const folder = path.join(os.tmpdir(), 'carillon-demo-screenshots');
  fs.mkdirSync(folder, { recursive: true });
  const [both, left, right] = await sideBySide({ room: 'look' });
  await left.say('Hello from this node');
  await right.sees('Hello from this node');
  await right.say('And from that one');
  await left.sees('And from that one');
  for (const [width, height] of [[1280, 720], [390, 844]])
    for (const colorScheme of ['light', 'dark']) {
      await both.page.setViewportSize({ width, height });
      await both.systemIs(colorScheme);
      const [a, b] = await both.page.locator('.pane').evaluateAll((panes) => panes.map((pane) => pane.getBoundingClientRect().toJSON()));
      assert.ok(width > 860 ? b.left >= a.right && b.top === a.top : b.top >= a.bottom && b.left === a.left);
      assert.ok(b.right <= width && b.bottom <= height, 'all of it is on the screen');
      for (const pane of [left, right]) {
        await pane.view.locator(`html[data-theme="${colorScheme}"]`).waitFor();
        const [wide, box] = await pane.view.evaluate(() => [document.documentElement.scrollWidth - innerWidth,
          ['status', 'room', 'transport', 'flood', 'here', 'text'].map((id) => {
            const { left: x, right: z, bottom } = document.getElementById(id).getBoundingClientRect();
            return x >= 0 && z <= innerWidth && bottom <= innerHeight;
          })]);
        assert.ok(wide <= 0 && box.every(Boolean), `what a pane needs is inside: ${wide} ${box}`);
      }
      await both.page.screenshot({ path: path.join(folder, `nodes-${colorScheme}-${width}.png`) });
    }
  await both.leave();
});
