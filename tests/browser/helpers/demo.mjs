/* Debian's Chromium on the demo page, as visitors: one browser, a context (cookies, storage) each.
 *
 *   const browser = await launchBrowser();
 *   const ann = await visit(browser, server, { name: 'Ann' });      connected, and named
 *   await ann.say('Hello'); await ann.sees('Hello'); await ann.phase('connected');
 *   ann.page, ann.view                                              playwright's page, for all the rest
 *   ann.assertQuiet();                                              no error on the console so far
 *   const both = await visitSplit(browser, [a, b]);                 several nodes side by side
 *   const left = await both.pane(0);                                a visitor in one of its frames
 *
 * A console error fails the test unless the visitor was told to expect it (`expected`, regular
 * expressions; a browser reports each refused connection there). So does a request to anywhere but the
 * server under test.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { deadline, root } from '../../integration/helpers/server.mjs';

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
               '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export const SERVER_GONE = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INTERNET_DISCONNECTED|closed before receiving a handshake/;
export const SDK = '**/node_modules/centrifuge/dist/centrifuge.js';

export function launchBrowser() {
  return chromium.launch({ executablePath: process.env.CARILLON_CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
}

/* The configuration of `./dev run`, with the demo's folder where this checkout is. */
export function demoConfig(change = () => {}) {
  assert.ok(fs.existsSync(path.join(root, 'web-demo/node_modules/centrifuge/dist/centrifuge.js')),
            'the SDK is not installed: npm install in web-demo/');
  const config = JSON.parse(fs.readFileSync(path.join(root, 'deploy/demo.json'), 'utf8'));
  config.demo.path = path.join(root, 'web-demo');
  change(config);
  return config;
}

/* Pages that visitors left behind, clean: a new browser context costs more than most tests. */
const spare = [];

class Visitor {
  problems = [];

  /* view: what the visitor looks at: the page, or a frame in it. */
  constructor(page, { origins, expected, isUsual }) {
    Object.assign(this, { page, view: page, origins, expected, isUsual });
    page.setDefaultTimeout(deadline(8000));
    this.listeners = {
      console: (message) => message.type() === 'error' && this.#note(message.text()),
      pageerror: (error) => this.#note(error.stack ?? error.message),
      request: (request) => this.#check(new URL(request.url())),
    };
    for (const [event, listener] of Object.entries(this.listeners))
      page.on(event, listener);
  }

  #note(text) {
    if (!this.expected.some((regex) => regex.test(text)))
      this.problems.push(text);
  }

  #check(url) {
    if (url.protocol.startsWith('http') && !this.origins.includes(url.origin))
      this.problems.push(`a request to ${url}`);
  }

  phase(phase) {
    return this.view.locator(`#status[data-phase="${phase}"]`).waitFor();
  }

  async rename(name) {
    await this.view.fill('#name', name);
    await this.view.press('#name', 'Enter');
  }

  async say(text) {
    await this.view.fill('#text', text);
    await this.view.press('#text', 'Enter');
  }

  /* The system's preference changes, and the page follows. */
  async systemIs(colorScheme) {
    await this.page.emulateMedia({ colorScheme });
    await this.view.locator(`html[data-theme="${colorScheme}"]`).waitFor();
  }

  /* A message in the log, that is: one the server sent. */
  message(text) {
    return this.view.locator('#log .words', { hasText: text });
  }

  async sees(text) {
    await this.message(text).first().waitFor();
    assert.equal(await this.message(text).count(), 1, `"${text}" is there once`);
  }

  /* Nothing waits to be sent. */
  async isSent() {
    await this.view.waitForFunction(() => document.querySelectorAll('#outbox li').length === 0);
  }

  /* As many bells as the server says are here. */
  isHere(count) {
    return this.view.locator('#here', { hasText: new RegExp(`^${count} here$`) }).waitFor();
  }

  choose(transport) {
    return this.view.locator('#transport label', { has: this.view.locator(`[value="${transport}"]`) }).click();
  }

  async switchTo(transport) {
    await this.choose(transport);
    await this.view.locator('#info-transport', { hasText: transport }).waitFor({ state: 'attached' });
    await this.phase('connected');
  }

  words() {
    return this.view.locator('#log .words').allTextContents();
  }

  /* The log as it reads: messages, and between dashes the marks. */
  log() {
    return this.view.locator('#log > li').evaluateAll((rows) => rows.map((row) =>
      row.querySelector('.words')?.textContent ?? `- ${row.textContent.trim()} -`));
  }

  /* The same visitor in the frame of a node, by its place. */
  async pane(index) {
    const frame = await this.page.waitForSelector(`.pane:nth-child(${index + 1}) iframe`);
    const view = await frame.contentFrame();
    return Object.create(this, { view: { value: view } });
  }

  assertQuiet() {
    assert.deepEqual(this.problems, [], 'errors on the console');
  }

  async leave() {
    this.assertQuiet();
    if (!this.isUsual)
      return void await this.page.context().close();
    for (const [event, listener] of Object.entries(this.listeners))
      this.page.off(event, listener);
    await this.page.unrouteAll();
    await this.page.evaluate(() => [localStorage, sessionStorage].forEach((storage) => storage.clear()));
    await this.page.goto('about:blank');
    spare.push(this.page);
  }
}

/* Opens the page and waits for a phase of the connection. Options: name, room, phase (connected), expected,
 * hasSdk (true), hasClock (a clock the test can turn), onPage (is given the page before it loads), and those of
 * a browser context. */
export async function visit(browser, server, options = {}) {
  const { name, room = 'lobby', phase = 'connected', expected = [], hasSdk = true, hasClock = false,
          onPage, ...context } = options;
  const isUsual = !hasClock && !onPage && Object.keys(context).length === 0;
  const page = (isUsual && spare.pop())
    || await (await browser.newContext({ viewport: { width: 1000, height: 700 }, ...context })).newPage();
  const visitor = new Visitor(page, {
    isUsual, origins: [server.url], expected: hasSdk ? expected : [...expected, /Failed to load resource/],
  });
  if (!hasSdk)
    await page.route(SDK, (route) => route.fulfill({ status: 404, body: 'not found' }));
  if (hasClock)
    await page.clock.install();
  onPage?.(page);
  await page.goto(`${server.url}/#room=${encodeURIComponent(room)}`);
  await visitor.phase(phase);
  if (name)
    await visitor.rename(name);
  return visitor;
}

/* Opens the page of the first node with all of them side by side; each is connected. */
export async function visitSplit(browser, servers, { room = 'lobby', expected = [], ...context } = {}) {
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 720 }, ...context })).newPage();
  const visitor = new Visitor(page, { origins: servers.map(({ url }) => url), expected });
  const nodes = servers.map(({ port }) => port).join();
  await page.goto(`${servers[0].url}/?nodes=${nodes}#room=${encodeURIComponent(room)}`);
  for (let i = 0; i < servers.length; i++)
    await (await visitor.pane(i)).phase('connected');
  return visitor;
}
