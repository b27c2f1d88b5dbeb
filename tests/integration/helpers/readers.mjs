/* Clients that are cut off and come back, and check that they miss nothing. */
import { once } from 'node:events';
import net from 'node:net';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { connect } from './protocol.mjs';
import { deadline } from './server.mjs';

/* Forwards TCP to one of these ports, one after the other, and cuts when told to: the network between a client and
 * the server. bytes: how many went up to the server and down to the client. */
export async function flakyLink(ports) {
  let next = 0;
  const pairs = new Set();
  const bytes = { up: 0, down: 0 };
  const listener = net.createServer((client) => {
    const server = net.connect({ port: ports[next++ % ports.length], host: '127.0.0.1', noDelay: true });
    client.unref();
    server.unref();
    const pair = { client, server };
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server])
      socket.on('error', end).on('close', end);
    client.on('data', ({ length }) => (bytes.up += length));
    server.on('data', ({ length }) => (bytes.down += length));
    client.pipe(server).pipe(client);
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  listener.unref(); /* a failed test must not wait for it */
  return {
    bytes,
    url: `http://127.0.0.1:${listener.address().port}`,
    wsUrl: `ws://127.0.0.1:${listener.address().port}/connection/websocket`,
    cut: () => pairs.forEach(({ client, server }) => {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }),
    close: () => {
      pairs.forEach(({ client }) => client.destroy());
      listener.close();
    },
  };
}

/* An SDK client over a link of its own that checks every offset; it comes back to the next of the servers. */
export async function checkedReader(servers, channel, options = {}) {
  const link = await flakyLink(servers.map(({ port }) => port));
  const unrefed = class extends WebSocket {
    constructor(...args) {
      super(...args);
      this.on('open', () => this._socket.unref());
    }
  };
  const sdk = new Centrifuge(link.wsUrl, { websocket: unrefed, minReconnectDelay: 1, maxReconnectDelay: 10 });
  const sub = sdk.newSubscription(channel, options);
  const reader = { link, sdk, sub, next: 0, told: 0, recoveries: 0, faults: [], last: null };
  sub.on('subscribed', ({ wasRecovering, recovered, streamPosition }) => {
    if (wasRecovering && recovered)
      reader.recoveries += 1;
    else if (wasRecovering)
      reader.told += 1;
    if (!wasRecovering || !recovered)
      reader.next = streamPosition.offset + 1;
  });
  sub.on('publication', ({ offset, data }) => {
    if (offset !== reader.next)
      reader.faults.push(`${offset} came instead of ${reader.next}`);
    reader.next = offset + 1;
    reader.last = data;
  });
  sub.subscribe();
  sdk.connect();
  await sub.ready(deadline(5000));
  reader.close = () => {
    sdk.disconnect();
    link.close();
  };
  return reader;
}

/* Publishes as fast as answers come, 16 in flight, until it is stopped: how many. */
export function publishAll(server, channel, makeData = (n) => n) {
  let isOver = false;
  let count = 0;
  const run = connect(server).then(async (client) => {
    const lane = async () => {
      while (!isOver)
        await client.publish(channel, makeData(++count));
    };
    await Promise.all(Array.from({ length: 16 }, lane));
    await client.close();
    return count;
  });
  return { stop: () => { isOver = true; return run; } };
}
