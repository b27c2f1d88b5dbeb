/* The demo's main file: makes the parts and joins them.
 *
 *   identity.js  name, colour, room        connection.js  the link to the server (SDK or fallback.js)
 *   chat.js      messages, outbox          cursors.js     who points where
 *   chart.js     messages per second       bells.js       who is here
 *   status.js    connection state          theme.js       light and dark, before the first paint
 *
 * A room is two channels: chat-ROOM and cursors-ROOM. Plain modules, no build step, no inline scripts or
 * styles: the page works under a strict Content-Security-Policy.
 */
import { Belfry } from './bells.js';
import { Chart } from './chart.js';
import { Chat } from './chat.js';
import { openLink } from './connection.js';
import { Cursors } from './cursors.js';
import { channelOf, cleanRoom, hashOfRoom, hueOf, loadName, NAME_MAX, oneLine, randomId, roomOfUrl, saveName } from './identity.js';
import { Status } from './status.js';

const $ = (id) => document.getElementById(id);

const me = { id: randomId(), name: loadName() };
const room = { name: null, chat: null, cursors: null };
let isConnected = false;
let received = 0;
let unread = 0;

const status = new Status({ onReconnect: () => link.connect() });
const belfry = new Belfry();
const chart = new Chart();
const chat = new Chat({
  publish: (message) => room.chat.publish(message),
  onRoundTrip: (ms) => status.roundTrip(ms),
});
const cursors = new Cursors({
  publish: async (position) => isConnected && room.cursors.publish(position).catch(() => {}),
  me: () => me,
});
const link = openLink(window.Centrifuge, (state) => {
  isConnected = state.phase === 'connected';
  status.show(state);
});

function count(isStrike) {
  received += 1;
  $('info-received').textContent = received.toLocaleString();
  chart.count(isStrike);
}

function onChat(data) {
  count(true);
  const { name } = chat.receive(data);
  belfry.ring(name);
  if (document.hidden) unread += 1;
  title();
}

function onCursor(data) {
  count(false);
  const name = cursors.receive(data);
  if (name) belfry.seen(name);
}

function title() {
  document.title = `${unread ? `(${unread}) ` : ''}#${room.name} · Carillon`;
}

function enter(name) {
  if (name === room.name) return;
  room.chat?.leave();
  room.cursors?.leave();
  for (const part of [chat, cursors, belfry]) part.clear();
  status.alert('');
  const onRefused = ({ code, message }) => status.alert(`#${name} cannot be joined: ${message} (${code}).`);
  room.name = name;
  room.chat = link.join(channelOf('chat', name), { onData: onChat, onRefused });
  room.cursors = link.join(channelOf('cursors', name), { onData: onCursor, onRefused: () => {} });
  belfry.seen(me.name);
  $('room').value = name;
  $('info-channels').textContent = `${channelOf('chat', name)}, ${channelOf('cursors', name)}`;
  $('second').href = location.pathname + hashOfRoom(name);
  $('curl').textContent = `curl ${new URL('api/publish', location.href.split('#')[0])} \\\n`
    + `  -d '{"channel":"${channelOf('chat', name)}",\n       "data":"Hello from curl"}'`;
  title();
}

function rename(value) {
  const name = oneLine(value, NAME_MAX);
  if (name && name !== me.name) {
    belfry.renamed(me.name, name);
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
setInterval(() => belfry.seen(me.name), 30000);

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

/* The clipboard exists on https and localhost only; elsewhere the address bar must do. */
$('invite').hidden = !navigator.clipboard;
$('invite').addEventListener('click', async () => {
  const url = location.href.split('#')[0] + hashOfRoom(room.name);
  const done = await navigator.clipboard.writeText(url).then(() => 'Copied', () => 'Not allowed');
  $('invite').textContent = done;
  setTimeout(() => { $('invite').textContent = 'Copy link'; }, 1500);
});

$('no-sdk').hidden = Boolean(window.Centrifuge);
$('info-sdk').textContent = link.speaks;
rename(me.name);
enter(roomOfUrl());
link.connect();
