/* What the server does as time passes: stale connections, pings, pongs, server time. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { deadline, openConfig, startServer } from './helpers/server.mjs';
import { Client, connect } from './helpers/protocol.mjs';

let server;

before(async () => {
  const client = {
    ...openConfig.client, stale_close_delay: '300ms', ping_interval: '1s', pong_timeout: '300ms',
    connect_include_server_time: true,
  };
  server = await startServer({ config: { ...openConfig, client } });
});
after(() => server.stop());

async function timed(promise) {
  const start = performance.now();
  return { value: await promise, ms: performance.now() - start };
}

describe('as time passes', { concurrency: true }, () => {
  it('a connection that never sends connect is closed with 3502', async () => {
    const client = await Client.open(server);
    const { value, ms } = await timed(client.closed());
    assert.deepEqual(value, { code: 3502, reason: 'stale' });
    assert.ok(ms > 250 && ms < deadline(1800), `after ${ms} ms`);
  });

  it('the connect reply tells interval and server time', async () => {
    const client = await connect(server);
    assert.equal(client.info.ping, 1);
    assert.equal(client.info.pong, true);
    assert.ok(Math.abs(client.info.time - Date.now()) < 60000, `time ${client.info.time}`);
    await client.close();
  });

  it('pings come every interval, the first between a half and a whole one, and pongs keep the connection', async () => {
    const client = await connect(server);
    const start = performance.now();
    const end = client.closed(60000).then((value) => assert.fail(`closed ${JSON.stringify(value)}`));
    const three = new Promise((resolve) => {
      client.socket.on('message', () => client.pings.length >= 3 && resolve());
    });
    await Promise.race([three, end]);
    const [first, second, third] = client.pings;
    assert.ok(first - start > 400 && first - start < deadline(1600), `first after ${first - start} ms`);
    for (const gap of [second - first, third - second])
      assert.ok(gap > 700 && gap < deadline(1600), `${gap} ms between pings`);
    await client.publish('x', 1);
    client.terminate();
  });

  it('a ping is exactly {}, and an unanswered one closes with 3012', async () => {
    const client = await connect(server, { answerPings: false });
    const end = await client.closed();
    assert.deepEqual(end, { code: 3012, reason: 'no pong' });
    assert.equal(client.frames.at(-1), '{}');
    const waited = performance.now() - client.pings[0];
    assert.ok(waited > 200 && waited < deadline(1800), `after ${waited} ms`);
  });

  it('commands do not count as pongs', async () => {
    const client = await connect(server, { answerPings: false });
    const end = client.closed();
    client.socket.on('message', (data) => data.toString() === '{}' && client.publish('x', 1).catch(() => {}));
    assert.equal((await end).code, 3012);
  });

  it('each ping permits one pong: the second closes with 3501', async () => {
    const client = await connect(server, { answerPings: false });
    client.socket.on('message', (data) => {
      if (data.toString() === '{}')
        for (let i = 0; i < 2; i++)
          client.send('{}');
    });
    assert.deepEqual(await client.closed(), { code: 3501, reason: 'bad request' });
  });
});
