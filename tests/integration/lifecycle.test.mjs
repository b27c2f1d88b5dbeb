/* Start and stop: signals, draining, ports in use, bad configurations, many rounds under load. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { openConfig, runCarillon, startServer, temporaryFile, within } from './helpers/server.mjs';
import { connect } from './helpers/protocol.mjs';
import { RawSocket, RawWebSocket } from './helpers/rawsocket.mjs';

const SHUTDOWN = { code: 3001, reason: 'shutdown' };
const quick = { ...openConfig, shutdown: { timeout: '5s' } };

const connectMany = (server, count) => Promise.all(Array.from({ length: count }, () => connect(server)));

test('SIGTERM tells every client 3001 "shutdown" and leaves with 0', async () => {
  const server = await startServer({ config: quick });
  const clients = await connectMany(server, 50);
  const ends = clients.map((client) => client.closed(10000));
  assert.deepEqual(await server.stop('SIGTERM'), { code: 0, signal: null });
  for (const end of await Promise.all(ends))
    assert.deepEqual(end, SHUTDOWN);
});

test('a server without clients stops at once', async () => {
  const server = await startServer();
  const start = performance.now();
  await server.stop();
  assert.ok(performance.now() - start < 2000);
});

test('what was accepted before SIGTERM is still delivered', async () => {
  const server = await startServer({ config: quick });
  const [reader, writer] = await connectMany(server, 2);
  await reader.subscribe('last');
  const accepted = [];
  const replies = Array.from({ length: 200 }, (_, n) => writer.publish('last', n).then(() => accepted.push(n), () => null));
  await replies[50];
  const due = accepted.slice(); /* another worker may accept more when the reader has gone: not due */
  const end = Promise.all([reader.closed(10000), writer.closed(10000)]);
  await server.stop();
  await end;
  await Promise.all(replies);
  assert.ok(due.length > 50);
  const seen = [];
  while (reader.pending > 0)
    seen.push((await reader.push()).pub.data);
  for (const n of due)
    assert.ok(seen.includes(n), `publication ${n} was accepted and then lost`);
});

