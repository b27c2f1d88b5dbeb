/* The connection, told in words: the pill in the header, its panel, and the bar that offers to reconnect.
 *
 * While we wait, the second line counts: down to the next attempt where that is known (fallback.js, offline.js),
 * up since the connection was lost where the SDK keeps it to itself. Screen readers hear phases, not seconds.
 */
const $ = (id) => document.getElementById(id);

const PHASES = {
  connecting: () => ['Connecting…', 'opening a socket'],
  connected: ({ transport }) => ['Connected', transport],
  reconnecting: ({ retryAt, since }) => [`Reconnecting${counter(retryAt, since)}`, 'connection lost'],
  offline: ({ retryAt, since }) => [`Offline, back${counter(retryAt, since)}`, 'as you wished'],
  disconnected: () => ['Disconnected', ''],
};

function counter(retryAt, since) {
  if (retryAt) return ` in ${Math.max(1, Math.ceil((retryAt - Date.now()) / 1000))} s`;
  return since && Date.now() - since > 1000 ? `, ${Math.floor((Date.now() - since) / 1000)} s` : '…';
}

function reasonOf({ code, reason, attempt }) {
  const why = reason ? `${reason}${code ? ` (${code})` : ''}` : '';
  return attempt > 1 && why ? `${why}, try ${attempt}` : why;
}

export class Status {
  #state = { phase: 'connecting' };
  #trips = [];
  #timer = 0;

  constructor({ onReconnect }) {
    $('alert-act').addEventListener('click', onReconnect);
    const details = $('status');
    addEventListener('keydown', (event) => event.key === 'Escape' && (details.open = false));
    addEventListener('pointerdown', (event) => !details.contains(event.target) && (details.open = false));
  }

  show(state) {
    const isNews = state.phase !== this.#state.phase;
    this.#state = state;
    $('status').dataset.phase = state.phase;
    this.#write();
    clearInterval(this.#timer);
    if (['reconnecting', 'offline'].includes(state.phase)) this.#timer = setInterval(() => this.#write(), 1000);
    if (state.phase === 'connected') {
      $('info-transport').textContent = state.transport;
      $('info-client').textContent = state.client ?? 'without an id';
    }
    if (!isNews) return;
    const reason = reasonOf(state);
    $('status-spoken').textContent = `${state.phase}${reason ? `: ${reason}` : ''}`;
    this.alert(state.phase === 'disconnected' ? `Disconnected: ${reason}.` : '', state.phase === 'disconnected');
  }

  /* One bar for what the visitor should know; an empty text takes it away. */
  alert(text, canReconnect = false) {
    $('alert').hidden = !text;
    $('alert-text').textContent = text;
    $('alert-act').hidden = !canReconnect;
  }

  /* Where we stand in the chat's stream; null: there is none, or the transport does not say. */
  position(position) {
    $('info-position').textContent = position ? `${position.offset.toLocaleString()} in epoch ${position.epoch}` : '–';
  }

  /* The median of the last messages: one slow one does not matter. */
  roundTrip(ms) {
    this.#trips = [...this.#trips, ms].slice(-9);
    const median = [...this.#trips].sort((a, b) => a - b)[this.#trips.length >> 1];
    this.trip = `${median < 10 ? median.toFixed(1) : Math.round(median)} ms`;
    $('info-trip').textContent = `${this.trip} (median of the last ${this.#trips.length})`;
    this.#write();
  }

  #write() {
    const [phase, detail] = PHASES[this.#state.phase](this.#state);
    $('status-phase').textContent = phase;
    const trip = this.#state.phase === 'connected' && this.trip ? `, ${this.trip}` : '';
    const why = (reasonOf(this.#state) || detail) + trip;
    $('status-detail').textContent = why;
    $('info-state').textContent = this.#state.phase + (reasonOf(this.#state) ? `: ${why}` : '');
  }
}
