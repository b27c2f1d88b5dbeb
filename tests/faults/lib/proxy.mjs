/* A TCP proxy that breaks things: between a node and Redis, or a client and a node.
 *
 *   const proxy = await startProxy({ port: 6379 });       proxy.port is its own
 *   proxy.set({ latencyMs: 50, jitterMs: 20 });           each piece is late; the order is kept
 *   proxy.set({ bytesPerS: 100000 });                     each direction of each connection
 *   proxy.set({ sliceBytes: 1 });                         in pieces of at most this many bytes
 *   proxy.set({ limitBytes: 1000 });                      each direction ends in a reset after so many
 *   proxy.set({ isBlackHole: true });                     what comes is read and lost, also a FIN: only silence
 *   proxy.set({ isDown: true });                          no new connections: refused
 *   proxy.reset();                                        RST to both ends of all connections
 *   await proxy.close();
 *
 * set() changes only what it names, for old and new connections. A connection that lost bytes in the black hole
 * stays dead when the hole is gone, as if its peer had been replaced: it is reset then.
 */
import net from 'node:net';
import { once } from 'node:events';

const HEALTHY = {
  latencyMs: 0, jitterMs: 0, bytesPerS: Infinity, sliceBytes: Infinity, limitBytes: Infinity,
  isBlackHole: false, isDown: false,
};
const QUEUE_BYTES = 1 << 20; /* more than this is not read from one end before the other has taken it */

/* Node loses the handle of a socket that is reset while its end is being sent, and then never exits. */
function resetSocket(socket) {
  if (socket.connecting || socket.writableEnded)
    socket.destroy();
  else
    socket.resetAndDestroy();
}

/* One direction: pieces with the time at which they are due. */
class Pump {
  #queue = [];
  #bytes = 0;
  #timer = null;
  #freeAt = 0; /* when the line has sent what it was given */
  #dueAt = 0;
  #total = 0;
  #isEnding = false;

  constructor(connection, from, to) {
    this.connection = connection;
    this.from = from;
    this.to = to;
    from.on('data', (chunk) => this.#take(chunk));
    from.on('end', () => {
      if (this.connection.faults.isBlackHole)
        this.connection.isBroken = true;
      this.#isEnding = true;
      this.#run();
    });
    to.on('drain', () => this.#run());
  }

  #take(chunk) {
    const { connection, connection: { faults } } = this;
    if (faults.isBlackHole) {
      connection.isBroken = true;
      return;
    }
    for (let at = 0; at < chunk.length;) {
      const piece = chunk.subarray(at, Math.min(chunk.length, at + faults.sliceBytes));
      at += piece.length;
      const now = performance.now();
      this.#freeAt = Math.max(now, this.#freeAt) + 1000 * piece.length / faults.bytesPerS;
      const late = faults.latencyMs + faults.jitterMs * (2 * Math.random() - 1);
      this.#dueAt = Math.max(this.#dueAt, this.#freeAt + Math.max(0, late)); /* TCP keeps the order */
      this.#queue.push({ piece, dueAt: this.#dueAt });
      this.#bytes += piece.length;
    }
    if (this.#bytes > QUEUE_BYTES)
      this.from.pause();
    this.#run();
  }

  #run() {
    clearTimeout(this.#timer);
    const { connection } = this;
    while (!connection.isClosed && this.#queue.length > 0 && !this.to.writableNeedDrain) {
      const wait = this.#queue[0].dueAt - performance.now();
      if (wait > 0.5) {
        this.#timer = setTimeout(() => this.#run(), wait);
        return;
      }
      this.#write(this.#queue.shift().piece);
    }
    if (this.#bytes <= QUEUE_BYTES)
      this.from.resume();
    if (this.#isEnding && this.#queue.length === 0 && !connection.faults.isBlackHole)
      this.to.end();
  }

  #write(piece) {
    const { connection } = this;
    this.#bytes -= piece.length;
    if (connection.faults.isBlackHole) {
      connection.isBroken = true;
      return;
    }
    this.#total += piece.length;
    connection.proxy.bytes += piece.length;
    this.to.write(piece);
    if (this.#total >= connection.faults.limitBytes)
      connection.reset();
  }

  clear() {
    clearTimeout(this.#timer);
    this.#queue = [];
  }
}

class Connection {
  isBroken = false; /* bytes of it are lost */
  isClosed = false;

  constructor(proxy, client) {
    this.proxy = proxy;
    this.client = client;
    this.server = net.connect({ ...proxy.target, noDelay: true });
    client.setNoDelay();
    const pumps = [new Pump(this, client, this.server), new Pump(this, this.server, client)];
    for (const socket of [client, this.server]) {
      socket.unref(); /* a failed test must not wait for it */
      socket.on('error', () => this.reset());
      socket.on('close', () => (client.destroyed && this.server.destroyed) && this.#close());
    }
    this.#close = () => {
      this.isClosed = true;
      pumps.forEach((pump) => pump.clear());
      proxy.connections.delete(this);
    };
  }

  #close;

  get faults() {
    return this.proxy.faults;
  }

  /* Within a black hole nobody hears of it. */
  reset() {
    if (this.faults.isBlackHole) {
      this.isBroken = true;
      return;
    }
    resetSocket(this.client);
    resetSocket(this.server);
    this.#close();
  }
}

class FaultProxy {
  faults = { ...HEALTHY };
  connections = new Set();
  accepted = 0;
  bytes = 0;
  #listener = null;

  constructor(target) {
    this.target = target;
  }

  async listen(port = 0) {
    this.#listener = net.createServer({ allowHalfOpen: true }, (client) => {
      this.accepted += 1;
      this.connections.add(new Connection(this, client));
    }).listen(port, '127.0.0.1');
    await once(this.#listener, 'listening');
    this.#listener.unref();
    this.port = this.#listener.address().port;
    return this;
  }

  /* Resolves when the change has taken effect. */
  async set(changes) {
    const wasDown = this.faults.isDown;
    for (const name of Object.keys(changes))
      if (!(name in HEALTHY))
        throw new Error(`no such fault: ${name}`);
    Object.assign(this.faults, changes);
    if (!this.faults.isBlackHole)
      [...this.connections].filter(({ isBroken }) => isBroken).forEach((connection) => connection.reset());
    if (this.faults.isDown && !wasDown)
      await this.#stopListening();
    else if (!this.faults.isDown && wasDown)
      await this.listen(this.port);
  }

  heal() {
    return this.set(HEALTHY);
  }

  reset() {
    for (const connection of [...this.connections])
      connection.reset();
  }

  async #stopListening() {
    /* Its close event waits for connections, which live on; the port is free at once. */
    this.#listener.close();
    await new Promise((resolve) => setImmediate(resolve));
  }

  async close() {
    this.faults = { ...HEALTHY };
    this.#listener.close();
    this.reset();
  }
}

export const startProxy = ({ port, host = '127.0.0.1' }) => new FaultProxy({ port, host }).listen();
