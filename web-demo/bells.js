/* The belfry: one bell for everybody seen in the last minute, in that person's colour.
 *
 * A carillon is a set of bells, so whoever writes makes a bell swing: theirs, and the one in the logo.
 * Seen means that a message or a cursor arrived; the server's presence is not asked. Nothing swings for
 * visitors who prefer reduced motion.
 */
import { hueOf } from './identity.js';

const SEEN_MS = 60000;
const BELLS_MAX = 6;
const PEOPLE_MAX = 200;
const SWING = [0, 16, -12, 8, -5, 2, 0].map((degrees) => ({ transform: `rotate(${degrees}deg)` }));

const still = matchMedia('(prefers-reduced-motion: reduce)');

/* A bell that is swinging is left alone: a flood of messages must not become a flood of animations. */
function swing(element) {
  if (!element || still.matches || element.getAnimations().length > 0) return;
  element.animate(SWING, { duration: 900, easing: 'ease-out' });
}

export class Belfry {
  #people = new Map(); /* name -> last seen, ms */
  #bells = new Map();  /* name -> element */

  constructor() {
    this.list = document.getElementById('belfry');
    this.rest = document.createElement('li');
    this.rest.className = 'rest';
    setInterval(() => this.#expire(), 5000);
  }

  clear() {
    this.#people.clear();
    this.#draw();
  }

  seen(name) {
    const isNew = !this.#people.has(name);
    if (isNew && this.#people.size >= PEOPLE_MAX) return;
    this.#people.set(name, Date.now());
    if (isNew) this.#draw();
  }

  renamed(from, to) {
    this.#people.delete(from);
    this.seen(to);
  }

  ring(name) {
    this.seen(name);
    swing(this.#bells.get(name)?.firstElementChild);
    swing(document.getElementById('logo'));
  }

  #expire() {
    const before = this.#people.size;
    for (const [name, at] of this.#people) if (Date.now() - at > SEEN_MS) this.#people.delete(name);
    if (this.#people.size !== before) this.#draw();
  }

  #draw() {
    const names = [...this.#people.keys()];
    const shown = names.slice(0, BELLS_MAX);
    for (const [name, element] of this.#bells) {
      if (shown.includes(name)) continue;
      element.remove();
      this.#bells.delete(name);
    }
    for (const name of shown) if (!this.#bells.has(name)) this.#hang(name);
    this.rest.textContent = names.length > shown.length ? `+${names.length - shown.length}` : '';
    this.list.append(this.rest);
  }

  #hang(name) {
    const item = document.createElement('li');
    const bell = document.createElement('span');
    bell.className = 'bell';
    bell.style.setProperty('--h', hueOf(name));
    bell.setAttribute('role', 'img');
    bell.setAttribute('aria-label', name);
    bell.title = name;
    item.append(bell);
    this.#bells.set(name, item);
    this.list.append(item);
  }
}
