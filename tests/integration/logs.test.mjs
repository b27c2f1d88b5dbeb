/* The log: one line per event, each about a connection with its id, the last one with the reason. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openConfig, startServer } from './helpers/server.mjs';
import { Client, connect } from './helpers/protocol.mjs';
import { api } from './helpers/http.mjs';
import { RawSocket, upgradeRequest } from './helpers/rawsocket.mjs';

const KEY = 'log-test-secret-key';
const PAYLOAD = 'log-test-payload-text';
const TOKEN = 'eyJhbGciOiJIUzI1NiJ9.bG9nLXRlc3QtdG9rZW4.c2lnbmF0dXJl';

const configWith = (log) => ({ ...openConfig, http_api: { key: KEY }, log });

/* Clients that end in different ways: [name, what the log must give as reason, how]. */
const ENDINGS = [
  ['of its own', /closed by peer/, (client) => client.close()],
  ['cut off', /connection lost|closed by peer/, (client) => client.terminate()],
  ['after nonsense', /bad request/, (client) => client.send('nonsense')],
  ['after send', /not available/, (client) => client.send('{"send":{"data":1}}')],
  ['after too much', /message too big/, (client) => client.send('x'.repeat(70000))],
  ['after binary', /binary/, (client) => client.socket.send(Buffer.from('{}'))],
];

async function traffic(server) {
  const client = await connect(server);
  await client.subscribe('logged');
  await client.publish('logged', PAYLOAD);
  await api(server, 'publish', { channel: 'logged', data: PAYLOAD }, { key: KEY });
  await api(server, 'publish', { channel: 'logged', data: PAYLOAD }, { key: `${KEY}x` });
  await api(server, 'publish', { channel: 'logged', data: PAYLOAD }, { query: `?api_key=${KEY}` });
  await client.close();
  const refused = await Client.open(server, { path: `?token=${TOKEN}` });
  refused.send(JSON.stringify({ id: 1, connect: { token: TOKEN } }));
  await refused.closed();
}

function noSecrets(lines) {
  for (const secret of [KEY, PAYLOAD, TOKEN, TOKEN.split('.')[1]])
    assert.ok(!lines.some((line) => line.includes(secret)), `the log holds "${secret}"`);
}

test('text: one grep for the id finds why a connection ended', async (t) => {
  const server = await startServer({ config: configWith({ level: 'debug' }) });
  for (const [name, reason, end] of ENDINGS)
    await t.test(name, async () => {
      const client = await connect(server);
      const { client: id } = client.info;
      await end(client);
      const last = await server.waitLog(new RegExp(`${id}.*reason=|reason=.*${id}`));
      assert.match(last, reason);
      const about = server.logs().filter((line) => line.includes(id));
      assert.equal(about.filter((line) => line.includes('reason=')).length, 1, 'one end each');
    });
  await t.test('by the server stopping', async () => {
    const client = await connect(server);
    await server.stop();
    const last = server.logs().find((line) => line.includes(client.info.client) && line.includes('reason='));
    assert.match(last, /shutdown/);
  });
  for (const line of server.logs())
    assert.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARN|ERROR) +\S/);
});

test('JSON: every line parses, with time, level and message', async () => {
  const server = await startServer({ config: configWith({ level: 'debug', format: 'json' }) });
  await traffic(server);
  const client = await connect(server);
  client.send('nonsense');
  await client.closed();
  await server.stop();
  const events = server.logs().map((line) => JSON.parse(line));
  for (const event of events) {
    assert.match(event.time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.ok(['debug', 'info', 'warn', 'error'].includes(event.level), event.level);
    assert.ok(event.message.length > 0);
  }
  const ready = events.find(({ message }) => message === 'carillon ready');
  assert.equal(Number(ready.port), server.port);
  const end = events.find((event) => Object.values(event).includes(client.info.client) && event.reason);
  assert.match(end.reason, /bad request/);
  noSecrets(server.logs());
});

test('text: no key, token or payload is logged, at any level', async () => {
  const server = await startServer({ config: configWith({ level: 'debug' }) });
  await traffic(server);
  await server.stop();
  noSecrets(server.logs());
});

test('what a client sends cannot forge a line or reach a terminal', async () => {
  const server = await startServer({ config: configWith({ level: 'debug' }) });
  const raw = await RawSocket.open(server.port);
  raw.write(upgradeRequest({ path: '/x%0a2026-01-01T00:00:00.000Z%20ERROR%20forged%1b[31m',
                             headers: { Origin: 'http://a\x1b[31m', 'User-Agent': 'u\x1b]0;x\x07' } }));
  await raw.response();
  const client = await connect(server);
  await client.request({ subscribe: { channel: 'a\n2026-01-01T00:00:00.000Z ERROR forged \u001b[31m' } });
  await client.request({ publish: { channel: 'b\r\nERROR forged', data: 1 } });
  await client.close();
  await server.stop();
  for (const line of server.logs()) {
    assert.doesNotMatch(line, /^\S+ ERROR/);
    assert.ok(!/[\x00-\x08\x0b-\x1f\x7f]/.test(line), JSON.stringify(line));
  }
});

test('at level info a quiet connection writes nothing', async () => {
  const server = await startServer({ config: configWith({ level: 'info' }) });
  const lines = server.logs().length;
  const clients = await Promise.all(Array.from({ length: 20 }, () => connect(server)));
  await Promise.all(clients.map((client) => client.close()));
  await server.stop(); /* now all its lines are here */
  assert.ok(server.logs().length - lines < 20, server.logs().slice(lines).join('\n'));
});

test('a thousand refused handshakes do not write a thousand lines', async () => {
  const server = await startServer({ config: configWith({ level: 'info' }) });
  const lines = server.logs().length;
  for (let round = 0; round < 10; round++)
    await Promise.all(Array.from({ length: 100 }, async () => {
      const raw = await RawSocket.open(server.port);
      raw.write(upgradeRequest({ headers: { Origin: 'http://evil.example' } }));
      await raw.response();
      raw.destroy();
    }));
  await server.stop();
  assert.ok(server.logs().length - lines < 100, `${server.logs().length - lines} lines`);
});
