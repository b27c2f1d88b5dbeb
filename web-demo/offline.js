/* "Go offline": the page closes its connection, and comes back after a while or when it is told to.
 *
 * What is said meanwhile in another window shows what the server remembers: it is recovered on return.
 */
const AWAY_MS = 5000;

export class Offline {
  #timer = 0;
  until = null; /* a time; null: not away */

  constructor({ onLeave, onReturn }) {
    Object.assign(this, { onLeave, onReturn, button: document.getElementById('offline') });
    this.button.addEventListener('click', () => (this.until ? this.#return() : this.#leave()));
  }

  /* Somebody else will connect. */
  end() {
    clearTimeout(this.#timer);
    this.until = null;
    this.button.textContent = 'Go offline';
  }

  #leave() {
    this.until = Date.now() + AWAY_MS;
    this.button.textContent = 'Come back';
    this.#timer = setTimeout(() => this.#return(), AWAY_MS);
    this.onLeave();
  }

  #return() {
    this.end();
    this.onReturn();
  }
}
