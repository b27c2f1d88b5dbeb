/* What travels: the newest frames as a list, and for each transport how many, how many bytes, and what the
 * last chat message took.
 *
 *   const wire = new Wire();
 *   wire.use('sse');                       the transport that is in use from now on
 *   const ear = tap(wire.ear('sse'));      what this ear hears is counted for that transport
 *
 * The list is drawn once per frame of the screen and has at most ROWS_MAX rows; cursors, pings and answers to
 * them, which come many times a second, share a row. It stays at its end unless the reader went up.
 */
import { readFrame } from './frames.js';

const ROWS_MAX = 100;
const TEXT_MAX = 160;
const NEAR = 4; /* rows, in which a frame that is like another one joins it */
const SHARING = new Set(['cursor', 'ping', 'pong', '✓ publish']);
const EXACT_BELOW = 100000;

const $ = (id) => document.getElementById(id);
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const number = (value) => (value < EXACT_BELOW ? value.toLocaleString('en') : compact.format(value));

export class Wire {
  #figures = new Map(); /* transport -> { row, in: [count, bytes], out, cost, isNews } */
  #arrived = [];
  #recent = [];         /* the newest rows: { key, row, count, bytes } */
  #frame = 0;
  #isPinned = true;

  constructor() {
    this.list = $('frames');
    for (const row of $('figures').tBodies[0].rows) {
      this.#figures.set(row.dataset.transport, { row, in: [0, 0], out: [0, 0], cost: {} });
    }
    this.list.addEventListener('scroll', () => {
      this.#isPinned = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 30;
    }, { passive: true });
    const toggle = $('wire-toggle');
    const isOpen = () => toggle.getAttribute('aria-expanded') === 'true';
    toggle.addEventListener('click', () => this.#open(!isOpen()));
    $('wire').addEventListener('keydown', ({ key }) => {
      if (key !== 'Escape' || !isOpen()) return;
      this.#open(false);
      toggle.focus();
    });
  }

  use(transport) {
    for (const [name, { row }] of this.#figures) {
      if (name === transport) row.setAttribute('aria-current', 'true');
      else row.removeAttribute('aria-current');
    }
  }

  ear(transport) {
    return (frame) => this.#heard(transport, frame);
  }

  /* Matters on a narrow screen only; on a wide one all of it is there always. */
  #open(isOpen) {
    $('wire-toggle').setAttribute('aria-expanded', isOpen);
    this.#soon();
  }

  #heard(transport, frame) {
    const { word, text } = readFrame(frame, transport === 'eventsource');
    const { isOut = false, isRequest = false, bytes } = frame;
    const figures = this.#figures.get(transport);
    const sums = isOut ? figures.out : figures.in;
    sums[0] += 1;
    sums[1] += bytes;
    if (word === 'message') figures.cost.in = number(bytes);
    if (word === 'publish') figures.cost.out = number(bytes) + (isRequest ? '+' : '');
    figures.isNews = true;
    this.#arrived.push({ isOut, word, bytes, text: text.slice(0, TEXT_MAX) });
    if (this.#arrived.length > ROWS_MAX) this.#arrived.shift();
    this.#soon();
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    for (const figures of this.#figures.values()) if (figures.isNews) this.#write(figures);
    for (const item of this.#arrived) this.#add(item);
    this.#arrived = [];
    while (this.list.childElementCount > ROWS_MAX) this.list.firstElementChild.remove();
    if (this.#isPinned) this.list.scrollTop = this.list.scrollHeight;
  }

  #write(figures) {
    const { row, in: down, out: up, cost } = figures;
    const values = [...down.map(number), ...up.map(number), cost.in ?? '–', cost.out ?? '–'];
    values.forEach((value, i) => { row.cells[i + 1].textContent = value; });
    figures.isNews = false;
  }

  #add({ isOut, word, bytes, text }) {
    const key = SHARING.has(word) && `${isOut} ${word}`;
    const entry = this.#recent.find((other) => key && other.key === key) ?? this.#hang(key, isOut);
    entry.count += 1;
    entry.bytes += bytes;
    const [way, kind, words, size] = entry.row.children;
    way.textContent = isOut ? '↑' : '↓';
    kind.textContent = word + (entry.count > 1 ? ` ×${entry.count.toLocaleString('en')}` : '');
    words.textContent = words.title = text;
    size.textContent = number(entry.bytes);
  }

  #hang(key, isOut) {
    const row = $('frame-template').content.firstElementChild.cloneNode(true);
    const entry = { key, row, count: 0, bytes: 0 };
    row.dataset.way = isOut ? 'out' : 'in';
    this.list.append(row);
    this.#recent = [...this.#recent, entry].slice(-NEAR);
    return entry;
  }
}
