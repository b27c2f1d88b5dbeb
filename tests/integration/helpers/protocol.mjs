/* A client of the line protocol (Centrifugo JSON, version 2) over npm `ws`, for tests that look at
 * single replies and bytes. The official SDK has its own tests.
 *
 *   const client = await connect(server);              opened and connected
 *   await client.request({ publish: { channel, data } })   the reply, parsed; ids are given here
 *   await client.requestText('"publish":{...}')        the same with the exact text, reply as text
 *   await client.push()                                the next push, parsed ({ channel, pub, ... })
 *   await client.pushText()                            the same line as it came
 *   client.send(text)                                  a frame as it is
 *   await client.closed()                              { code, reason }
 *
 * Pings are answered unless `answerPings: false`; their arrival times are in client.pings.
 */
import WebSocket from 'ws';
import { within } from './server.mjs';

export class Client {
  info = null; /* the connect result */
  pings = [];
  frames = []; /* every frame, as text */
  #ws;
  #nextId = 1;
  #waiting = new Map(); /* id -> resolve(line) */
  #pushes = [];
  #pushWaiters = [];
  #end;
  #answerPings;

  static async open(server, { answerPings = true, protocols = [], headers, path = '' } = {}) {
    const ws = new WebSocket(server.wsUrl + path, protocols, { headers, perMessageDeflate: false });
    const client = new Client(ws, answerPings);
    await within(5000, new Promise((resolve, reject) => {
      ws.once('open', resolve);
      ws.once('error', reject);
    }), `a WebSocket at ${server.wsUrl}`);
    ws._socket.unref(); /* a failed test must not wait for its connections */
    return client;
  }

  constructor(ws, answerPings) {
    this.#ws = ws;
    this.#answerPings = answerPings;
    this.#end = new Promise((resolve) => {
      ws.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    }).then((end) => {
      for (const settle of [...this.#waiting.values(), ...this.#pushWaiters])
        settle(null);
      return end;
    });
    ws.on('error', () => {});
    ws.on('message', (data) => this.#take(data.toString()));
  }

  get socket() {
    return this.#ws;
  }

  #take(frame) {
    this.frames.push(frame);
    for (const line of frame.split('\n'))
      if (line !== '')
        this.#line(line);
  }

  #line(line) {
    if (line === '{}') {
      this.pings.push(performance.now());
      if (this.#answerPings)
        this.send('{}');
      return;
    }
    const { id } = JSON.parse(line);
    if (id !== undefined) {
      this.#waiting.get(id)?.(line); /* else nobody wants to see it; it is in this.frames */
      this.#waiting.delete(id);
      return;
    }
    const waiter = this.#pushWaiters.shift();
    if (waiter)
      waiter(line);
    else
      this.#pushes.push(line);
  }

  send(text) {
    this.#ws.send(text);
  }

  /* The line of the reply with this id, null when the connection ended before. */
  reply(id) {
    const arrival = new Promise((resolve) => this.#waiting.set(id, resolve));
    if (this.#ws.readyState >= WebSocket.CLOSING)
      this.#waiting.get(id)(null);
    return within(5000, arrival, `the reply to command ${id}`);
  }

  /* `members`: the command without its braces and id, e.g. '"rpc":{"method":"m"}'. */
  async requestText(members) {
    const id = ++this.#nextId;
    const arrival = this.reply(id);
    this.send(`{"id":${id},${members}}`);
    const line = await arrival;
    if (line === null)
      throw new Error(`closed instead of a reply: ${JSON.stringify(await this.#end)}`);
    return line;
  }

  async request(command) {
    return JSON.parse(await this.requestText(JSON.stringify(command).slice(1, -1)));
  }

  /* As request, for a command that must succeed: the result. */
  async call(command) {
    const reply = await this.request(command);
    if (reply.error)
      throw new Error(`${JSON.stringify(command)} was answered ${JSON.stringify(reply.error)}`);
    return reply[Object.keys(command)[0]];
  }

  subscribe(channel) {
    return this.call({ subscribe: { channel } });
  }

  publish(channel, data) {
    return this.call({ publish: { channel, data } });
  }

  async pushText() {
    if (this.#pushes.length > 0)
      return this.#pushes.shift();
    const arrival = new Promise((resolve) => this.#pushWaiters.push(resolve));
    const line = await within(5000, arrival, 'a push');
    if (line === null)
      throw new Error(`closed instead of a push: ${JSON.stringify(await this.#end)}`);
    return line;
  }

  async push() {
    return JSON.parse(await this.pushText()).push;
  }

  /* Pushes that have arrived and were not taken. */
  get pending() {
    return this.#pushes.length;
  }

  closed(limitMs = 5000) {
    return within(limitMs, this.#end, 'the connection to be closed');
  }

  async close() {
    this.#ws.close();
    return this.closed();
  }

  terminate() {
    this.#ws.terminate();
  }
}

export async function connect(server, options = {}) {
  const client = await Client.open(server, options);
  const arrival = client.reply(1);
  client.send(JSON.stringify({ id: 1, connect: options.connect ?? {} }));
  const line = await arrival;
  if (line === null)
    throw new Error(`connect was refused: ${JSON.stringify(await client.closed())}`);
  const reply = JSON.parse(line);
  if (reply.error)
    throw new Error(`connect was answered ${line}`);
  client.info = reply.connect;
  return client;
}

/* Opens, sends these frames, and gives the close code and reason that must follow. */
export async function closeAfter(server, ...frames) {
  const client = await Client.open(server);
  for (const one of frames)
    client.send(one);
  return client.closed();
}

/* The same on a connected client. */
export async function closeAfterConnect(server, ...frames) {
  const client = await connect(server);
  for (const one of frames)
    client.send(one);
  return client.closed();
}
