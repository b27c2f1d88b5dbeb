/* Sockets that send exactly the bytes a test wants.
 *
 * RawSocket: TCP; everything that arrives is kept. `await raw.response()` reads one HTTP response,
 * `await raw.ended()` waits for the end of the connection (FIN or reset).
 * RawWebSocket: after a good handshake; decodes strictly. `frames` may be read with `await ws.frame()`
 * and `await ws.message()`; `await ws.ended()` gives { code, reason } of the server's close frame, or
 * { code: 1006 } when there was none.
 *
 * Sockets do not keep the test process alive; every wait has a deadline.
 */
import net from 'node:net';
import { closeOf, FrameReader, OP, text } from './wsframes.mjs';
import { within } from './server.mjs';

/* What is waited for may arrive before or after the wait starts. */
class Wakeup {
  #waiters = [];
  fire() {
    for (const waiter of this.#waiters.splice(0))
      waiter();
  }
  next() {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }
}

export class RawSocket {
  bytes = Buffer.alloc(0);
  isOver = false;
  error = null;
  onData = null; /* takes the bytes away from `bytes` */
  #wakeup = new Wakeup();

  static async open(port, host = '127.0.0.1') {
    const raw = new RawSocket(net.connect({ port, host, noDelay: true, allowHalfOpen: true }));
    await within(5000, new Promise((resolve, reject) => {
      raw.socket.once('connect', resolve);
      raw.socket.once('error', reject);
    }), `a connection to port ${port}`);
    return raw;
  }

  constructor(socket) {
    this.socket = socket;
    socket.unref();
    socket.on('data', (chunk) => {
      if (this.onData)
        this.onData(chunk);
      else
        this.bytes = Buffer.concat([this.bytes, chunk]);
      this.#wakeup.fire();
    });
    socket.on('error', (error) => (this.error = error));
    for (const event of ['end', 'close'])
      socket.on(event, () => {
        this.isOver = true;
        this.#wakeup.fire();
      });
  }

  wake() {
    this.#wakeup.fire();
  }

  write(...parts) {
    for (const part of parts)
      this.socket.write(part);
  }

  /* Each piece goes out on its own (TCP_NODELAY is on and the previous piece is with the kernel). */
  async writeSlowly(bytes, pieceSize) {
    const all = Buffer.from(bytes);
    let isWritten = false;
    for (let at = 0; at < all.length && !this.isOver; at += pieceSize) {
      isWritten = false;
      this.socket.write(all.subarray(at, at + pieceSize), () => setImmediate(() => {
        isWritten = true;
        this.wake();
      }));
      await this.until(() => isWritten, 'a piece to be written');
    }
  }

  async until(isDone, what, limitMs = 5000) {
    const loop = async () => {
      while (!isDone() && !this.isOver)
        await this.#wakeup.next();
    };
    const wanted = () => (typeof what === 'function' ? what() : what);
    const seen = () => `${wanted()}; got ${JSON.stringify(this.bytes.toString('latin1').slice(0, 300))}`;
    await within(limitMs, loop(), seen);
    return isDone();
  }

  ended(limitMs = 5000) {
    return this.until(() => this.isOver, 'the end of the connection', limitMs);
  }

  /* Ends our side; the socket goes away when the server ends its own. */
  end() {
    this.socket.end();
  }

  destroy() {
    this.socket.destroy();
  }

  /* The next HTTP response { status, headers, body, text }, or null when the connection ended without
   * one. Bodies by Content-Length or, for other answers, up to the end of the connection. */
  async response({ isHead = false, limitMs = 5000 } = {}) {
    const headEnd = () => this.bytes.indexOf('\r\n\r\n');
    await this.until(() => headEnd() >= 0, 'the head of a response', limitMs);
    if (headEnd() < 0)
      return null;
    const [first, ...lines] = this.bytes.toString('latin1', 0, headEnd()).split('\r\n');
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
    const headers = new Map(lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }));
    const start = headEnd() + 4;
    const hasBody = !isHead && status >= 200 && status !== 204 && status !== 304;
    let size = hasBody ? Number(headers.get('content-length') ?? NaN) : 0;
    if (Number.isNaN(size)) {
      await this.ended(limitMs);
      size = this.bytes.length - start;
    }
    const bodyIs = () => `the body of a response (${this.bytes.length - start} of ${size} bytes)`;
    await this.until(() => this.bytes.length >= start + size, bodyIs, limitMs);
    const body = this.bytes.subarray(start, start + size);
    this.bytes = this.bytes.subarray(start + size);
    return { status, headers, body, text: body.toString() };
  }
}

