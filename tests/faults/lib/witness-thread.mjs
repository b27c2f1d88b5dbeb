/* The witnesses' own thread, see witness.mjs: one healthy client on each node. Ten times a second it pings, and
 * at the same moment a bare WebSocket server in this thread, whose answer shows what the machine itself delays.
 */
import { parentPort, workerData } from 'node:worker_threads';
import WebSocket, { WebSocketServer } from 'ws';

const PERIOD_MS = 100;

const control = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
await new Promise((resolve) => control.once('listening', resolve));

class Witness {
  pings = [];
  controlPings = [];
  latencies = []; /* from publish to receive, over the node */
  published = 0;
  refused = 0;
  disconnects = [];
  #sentAt = null;
  #controlAt = null;
  #publishedAt = new Map();

  constructor({ name, wsUrl }) {
    this.name = name;
    this.channel = `live:witness-${name}`;
    this.ready = new Promise((resolve) => (this.isReady = resolve));
    this.ws = new WebSocket(wsUrl, { perMessageDeflate: false });
    this.ws.on('open', () => this.ws.send(`{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"${this.channel}"}}`));
    this.ws.on('message', (data) => data.toString().split('\n').forEach((line) => this.#take(line)));
    this.ws.on('pong', () => {
      this.pings.push(performance.now() - this.#sentAt);
      this.#sentAt = null;
    });
    this.ws.on('error', () => {});
    this.ws.on('close', (code, reason) => this.disconnects.push(`${code} ${reason}`));
    this.bare = new WebSocket(`ws://127.0.0.1:${control.address().port}`, { perMessageDeflate: false });
    this.bare.on('pong', () => {
      this.controlPings.push(performance.now() - this.#controlAt);
      this.#controlAt = null;
    });
    this.bare.on('error', () => {});
  }

  #take(line) {
    if (line === '')
      return;
    if (line === '{}') {
      this.ws.send('{}');
      return;
    }
    const { id, error, push } = JSON.parse(line);
    if (id === 2)
      this.isReady(error);
    else if (error)
      this.refused += 1;
    else if (push?.pub) {
      this.latencies.push(performance.now() - this.#publishedAt.get(push.pub.data));
      this.#publishedAt.delete(push.pub.data);
    }
  }

  tick() {
    if (this.ws.readyState !== WebSocket.OPEN)
      return;
    if (this.#sentAt === null) { /* an answer that has not come is not asked for again: it goes on aging */
      this.#sentAt = performance.now();
      this.ws.ping();
    }
    if (this.#controlAt === null && this.bare.readyState === WebSocket.OPEN) {
      this.#controlAt = performance.now();
      this.bare.ping();
    }
    const n = ++this.published;
    this.#publishedAt.set(n, performance.now());
    this.ws.send(JSON.stringify({ id: 2 + n, publish: { channel: this.channel, data: n } }));
  }

  end() {
    if (this.#sentAt !== null)
      this.pings.push(performance.now() - this.#sentAt);
    const { name, pings, controlPings, latencies, published, refused, disconnects } = this;
    const result = { name, pings, controlPings, latencies, published, refused, disconnects: [...disconnects] };
    this.ws.terminate();
    this.bare.terminate();
    return result;
  }
}

const witnesses = workerData.nodes.map((node) => new Witness(node));
const refusals = await Promise.all(witnesses.map(({ ready }) => ready));
parentPort.postMessage({ refusals: refusals.filter(Boolean) });
const timer = setInterval(() => witnesses.forEach((witness) => witness.tick()), PERIOD_MS);
parentPort.once('message', () => {
  clearInterval(timer);
  parentPort.postMessage(witnesses.map((witness) => witness.end()));
  control.close();
});
