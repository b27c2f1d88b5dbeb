/* The demo page in a real browser, against the real server: what a visitor sees.
 *
 * Screenshots of every look go to carillon-demo-screenshots/ in the folder for temporary files, to be
 * looked at. With CARILLON_SCREENSHOT=docs/screenshot.png the README's picture is taken as well (that
 * test plays for 40 s, so that there is a minute to show; it is skipped otherwise).
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test as nodeTest } from 'node:test';
import { deadline, root, startServer } from '../integration/helpers/server.mjs';
import { api } from '../integration/helpers/http.mjs';
import { demoConfig, launchBrowser, SERVER_GONE, visit } from './helpers/demo.mjs';
import { takeScreenshot } from './helpers/screenshot.mjs';

let browser;
let server;

/* A browser that hangs must not hang the run. */
const test = (name, body) => nodeTest(name, { timeout: deadline(60000) }, body);

before(async () => {
  [browser, server] = await Promise.all([launchBrowser(), startServer({ config: demoConfig() })]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test('the page loads from this server alone, without an error, and nothing on it jumps', async () => {
  const ann = await visit(browser, server, { room: 'calm' });
  const shift = await ann.page.evaluate(() => new Promise((resolve) => {
    let sum = 0;
    new PerformanceObserver((list) => list.getEntries().forEach(({ value }) => (sum += value)))
      .observe({ type: 'layout-shift', buffered: true });
    requestAnimationFrame(() => setTimeout(() => resolve(sum), 100));
  }));
  assert.ok(shift < 0.05, `layout shift ${shift}`); /* half of what web.dev calls good */
  assert.match(await ann.page.textContent('#info-client'), /^[0-9a-f-]{36}$/);
  assert.equal(await ann.page.textContent('#info-transport'), 'websocket');
  assert.equal(await ann.page.locator('#no-sdk').isVisible(), false);
  assert.match(await ann.page.inputValue('#name'), /^\S+ \S+$/, 'a friendly name to start with');
  await ann.leave();
});

test('two pages chat, and whatever they write is shown as text', async () => {
  const [ann, ben] = await Promise.all([visit(browser, server, { name: 'Ann' }),
                                        visit(browser, server, { name: '<i>Ben</i> \u202e 🦊' })]);
  const texts = ['Hello 👋🏽 ünïcödé', '<img src=x onerror="document.title=1"><script>alert(1)</script>',
                 'שלום, mixed עם English', '&lt;b&gt; "quotes" \\n {"a":1}'];
  for (const text of texts)
    await ben.say(text);
  await ann.sees(texts.at(-1));
  await ann.say('two\nlines');
  for (const visitor of [ann, ben]) {
    await visitor.sees('two');
    await visitor.isSent();
    assert.deepEqual(await visitor.words(), [...texts, 'two\nlines']);
    assert.equal(await visitor.page.locator('#log .words *, #log bdi *').count(), 0, 'no markup');
  }
  assert.equal(await ann.page.locator('#log .who bdi').first().textContent(), '<i>Ben</i> \u202e 🦊');
  assert.equal(await ann.page.locator('#log .mine').count(), 1);
  assert.equal(await ben.page.locator('#log .mine').count(), texts.length);
  await Promise.all([ann.leave(), ben.leave()]);
});

test('a line from the HTTP API appears, also one that is only a string', async () => {
  const ann = await visit(browser, server, { room: 'api' });
  await api(server, 'publish', { channel: 'chat-api', data: 'plain words' });
  await ann.sees('plain words');
  await api(server, 'publish', { channel: 'chat-api', data: { name: 'Robot', text: 'beep' } });
  await ann.sees('beep');
  for (const data of [null, 7, [], { text: {} }, { id: 5, name: {}, text: '' }])
    await api(server, 'publish', { channel: 'chat-api', data });
  for (const data of [null, 'x', { from: 'x' }, { from: 'y', x: 'NaN', y: -1, name: 3 }])
    await api(server, 'publish', { channel: 'live:cursors-api', data });
  await ann.say('still alive');
  await ann.sees('still alive');
  await ann.leave();
});

/* Waits until the one cursor on the page stands at this part of the window. */
function cursorAt(visitor, x, y) {
  return visitor.page.waitForFunction((wanted) => {
    const at = document.querySelector('.cursor')?.getBoundingClientRect();
    return at && Math.hypot(at.x - wanted[0] * innerWidth, at.y - wanted[1] * innerHeight) < 3;
  }, [x, y]);
}

test('a cursor moves on the other page, wherever its window ends, and fades after 5 s of silence', async () => {
  const small = { viewport: { width: 500, height: 400 }, hasClock: true };
  const [ann, ben] = await Promise.all([visit(browser, server, { room: 'mouse', name: 'Ann' }),
                                        visit(browser, server, { room: 'mouse', ...small })]);
  await ann.page.mouse.move(250, 350);
  await cursorAt(ben, 0.25, 0.5);
  await ann.page.mouse.move(800, 70, { steps: 20 });
  await cursorAt(ben, 0.8, 0.1);
  assert.equal(await ben.page.textContent('.cursor .tag'), 'Ann');
  assert.equal(await ben.page.locator('.belfry [aria-label="Ann"]').count(), 1);
  assert.equal(await ann.page.locator('.cursor').count(), 0, 'one does not see oneself');
  const faded = ben.page.locator('.cursor.faded');
  assert.equal(await faded.count(), 0);
  await ben.page.clock.fastForward(5000);
  assert.equal(await faded.count(), 1);
  await ben.page.clock.fastForward(1000);
  assert.equal(await ben.page.locator('.cursor').count(), 0);
  await Promise.all([ann.leave(), ben.leave()]);
});

test('positions are published at most 20 times a second, the last one included', async () => {
  const [ann, ben] = await Promise.all([visit(browser, server, { room: 'fast' }),
                                        visit(browser, server, { room: 'fast' })]);
  const start = performance.now();
  for (let i = 0; i < 100; i++)
    await ann.page.mouse.move(100 + i, 100 + i);
  const took = performance.now() - start;
  await cursorAt(ben, 199 / 1000, 199 / 700);
  const count = Number(await ben.page.textContent('#info-received'));
  assert.ok(count >= 2 && count <= took / 50 + 2, `${count} positions in ${Math.round(took)} ms`);
  await Promise.all([ann.leave(), ben.leave()]);
});

test('a finger is shown as a ring', async () => {
  const phone = { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true };
  const ann = await visit(browser, server, { room: 'touch', ...phone });
  const ben = await visit(browser, server, { room: 'touch' });
  const ring = ben.page.locator('.cursor[data-kind="touch"] .touch').waitFor();
  await ann.page.touchscreen.tap(180, 300);
  await ring;
  await Promise.all([ann.leave(), ben.leave()]);
});

test('a page that goes offline says so, comes back, and chats', async () => {
  const ann = await visit(browser, server, { room: 'tunnel', name: 'Ann' });
  const ben = await visit(browser, server, { room: 'tunnel', name: 'Ben', expected: [SERVER_GONE] });
  await ben.page.context().setOffline(true);
  await ben.phase('reconnecting');
  assert.match(await ben.page.textContent('#status-detail'), /transport closed/);
  await ann.say('are you there?');
  await ann.isSent();
  await ben.page.context().setOffline(false);
  await ben.phase('connected');
  await ben.say('back again');
  await ann.sees('back again');
  await ann.say('good');
  await ben.sees('good');
  await Promise.all([ann.leave(), ben.leave()]);
});

test('when the server dies and comes back, so do the pages, with the SDK and without', async () => {
  const mortal = await startServer({ config: demoConfig() });
  const expected = [SERVER_GONE];
  const [ann, ben, cas] = await Promise.all([visit(browser, mortal, { name: 'Ann', expected }),
                                             visit(browser, mortal, { name: 'Ben', expected }),
                                             visit(browser, mortal, { name: 'Cas', expected, hasSdk: false })]);
  const all = [ann, ben, cas];
  await ann.say('before');
  await Promise.all(all.map((visitor) => visitor.sees('before')));
  await mortal.kill();
  await Promise.all(all.map((visitor) => visitor.phase('reconnecting')));
  assert.match(await ann.page.textContent('#status-detail'), /transport closed/);
  assert.match(await cas.page.textContent('#status-phase'), /^Reconnecting(…| in \d+ s)$/);
  await ben.say('written in the dark');
  assert.equal(await ben.page.locator('#outbox .msg[data-state="pending"]').count(), 1);
  const risen = await startServer({ config: demoConfig(), port: mortal.port });
  await Promise.all(all.map((visitor) => visitor.phase('connected')));
  await ben.isSent();
  await ben.sees('written in the dark');
  for (const visitor of all) {
    const words = `${await visitor.page.inputValue('#name')} is back`;
    await visitor.say(words);
    await Promise.all(all.map((other) => other.sees(words)));
  }
  await Promise.all(all.map((visitor) => visitor.leave()));
  await risen.stop();
});

test('a message that cannot be published is rolled back, says why, and can be retried', async () => {
  const readOnly = await startServer({ config: demoConfig(({ channel }) => {
    for (const name of Object.keys(channel.without_namespace).filter((key) => key.startsWith('allow_publish')))
      channel.without_namespace[name] = false;
  }) });
  const ann = await visit(browser, readOnly, { expected: [SERVER_GONE] });
  const failed = ann.page.locator('#outbox .msg[data-state="failed"]');
  await ann.say('first');
  await failed.waitFor();
  assert.match(await failed.locator('.why').textContent(), /permission denied \(103\)/);
  await ann.say('second');
  await failed.nth(1).waitFor();
  await failed.first().locator('[data-act="discard"]').click();
  assert.deepEqual(await ann.page.locator('#outbox .words').allTextContents(), ['second']);
  assert.deepEqual(await ann.words(), [], 'nothing of it is in the conversation');

  await readOnly.stop();
  await ann.phase('reconnecting');
  const open = await startServer({ config: demoConfig(), port: readOnly.port });
  await ann.phase('connected');
  await failed.locator('[data-act="retry"]').click();
  await ann.sees('second');
  await ann.isSent();
  assert.deepEqual(await ann.words(), ['second']);
  await ann.leave();
  await open.stop();
});

test('a room that cannot be joined says so', async () => {
  const closed = await startServer({ config: demoConfig(({ channel }) => {
    for (const name of Object.keys(channel.without_namespace).filter((key) => key.startsWith('allow_')))
      channel.without_namespace[name] = false;
  }) });
  for (const hasSdk of [true, false]) {
    const ann = await visit(browser, closed, { hasSdk });
    await ann.page.locator('#alert', { hasText: 'permission denied (103)' }).waitFor();
    await ann.leave();
  }
  await closed.stop();
});

test('a connection that is refused for good says why and offers to try again', async () => {
  const strict = await startServer({ config: demoConfig(({ client }) => {
    client.allow_anonymous_connect_without_token = false;
  }) });
  const visitors = await Promise.all([true, false].map((hasSdk) =>
    visit(browser, strict, { hasSdk, phase: 'disconnected', expected: [SERVER_GONE] })));
  for (const { page } of visitors)
    assert.match(await page.innerText('#alert'), /^Disconnected: bad request \(3501\)\.\s*Reconnect$/);
  await strict.stop();
  const open = await startServer({ config: demoConfig(), port: strict.port });
  for (const visitor of visitors) {
    await visitor.page.click('#alert-act');
    await visitor.phase('connected');
    assert.ok(await visitor.page.locator('#alert').isHidden());
    await visitor.leave();
  }
  await open.stop();
});

test('without the SDK the page tells how to install it, and chats over fetch', async () => {
  const ann = await visit(browser, server, { room: 'plain', name: 'Ann', hasSdk: false });
  const ben = await visit(browser, server, { room: 'plain', name: 'Ben' });
  assert.match(await ann.page.locator('#no-sdk').innerText(), /cd web-demo && npm install/);
  assert.match(await ann.page.textContent('#info-transport'), /fetch/);
  await ann.say('by hand 🔔 <b>');
  await ben.sees('by hand 🔔 <b>');
  await ann.isSent();
  await ben.say('with the SDK');
  await ann.sees('with the SDK');
  await ann.page.mouse.move(100, 100);
  await ben.page.locator('.cursor .tag').waitFor();
  await ann.page.evaluate(() => (location.hash = '#room=elsewhere'));
  await ann.say('over here');
  await ann.sees('over here');
  await ben.say('nobody hears this');
  await ben.isSent();
  assert.deepEqual(await ann.words(), ['over here']);
  await Promise.all([ann.leave(), ben.leave()]);
});

test('the room comes from the address, in any script, and can be changed with the keyboard', async () => {
  const ann = await visit(browser, server, { room: 'köln ✨ ($:#)' });
  const ben = await visit(browser, server, { room: 'lobby' });
  assert.equal(await ann.page.inputValue('#room'), 'köln ✨ ($:#)');
  await ann.say('anybody here?');
  await ann.sees('anybody here?');
  await ann.page.fill('#room', 'annex');
  await ann.page.press('#room', 'Enter');
  assert.equal(await ann.page.evaluate(() => location.hash), '#room=annex');
  assert.deepEqual(await ann.words(), []);
  await ben.page.evaluate(() => (location.hash = '#room=annex'));
  await ann.say('welcome');
  await ben.say('thanks');
  await ann.sees('thanks');
  await Promise.all([ann.leave(), ben.leave()]);
});

test('everything can be reached and used with the keyboard alone', async () => {
  const ann = await visit(browser, server, { room: 'keys' });
  const reached = new Set();
  for (let i = 0; i < 14; i++) {
    await ann.page.keyboard.press('Tab');
    reached.add(await ann.page.evaluate(() => document.activeElement.id || document.activeElement.tagName));
  }
  for (const id of ['SUMMARY', 'theme', 'room', 'flood', 'INPUT', 'scroll', 'name', 'offline', 'text'])
    assert.ok(reached.has(id), `${id} among ${[...reached]}`);
  await ann.page.focus('#text');
  await ann.page.keyboard.type('one');
  await ann.page.keyboard.press('Shift+Enter');
  await ann.page.keyboard.type('two');
  await ann.page.keyboard.press('Enter');
  await ann.sees('one');
  assert.deepEqual(await ann.words(), ['one\ntwo']);
  await ann.page.focus('#status summary');
  await ann.page.keyboard.press('Enter');
  assert.ok(await ann.page.locator('#info-client').isVisible());
  await ann.page.keyboard.press('Escape');
  assert.ok(await ann.page.locator('#info-client').isHidden());
  await ann.leave();
});

test('a flood leaves the newest 500 messages and does not move who reads above', async () => {
  const ann = await visit(browser, server, { room: 'flood' });
  const flood = async (from, to) => {
    for (let i = from; i < to; i++)
      await api(server, 'publish', { channel: 'chat-flood', data: { name: 'Robot', text: `line ${i}.` } });
  };
  await flood(0, 520);
  await ann.sees('line 519.');
  const words = await ann.words();
  assert.equal(words.length, 500);
  assert.equal(words[0], 'line 20.');
  const isAtEnd = () => ann.page.evaluate(() => {
    const { scrollHeight, scrollTop, clientHeight } = document.getElementById('scroll');
    return scrollHeight - scrollTop - clientHeight < 4;
  });
  assert.ok(await isAtEnd());
  await ann.page.locator('#scroll').evaluate((element) => element.scrollBy(0, -1000));
  await flood(520, 525);
  await ann.page.locator('#more', { hasText: '5 new messages' }).click();
  await ann.page.locator('#more').waitFor({ state: 'hidden' });
  await ann.leave();
});

test('the page fits a phone and a desktop, in light and dark, whatever the content', async () => {
  const folder = path.join(os.tmpdir(), 'carillon-demo-screenshots');
  fs.mkdirSync(folder, { recursive: true });
  const ann = await visit(browser, server, { room: 'look', name: 'N'.repeat(99), locale: 'en-GB' });
  await api(server, 'publish', { channel: 'chat-look', data: { name: 'M'.repeat(99), text: '\u202eback' } });
  for (const text of ['A short one', 'l'.repeat(300), 'long words '.repeat(40), '🦊'.repeat(80), 'שלום עולם'])
    await ann.say(text);
  await ann.isSent();
  const grounds = new Set();
  for (const [width, height] of [[1280, 720], [360, 740]])
    for (const colorScheme of ['light', 'dark']) {
      await ann.page.setViewportSize({ width, height });
      await ann.systemIs(colorScheme);
      assert.deepEqual(await overflow(ann.page), [0, 0], 'nothing is wider than the page');
      for (const id of ['status', 'theme', 'room', 'flood', 'transport', 'here', 'chart', 'offline', 'text'])
        assert.ok(await isInside(ann.page, id), `${id} is on the screen`);
      grounds.add(await ann.page.evaluate(() => getComputedStyle(document.body).backgroundColor));
      await ann.page.screenshot({ path: path.join(folder, `${colorScheme}-${width}.png`) });
    }
  assert.equal(grounds.size, 2);
  await ann.leave();
});

function overflow(page) {
  return page.evaluate(() => [document.documentElement, document.getElementById('scroll')]
    .map((element) => element.scrollWidth - element.clientWidth));
}

function isInside(page, id) {
  return page.locator(`#${id}`).evaluate((element) => {
    const { left, right, top, bottom, width } = element.getBoundingClientRect();
    return width > 0 && left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
  });
}

test('the theme follows the system until it is chosen, and the choice and the name stay', async () => {
  const ann = await visit(browser, server, { colorScheme: 'dark', name: 'Ann of Dover' });
  const theme = () => ann.page.evaluate(() => document.documentElement.dataset.theme);
  assert.equal(await theme(), 'dark');
  await ann.systemIs('light');
  await ann.page.click('#theme');
  assert.equal(await theme(), 'dark');
  await ann.page.reload();
  assert.equal(await theme(), 'dark');
  assert.equal(await ann.page.inputValue('#name'), 'Ann of Dover');
  await ann.leave();
});

const target = process.env.CARILLON_SCREENSHOT;
nodeTest('the README has its picture', { skip: !target && 'CARILLON_SCREENSHOT is not set', timeout: deadline(120000) }, async () => {
  const usual = await startServer({ config: demoConfig(), port: 8000 }); /* the port shows in the picture */
  await takeScreenshot(browser, usual, path.resolve(root, target));
  await usual.stop();
});