export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

/* The lines of a good upgrade request, to be changed by tests. A header with value null is left out,
 * with a list it comes several times. */
export function upgradeRequest({ method = 'GET', path = '/connection/websocket', version = 'HTTP/1.1',
                                 headers = {}, extra = '' } = {}) {
  const all = {
    Host: '127.0.0.1', Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Key': KEY,
    'Sec-WebSocket-Version': '13', ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== null)
    .flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}`));
  return [`${method} ${path} ${version}`, ...lines].map((line) => `${line}\r\n`).join('') + extra + '\r\n';
}

export class RawWebSocket {
  reader = new FrameReader();
  #frames = [];
  #fault = null;
  close = null; /* { code, reason } of the server's close frame */

  /* With `connect: false` the protocol's connect command is not sent. */
  static async open(server, { connect = true, ...request } = {}) {
    const raw = await RawSocket.open(server.port);
    raw.write(upgradeRequest(request));
    const response = await raw.response();
    if (response?.status !== 101)
      throw new Error(`the handshake was answered with ${response?.status}`);
    const ws = new RawWebSocket(raw);
    if (connect) {
      ws.write(text('{"id":1,"connect":{}}'));
      await ws.message();
    }
    return ws;
  }

  constructor(raw) {
    this.raw = raw;
    raw.onData = (chunk) => this.take(chunk);
    if (raw.bytes.length > 0)
      this.take(raw.bytes);
  }

  take(chunk) {
    if (this.#fault)
      return;
    try {
      for (const frame of this.reader.push(chunk)) {
        if (frame.opcode === OP.close)
          this.close = closeOf(frame.payload);
        this.#frames.push(frame);
      }
    } catch (error) {
      this.#fault = error;
    }
  }

  write(...parts) {
    this.raw.write(...parts);
  }

  /* The next frame, of whatever kind; null when the connection ended. */
  async frame(limitMs = 5000) {
    await this.raw.until(() => this.#frames.length > 0 || this.#fault, 'a frame', limitMs);
    if (this.#frames.length === 0 && this.#fault)
      throw this.#fault;
    return this.#frames.shift() ?? null;
  }

  /* The next data message as a string, its fragments joined; null when closed before. Control frames in
   * between are handed to onControl. */
  async message({ limitMs = 5000, onControl = () => {} } = {}) {
    const parts = [];
    for (;;) {
      const next = await this.frame(limitMs);
      if (next === null || next.opcode === OP.close)
        return null;
      if (next.opcode >= OP.close) {
        onControl(next);
        continue;
      }
      parts.push(next.payload);
      if (next.fin)
        return Buffer.concat(parts).toString();
    }
  }

  /* Waits for the server's close frame only: the answer when the server takes what we send for payload. */
  async closing(limitMs = 5000) {
    const isDone = () => this.close !== null || this.#fault !== null;
    await this.raw.until(isDone, 'a close frame', limitMs);
    if (this.#fault)
      throw this.#fault;
    return this.close ?? { code: 1006, reason: '' };
  }

  /* Waits for the end; the server's close code, 1006 if it sent none. Throws on a broken stream.
   * `echo: false` when the close began on our side. */
  async ended({ limitMs = 5000, echo = true } = {}) {
    await this.closing(limitMs);
    if (this.close && echo)
      this.write(frameEcho(this.close));
    await this.raw.ended(limitMs);
    if (this.#fault)
      throw this.#fault;
    this.raw.destroy();
    return this.close ?? { code: 1006, reason: '' };
  }

  destroy() {
    this.raw.destroy();
  }
}

function frameEcho({ code }) {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code === 1005 ? 1000 : code);
  return Buffer.concat([Buffer.from([0x88, 0x82, 0, 0, 0, 0]), payload]);
}
