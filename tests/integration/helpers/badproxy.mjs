/* A proxy that does to connections what proxies do. Between a client and a server on this machine, one request per
 * connection.
 *
 *   const proxy = await startProxy(t, server.port, { request: (head) => head.replace(...) });
 *   proxy.port
 *
 * options: tls      { cert, key }: paths; it listens with TLS
 *          request  changes the head of the request, a text that ends in an empty line
 *          answer   ({ path, asked, head }) => { head, through } or undefined: changes the head of the answer and sends
 *                   its body through a stream; asked is the head of the request
 *          idleMs   cuts a connection on which nothing has been said for so long
 */
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

/* Calls back with the first head on the socket, and what follows it. */
function takeHead(socket, done) {
  let bytes = Buffer.alloc(0);
  const take = (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    const end = bytes.indexOf('\r\n\r\n');
    if (end < 0)
      return;
    socket.off('data', take);
    socket.pause();
    done(bytes.subarray(0, end + 4).toString('latin1'), bytes.subarray(end + 4));
  };
  socket.on('data', take);
}

function answerThrough(client, server, asked, answer) {
  const path = asked.split(' ')[1];
  takeHead(server, (head, rest) => {
    const changed = answer({ path, asked, head }) ?? { head };
    client.write(changed.head, 'latin1');
    if (!changed.through) {
      client.write(rest);
      server.pipe(client);
      return;
    }
    changed.through.pipe(client);
    changed.through.write(rest);
    server.pipe(changed.through);
  });
}

function serve(client, port, { request = (head) => head, answer, idleMs }) {
  const both = [client];
  const cut = () => both.forEach((socket) => socket.destroy());
  takeHead(client, (head, rest) => {
    const server = net.connect(port, '127.0.0.1');
    both.push(server);
    for (const socket of both) {
      socket.on('error', cut);
      socket.on('close', cut);
      if (idleMs)
        socket.setTimeout(idleMs, cut);
    }
    server.write(request(head), 'latin1');
    server.write(rest);
    client.pipe(server);
    if (answer)
      answerThrough(client, server, head, answer);
    else
      server.pipe(client);
  });
  client.on('error', cut);
}

/* Any server of node:net or node:tls that ends with the test. */
export async function listen(t, server) {
  const sockets = new Set();
  const note = (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  };
  server.on('connection', note);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    sockets.forEach((socket) => socket.destroy());
  });
  return { port: server.address().port, url: `http://127.0.0.1:${server.address().port}` };
}

export function startProxy(t, port, options = {}) {
  const take = (client) => serve(client, port, options);
  if (!options.tls)
    return listen(t, net.createServer(take));
  const { cert, key } = options.tls;
  const server = tls.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, take);
  server.on('tlsClientError', () => {});
  return listen(t, server);
}

/* Answers every request with the same bytes. */
export const startParrot = (t, answer) => listen(t, net.createServer((socket) => {
  takeHead(socket, () => socket.end(answer));
}));
