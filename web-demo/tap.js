/* An ear on the wire: WebSocket, EventSource and fetch as they are, that also tell what passes.
 *
 *   const ear = tap(onFrame);         ear.WebSocket, ear.EventSource, ear.fetch, in place of the browser's own
 *   onFrame({ isOut, text, bytes, isRequest, path, event })
 *
 * Bytes are exact, and those on the connection: a WebSocket message with its frame's header, an event with
 * its fields and the blank line, a line with its end, the body of a request (isRequest, path). A page cannot
 * see the headers of HTTP, nor what an event stream says without an event: its beginning and its heartbeats.
 */
const encoder = new TextEncoder();
export const sizeOf = (text) => encoder.encode(text).length;

/* RFC 6455, 5.2: two bytes, and more for the length; four for the mask of what a browser sends. The server sends
 * long messages in pieces. */
const PIECE_BYTES = 65536;
const headerBytes = (size) => (size < 126 ? 2 : size < 65536 ? 4 : 10);
const sentBytes = (size) => size + headerBytes(size) + 4;

function receivedBytes(size) {
  const rest = size % PIECE_BYTES;
  return size + Math.floor(size / PIECE_BYTES) * headerBytes(PIECE_BYTES) + (rest || !size ? headerBytes(rest) : 0);
}

const NAMED = ['lost', 'error', 'disconnect'];

/* Hands on what it reads, and tells each line. */
function lines(onLine) {
  const decoder = new TextDecoder();
  let rest = '';
  return new TransformStream({
    transform(chunk, controller) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = parts.pop();
      for (const line of parts) onLine(line, sizeOf(line) + 1);
      controller.enqueue(chunk);
    },
    flush() {
      if (rest) onLine(rest, sizeOf(rest));
    },
  });
}

export function tap(onFrame) {
  class HeardWebSocket extends WebSocket {
    constructor(...args) {
      super(...args);
      this.addEventListener('message', ({ data }) => onFrame({ text: data, bytes: receivedBytes(sizeOf(data)) }));
    }

    send(text) {
      onFrame({ isOut: true, text, bytes: sentBytes(sizeOf(text)) });
      super.send(text);
    }
  }

  class HeardEventSource extends EventSource {
    constructor(...args) {
      super(...args);
      let known = '';
      const take = ({ type, data, lastEventId }) => {
        if (data === undefined) return; /* the browser's own "error" */
        const event = type === 'message' ? '' : type;
        const id = lastEventId === known ? '' : `id: ${(known = lastEventId)}\n`;
        onFrame({ text: data, event, bytes: sizeOf(`${id}${event && `event: ${event}\n`}data: ${data}\n\n`) });
      };
      for (const type of ['message', ...NAMED]) this.addEventListener(type, take);
    }
  }

  const heardFetch = async (url, options = {}) => {
    const { body } = options;
    const { pathname: path } = new URL(url, location.href);
    if (body) onFrame({ isOut: true, isRequest: true, path, text: body, bytes: sizeOf(body) });
    const response = await fetch(url, options);
    const { status, statusText, headers } = response;
    if (status === 204) return response; /* which has a body in Chromium, but must not be given one */
    const heard = response.body.pipeThrough(lines((text, bytes) => onFrame({ path, text, bytes })));
    return new Response(heard, { status, statusText, headers });
  };

  return { WebSocket: HeardWebSocket, EventSource: HeardEventSource, fetch: heardFetch };
}
