/* What the demo page remembers, against the real server: a fresh page is filled from the history, and one
 * that was away shows what it missed, in order and once: with the SDK, without it, and over EventSource.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test as nodeTest } from 'node:test';
import { api } from '../integration/helpers/http.mjs';
import { deadline, startServer } from '../integration/helpers/server.mjs';
import { demoConfig, launchBrowser, SERVER_GONE, visit } from './helpers/demo.mjs';

let browser;
let server;

const test = (name, body) => nodeTest(name, { timeout: deadline(60000) }, body);
const MESSAGES_MAX = 500; /* that a page shows */
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => `no. ${from + i}.`);

before(async () => {
  [browser, server] = await Promise.all([launchBrowser(), startServer({ config: demoConfig() })]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function tell(node, room, ...all) {
  for (const data of all) {
    const { json } = await api(node, 'publish', { channel: `chat-${room}`, data });
    assert.ok(json.result, JSON.stringify(json));
  }
}

/* What the log says once this message is in it. */
async function logWith(visitor, text) {
  await visitor.sees(text);
  return visitor.log();
}

async function goOffline(visitor) {
  await visitor.page.click('#offline');
  await visitor.phase('offline');
}

async function comeBack(visitor) {
  await visitor.page.click('#offline');
  await visitor.phase('connected');
}

test('a fresh page shows what was said before, with the times that are known, and goes on from there', async () => {
  const at = new Date(Date.now() - 20 * 60000);
  await tell(server, 'old', 'twice', 'twice', { name: 'Cas', text: 'long ago', at: at.getTime() }, { name: 'Dan', text: 'no clock' });
  await tell(server, 'fresh', { text: 'another room' });
  for (const hasSdk of [true, false]) {
    const ann = await visit(browser, server, { room: 'old', name: 'Ann', hasSdk });
    assert.deepEqual((await logWith(ann, 'no clock')).slice(0, 5), ['twice', 'twice', 'long ago', 'no clock', '- earlier ↑ -']);
    const time = (text) => ann.page.locator('#log .msg', { hasText: text }).locator('time');
    assert.equal(await time('long ago').getAttribute('datetime'), at.toISOString());
    assert.equal(await time('no clock').textContent(), '');
    assert.equal(await ann.page.textContent('#info-received'), '0', 'that was then');
    assert.match(await ann.page.textContent('#info-position'), /^4 in epoch \S+$/);
    await ann.page.evaluate(() => (location.hash = '#room=fresh'));
    assert.equal((await logWith(ann, 'another room')).at(-1), '- earlier ↑ -');
    await ann.page.evaluate(() => (location.hash = '#room=old'));
    assert.deepEqual(await logWith(ann, 'no clock'), ['twice', 'twice', 'long ago', 'no clock', '- earlier ↑ -'], 'again');
    await ann.leave();
  }
  const ben = await visit(browser, server, { room: 'old', name: 'Ben' });
  await ben.sees('no clock');
  await ben.say('now');
  assert.deepEqual((await logWith(ben, 'now')).slice(4), ['- earlier ↑ -', 'now']);
  assert.equal(await ben.page.textContent('#info-received'), '1');
  assert.match(await ben.page.textContent('#info-position'), /^5 in epoch \S+$/);
  await ben.leave();
});

/* Says numbers as fast as the server takes them, but not more than the page shows. */
class Speaker {
  said = 0;

  constructor(room) {
    this.room = room;
    this.done = this.#speak();
  }

  async #speak() {
    while (!this.isOver && this.said < MESSAGES_MAX)
      await tell(server, this.room, { id: `${this.room}-${this.said + 1}`, text: `no. ${++this.said}.` });
  }

  async stop() {
    this.isOver = true;
    await this.done;
  }
}

test('a page that enters while somebody speaks without a pause shows all of it, in order and once', async () => {
  /* Not over EventSource: its publications have no offsets by which the history could be joined. */
  for (const kind of ['websocket', 'fallback']) {
    const ann = await visit(browser, server, { room: 'silence', hasSdk: kind !== 'fallback' });
    for (let round = 1; round <= 5; round++) {
      const room = `rush-${kind}-${round}`;
      const speaker = new Speaker(room);
      await ann.page.evaluate((name) => (location.hash = `#room=${name}`), room);
      await ann.page.waitForFunction(() => document.querySelectorAll('#log .msg').length > 20);
      await speaker.stop();
      await ann.sees(`no. ${speaker.said}.`);
      const words = await ann.words();
      const first = speaker.said - words.length + 1;
      assert.deepEqual(words, numbers(first, speaker.said), room);
    }
    await ann.leave();
  }
});

test('who goes offline gets what was said meanwhile, in order and once, and is told how much', async () => {
  for (const hasSdk of [true, false]) {
    const room = hasSdk ? 'away' : 'away-by-hand';
    const ann = await visit(browser, server, { room, name: 'Ann' });
    const ben = await visit(browser, server, { room, name: 'Ben', hasSdk });
    await ann.say('one');
    await ben.sees('one');
    await goOffline(ben);
    assert.match(await ben.page.textContent('#status-phase'), /^Offline, back in \d s$/);
    assert.equal(await ben.page.textContent('#offline'), 'Come back');
    for (const text of ['two', 'three'])
      await ann.say(text);
    await ann.sees('three');
    await tell(server, room, 'four', 'four');
    await ann.page.locator('#log .words', { hasText: 'four' }).nth(1).waitFor();
    assert.deepEqual(await ben.words(), ['one'], 'he is away');
    await comeBack(ben);
    await ben.say('five');
    assert.deepEqual(await logWith(ben, 'five'),
                     ['one', '- recovered 4 messages you missed ↓ -', 'two', 'three', 'four', 'four', 'five']);
    assert.deepEqual(await logWith(ann, 'five'), ['one', 'two', 'three', 'four', 'four', 'five']);
    assert.match(await ben.page.textContent('#info-position'), /^6 in epoch \S+$/);
    await goOffline(ben);
    await comeBack(ben);
    await ben.page.locator('#log .mark', { hasText: 'nothing was missed' }).waitFor();
    await Promise.all([ann.leave(), ben.leave()]);
  }
});

test('who goes offline comes back after 5 s, and what he wrote meanwhile is sent then', async () => {
  const ann = await visit(browser, server, { room: 'nap', hasClock: true });
  await goOffline(ann);
  await tell(server, 'nap', { text: 'said meanwhile' });
  await ann.page.clock.fastForward(4000);
  assert.match(await ann.page.textContent('#status-phase'), /^Offline, back in \d s$/);
  await ann.say('written meanwhile');
  await ann.page.clock.fastForward(1000);
  await ann.phase('connected');
  assert.equal(await ann.page.textContent('#offline'), 'Go offline');
  await ann.page.clock.fastForward(100);
  assert.deepEqual(await logWith(ann, 'written meanwhile'),
                   ['- recovered 1 message you missed ↓ -', 'said meanwhile', 'written meanwhile']);
  await ann.leave();
});

test('a connection that breaks again and again loses and repeats nothing', async () => {
  const ann = await visit(browser, server, { room: 'tunnels', expected: [SERVER_GONE] });
  await tell(server, 'tunnels', { text: 'no. 1.' });
  await ann.sees('no. 1.');
  for (let i = 2; i <= 11; i += 2) {
    await ann.page.context().setOffline(true);
    await ann.phase('reconnecting');
    await tell(server, 'tunnels', { text: `no. ${i}.` });
    await ann.page.context().setOffline(false);
    await tell(server, 'tunnels', { text: `no. ${i + 1}.` });
    await ann.phase('connected');
  }
  await ann.sees('no. 11.');
  assert.deepEqual(await ann.words(), numbers(1, 11));
  await ann.leave();
});

test('what the server does not have any more is said to be lost', async () => {
  const config = demoConfig(({ channel }) => (channel.without_namespace.history_size = 3));
  const small = await startServer({ config });
  const all = await Promise.all([true, false].map((hasSdk) =>
    visit(browser, small, { room: 'short', hasSdk, expected: [SERVER_GONE] })));
  await tell(small, 'short', { text: 'no. 1.' });
  for (const visitor of all) {
    await visitor.sees('no. 1.');
    await goOffline(visitor);
  }
  await tell(small, 'short', ...numbers(2, 8).map((text) => ({ text })));
  for (const visitor of all) {
    await comeBack(visitor);
    assert.deepEqual(await logWith(visitor, 'no. 8.'),
                     ['no. 1.', '- 4 messages you missed are lost -', ...numbers(6, 8)]);
  }
  await small.kill();
  await Promise.all(all.map((visitor) => visitor.phase('reconnecting')));
  const risen = await startServer({ config, port: small.port });
  await tell(risen, 'short', { text: 'no. 9.' }); /* its offset is one that the pages have seen */
  for (const visitor of all) {
    await visitor.phase('connected');
    assert.deepEqual((await logWith(visitor, 'no. 9.')).slice(-2), ['- some messages may be lost -', 'no. 9.']);
    await visitor.leave();
  }
  await risen.stop();
});

test('EventSource shows what was said before, and after a break what was missed', async () => {
  const ann = await visit(browser, server, { room: 'elsewhere' });
  await ann.switchTo('eventsource');
  await tell(server, 'stream', 'only words', { text: 'no. 1.' });
  await ann.page.evaluate(() => (location.hash = '#room=stream'));
  assert.deepEqual(await logWith(ann, 'no. 1.'), ['only words', 'no. 1.', '- earlier ↑ -']);
  await ann.switchTo('websocket');
  await ann.say('no. 2.');
  await ann.sees('no. 2.');
  await ann.switchTo('eventsource');
  await ann.say('no. 3.');
  const log = ['only words', 'no. 1.', '- earlier ↑ -', 'no. 2.', 'no. 3.'];
  assert.deepEqual(await logWith(ann, 'no. 3.'), log, 'another transport repeats nothing');
  await goOffline(ann);
  const at = new Date(Date.now() - 20 * 60000);
  await tell(server, 'stream', 'no. 4.', { text: 'no. 5.', at: at.getTime() });
  await comeBack(ann);
  await tell(server, 'stream', 'no. 6.');
  assert.deepEqual(await logWith(ann, 'no. 6.'), [...log, '- back, where the stream was left ↓ -', ...numbers(4, 6)]);
  const time = ann.page.locator('#log .msg', { hasText: 'no. 5.' }).locator('time');
  assert.equal(await time.getAttribute('datetime'), at.toISOString());
  await ann.leave();
});

test('EventSource says what the server does not have any more', async () => {
  const small = await startServer({ config: demoConfig(({ channel }) => (channel.without_namespace.history_size = 3)) });
  const ann = await visit(browser, small, { room: 'short' });
  await ann.switchTo('eventsource');
  await ann.say('no. 1.');
  await ann.sees('no. 1.');
  await goOffline(ann);
  await tell(small, 'short', ...numbers(2, 8));
  await comeBack(ann);
  await ann.page.locator('#log .mark[data-kind="lost"]').waitFor();
  await goOffline(ann);
  await comeBack(ann); /* what is lost is told once */
  await tell(small, 'short', 'no. 9.');
  const back = '- back, where the stream was left ↓ -';
  assert.deepEqual((await logWith(ann, 'no. 9.')).slice(-4), [back, '- some messages may be lost -', back, 'no. 9.']);
  await ann.leave();
  await small.stop();
});

test('where nothing is kept the page says nothing about it', async () => {
  const plain = await startServer({ config: demoConfig((config) => {
    Object.assign(config.channel.without_namespace, {
      history_size: 0, history_ttl: '0s', force_recovery: false, allow_history_for_subscriber: false,
    });
  }) });
  for (const hasSdk of [true, false]) {
    const ann = await visit(browser, plain, { room: 'plain', hasSdk });
    await goOffline(ann);
    await tell(plain, 'plain', { text: 'unheard' });
    await comeBack(ann);
    await ann.say('here');
    assert.deepEqual(await logWith(ann, 'here'), ['here']);
    assert.equal(await ann.page.textContent('#info-position'), '–');
    await ann.leave();
  }
  const ben = await visit(browser, plain, { room: 'plain' });
  await ben.switchTo('eventsource'); /* asks for the history, which is refused */
  await ben.say('there');
  assert.deepEqual(await logWith(ben, 'there'), ['there']);
  await goOffline(ben);
  await comeBack(ben);
  await ben.page.locator('#log .mark', { hasText: 'may not be here' }).waitFor();
  await ben.leave();
  await plain.stop();
});

test('history and recovery look well on a phone and a desktop, in light and dark', async () => {
  const folder = path.join(os.tmpdir(), 'carillon-demo-screenshots');
  fs.mkdirSync(folder, { recursive: true });
  await tell(server, 'glance', { name: 'Golden Hare', text: 'The new bells are up', at: Date.now() - 600000 }, 'Hello from curl');
  const ann = await visit(browser, server, { room: 'glance', name: 'Ann', locale: 'en-GB' });
  await ann.say('Good morning');
  await ann.sees('Good morning');
  await goOffline(ann);
  await tell(server, 'glance', { name: 'Golden Hare', text: 'Where are you?' }, { name: 'Golden Hare', text: 'Hello?' });
  await comeBack(ann);
  await ann.sees('Hello?');
  for (const [width, height] of [[1280, 720], [360, 740]])
    for (const colorScheme of ['light', 'dark']) {
      await ann.page.setViewportSize({ width, height });
      await ann.systemIs(colorScheme);
      const marks = await ann.page.locator('.mark').evaluateAll((all) => all.map((mark) => {
        const { left, right } = mark.getBoundingClientRect();
        return left >= 0 && right <= innerWidth;
      }));
      assert.deepEqual(marks, [true, true]);
      await ann.page.screenshot({ path: path.join(folder, `history-${colorScheme}-${width}.png`) });
    }
  await ann.leave();
});
