/* The same link over plain Server-Sent Events: the browser's own EventSource listens, fetch speaks.
 *
 * One stream for all channels of the room (a browser opens six per server, over all its tabs). A plain
 * stream carries payloads and nothing else, so isMine(data) of each channel tells whose it is; there is
 * no client id, no presence to ask for, and no reply to a subscribe. EventSource comes back by itself after
 * a lost connection, with the id of where it was: the server sends what was missed, or "lost". When we close
 * it ourselves ("Go offline") we give the id in the URL. After any status but 200 it gives up without saying
 * why: then we look.
 *
 * On entering, all of the history counts as earlier (what comes twice while we read it is told by its id, see
 * chat.js). Nothing says where in the stream what was missed ends; the sender's clock tells what is old.
 */
import { publisher, recall, urlOf } from './http.js';
import { Past } from './past.js';

const RETRY_MS = 2000;
const ANYWHERE = { offset: Infinity, epoch: '' };

export class SseLink {
  speaks = 'EventSource (no SDK), and fetch to send';
  #rooms = new Map(); /* channel -> handlers */
  #source = null;
  #timer = 0;
  #isAsked = false;
  #place = { of: '', id: '' }; /* where we are in the stream of these channels */

  constructor(ear, onState) {
    Object.assign(this, { ear, onState, publish: publisher(ear.fetch) });
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
    const past = new Past((limit) => recall(this.ear.fetch, channel, limit), { ...handlers, onPosition: undefined });
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
    const url = this.#url();
    this.onState({ phase: this.attempt > 1 ? 'reconnecting' : 'connecting', attempt: this.attempt, since: Date.now() });
    const source = this.#source = new this.ear.EventSource(url);
    let reason = 'stream lost';
    source.onopen = () => {
      this.attempt = 1;
      reason = 'stream lost';
      this.onState({ phase: 'connected', transport: 'eventsource' });
      for (const room of this.#rooms.values()) this.#listens(room);
    };
    source.onmessage = ({ data, lastEventId }) => {
      this.#place.id = lastEventId;
      this.#take(JSON.parse(data));
    };
    source.addEventListener('lost', ({ data, lastEventId }) => {
      this.#place.id = lastEventId;
      this.#rooms.get(JSON.parse(data).channel)?.onMark?.({ kind: 'lost' });
    });
    source.addEventListener('disconnect', ({ data }) => ({ reason } = JSON.parse(data)));
    source.onerror = ({ data }) => {
      if (data) return void ({ message: reason } = JSON.parse(data)); /* an event of the server's; the end follows */
      if (source.readyState === EventSource.CLOSED) return void this.#look();
      this.attempt += 1;
      this.onState({ phase: 'reconnecting', reason, attempt: this.attempt - 1, since: Date.now() });
    };
  }

  /* An id is good for the channels it was given for. */
  #url() {
    const url = urlOf('sse');
    for (const channel of this.#rooms.keys()) url.searchParams.append('channel', channel);
    if (this.#place.of !== url.search) this.#place = { of: url.search, id: '' };
    if (this.#place.id) url.searchParams.append('last_event_id', this.#place.id);
    return url;
  }

  /* Without an id nothing was said yet: nobody but the browser knows whether it has one of its own. */
  #listens(room) {
    room.openedAt = Date.now();
    if (room.hasListened) return void room.onMark?.({ kind: this.#place.id ? 'resumed' : 'unknown' });
    room.hasListened = true;
    room.past.subscribed(ANYWHERE);
  }

  #take(data) {
    for (const { isMine, past, openedAt } of this.#rooms.values()) {
      if (isMine(data)) return past.publication({ data }, data?.at < openedAt ? 'missed' : 'live');
    }
  }

  /* Why was the stream refused? What the client did wrong is final, the rest is tried again. */
  async #look() {
    const source = this.#source;
    const stop = new AbortController();
    const response = await fetch(this.#url(), { signal: stop.signal }).catch(() => null);
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
