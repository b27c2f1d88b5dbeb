/* WebSocket frames by hand (RFC 6455, section 5.2): an encoder that can also make wrong frames, and a
 * strict decoder for what a server may send. Every departure from the RFC in the server's bytes
 * throws, so a test that only reads also checks the stream.
 */
export const OP = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/* One client frame. `length` overrides the declared payload length (a BigInt or number);
 * `lengthBytes` (0, 2 or 8) forces its encoding; `mask: null` leaves the frame unmasked. */
export function frame(opcode, payload = '', { fin = true, rsv = 0, mask = 0x1b2c3d4e, length,
                                              lengthBytes } = {}) {
  const body = Buffer.from(payload);
  const declared = BigInt(length ?? body.length);
  const bytes = lengthBytes ?? (declared < 126n ? 0 : declared < 65536n ? 2 : 8);
  const head = Buffer.alloc(2 + bytes);
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  head[1] = (mask === null ? 0 : 0x80) | (bytes === 0 ? Number(declared) : bytes === 2 ? 126 : 127);
  if (bytes === 2)
    head.writeUInt16BE(Number(declared), 2);
  if (bytes === 8)
    head.writeBigUInt64BE(declared, 2);
  if (mask === null)
    return Buffer.concat([head, body]);
  const key = Buffer.alloc(4);
  key.writeUInt32BE(mask);
  const masked = Buffer.alloc(body.length);
  for (let i = 0; i < body.length; i++)
    masked[i] = body[i] ^ key[i & 3];
  return Buffer.concat([head, key, masked]);
}

export const text = (payload, options) => frame(OP.text, payload, options);
export const ping = (payload, options) => frame(OP.ping, payload, options);

/* One text message as frames of these payload pieces. */
export function fragments(pieces, opcode = OP.text) {
  return pieces.map((piece, i) =>
    frame(i === 0 ? opcode : OP.continuation, piece, { fin: i === pieces.length - 1 }));
}

/* A close frame; code undefined: empty payload. */
export function close(code, reason = '') {
  if (code === undefined)
    return frame(OP.close);
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code);
  payload.write(reason, 2);
  return frame(OP.close, payload);
}

/* Bytes in, frames { opcode, fin, payload } out; throws at the first byte that breaks a rule. */
export class FrameReader {
  #chunks = [];
  #have = 0;
  #isInMessage = false;
  #isClosed = false;

  push(bytes) {
    this.#chunks.push(bytes);
    this.#have += bytes.length;
    const frames = [];
    for (let next = this.#take(); next; next = this.#take())
      frames.push(next);
    return frames;
  }

  /* True when the stream stopped between two frames, not inside one. */
  get isAtBoundary() {
    return this.#have === 0;
  }

  get isInMessage() {
    return this.#isInMessage;
  }

  #need(count) {
    if (this.#have < count)
      return null;
    if (this.#chunks[0].length < count)
      this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0];
  }

  #take() {
    let head = this.#need(2);
    if (!head)
      return null;
    const short = head[1] & 0x7f;
    const start = short < 126 ? 2 : short === 126 ? 4 : 10;
    head = this.#need(start);
    if (!head)
      return null;
    const length = short < 126 ? short : short === 126 ? head.readUInt16BE(2)
      : Number(head.readBigUInt64BE(2));
    this.#judge(head, short, length);
    const whole = this.#need(start + length);
    if (!whole)
      return null;
    this.#chunks[0] = whole.subarray(start + length);
    this.#have -= start + length;
    if (this.#chunks[0].length === 0)
      this.#chunks.shift();
    return this.#finish(head[0], whole.subarray(start, start + length));
  }

  #judge(head, short, length) {
    const opcode = head[0] & 0x0f;
    const isControl = opcode >= 8;
    const rules = [
      [(head[0] & 0x70) === 0, 'reserved bits are set'],
      [Object.values(OP).includes(opcode), `opcode ${opcode} is unknown`],
      [(head[1] & 0x80) === 0, 'a server frame is masked'],
      [!isControl || (length <= 125 && head[0] & 0x80), 'a control frame is long or fragmented'],
      [short < 126 || length >= (short === 126 ? 126 : 65536), 'the length is not minimal'],
      [length < 2 ** 32, `the length is ${length}`],
      [!this.#isClosed, 'a frame follows the close frame'],
    ];
    for (const [isGood, what] of rules)
      if (!isGood)
        throw new Error(`broken frame from the server: ${what} (${head.toString('hex', 0, 16)})`);
  }

  #finish(first, payload) {
    const opcode = first & 0x0f;
    const fin = (first & 0x80) !== 0;
    if (opcode < 8) {
      if ((opcode === OP.continuation) !== this.#isInMessage)
        throw new Error(`broken message from the server: opcode ${opcode} at the wrong place`);
      this.#isInMessage = !fin;
    }
    if (opcode === OP.close)
      this.#isClosed = true;
    return { opcode, fin, payload };
  }
}

/* Close frame payload to { code, reason }; code 1005 when it is empty. Throws when it is a bad one. */
export function closeOf(payload) {
  if (payload.length === 0)
    return { code: 1005, reason: '' };
  if (payload.length === 1)
    throw new Error('broken close frame from the server: a payload of 1 byte');
  const reason = new TextDecoder('utf-8', { fatal: true }).decode(payload.subarray(2));
  return { code: payload.readUInt16BE(0), reason };
}
