/* A strict reader of Server-Sent Events (HTML standard, section 9.2.6) that comes back at once with Last-Event-ID. */
import http from 'node:http';

/* Fed with text in any pieces: gives whole events { id, event, data } to onEvent; `id` is the last one seen. An event
 * without data is none, but its id counts. */
export class EventParser {
  id = '';
  #rest = '';
  #event = { data: [], event: 'message', id: null };

  constructor(onEvent) {
    this.onEvent = onEvent;
  }

  push(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    lines.forEach((line) => this.#line(line));
  }

  #line(line) {
    const e = this.#event;
    if (line === '') {
      this.id = e.id ?? this.id;
      this.#event = { data: [], event: 'message', id: null };
      if (e.data.length > 0)
        this.onEvent({ id: this.id, event: e.event, data: e.data.join('\n') });
      return;
    }
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
    if (/[\r\0]/.test(line) || !['', 'id', 'event', 'data', 'retry'].includes(field))
      throw new Error(`not a line of an event stream: ${JSON.stringify(line)}`);
    if (field === 'data')
      e.data.push(value);
    else if (field === 'id' || field === 'event')
      e[field] = value;
  }
}

/* Reads url and comes back whenever the stream ends, until close(). A status other than 200 ends it: `failed`.
 * options: lastId to begin with, and those of http.get(). post: a body, as { type, text }. */
export class EventReader {
  lastId = '';
  isOpen = true;
  opened = 0;

  constructor(url, onEvent, { lastId = '', post, ...options } = {}) {
    Object.assign(this, { url, onEvent, lastId, post, options });
    this.failed = new Promise((resolve) => (this.fail = resolve));
    this.#open();
  }

  #open() {
    const headers = { ...this.options.headers, ...(this.lastId ? { 'Last-Event-ID': this.lastId } : {}) };
    if (this.post)
      Object.assign(headers, { 'Content-Type': this.post.type, 'Content-Length': Buffer.byteLength(this.post.text) });
    const parser = new EventParser((event) => this.onEvent(event));
    let isOver = false;
    const again = () => {
      if (!isOver && this.isOpen)
        setImmediate(() => this.isOpen && this.#open());
      isOver = true;
    };
    const method = this.post ? 'POST' : 'GET';
    this.request = http.request(this.url, { ...this.options, method, headers, agent: false }, (response) => {
      if (response.statusCode !== 200) {
        this.isOpen = false;
        this.fail(response.statusCode);
        return;
      }
      this.opened++;
      this.response = response;
      response.setEncoding('utf8').on('data', (text) => {
        parser.push(text);
        this.lastId = parser.id || this.lastId;
      }).on('error', again).on('close', again);
    }).on('error', again);
    this.request.on('socket', (socket) => socket.unref());
    this.request.end(this.post?.text);
  }

  close() {
    this.isOpen = false;
    this.request.destroy();
  }
}
