/* The demo's main file: makes the parts and joins them.
 *
 *   identity.js  name, colour, room        connection.js  the link to the server (SDK or fallback.js)
 *   past.js      history, recovery         offline.js     away on purpose
 *   chat.js      messages, outbox          cursors.js     who points where
 *   chart.js     messages per second       bells.js       who is here
 *   status.js    connection state          flood.js       the limits at work (flood-worker.js)
 *   tap.js       an ear on the wire            wire.js      what travels (frames.js: in a word)
 *   copy.js      buttons that copy             theme.js     light and dark, before the first paint
 *   pane.js      alone, or one of several nodes side by side (split.html)
 *
 * A room is two channels: chat-ROOM, which keeps a history, and live:cursors-ROOM, which does not (and two
 * that nobody listens to: live:flood-, live:probe-). Plain modules, no build step, no inline scripts or
 * styles: the page works under a strict Content-Security-Policy.
 */
import { Belfry } from './bells.js';
import { Chart } from './chart.js';
import { Chat } from './chat.js';
import { openLink, socketUrl, transportsOf } from './connection.js';
import { copyButton } from './copy.js';
import { Cursors, isCursor } from './cursors.js';
import { Flood } from './flood.js';
import { urlOf } from './http.js';
import { channelOf, cleanRoom, hashOfRoom, hueOf, loadName, NAME_MAX, oneLine, randomId, roomOfUrl, saveName } from './identity.js';
import { Offline } from './offline.js';
import { Status } from './status.js';
import { tap } from './tap.js';
import { Wire } from './wire.js';

const $ = (id) => document.getElementById(id);

const me = { id: randomId(), name: loadName(), client: undefined };
const room = { name: null, chat: null, cursors: null };
let link = null;
let isConnected = false;
let received = 0;
let unread = 0;

const status = new Status({ onReconnect: () => link.connect() });
const belfry = new Belfry();
const chart = new Chart();
const wire = new Wire();
const chat = new Chat({
  publish: (message) => room.chat.publish(message),
  onRoundTrip: (ms) => status.roundTrip(ms),
});
const cursors = new Cursors({
  publish: async (position) => isConnected && room.cursors.publish(position).catch(() => {}),
  me: () => me,
});
new Flood({
  url: socketUrl.href,
  channel: () => channelOf('flood', room.name),
  probe: () => link.publish(channelOf('probe', room.name), 0),
});

const offline = new Offline({
  onLeave: () => {
    link.pause();
    show({ phase: 'offline', retryAt: offline.until });
  },
  onReturn: () => link.connect(),
});

function show(state) {
  isConnected = state.phase === 'connected';
  if (isConnected) me.client = state.client;
  belfry.seen(me.name, me.client);
  $('here').classList.toggle('stale', !isConnected);
  status.show(state);
}

/* Another transport is another link; the room, and what is on the page, stay. */
function open(kind) {
  link?.close();
  offline.end();
  belfry.setMembers(null);
  wire.use(kind);
  const ear = tap(wire.ear(kind));
  link = openLink(kind, { Sdk: window.Centrifuge, ear, onState: (state) => offline.until || show(state) });
  $('info-sdk').textContent = link.speaks;
  $('sse-note').hidden = kind !== 'eventsource';
  join();
  link.connect();
}

function count(isStrike) {
  received += 1;
  $('info-received').textContent = received.toLocaleString();
  chart.count(isStrike);
}

function onChat(data, client, when) {
  const { name } = chat.receive(data, when === 'live');
  if (when === 'earlier') return; /* it did not happen now */
  count(true);
  belfry.ring(name, client);
  if (document.hidden) unread += 1;
  title();
}

function onCursor(data, client) {
  count(false);
  const name = cursors.receive(data);
  if (name) belfry.seen(name, client);
}

function title() {
  document.title = `${unread ? `(${unread}) ` : ''}#${room.name} · Carillon`;
}

function join() {
  const { name } = room;
  status.position(null);
  const onRefused = ({ code, message }) => status.alert(`#${name} cannot be joined: ${message} (${code}).`);
  room.chat = link.join(channelOf('chat', name), {
    onData: onChat, onRefused, onMembers: (members) => belfry.setMembers(members), isMine: (data) => !isCursor(data),
    onMark: (mark) => chat.mark(mark), onPosition: (position) => status.position(position), isFresh: chat.isEmpty,
  });
  room.cursors = link.join(channelOf('cursors', name), { onData: onCursor, onRefused: () => {}, isMine: isCursor });
}

function enter(name) {
  if (name === room.name) return;
  room.chat?.leave();
  room.cursors?.leave();
  for (const part of [chat, cursors, belfry]) part.clear();
  status.alert('');
  room.name = name;
  if (link) join();
  belfry.seen(me.name, me.client);
  $('room').value = name;
  $('info-channels').textContent = `${channelOf('chat', name)}, ${channelOf('cursors', name)}`;
  $('second').href = location.pathname + hashOfRoom(name);
  $('curl').textContent = `curl ${new URL('api/publish', location.href.split('#')[0])} \\\n`
    + `  -d '{"channel":"${channelOf('chat', name)}",\n       "data":"Hello from curl"}'`;
  const stream = urlOf('sse');
  stream.searchParams.append('channel', channelOf('chat', name));
  $('listen').textContent = `curl -N '${stream}'`;
  if (window.parent !== window) window.parent.postMessage({ room: name }, '*');
  title();
}

function rename(value) {
  const name = oneLine(value, NAME_MAX);
  if (name && name !== me.name) {
    belfry.renamed(me.name, name, me.client);
    me.name = name;
    saveName(name);
  }
  $('name').value = me.name;
  $('me-bell').style.setProperty('--h', hueOf(me.name));
}

function fit(area) {
  area.style.height = 'auto';
  area.style.height = `${Math.min(area.scrollHeight, 132)}px`;
}

function send() {
  const area = $('text');
  if (!area.value.trim()) return;
  rename($('name').value);
  chat.send(me.name, area.value);
  area.value = '';
  fit(area);
  area.focus();
}

/* Our own bell hangs for as long as the page is open. */
setInterval(() => belfry.seen(me.name, me.client), 30000);

$('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  send();
});
$('text').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
$('text').addEventListener('input', () => fit($('text')));
$('name').addEventListener('change', () => rename($('name').value));
$('name').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter') return;
  event.preventDefault();
  $('text').focus();
});
$('room-form').addEventListener('submit', (event) => {
  event.preventDefault();
  location.hash = hashOfRoom(cleanRoom($('room').value.replace(/^#/, '')));
  $('room').value = room.name;
  $('text').focus();
});
$('room').addEventListener('blur', () => { $('room').value = room.name; });
addEventListener('hashchange', () => enter(roomOfUrl()));
document.addEventListener('visibilitychange', () => {
  unread = 0;
  title();
});

copyButton($('invite'), () => location.href.split('#')[0] + hashOfRoom(room.name));
copyButton($('copy-listen'), () => $('listen').textContent);

$('transport').addEventListener('change', ({ target }) => open(target.value));
for (const radio of $('transport').elements) radio.disabled = !transportsOf(window.Centrifuge).includes(radio.value);
$('transport').querySelector('[value="websocket"]').checked = true; /* browsers keep it over a reload */

$('node').textContent = location.host;
$('no-sdk').hidden = Boolean(window.Centrifuge);
rename(me.name);
enter(roomOfUrl());
open('websocket');
