/* The same link without the SDK: reads Carillon's JSON protocol from a WebSocket, publishes with fetch.
 *
 * For a page whose npm package is not installed, and to show how little the protocol asks for: one JSON
 * object per line; {"id":1,"connect":{}} first, then {"id":2,"subscribe":{"channel":"x"}}; a publication
 * is {"push":{"channel":"x","pub":{"data":…}}}; an empty object is a ping and is answered with one.
 * It does not ask for recovery: after a lost connection past.js looks into the history instead. It knows
 * no tokens: that is what the SDK is for.
 */
import { publisher, recall } from './http.js';
import { Past } from './past.js';

const final = (code) => (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);

export class FallbackLink {
  speaks = 'a few lines of WebSocket and fetch (no SDK)';

  constructor(url, ear, onState) {
    Object.assign(this, { url, ear, onState, rooms: new Map(), asked: new Map(), attempt: 0, id: 0 });
    this.publish = publisher(ear.fetch);
  }

  connect() {
    clearTimeout(this.timer);
    const state = { phase: this.lost ? 'reconnecting' : 'connecting', ...this.lost, attempt: this.attempt + 1 };
    this.onState({ ...state, since: Date.now() });
    this.socket = new this.ear.WebSocket(this.url);
    this.socket.onopen = () => this.#send({ connect: { name: 'carillon-demo-fallback' } });
    this.socket.onmessage = ({ data }) => data.split('\n').filter(Boolean).forEach((line) => this.#take(JSON.parse(line)));
    this.socket.onclose = ({ code, reason }) => this.#closed(code, reason || 'transport closed');
  }

  pause() {
    this.isConnected = false;
    clearTimeout(this.timer);
    clearTimeout(this.watchdog);
    this.socket.onopen = this.socket.onclose = this.socket.onmessage = null;
    this.socket.close();
  }

  close() {
    this.onState = () => {};
    for (const { past } of this.rooms.values()) past.stop();
    this.rooms.clear();
    this.pause();
  }

  join(channel, handlers) {
    const past = new Past((limit) => recall(this.ear.fetch, channel, limit), handlers);
    this.rooms.set(channel, { ...handlers, past });
    handlers.onMembers?.(null);
    if (this.isConnected) this.#send({ subscribe: { channel } });
    return {
      publish: (data) => this.publish(channel, data),
      leave: () => {
        past.stop();
        this.rooms.delete(channel);
        if (this.isConnected) this.#send({ unsubscribe: { channel } });
      },
    };
  }

  #send(command) {
    this.id += 1;
    if (command.subscribe) this.asked.set(this.id, command.subscribe.channel);
    this.socket.send(JSON.stringify({ id: this.id, ...command }));
  }

  #take(reply) {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => this.socket.close(), this.silenceMs ?? 35000);
    if (Object.keys(reply).length === 0) this.socket.send('{}');
    if (reply.connect) this.#connected(reply.connect);
    if (reply.subscribe) this.#subscribed(this.asked.get(reply.id), reply.subscribe);
    if (reply.error) this.#refused(this.asked.get(reply.id), reply.error);
    this.asked.delete(reply.id);
    const { channel, pub, unsubscribe } = reply.push ?? {};
    if (pub) this.rooms.get(channel)?.past.publication(pub);
    if (unsubscribe) this.#refused(channel, { code: unsubscribe.code, message: unsubscribe.reason });
  }

  #connected({ client, ping }) {
    Object.assign(this, { isConnected: true, attempt: 0, lost: null, silenceMs: ping ? (ping + 10) * 1000 : 2 ** 31 - 1 });
    this.onState({ phase: 'connected', transport: 'websocket + fetch', client });
    for (const channel of this.rooms.keys()) this.#send({ subscribe: { channel } });
  }

  #subscribed(channel, { recoverable, offset = 0, epoch }) {
    this.rooms.get(channel)?.past.subscribed(recoverable && { offset, epoch });
  }

  #refused(channel, error) {
    if (channel) this.rooms.get(channel)?.onRefused(error);
    else this.socket.close();
  }

  #closed(code, reason) {
    clearTimeout(this.watchdog);
    this.isConnected = false;
    if (final(code)) {
      this.lost = null;
      return this.onState({ phase: 'disconnected', code, reason });
    }
    this.lost = { code, reason };
    this.attempt += 1;
    const delayMs = Math.min(6000, 400 * 2 ** this.attempt) * (0.5 + Math.random() / 2);
    this.timer = setTimeout(() => this.connect(), delayMs);
    this.onState({ phase: 'reconnecting', code, reason, attempt: this.attempt, retryAt: Date.now() + delayMs });
  }
}
