/* Who we are and where: name, colour, room.
 *
 * A name that the visitor typed is remembered for the next visit (localStorage); until then each tab gets
 * a friendly name of its own (sessionStorage), so that two windows side by side are two people.
 * A colour belongs to a name, so it is the same for everybody and needs no agreement.
 * The room comes from the URL, #room=lobby, and may be in any script: channel names are printable ASCII,
 * so the room is percent-encoded in them.
 */
const ADJECTIVES = ['Amber', 'Brisk', 'Calm', 'Clever', 'Copper', 'Gentle', 'Golden', 'Happy', 'Ivory', 'Jolly',
  'Kind', 'Lively', 'Merry', 'Mellow', 'Nimble', 'Quiet', 'Silver', 'Sunny', 'Swift', 'Velvet'];
const ANIMALS = ['Badger', 'Crane', 'Falcon', 'Finch', 'Fox', 'Hare', 'Heron', 'Ibis', 'Lark', 'Lynx', 'Marten',
  'Newt', 'Otter', 'Owl', 'Panda', 'Robin', 'Seal', 'Swallow', 'Tern', 'Wren'];

export const NAME_MAX = 32;
const ROOM_MAX = 40;
const CHANNEL_MAX = 200;

/* One line of text: no control characters, no runs of blanks, at most max characters. */
export function oneLine(value, max) {
  const line = String(value ?? '').toWellFormed?.() ?? String(value ?? '');
  return [...line.replace(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ').trim()].slice(0, max).join('').trim();
}

/* Random enough to be unique; crypto.randomUUID does not exist on plain http. */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, '0')).join('');
}

export function hueOf(name) {
  let hash = 2166136261;
  for (const c of name) hash = Math.imul(hash ^ c.codePointAt(0), 16777619);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) >>> 0) % 24) * 15; /* steps that the eye can tell apart */
}

function stored(storage, key, value) {
  try {
    if (value === undefined) return window[storage].getItem(key);
    window[storage].setItem(key, value);
  } catch { /* storage is blocked: the name lives as long as the page */ }
  return null;
}

const pick = (list) => list[crypto.getRandomValues(new Uint32Array(1))[0] % list.length];

export function loadName() {
  const known = oneLine(stored('localStorage', 'carillon.name') || stored('sessionStorage', 'carillon.name'), NAME_MAX);
  if (known) return known;
  const fresh = `${pick(ADJECTIVES)} ${pick(ANIMALS)}`;
  stored('sessionStorage', 'carillon.name', fresh);
  return fresh;
}

export function saveName(name) {
  stored('localStorage', 'carillon.name', name);
}

export function cleanRoom(value) {
  let room = oneLine(value, ROOM_MAX);
  while (encode(room).length > CHANNEL_MAX) room = [...room].slice(0, -1).join('');
  return room || 'lobby';
}

export function roomOfUrl() {
  return cleanRoom(new URLSearchParams(location.hash.slice(1)).get('room'));
}

/* Stricter than encodeURIComponent, so that a name is safe inside the quotes of a shell command too. */
function encode(room) {
  return encodeURIComponent(room).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

export const hashOfRoom = (room) => `#room=${encode(room)}`;
/* Conversations are kept; the rest is worth nothing a moment later, and its namespace keeps none of it. */
export const channelOf = (kind, room) => `${kind === 'chat' ? '' : 'live:'}${kind}-${encode(room)}`;
