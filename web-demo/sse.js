/* The same link over plain Server-Sent Events: the browser's own EventSource listens, fetch speaks.
 *
 * One stream for all channels of the room (a browser opens six per server, over all its tabs). A plain
 * stream carries payloads and nothing else, so isMine(data) of each channel tells whose it is; there is
 * no client id, no presence to ask for, and no reply to a subscribe. EventSource comes back by itself
 * after a lost connection; after any status but 200 it gives up without saying why: then we look. Nor does it say
 * where in the channel it stands: all of the history counts as earlier (what comes twice while we read it
 * is told by its id, see chat.js), and after a break nobody can tell what was missed.
 */
import { publisher, recall, urlOf } from './http.js';
import { Past } from './past.js';

const RETRY_MS = 2000;
const ANYWHERE = { offset: Infinity, epoch: '' };

export class SseLink {
  speaks = 'EventSource, and fetch to send';
  publish = publisher();
  #rooms = new Map(); /* channel -> handlers */
  #source = null;
  #timer = 0;
  #isAsked = false;

  constructor(onState) {
    this.onState = onState;
  }

  connect() {
    this.attempt = 1;
    this.#soon();
  }

  pause() {
    this.#end();
  }

  close() {
    this.onState = () => {};
    for (const { past } of this.#rooms.values()) past.stop();
    this.#rooms.clear();
    this.#end();
  }

  join(channel, handlers) {
    const past = new Past((limit) => recall(channel, limit), { ...handlers, onPosition: undefined });
    this.#rooms.set(channel, { ...handlers, past });
    this.#soon();
    handlers.onMembers?.(null);
    return {
      publish: (data) => this.publish(channel, data),
      leave: () => {
        past.stop();
        this.#rooms.delete(channel);
        this.#soon();
      },
    };
  }

  /* Channels come and go in pairs: one stream for what is there in the end. */
  #soon() {
    if (this.#isAsked) return;
    this.#isAsked = true;
    queueMicrotask(() => {
      this.#isAsked = false;
      this.#open();
    });
  }

  #end() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #open() {
    this.#end();
    if (this.#rooms.size === 0) return;
    const url = urlOf('sse');
    for (const channel of this.#rooms.keys()) url.searchParams.append('channel', channel);
    this.onState({ phase: this.attempt > 1 ? 'reconnecting' : 'connecting', attempt: this.attempt, since: Date.now() });
    const source = this.#source = new EventSource(url);
    let reason = 'stream lost';
    source.onopen = () => {
      this.attempt = 1;
      reason = 'stream lost';
      this.onState({ phase: 'connected', transport: 'sse' });
      for (const room of this.#rooms.values()) this.#listens(room);
    };
    source.onmessage = ({ data }) => data && this.#take(JSON.parse(data));
    source.addEventListener('disconnect', ({ data }) => ({ reason } = JSON.parse(data)));
    source.onerror = ({ data }) => {
      if (data) return void ({ message: reason } = JSON.parse(data)); /* an event of the server's; the end follows */
      if (source.readyState === EventSource.CLOSED) return void this.#look(url);
      this.attempt += 1;
      this.onState({ phase: 'reconnecting', reason, attempt: this.attempt - 1, since: Date.now() });
    };
  }

  #listens(room) {
    if (room.hasListened) return void room.onMark?.({ kind: 'unknown' });
    room.hasListened = true;
    room.past.subscribed(ANYWHERE);
  }

  #take(data) {
    for (const { isMine, past } of this.#rooms.values()) if (isMine(data)) return past.publication({ data });
  }

  /* Why was the stream refused? What the client did wrong is final, the rest is tried again. */
  async #look(url) {
    const source = this.#source;
    const stop = new AbortController();
    const response = await fetch(url, { signal: stop.signal }).catch(() => null);
    const status = response?.status ?? 0;
    const text = status >= 400 ? await response.text() : '';
    stop.abort();
    if (source !== this.#source) return;
    if (status >= 400 && status < 500) {
      return this.onState({ phase: 'disconnected', code: status, reason: text.trim() || 'refused' });
    }
    this.attempt += 1;
    this.#timer = setTimeout(() => this.#open(), RETRY_MS);
    this.onState({ phase: 'reconnecting', code: status, reason: 'no stream', attempt: this.attempt - 1, retryAt: Date.now() + RETRY_MS });
  }
}
