/* Several nodes side by side: the page itself, once for each node of ?nodes=8000,8001, in frames.
 *
 * Each frame is its node's own page, so everything in it (WebSocket, SSE, HTTP, storage) stays with that
 * node, and a node that dies takes nothing with it. Room and theme are shared by messages: a pane tells
 * its room when it has come up and when the room changes; we tell the theme. A pane that says nothing is
 * a node that does not answer, and is loaded anew until it does.
 */
import { hashOfRoom, roomOfUrl } from './identity.js';

const PANES_MAX = 4;
const RETRY_MS = 1000;
const LOAD_MAX_MS = 15000;

const theme = () => document.documentElement.dataset.theme;

/* "8001" is a port of this machine, the rest host:port. */
function originOf(node) {
  try {
    return new URL(`${location.protocol}//${/^\d+$/.test(node) ? `${location.hostname}:${node}` : node}`).origin;
  } catch {
    return null;
  }
}

class Pane {
  #room = null; /* until it has come up */
  #base = '';
  #timer = 0;

  constructor(origin) {
    this.origin = origin;
    this.element = document.getElementById('pane-template').content.firstElementChild.cloneNode(true);
    this.frame = this.element.querySelector('iframe');
    this.absent = this.element.querySelector('.absent');
    this.frame.title = `node ${new URL(origin).host}`;
    this.absent.querySelector('b').textContent = this.frame.title;
    document.getElementById('panes').append(this.element);
    this.#load();
  }

  isFrom(source) {
    return source === this.frame.contentWindow;
  }

  /* It has come up, or is in another room now: the others follow. */
  told(room) {
    const isFirst = this.#room === null;
    this.#room = room;
    if (!isFirst) return void (location.hash = hashOfRoom(room));
    clearTimeout(this.#timer);
    this.absent.hidden = true;
    this.paint();
    this.go(roomOfUrl());
  }

  go(room) {
    if (this.#room === null || this.#room === room) return;
    this.frame.contentWindow.location.replace(this.#base + hashOfRoom(room)); /* another #: no reload */
  }

  paint() {
    if (this.#room !== null) this.frame.contentWindow.postMessage({ theme: theme() }, this.origin);
  }

  /* A fresh frame each time: loading another page in an old one would fill the history. */
  #load() {
    this.#base = `${this.origin}/?theme=${theme()}`;
    const fresh = this.frame.cloneNode();
    fresh.src = this.#base + hashOfRoom(roomOfUrl());
    fresh.addEventListener('load', () => this.#await(RETRY_MS)); /* so it does for an error page */
    this.frame.replaceWith(fresh);
    this.frame = fresh;
    this.#await(LOAD_MAX_MS);
  }

  #await(ms) {
    clearTimeout(this.#timer);
    if (this.#room !== null) return;
    this.#timer = setTimeout(() => {
      this.absent.hidden = false;
      this.#load();
    }, ms);
  }
}

const nodes = (new URLSearchParams(location.search).get('nodes') ?? '').split(',').map((node) => originOf(node.trim()));
const panes = nodes.filter(Boolean).slice(0, PANES_MAX).map((origin) => new Pane(origin));

if (panes.length === 0) location.replace(`.${location.hash}`);
document.getElementById('panes').dataset.count = panes.length;
document.getElementById('about').textContent = `${panes.length} nodes, one room`;

addEventListener('message', ({ source, data }) => {
  if (typeof data?.room === 'string') panes.find((pane) => pane.isFrom(source))?.told(data.room);
});
addEventListener('hashchange', () => panes.forEach((pane) => pane.go(roomOfUrl())));
document.documentElement.addEventListener('themechange', () => panes.forEach((pane) => pane.paint()));