test('during the drain the server is not ready and takes nobody new', async () => {
  const server = await startServer({ config: { ...quick, health: { enabled: true } } });
  const clients = await connectMany(server, 50);
  const probe = await RawSocket.open(server.port);
  probe.write('GET /ready HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.equal((await probe.response()).status, 200);
  const ends = clients.map((client) => client.closed(10000));
  const stopped = server.stop();
  await Promise.race(ends); /* now the drain has begun for certain */
  probe.write('GET /ready HTTP/1.1\r\nHost: x\r\n\r\n');
  const answer = await probe.response();
  assert.ok(answer === null || answer.status === 503, `/ready answered ${answer?.status}`);
  await assert.rejects(connect(server));
  await Promise.all([stopped, ...ends]);
});

test('SIGINT stops at once', async () => {
  const server = await startServer({ config: { ...openConfig, shutdown: { timeout: '60s' } } });
  const clients = await connectMany(server, 20);
  const start = performance.now();
  assert.deepEqual(await server.stop('SIGINT', { limitMs: 5000 }), { code: 0, signal: null });
  assert.ok(performance.now() - start < 3000);
  await Promise.all(clients.map((client) => client.closed()));
});

test('a second SIGTERM stops at once, though a client does not let go', async () => {
  const server = await startServer({ config: { ...openConfig, shutdown: { timeout: '60s' } } });
  const stuck = await connect(server);
  stuck.socket.pause(); /* reads no close frame, so it never answers one */
  const seen = server.logs().length;
  server.signal('SIGTERM');
  await server.waitLog(/drain|stop|shut|SIGTERM/i, { from: seen });
  const start = performance.now();
  await server.stop('SIGTERM', { limitMs: 5000 });
  assert.ok(performance.now() - start < 3000);
  stuck.terminate();
});

test('a client that never answers the close frame does not outlast shutdown.timeout', async () => {
  const server = await startServer({ config: { ...openConfig, shutdown: { timeout: '1s' } } });
  const stuck = await connect(server);
  stuck.socket.pause();
  await server.stop('SIGTERM', { limitMs: 7000 });
  stuck.terminate();
});

/* 64 are told at the signal, the others by the next tick: the server is halted until that is due, and theirs is reset
 * meanwhile. The tick comes first and pauses reading, so libwebsockets hears nothing of the resets; and nobody else is
 * there whose input would make it look. */
test('clients that reset as they are told to go do not hold up the drain', async () => {
  const server = await startServer({ config: openConfig, workers: 1 });
  const clients = await Promise.all(Array.from({ length: 100 }, () => RawWebSocket.open(server)));
  server.signal('SIGTERM');
  const told = [];
  await within(5000, new Promise((resolve) => {
    for (const ws of clients)
      ws.closing().then(() => ws.raw.destroy(), () => {}).then(() => told.push(ws) === 64 && resolve());
  }), 'the first 64 to be told');
  await new Promise((resolve) => setTimeout(resolve, 10)); /* too short: an easier test, no failure */
  server.signal('SIGSTOP');
  for (const ws of clients)
    ws.raw.socket.resetAndDestroy();
  await new Promise((resolve) => setTimeout(resolve, 200));
  server.signal('SIGCONT');
  await server.finish({ limitMs: 10000 });
});

test('20 rounds of start and stop under load end with 0 each time', async () => {
  for (let round = 0; round < 20; round++) {
    const server = await startServer({ config: quick });
    const clients = await connectMany(server, 8);
    await Promise.all(clients.map((client) => client.subscribe('load')));
    let isRunning = true;
    const load = clients.map(async (client) => {
      while (isRunning)
        await client.publish('load', 'x'.repeat(500)).catch(() => (isRunning = false));
    });
    await clients[0].push();
    const ends = clients.map((client) => client.closed(10000));
    await server.stop(round % 2 ? 'SIGINT' : 'SIGTERM');
    await Promise.all([...ends, ...load]);
  }
});

/* --- starts that must fail ---------------------------------------------------------------------- */

const lines = (text) => text.split('\n').filter((line) => line !== '');

/* Workers open and close many connections at the same time: what libwebsockets shares between contexts (the
 * reference count of its log, in 4.3) must not be touched by two of them. */
test('2,000 connections that come and go on all workers leave a clean stop', async () => {
  const server = await startServer({ config: quick, workers: 4 });
  for (let round = 0; round < 4; round++)
    for (const client of await connectMany(server, 500))
      client.terminate();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('a port in use is one clear line that names the port and its holder', async () => {
  const holder = await startServer();
  const file = temporaryFile('config.json', '{}');
  const args = ['--config', file, '--address', '127.0.0.1', '--port', String(holder.port), '--workers', '2'];
  const { code, stderr } = await runCarillon(args);
  assert.ok(code > 0, `left with ${code}`);
  assert.equal(lines(stderr).filter((line) => /ERROR|in use/i.test(line)).length, 1, stderr);
  assert.match(stderr, /in use/i);
  assert.ok(stderr.includes(String(holder.port)), stderr);
  assert.ok(stderr.includes(String(holder.pid)), `names the holder's pid: ${stderr}`);
  await (await connect(await startServer({ config: openConfig }))).close();
  await holder.stop();
});

test('a port held by another program is refused too', async () => {
  const other = net.createServer().listen(0, '127.0.0.1');
  await within(5000, new Promise((resolve) => other.once('listening', resolve)), 'a listener');
  const { port } = other.address();
  const { code, stderr } = await runCarillon(['--address', '127.0.0.1', '--port', String(port)]);
  other.close();
  assert.ok(code > 0);
  assert.match(stderr, /in use/i);
});

async function failedStart(config, args = [], env = {}) {
  const file = temporaryFile('config.json', typeof config === 'string' ? config : JSON.stringify(config));
  const { code, stderr } = await runCarillon(['--config', file, '--port', '0', '--address', '127.0.0.1',
                                              ...args], { env });
  assert.ok(code > 0, `started or left with ${code}: ${stderr}`);
  return stderr;
}

test('a bad configuration refuses to start and names what is wrong', async (t) => {
  const rows = [
    ['an unknown option', { client: { pingInterval: '5s' } }, ['client.pingInterval']],
    ['an unknown section', { cleint: {} }, ['cleint']],
    ['a wrong type', { client: { insecure: 'yes' } }, ['client.insecure']],
    ['a number that is a string', { client: { channel_limit: 'many' } }, ['client.channel_limit']],
    ['a value out of range', { http_server: { port: 70000 } }, ['http_server.port', '65535']],
    ['a duration that is none', { client: { ping_interval: '5 parsecs' } }, ['client.ping_interval']],
    ['an unknown log level', { log: { level: 'loud' } }, ['log.level', 'debug']],
    ['an unknown option of a namespace', { channel: { namespaces: [{ name: 'a', colour: 'red' }] } }, ['colour']],
    ['a guard that is not supported', { http_server: { tls: { enabled: true } } }, ['http_server.tls.enabled']],
    ['another guard', { client: { user_connection_limit: 3 } }, ['client.user_connection_limit']],
    ['an internal port', { http_server: { internal_port: '9000' } }, ['http_server.internal_port']],
    ['broken JSON', '{"client": {"insecure": tru}}', ['config.json']],
    ['a list instead of an object', '[]', ['config.json']],
  ];
  for (const [name, config, named] of rows)
    await t.test(name, async () => {
      const stderr = await failedStart(config);
      for (const word of named)
        assert.ok(stderr.includes(word), `"${word}" is not in: ${stderr}`);
      assert.equal(lines(stderr).filter((line) => line.includes(named[0])).length, 1, `one line: ${stderr}`);
    });
});

test('all problems of a file are named at once', async () => {
  const stderr = await failedStart({ nonsense: 1, client: { channel_limit: 'x', insecure: 3 } });
  for (const word of ['nonsense', 'client.channel_limit', 'client.insecure'])
    assert.ok(stderr.includes(word), stderr);
});

test('a file that is not there is one clear line', async () => {
  const { code, stderr } = await runCarillon(['--config', '/nowhere/config.json', '--port', '0']);
  assert.ok(code > 0);
  assert.equal(lines(stderr).length, 1, stderr);
  assert.ok(stderr.includes('/nowhere/config.json'));
});

test('--ignore lets a guard pass, with a warning; other guards stay', async () => {
  const config = { http_server: { tls: { enabled: true } }, client: { user_connection_limit: 3 } };
  const one = await failedStart(config, ['--ignore', 'http_server.tls.enabled']);
  assert.ok(one.includes('client.user_connection_limit'), one);
  const server = await startServer({
    config, args: ['--ignore', 'http_server.tls.enabled', '--ignore', 'client.user_connection_limit'],
  });
  assert.ok(server.logs().some((line) => line.includes('http_server.tls.enabled')), 'it is still said');
  await server.stop();
});

test('a harmless option that is not supported is one warning', async () => {
  const server = await startServer({ config: { usage_stats: { disabled: true } } });
  assert.equal(server.logs().filter((line) => line.includes('usage_stats')).length, 1);
  await server.stop();
});

test('a secret on the command line is refused and not repeated', async () => {
  const stderr = await failedStart({}, ['--http_api.key=hunter2hunter2']);
  assert.ok(stderr.includes('http_api.key'), stderr);
  assert.ok(!stderr.includes('hunter2'), stderr);
});

test('the environment is over the file, the command line over both', async () => {
  const config = { ...openConfig, client: { ...openConfig.client, ping_interval: '10s' } };
  const fromEnv = await startServer({ config, env: { CARILLON_CLIENT_PING_INTERVAL: '11s' } });
  assert.equal((await connect(fromEnv)).info.ping, 11);
  const fromArgs = await startServer({
    config, env: { CARILLON_CLIENT_PING_INTERVAL: '11s' }, args: ['--client.ping_interval=12s'],
  });
  assert.equal((await connect(fromArgs)).info.ping, 12);
  await Promise.all([fromEnv.stop('SIGINT'), fromArgs.stop('SIGINT')]);
});

test('--version, --help and config commands print to stdout and leave with 0', async () => {
  for (const [args, regex] of [[['--version'], /\d+\.\d+\.\d+/], [['--help'], /--config/],
                               [['config', 'doc'], /client\.ping_interval/], [['config', 'init'], /"key"/]]) {
    const { code, stdout } = await runCarillon(args);
    assert.equal(code, 0, args.join(' '));
    assert.match(stdout, regex);
  }
});

test('what `config init` prints starts, and its keys are fresh', async () => {
  const [one, two] = await Promise.all([runCarillon(['config', 'init']), runCarillon(['config', 'init'])]);
  assert.notEqual(one.stdout, two.stdout);
  const server = await startServer({ config: JSON.parse(one.stdout) });
  await server.stop();
});

test('`config check` tells a good file from a bad one', async () => {
  const good = temporaryFile('good.json', JSON.stringify(openConfig));
  const bad = temporaryFile('bad.json', JSON.stringify({ http_server: { tls: { enabled: true } } }));
  assert.equal((await runCarillon(['config', 'check', good])).code, 0);
  const { code, stdout, stderr } = await runCarillon(['config', 'check', bad]);
  assert.notEqual(code, 0);
  assert.ok((stdout + stderr).includes('http_server.tls.enabled'));
});
