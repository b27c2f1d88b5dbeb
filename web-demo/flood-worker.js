/* The flooder, in a thread of its own, so that it does not slow down the page that starts it: connects,
 * publishes as fast as the browser lets it until the server has had enough, and counts the answers.
 *
 * In: { url, channel }. Out: { sent, accepted, refused, ms } now and then, at last with end: { code, reason }.
 */
const CHUNK = 50;           /* commands between two looks at the queue and the clock */
const QUEUE_MAX_BYTES = 8192;
const FLOOD_MAX_MS = 10000;  /* where nobody stops it */
const TELL_MS = 16;

const count = { sent: 0, accepted: 0, refused: 0, ms: 0 };
let socket;
let channel;
let start = 0;
let toldAt = 0;

function tell(end) {
  const now = performance.now();
  if (!end && now - toldAt < TELL_MS) return;
  toldAt = now;
  count.ms = start && now - start;
  postMessage({ ...count, end });
}

function pour() {
  if (socket.readyState !== WebSocket.OPEN) return;
  if (performance.now() - start > FLOOD_MAX_MS) return void socket.close(1000);
  for (let i = 0; i < CHUNK && socket.bufferedAmount < QUEUE_MAX_BYTES; i++) {
    count.sent += 1;
    socket.send(`{"id":${count.sent + 1},"publish":{"channel":"${channel}","data":${count.sent}}}`);
  }
  tell();
  setTimeout(pour);
}

function take(reply) {
  if (Object.keys(reply).length === 0) socket.send('{}');
  if (reply.publish) count.accepted += 1;
  if (reply.error?.code === 111) count.refused += 1;
  if (!reply.connect) return;
  start = performance.now();
  pour();
}

onmessage = ({ data }) => {
  channel = data.channel;
  socket = new WebSocket(data.url);
  socket.onopen = () => socket.send('{"id":1,"connect":{"name":"carillon-demo-flood"}}');
  socket.onmessage = (event) => event.data.split('\n').filter(Boolean).forEach((line) => take(JSON.parse(line)));
  socket.onclose = ({ code, reason }) => tell({ code, reason });
};
