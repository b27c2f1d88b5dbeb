/* The conversation: an optimistic outbox under a log in the server's order.
 *
 * What we send appears at once, at the bottom, as pending. It becomes part of the log when its publication
 * comes back, at the place the server gave it. If the publish fails, or nothing comes back, the message is
 * rolled back: it stays in the outbox, says why, and offers Retry (the same id, so that nobody sees it
 * twice) and Discard.
 *
 * What is not live (the history, what was recovered) shows the time its sender wrote, if he did; marks
 * between messages say where it begins or ends.
 *
 * Everything that came from the network is put on the page with textContent only. Messages are collected
 * and drawn once per frame, and the oldest are dropped beyond MESSAGES_MAX: a flood costs a frame, not the tab.
 */
import { hueOf, NAME_MAX, oneLine, randomId } from './identity.js';

const MARKS = {
  earlier: () => 'earlier ↑',
  recovered: (count) => (count ? `recovered ${number(count, 'message')} you missed ↓` : 'back, and nothing was missed'),
  lost: (count) => (count ? `${number(count, 'message')} you missed ${count === 1 ? 'is' : 'are'} lost` : 'some messages may be lost'),
  resumed: () => 'back, where the stream was left ↓',
  unknown: () => 'back; what was said meanwhile may not be here',
};

export const MESSAGES_MAX = 500;
const TEXT_MAX = 2000;
const ECHO_TIMEOUT_MS = 5000;
const GROUP_MS = 120000;
const NEAR_BOTTOM_PX = 80;

const $ = (id) => document.getElementById(id);
const clone = (id) => $(id).content.firstElementChild.cloneNode(true);
const number = (count, what) => `${count.toLocaleString()} ${what}${count === 1 ? '' : 's'}`;
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

/* A publication as we show it, whoever made it: this page, or curl with nothing but a string. */
export function readMessage(data) {
  const given = data !== null && typeof data === 'object' ? data : { text: data };
  const text = typeof given.text === 'string' ? given.text : JSON.stringify(given.text ?? data);
  const well = (text.toWellFormed?.() ?? text).replace(/\r\n?/g, '\n').trim();
  return {
    id: typeof given.id === 'string' && given.id.length <= 64 ? given.id : randomId(),
    name: oneLine(typeof given.name === 'string' ? given.name : '', NAME_MAX) || 'API',
    text: [...well].slice(0, TEXT_MAX).join(''),
    at: Number.isFinite(given.at) && given.at > 0 ? Math.min(given.at, Date.now()) : undefined,
  };
}

export class Chat {
  #shown = new Map();   /* id -> element in the log */
  #sent = new Map();    /* id -> { message, element, timer, sentAt, hasReturned } in the outbox */
  #own = new Set();     /* ids of this page that are in the log or the outbox */
  #arrived = [];        /* messages and marks that wait for the next frame */
  #frame = 0;
  #last = { name: null, at: 0 };
  #unseen = 0;

