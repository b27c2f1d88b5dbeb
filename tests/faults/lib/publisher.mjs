/* Publishes over the HTTP API at a steady rate, to nodes and channels in turn, and notes what became of each call.
 *
 *   const publisher = new Publisher({ nodes, channels, ratePerS: 1000, journal });
 *   await publisher.stop();               when all calls are answered; finished(): when `total` have been made
 *   publisher.calls                       [{ n, node, channel, key, atMs, tookMs, position | code }]
 *
 * sizeBytes: of each payload. doubled: this part of the calls is made twice at once, at two nodes, under one
 * idempotency key. retried: a call that failed is made again under its key until it succeeds; else never.
 * code: an error's of the API, or 0 when there was no answer.
 */
import http from 'node:http';
import { deadline, until } from '../../integration/helpers/server.mjs';

const TICK_MS = 10;
const PATIENCE_MS = deadline(10000);

const sharedAgent = new http.Agent({ keepAlive: true, maxSockets: 4 });

/* { result } or { error: { code } }, as the API answers; code 0: it did not. */
export function call(node, method, body, agent = sharedAgent) {
  return new Promise((resolve) => {
    const none = (message) => resolve({ error: { code: 0, message } });
    const text = JSON.stringify(body);
    const request = http.request(`${node.url}/api/${method}`, {
      method: 'POST', agent, timeout: PATIENCE_MS, headers: { 'Content-Length': Buffer.byteLength(text) },
    }, (response) => {
      let answer = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => (answer += chunk));
      response.on('error', ({ code }) => none(code));
      response.on('end', () => {
        try {
          resolve(JSON.parse(answer));
        } catch {
          none(`status ${response.statusCode}: ${answer}`);
        }
      });
    });
    request.on('timeout', () => request.destroy(new Error('timeout')));
    request.on('error', ({ code, message }) => none(code ?? message));
    request.end(text);
  });
}

export class Publisher {
  calls = [];
  #options;
  #timer;
  #open = new Set();
  #made = 0;
  #agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  #startMs = performance.now();
  #isStopped = false;
  #pad;

  constructor({ nodes, channels, ratePerS, journal, sizeBytes = 0, doubled = 0, retried = false,
                total = Infinity }) {
    this.#options = { nodes, channels, ratePerS, journal, doubled, retried, total };
    this.#pad = 'x'.repeat(sizeBytes);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  #tick() {
    const { ratePerS, total } = this.#options;
    const elapsedMs = performance.now() - this.#startMs;
    const due = Math.min(total, Math.floor(elapsedMs / 1000 * ratePerS));
    for (let burst = 0; this.#made < due && burst < ratePerS / 10; burst++)
      this.#next();
    if (this.#made < due) /* what a busy machine could not make in time is made later, not at once */
      this.#startMs = performance.now() - 1000 * this.#made / ratePerS;
    if (this.#made === total)
      clearInterval(this.#timer);
  }

  #next() {
    const { nodes, channels, doubled, retried } = this.#options;
    const n = this.#made++;
    const node = nodes[n % nodes.length];
    const channel = channels[Math.floor(n / nodes.length) % channels.length];
    const isDoubled = (n * 0.618034) % 1 < doubled;
    const key = isDoubled || retried ? `key-${n}` : undefined;
    const twice = isDoubled ? [node, nodes[(n + 1) % nodes.length]] : [node];
    for (const one of twice) {
      const work = this.#publish({ n, node: one, channel, key });
      this.#open.add(work);
      work.then(() => this.#open.delete(work));
    }
  }

  async #publish(wanted) {
    while (!(await this.#try(wanted)).position && this.#options.retried && !this.#isStopped)
      await new Promise((resolve) => setTimeout(resolve, 100 + 100 * Math.random()));
  }

  async #try(wanted) {
    const { journal } = this.#options;
    const one = { ...wanted };
    const data = `${one.n}:${this.#pad}`;
    one.atMs = performance.now();
    const answer = await call(one.node, 'publish', { channel: one.channel, data, idempotency_key: one.key },
                              this.#agent);
    one.tookMs = performance.now() - one.atMs;
    if (answer.error)
      one.code = answer.error.code;
    else {
      one.position = answer.result;
      journal?.acknowledged(one.channel, answer.result, data);
    }
    this.calls.push(one);
    return one;
  }

  async stop() {
    clearInterval(this.#timer);
    this.#isStopped = true;
    await Promise.all(this.#open);
    this.#agent.destroy();
    return this;
  }

  async finished(limitMs) {
    await until(() => this.#made === this.#options.total, () => `${this.#options.total} calls; made: ${this.#made}`, limitMs);
    return this.stop();
  }

  get done() {
    return this.calls.filter(({ position }) => position);
  }

  get failed() {
    return this.calls.filter(({ position }) => !position);
  }

  /* How many failed with each code. */
  get codes() {
    const codes = {};
    for (const { code } of this.failed)
      codes[code] = (codes[code] ?? 0) + 1;
    return codes;
  }
}
