/* Live cursors: where the others point, over the whole page.
 *
 * Positions travel relative to the window (0..1), so that a phone and a desktop agree. We publish at most
 * 20 times a second, the last position always included, and less often in a crowd, because everybody
 * receives what everybody sends; never before the last one was answered. Between two positions the browser glides (a CSS transition).
 * A finger is shown as a ring while it touches. A cursor fades after 5 s of silence.
 * Positions are not worth a retry: when a publish fails, the next one is already on its way.
 */
import { hueOf, NAME_MAX, oneLine } from './identity.js';

const GAP_MS = 50;
const SILENCE_MS = 5000;
const FADE_MS = 700;
const CURSORS_MAX = 40;
const CROWD = 10;

const part = (value) => (Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : 0);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const short = (value) => Math.round(part(value) * 1e4) / 1e4;

export const isCursor = (data) => data !== null && typeof data === 'object' && typeof data.from === 'string';

export class Cursors {
  #others = new Map(); /* sender -> { element, timer, x, y } */
  #next = null;
  #isBusy = false;

  /* publish(data) gives a promise that never rejects; me gives the current { id, name }. */
  constructor({ publish, me }) {
    this.publish = publish;
    this.me = me;
    this.layer = document.getElementById('cursors');
    const passive = { passive: true };
    for (const type of ['pointermove', 'pointerdown']) addEventListener(type, (event) => this.#moved(event), passive);
    for (const type of ['pointerup', 'pointercancel']) {
      addEventListener(type, (event) => event.pointerType === 'touch' && this.#gone(), passive);
    }
    document.documentElement.addEventListener('pointerleave', () => this.#gone());
    addEventListener('pagehide', () => this.#gone());
    addEventListener('resize', () => this.#others.forEach((other) => this.#place(other)));
  }

  clear() {
    for (const { element, timer } of this.#others.values()) {
      clearTimeout(timer);
      element.remove();
    }
    this.#others.clear();
  }

  /* Gives the name when somebody else moved, so that others may know who is here. */
  receive(data) {
    if (!isCursor(data) || data.from === this.me().id) return null;
    const key = data.from.slice(0, 64);
    if (data.gone) {
      this.#fade(key);
      return null;
    }
    const other = this.#others.get(key) ?? this.#arrive(key);
    const name = oneLine(typeof data.name === 'string' ? data.name : '', NAME_MAX) || 'Somebody';
    Object.assign(other, { x: part(data.x), y: part(data.y) });
    other.element.dataset.kind = data.kind === 'touch' ? 'touch' : 'mouse';
    other.element.style.setProperty('--h', hueOf(name));
    other.element.querySelector('.tag').textContent = name;
    this.#place(other);
    clearTimeout(other.timer);
    other.timer = setTimeout(() => this.#fade(key), SILENCE_MS);
    return name;
  }

  /* ---- ours ---- */

  #moved(event) {
    if (event.pointerType === 'touch' && event.type === 'pointermove' && !event.isPrimary) return;
    const kind = event.pointerType === 'touch' ? 'touch' : 'mouse';
    this.#next = { kind, x: short(event.clientX / innerWidth), y: short(event.clientY / innerHeight) };
    this.#flush();
  }

  #gone() {
    this.#next = { gone: true };
    this.#flush();
  }

  async #flush() {
    if (this.#isBusy || !this.#next) return;
    const { id, name } = this.me();
    const position = { from: id, name, ...this.#next };
    this.#next = null;
    this.#isBusy = true;
    await Promise.all([this.publish(position), pause(GAP_MS * Math.max(1, this.#others.size / CROWD))]);
    this.#isBusy = false;
    this.#flush();
  }

  /* ---- the others' ---- */

  #arrive(key) {
    if (this.#others.size >= CURSORS_MAX) this.#remove(this.#others.keys().next().value);
    const element = document.getElementById('cursor-template').content.firstElementChild.cloneNode(true);
    const other = { element };
    this.#others.set(key, other);
    this.layer.append(element);
    return other;
  }

  #place({ element, x, y }) {
    element.style.transform = `translate(${(x * innerWidth).toFixed(1)}px, ${(y * innerHeight).toFixed(1)}px)`;
    element.classList.toggle('left', x > 0.75);
    element.classList.remove('faded');
  }

  #fade(key) {
    const other = this.#others.get(key);
    if (!other) return;
    other.element.classList.add('faded');
    clearTimeout(other.timer);
    other.timer = setTimeout(() => this.#remove(key), FADE_MS);
  }

  #remove(key) {
    const other = this.#others.get(key);
    clearTimeout(other?.timer);
    other?.element.remove();
    this.#others.delete(key);
  }
}
