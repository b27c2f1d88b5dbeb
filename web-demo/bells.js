/* The belfry: one bell for everybody who is here, in that person's colour, and how many there are.
 *
 * Who is here comes from the server, as client ids (setMembers); names are learnt from what the clients
 * send, and who has not said anything yet is a guest. Where the server cannot be asked, whoever was seen
 * in the last minute stands in. A carillon is a set of bells, so whoever writes makes a bell swing:
 * theirs, and the one in the logo. Nothing swings for visitors who prefer reduced motion.
 */
import { hueOf } from './identity.js';

const SEEN_MS = 60000;
const BELLS_MAX = 6;
const NAMES_MAX = 500;
const SWING = [0, 16, -12, 8, -5, 2, 0].map((degrees) => ({ transform: `rotate(${degrees}deg)` }));

const still = matchMedia('(prefers-reduced-motion: reduce)');

/* A bell that is swinging is left alone: a flood of messages must not become a flood of animations. */
function swing(element) {
  if (!element || still.matches || element.getAnimations().length > 0) return;
  element.animate(SWING, { duration: 900, easing: 'ease-out' });
}

function remember(map, key, value) {
  map.delete(key); /* to the end: the oldest are forgotten first */
  map.set(key, value);
  if (map.size > NAMES_MAX) map.delete(map.keys().next().value);
}

export class Belfry {
  #members = null;     /* client ids, or null when the server does not tell */
  #names = new Map();  /* client id -> name */
  #people = new Map(); /* name -> last seen, ms */
  #bells = new Map();  /* client id or name -> element */
  #frame = 0;

  constructor() {
    this.list = document.getElementById('belfry');
    this.count = document.getElementById('here');
    setInterval(() => this.#expire(), 5000);
  }

  clear() {
    this.#members = null;
    for (const known of [this.#names, this.#people]) known.clear();
    this.#change();
  }

  setMembers(members) {
    this.#members = members;
    this.#change();
  }

  seen(name, client) {
    const isNews = !this.#people.has(name) || (client && this.#names.get(client) !== name);
    remember(this.#people, name, Date.now());
    if (client) remember(this.#names, client, name);
    if (isNews) this.#change();
  }

  renamed(from, to, client) {
    this.#people.delete(from);
    this.seen(to, client);
  }

  ring(name, client) {
    this.seen(name, client);
    swing((this.#bells.get(client) ?? this.#bells.get(name))?.firstElementChild);
    swing(document.getElementById('logo'));
  }

  #expire() {
    const before = this.#people.size;
    for (const [name, at] of this.#people) if (Date.now() - at > SEEN_MS) this.#people.delete(name);
    if (this.#people.size !== before) this.#change();
  }

  /* ---- drawing: once per frame, whatever happens in it ---- */

  #change() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  /* [key, name] of the bells to show; those we can name come first. */
  #shown() {
    if (!this.#members) return [...this.#people.keys()].slice(0, BELLS_MAX).map((name) => [name, name]);
    const named = [...this.#names].filter(([client]) => this.#members.has(client)).slice(0, BELLS_MAX);
    for (const client of this.#members) {
      if (named.length >= BELLS_MAX) break;
      if (!this.#names.has(client)) named.push([client, null]);
    }
    return named;
  }

  #draw() {
    const shown = new Map(this.#shown());
    for (const [key, element] of this.#bells) {
      if (shown.has(key)) continue;
      element.remove();
      this.#bells.delete(key);
    }
    for (const [key, name] of shown) this.#label(this.#bells.get(key) ?? this.#hang(key), name);
    const size = (this.#members ?? this.#people).size;
    this.count.textContent = `${size.toLocaleString()} ${this.#members ? 'here' : 'seen'}`;
    this.count.title = this.#members ? 'Connected to this room, on all nodes together' : 'Seen in the last minute';
  }

  #hang(key) {
    const item = document.createElement('li');
    const bell = document.createElement('span');
    bell.className = 'bell';
    bell.setAttribute('role', 'img');
    item.append(bell);
    this.#bells.set(key, item);
    this.list.append(item);
    return item;
  }

  #label({ firstElementChild: bell }, name) {
    const label = name ?? 'guest';
    if (bell.title === label) return;
    bell.title = label;
    bell.setAttribute('aria-label', label);
    bell.classList.toggle('guest', name === null);
    bell.style.setProperty('--h', hueOf(label));
  }
}