  /* publish(data) gives a promise; onRoundTrip(ms) is told how long a message took to come back. */
  constructor({ publish, onRoundTrip }) {
    this.publish = publish;
    this.onRoundTrip = onRoundTrip;
    this.scroll = $('scroll');
    $('more').addEventListener('click', () => this.#toBottom('smooth'));
    this.scroll.addEventListener('scroll', () => this.#isAtBottom() && this.#seen(), { passive: true });
    new ResizeObserver(() => this.isPinned && this.#toBottom()).observe(this.scroll);
    this.isPinned = true;
    $('outbox').addEventListener('click', (event) => this.#clicked(event));
  }

  get isEmpty() {
    return this.#shown.size + this.#arrived.length === 0;
  }

  clear() {
    for (const { timer } of this.#sent.values()) clearTimeout(timer);
    for (const known of [this.#shown, this.#sent, this.#own]) known.clear();
    this.#arrived = [];
    this.#last = { name: null, at: 0 };
    $('log').replaceChildren();
    $('outbox').replaceChildren();
    this.#seen();
    this.#quiet();
  }

  send(name, text) {
    const message = readMessage({ id: randomId(), name, text, at: Date.now() });
    if (!message.text) return;
    const element = this.#element(message, true);
    this.#own.add(message.id);
    this.#sent.set(message.id, { message, element });
    $('outbox').append(element);
    this.#toBottom();
    this.#quiet();
    this.#attempt(message.id);
  }

  receive(data, isLive = true) {
    const message = readMessage(data);
    if (isLive) message.at = Date.now(); /* our clock is the one that the reader sees */
    const entry = this.#sent.get(message.id);
    if (entry) this.#returned(entry);
    if (!message.text) return message;
    this.#soon(message);
    return message;
  }

  /* A line in the log; count may be undefined. */
  mark({ kind, count }) {
    this.#soon({ kind, words: MARKS[kind](count) });
  }

  #soon(item) {
    this.#arrived.push(item);
    if (this.#arrived.length > MESSAGES_MAX) this.#arrived.shift();
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  /* ---- outbox ---- */

  #attempt(id) {
    const entry = this.#sent.get(id);
    entry.element.dataset.state = 'pending';
    entry.element.querySelector('time').textContent = 'sending…';
    entry.element.querySelector('.failed')?.remove();
    entry.sentAt = performance.now();
    this.publish(entry.message).then(
      () => {
        if (this.#sent.get(id) !== entry || entry.hasReturned) return;
        entry.timer = setTimeout(() => this.#rollBack(id, { message: 'it did not come back' }), ECHO_TIMEOUT_MS);
      },
      (error) => this.#rollBack(id, error),
    );
  }

  /* Its place in the log comes with the next frame, which a hidden page has to wait for. */
  #returned(entry) {
    clearTimeout(entry.timer);
    if (entry.sentAt) this.onRoundTrip(performance.now() - entry.sentAt);
    entry.sentAt = 0;
    entry.hasReturned = true;
  }

  #rollBack(id, { code, message }) {
    const entry = this.#sent.get(id);
    if (!entry || entry.hasReturned) return; /* an answer that came too late, or the room was left */
    entry.sentAt = 0;
    entry.element.dataset.state = 'failed';
    entry.element.querySelector('time').textContent = '';
    const failed = clone('failed-template');
    failed.querySelector('.why').textContent = `Not sent: ${message || 'unknown error'}${code ? ` (${code})` : ''}`;
    entry.element.append(failed);
    if (this.isPinned) this.#toBottom();
  }

  #clicked(event) {
    const act = event.target.closest('[data-act]')?.dataset.act;
    if (!act) return;
    const id = event.target.closest('.msg').dataset.id;
    if (act === 'retry') this.#attempt(id);
    else this.#leaveOutbox(id);
    $('text').focus();
    this.#quiet();
  }

  #leaveOutbox(id) {
    const entry = this.#sent.get(id);
    if (!entry) return;
    clearTimeout(entry.timer);
    entry.element.remove();
    this.#sent.delete(id);
  }

  /* ---- log ---- */

  #draw() {
    this.#frame = 0;
    const arrived = this.#arrived;
    this.#arrived = [];
    const rows = document.createDocumentFragment();
    let foreign = 0;
    for (const message of arrived) {
      if (message.kind) {
        this.#drawMark(rows, message);
        continue;
      }
      if (this.#shown.has(message.id)) continue; /* a retry of something that had arrived after all */
      const isOwn = this.#own.has(message.id);
      this.#leaveOutbox(message.id);
      const row = this.#element(message, isOwn);
      this.#group(row, message);
      this.#shown.set(message.id, row);
      rows.append(row);
      foreign += !isOwn;
    }
    $('log').append(rows);
    this.#trim();
    this.#quiet();
    if (this.isPinned) this.#toBottom();
    else if (foreign) this.#announce(foreign);
  }

  #element(message, isOwn) {
    const row = clone('message-template');
    row.dataset.id = message.id;
    row.classList.toggle('mine', isOwn);
    row.style.setProperty('--h', hueOf(message.name));
    row.querySelector('bdi').textContent = message.name;
    row.querySelector('.words').textContent = message.text;
    if (message.at) {
      const time = row.querySelector('time');
      time.dateTime = new Date(message.at).toISOString();
      time.textContent = clock.format(message.at);
    }
    return row;
  }

  #group(row, { name, at }) {
    const isSame = this.#last.name === name && !(at - this.#last.at >= GROUP_MS);
    row.classList.toggle('again', isSame);
    this.#last = { name, at };
  }

  /* Of the same kind one after the other, only the last counts. */
  #drawMark(rows, { kind, words }) {
    const row = clone('mark-template');
    row.dataset.kind = kind;
    row.firstElementChild.textContent = words;
    const last = rows.lastElementChild ?? $('log').lastElementChild;
    if (last?.dataset.kind === kind) last.remove();
    rows.append(row);
    this.#last = { name: null, at: 0 };
  }

  #trim() {
    for (const [id, row] of this.#shown) {
      if (this.#shown.size <= MESSAGES_MAX) break;
      while (row.previousElementSibling) row.previousElementSibling.remove(); /* a mark */
      row.remove();
      this.#shown.delete(id);
      this.#own.delete(id);
    }
    if ($('log').firstElementChild?.dataset.kind === 'earlier') $('log').firstElementChild.remove(); /* than what? */
    $('log').firstElementChild?.classList.remove('again');
  }

  #quiet() {
    $('quiet').hidden = this.#shown.size + this.#sent.size > 0;
  }

  /* ---- scrolling: pinned to the bottom unless the reader went up ---- */

  #isAtBottom() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroll;
    return this.isPinned = scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM_PX;
  }

  #toBottom(behavior = 'instant') {
    this.scroll.scrollTo({ top: this.scroll.scrollHeight, behavior });
    this.isPinned = true;
    this.#seen();
  }

  #announce(count) {
    this.#unseen += count;
    $('more').textContent = `${this.#unseen} new ${this.#unseen === 1 ? 'message' : 'messages'} ↓`;
    $('more').hidden = false;
  }

  #seen() {
    this.#unseen = 0;
    $('more').hidden = true;
  }
}
