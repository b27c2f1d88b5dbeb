/* Subscribers that write what they get into a journal: many light ones, and some with the real SDK.
 *
 *   const reader = new RawReader({ name, node, channels, journal });
 *   await reader.ready();                  subscribed to all
 *   reader.disconnects, reader.pushes      [{ code, reason, atMs }]; joins and leaves: [{ channel, join | leave }]
 *   reader.moveTo(node)                    where it connects the next time
 *   reader.close();
 *
 * Both come back by themselves, from where they were, after a pause at random: as SDKs do, but sooner. Call
 * closeAll() in the end.
 */
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { until } from '../../integration/helpers/server.mjs';

const RETRY_MS = [50, 1500]; /* at first, at most; SDKs: 500, 20000 */
const INSUFFICIENT = 2500; /* unsubscribed with such a code, SDKs subscribe again */
const TEMPORARY = 100;

const jitter = (tries) => Math.random() * Math.min(RETRY_MS[1], RETRY_MS[0] * 2 ** tries);

export class RawReader {
  disconnects = [];
  pushes = [];
  client = null; /* its id, while it is connected */
  #ws = null;
  #nextId = 1;
  #commands = new Map(); /* id -> channel */
  #tracks = new Map();
  #isClosed = false;
  #tries = 0;
  #subscribed = new Set();

  constructor({ name, node, channels, journal, flags = {} }) {
    Object.assign(this, { name, node, channels, journal, flags });
    for (const channel of channels)
      this.#tracks.set(channel, journal.track(name, channel));
    this.#connect();
  }

  moveTo(node) {
    this.node = node;
  }

  get isReady() {
    return this.#subscribed.size === this.#tracks.size;
  }

  ready(limitMs = 15000) {
    return until(() => this.isReady, () => `${this.name} to be subscribed; it has ${[...this.#subscribed]}`, limitMs);
  }

  #connect() {
    const ws = new WebSocket(this.node.wsUrl, { perMessageDeflate: false });
    this.#ws = ws;
    ws.on('open', () => {
      ws._socket.unref(); /* a failed test must not wait for it */
      ws.send(['{"id":1,"connect":{}}', ...[...this.#tracks.keys()].map((channel) => this.#subscribe(channel))].join('\n'));
    });
    ws.on('message', (data) => {
      for (const line of data.toString().split('\n'))
        if (line !== '')
          this.#take(ws, line);
    });
    ws.on('error', () => {});
    ws.on('close', (code, reason) => this.#ended(code, reason.toString()));
  }

  #ended(code, reason) {
    this.#subscribed.clear();
    this.client = null;
    if (this.#isClosed)
      return;
    this.disconnects.push({ code, reason, atMs: performance.now() });
    setTimeout(() => this.#isClosed || this.#connect(), jitter(this.#tries++)).unref();
  }

  #subscribe(channel) {
    const id = ++this.#nextId;
    this.#commands.set(id, channel);
    const { position } = this.#tracks.get(channel);
    const from = position ? { recover: true, epoch: position.epoch, offset: position.offset } : {};
    return JSON.stringify({ id, subscribe: { channel, ...this.flags, ...from } });
  }

  #again(ws, channel, waitMs) {
    this.#subscribed.delete(channel);
    setTimeout(() => ws.readyState === WebSocket.OPEN && ws.send(this.#subscribe(channel)), waitMs).unref();
  }

  #take(ws, line) {
    if (line === '{}') {
      ws.send('{}');
      return;
    }
    const { id, push, error, connect, subscribe } = JSON.parse(line);
    if (push)
      this.#push(ws, push);
    else if (connect)
      this.client = connect.client;
    else if (error)
      this.#refused(ws, this.#commands.get(id), error);
    else if (subscribe)
      this.#answered(this.#commands.get(id), subscribe);
    this.#commands.delete(id);
  }

  #refused(ws, channel, error) {
    if (channel && error.code === TEMPORARY)
      this.#again(ws, channel, jitter(this.#tries++));
    else
      this.journal.fault(`${this.name}: ${channel ?? 'connect'} was answered ${JSON.stringify(error)}`);
  }

  #answered(channel, { epoch, offset = 0, recovered = false, publications = [] }) {
    const track = this.#tracks.get(channel);
    track.subscribed({ epoch, offset, recovered });
    for (const publication of publications)
      track.publication(publication.offset, publication.data);
    this.#subscribed.add(channel);
    this.#tries = 0;
  }

  #push(ws, { channel, pub, unsubscribe, ...other }) {
    if (pub)
      this.#tracks.get(channel).publication(pub.offset, pub.data);
    else if (!unsubscribe)
      this.pushes.push({ channel, ...other });
    else if (unsubscribe.code >= INSUFFICIENT)
      this.#again(ws, channel, 0);
    else
      this.journal.fault(`${this.name}: unsubscribed from ${channel}: ${JSON.stringify(unsubscribe)}`);
  }

  /* As a broken network does. */
  cut() {
    this.#ws.terminate();
  }

  close() {
    this.#isClosed = true;
    this.#ws.terminate();
  }
}

class UnrefWebSocket extends WebSocket {
  constructor(...args) {
    super(...args);
    this.on('open', () => this._socket.unref());
  }
}

export class SdkReader {
  disconnects = [];
  client = null;
  #sdk;
  #subs;

  constructor({ name, node, channels, journal }) {
    Object.assign(this, { name, node, channels });
    /* Asked for the address at each connect. */
    const endpoint = { transport: 'websocket', get endpoint() { return reader.node.wsUrl; } };
    const reader = this;
    this.#sdk = new Centrifuge([endpoint], { websocket: UnrefWebSocket, minReconnectDelay: RETRY_MS[0],
                                             maxReconnectDelay: RETRY_MS[1] });
    this.#sdk.on('connecting', ({ code, reason }) =>
      code !== 0 && this.disconnects.push({ code, reason, atMs: performance.now() }));
    this.#sdk.on('connected', ({ client }) => (this.client = client));
    this.#sdk.on('disconnected', ({ code, reason }) =>
      code !== 0 && journal.fault(`${name}: the SDK gave up: ${code} ${reason}`));
    this.#subs = channels.map((channel) => this.#follow(channel, journal));
    this.#sdk.connect();
  }

  #follow(channel, journal) {
    const track = journal.track(this.name, channel);
    const sub = this.#sdk.newSubscription(channel, { minResubscribeDelay: RETRY_MS[0], maxResubscribeDelay: RETRY_MS[1] });
    sub.on('subscribed', ({ wasRecovering, recovered, streamPosition }) =>
      track.subscribed({ ...streamPosition, recovered: wasRecovering && recovered }));
    sub.on('publication', ({ offset, data }) => track.publication(offset, data));
    sub.on('unsubscribed', ({ code, reason }) =>
      code !== 0 && journal.fault(`${this.name}: the SDK gave ${channel} up: ${code} ${reason}`));
    sub.subscribe();
    return sub;
  }

  moveTo(node) {
    this.node = node;
  }

  get isReady() {
    return this.#subs.every(({ state }) => state === 'subscribed');
  }

  ready(limitMs = 15000) {
    return until(() => this.isReady, `${this.name} to be subscribed`, limitMs);
  }

  close() {
    this.#sdk.disconnect();
  }
}
