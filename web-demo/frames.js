/* What a frame is, in a word, and what of it is worth reading: { word, text }.
 *
 * Words are the names of the protocol; an answer has a tick before it. A message is a publication of the
 * chat, a cursor one of the cursors, whichever way it goes and whatever it is wrapped in.
 */
import { isCursor } from './cursors.js';

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const publishOf = (params) => (params?.channel?.startsWith('live:') ? 'cursor' : 'publish');

/* A command or a reply of the client protocol. */
function wordOf(message, isOut) {
  if (message === null || typeof message !== 'object') return 'text';
  const [name] = Object.keys(message).filter((key) => key !== 'id');
  if (name === undefined) return isOut ? 'pong' : 'ping';
  if (name === 'publish' && isOut) return publishOf(message.publish);
  if (name !== 'push') return isOut ? name : `✓ ${name}`;
  const { channel, ...what } = message.push;
  if (what.pub) return channel.startsWith('live:') ? 'cursor' : 'message';
  return Object.keys(what)[0] ?? 'push';
}

function readCall(text, isOut, method) {
  if (!isOut) return { word: `✓ ${method}`, text };
  return { word: method === 'publish' ? publishOf(parse(text)) : method, text };
}

/* isPlain: the stream carries payloads and nothing around them. */
export function readFrame({ isOut, text, path = '', event }, isPlain) {
  if (path.includes('/api/')) return readCall(text, isOut, path.split('/').at(-1));
  if (event) return { word: event, text };
  if (isPlain) return { word: isCursor(parse(text)) ? 'cursor' : 'message', text };
  const inner = path.endsWith('/emulation') ? parse(text)?.data ?? text : text;
  const [first, ...more] = inner.split('\n').filter(Boolean);
  return { word: wordOf(parse(first), isOut) + (more.length ? ` +${more.length}` : ''), text: inner };
}
