/* How Redis may be deployed: behind a unix socket, TLS, an ACL, Sentinels. Real servers, real
 * certificates; each test has its own.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { describe, test } from 'node:test';
import { makeAuthority } from './helpers/certificates.mjs';
import { api, metrics, sum } from './helpers/http.mjs';
import { connect } from './helpers/protocol.mjs';
import { startNode, startNodes, startRedis, startSentinels } from './helpers/redis.mjs';
import { deadline, openChannels, openConfig, root, runCarillon, startServer, temporaryFile,
         until } from './helpers/server.mjs';

const config = {
  client: openConfig.client,
  channel: { without_namespace: {
    ...openChannels, presence: true, join_leave: true, history_size: 100, history_ttl: '60s', force_recovery: true,
    allow_presence_for_client: true, allow_presence_for_anonymous: true,
  }, namespaces: [{ name: 'plain', ...openChannels }] },
  http_api: { insecure: true }, health: { enabled: true }, prometheus: { enabled: true },
};
const LIMIT = { timeout: deadline(60000) };

const authority = makeAuthority();
const local = authority.issue('DNS:localhost,IP:127.0.0.1');

/* The user of docs/scaling.md. */
const USER = 'carillon', PASSWORD = 'pass/word@1';
const documented = /^user carillon on >\S+ (.*)$/m.exec(fs.readFileSync(`${root}docs/scaling.md`, 'utf8'))[1];
const addUser = (redis) =>
  redis.client.call('ACL', 'SETUSER', USER, 'on', `>${PASSWORD}`, ...documented.split(' '));
const credentials = `${USER}:${encodeURIComponent(PASSWORD)}@`;

const engine = (redis) => ({ ...config, engine: { type: 'redis', redis } });
const reason = async (node) => (await (await fetch(`${node.url}/ready`)).json()).reason;
const ready = (node, limitMs = 15000) =>
  until(async () => (await fetch(`${node.url}/ready`)).status === 200, '/ready to be 200', limitMs);
const count = async (node, name) => sum(await metrics(node), new RegExp(`^carillon_${name}$`));

/* What is published on either node, by API and client, arrives on both. The first publication on another Redis than
 * before begins a new epoch, which is no news for whoever comes later. */
async function workTogether(nodes, channel = 'room') {
  await api(nodes[0], 'publish', { channel, data: 'before' });
  const readers = await Promise.all(nodes.map((node) => connect(node)));
  await Promise.all(readers.map((reader) => reader.subscribe(channel)));
  for (const [i, node] of nodes.entries()) {
    const { json } = await api(node, 'publish', { channel, data: `api ${i}` });
    assert.ok(json.result?.offset, JSON.stringify(json));
    await readers[i].call({ publish: { channel, data: `client ${i}` } });
  }
  const expected = nodes.flatMap((_, i) => [`api ${i}`, `client ${i}`]);
  for (const reader of readers) {
    const got = [];
    while (got.length < expected.length) {
      const push = await reader.push();
      if (push.pub)
        got.push(push.pub.data);
    }
    assert.deepEqual(got, expected);
  }
  const { publications } = (await api(nodes[0], 'history', { channel, limit: expected.length, reverse: true })).json.result;
  assert.deepEqual(publications.map(({ data }) => data), expected.reverse());
  const { presence } = await readers[0].call({ presence: { channel } });
  assert.equal(Object.keys(presence).length, nodes.length);
  const info = (await api(nodes[0], 'info', {})).json;
  assert.equal(info.result?.nodes.length, nodes.length, JSON.stringify(info));
  await Promise.all(readers.map((reader) => reader.close()));
}

/* Starts a node that cannot work; it says why in /ready and in the log, and no secret. */
async function isRefused(redis, words) {
  const node = await startServer({ config: engine(redis) });
  await until(async () => words.test(await reason(node)), `/ready to say ${words}`);
  await node.waitLog(new RegExp(`redis is away reason="${words.source}`));
  assert.equal((await fetch(`${node.url}/ready`)).status, 503);
  const log = node.logs().join('\n');
  assert.ok(!log.includes(PASSWORD) && !log.includes('PRIVATE KEY'));
  await node.stop();
}

async function twoNodes(redis, more) {
  const nodes = await startNodes({ address: 'unused', ...redis }, 2, { config, redis: more });
  await workTogether(nodes);
  return nodes;
}

const stop = (...all) => Promise.all(all.flat().map((one) => one.stop()));

async function withRedis(t, options) {
  const redis = await startRedis(options);
  t.after(() => redis.stop());
  return redis;
}

describe('unix socket', { concurrency: true }, () => {
  test('two nodes, a user with few rights and a database', LIMIT, async (t) => {
    const redis = await withRedis(t);
    await addUser(redis);
    const nodes = await twoNodes(redis, { address: `unix://${credentials}${redis.socket}?db=3` });
    const links = (await redis.client.client('LIST')).split('\n').filter((line) => /name=carillon-/.test(line));
    assert.equal(links.length, 4);
    assert.ok(links.every((line) => line.includes(`addr=${redis.socket}:0`) && / db=3 /.test(line) &&
                                    line.includes(`user=${USER}`)), links.join('\n'));
    for (const node of nodes)
      assert.ok(!node.logs().join('\n').includes('pass'));
    await stop(nodes);
  });

  test('one that is not there, and a password that is wrong', LIMIT, async (t) => {
    const redis = await withRedis(t);
    await addUser(redis);
    await isRefused({ address: `unix://${redis.socket}.not` }, /the socket of redis does not exist/);
    await isRefused({ address: `unix://${USER}:wrong@${redis.socket}` }, /redis refuses the user name or the password/);
  });
});

describe('TLS', { concurrency: true }, () => {
  const ca = { server_ca_pem: authority.file };
  const start = (t, certificate = local, more = {}) =>
    withRedis(t, { tls: { ca: authority.file, ...certificate, ...more } });

  test('two nodes, by name and by address, with a user of few rights', LIMIT, async (t) => {
    const redis = await start(t);
    await addUser(redis);
    for (const host of ['localhost', '127.0.0.1'])
      await stop(await twoNodes(redis, { address: `rediss://${credentials}${host}:${redis.port}/3`, tls: ca }));
    /* As Centrifugo spells it, with the text itself. */
    const pem = fs.readFileSync(authority.file, 'utf8');
    await stop(await twoNodes(redis, { address: `localhost:${redis.port}`, user: USER, password: PASSWORD,
                                       tls: { enabled: true, server_ca_pem: pem } }));
  });

  test('many large messages at once pass unharmed, both ways', LIMIT, async (t) => {
    const redis = await start(t);
    const [a, b] = await startNodes({}, 2, {
      config: { ...config, client: { ...config.client, queue_max_size: 100 << 20 } },
      redis: { address: `rediss://localhost:${redis.port}`, tls: ca } });
    const reader = await connect(b);
    await reader.subscribe('room');
    const data = (i) => String.fromCharCode(97 + i % 26).repeat(50000 + 997 * i);
    const published = Promise.all(Array.from({ length: 200 }, (_, i) =>
      api(a, 'publish', { channel: 'room', data: `${i}:${data(i)}` })));
    const seen = new Set();
    for (let i = 0; i < 200; i++) {
      const [, n, text] = /^(\d+):(.*)$/s.exec((await reader.push()).pub.data);
      assert.ok(text === data(Number(n)));
      seen.add(n);
    }
    assert.equal(seen.size, 200);
    assert.ok((await published).every(({ json }) => json.result));
    await reader.close();
    await stop(a, b);
  });

  test('a certificate of ours, where Redis wants one', LIMIT, async (t) => {
    const redis = await start(t, local, { wantsClients: true });
    const own = authority.issue('DNS:node');
    const stranger = makeAuthority().issue('DNS:node');
    const address = `rediss://localhost:${redis.port}`;
    await stop(await twoNodes(redis, { address, tls: { ...ca, cert_pem: own.cert, key_pem: own.key } }));
    await isRefused({ address, tls: ca }, /redis wants a certificate of ours/);
    await isRefused({ address, tls: { ...ca, cert_pem: stranger.cert, key_pem: stranger.key } },
                    /redis refuses our certificate/);
  });

  test('TLS 1.2, also without a certificate of ours', LIMIT, async (t) => {
    const redis = await withRedis(t, {
      tls: { ca: authority.file, ...local, wantsClients: true }, args: ['--tls-protocols', 'TLSv1.2'] });
    const own = authority.issue('DNS:node');
    const address = `rediss://localhost:${redis.port}`;
    await stop(await twoNodes(redis, { address, tls: { ...ca, cert_pem: own.cert, key_pem: own.key } }));
    await isRefused({ address, tls: ca }, /redis refuses the TLS handshake, maybe it wants a certificate/);
  });

  test('a certificate that has expired', LIMIT, async (t) => {
    const redis = await start(t, authority.issue('DNS:localhost', { isExpired: true }));
    await isRefused({ address: `rediss://localhost:${redis.port}`, tls: ca }, /the certificate of redis has expired/);
  });

  test('a certificate for another host, unless that is the one we mean', LIMIT, async (t) => {
    const redis = await start(t, authority.issue('DNS:redis.internal'));
    const other = /the certificate of redis is for another host/;
    await isRefused({ address: `rediss://localhost:${redis.port}`, tls: ca }, other);
    await isRefused({ address: `rediss://127.0.0.1:${redis.port}`, tls: ca }, other);
    await stop(await twoNodes(redis, { address: `rediss://127.0.0.1:${redis.port}`,
                                       tls: { ...ca, server_name: 'redis.internal' } }));
  });

  test('a certificate that nobody we trust has signed, unless we take any', LIMIT, async (t) => {
    const redis = await start(t);
    const address = `rediss://localhost:${redis.port}`;
    const untrusted = /the certificate of redis is not trusted/;
    await isRefused({ address, tls: { server_ca_pem: makeAuthority().file } }, untrusted);
    await isRefused({ address }, untrusted); /* the system does not know this CA */
    const nodes = await twoNodes(redis, { address, tls: { insecure_skip_verify: true } });
    await nodes[0].waitLog(/WARN.*insecure_skip_verify.*read and change/);
    await stop(nodes);
  });

  test('one side speaks TLS and the other does not', LIMIT, async (t) => {
    const [plain, tls] = await Promise.all([withRedis(t), start(t)]);
    await isRefused({ address: `redis://localhost:${tls.port}` }, /redis closed the connection|the connection to redis broke/);
    await isRefused({ address: `rediss://localhost:${plain.port}` }, /redis (does not speak TLS here|does not answer the TLS)/);
  });

  test('a server that accepts and says nothing is given up in time', LIMIT, async (t) => {
    const silent = net.createServer(() => {}).listen(0, '127.0.0.1');
    t.after(() => silent.close());
    silent.unref();
    await until(() => silent.address(), 'the server');
    await isRefused({ address: `rediss://localhost:${silent.address().port}`, connect_timeout: '300ms' },
                    /redis does not answer the TLS handshake/);
  });

  test('what cannot be used stops the start and names the option', LIMIT, async () => {
    const own = authority.issue('DNS:node');
    const cases = [
      [{ cert_pem: own.cert, key_pem: local.key }, /engine\.redis\.tls\.key_pem: is not the key of the certificate/],
      [{ cert_pem: own.cert }, /engine\.redis\.tls\.key_pem: is missing/],
      [{ server_ca_pem: '/not/there' }, /engine\.redis\.tls\.server_ca_pem: .*cannot be read/],
      [{ client_ca_pem: authority.file }, /engine\.redis\.tls\.client_ca_pem/],
    ];
    for (const [tls, words] of cases) {
      const file = temporaryFile('config.json', JSON.stringify(engine({ address: 'rediss://localhost:1', tls })));
      for (const args of [['config', 'check', file], ['--config', file, '--port', '0']]) {
        const { code, stdout, stderr } = await runCarillon(args);
        assert.notEqual(code, 0);
        assert.match(stdout + stderr, words);
      }
    }
  });
});

describe('ACL', { concurrency: true }, () => {
  test('the documented user has every command of the scripts, also of those that rarely run', () => {
    const scripts = fs.readFileSync(`${root}channels/redis_scripts.c`, 'utf8');
    const commands = new Set([...scripts.matchAll(/(?:call|try)\('([A-Z]+)'/g)].map(([, name]) => name.toLowerCase()));
    assert.ok(commands.size > 15);
    for (const command of commands)
      assert.match(documented, new RegExp(`\\+${command}( |$)`));
  });

  test('the documented user can do all that is needed, and nothing else', LIMIT, async (t) => {
    const redis = await withRedis(t);
    await addUser(redis);
    await redis.client.config('SET', 'requirepass', 'another');
    const nodes = await twoNodes(redis, { user: USER, password: PASSWORD });
    const user = redis.client.duplicate({ username: USER, password: PASSWORD, disableClientInfo: true });
    await user.eval("return redis.call('TIME')", 0); /* what a single connection per user needs, too */
    user.disconnect();
    const log = await redis.client.call('ACL', 'LOG');
    assert.deepEqual(log, []);
    await redis.client.call('ACL', 'SETUSER', USER, '-publish');
    const reader = await connect(nodes[0]);
    assert.equal((await reader.request({ publish: { channel: 'room', data: 'x' } })).error?.code, 100);
    await stop(nodes);
  });

  test('a user who may not ask for the role, nor name the links', LIMIT, async (t) => {
    const redis = await withRedis(t);
    await addUser(redis);
    await redis.client.call('ACL', 'SETUSER', USER, '-role', '-client|setname');
    await stop(await twoNodes(redis, { user: USER, password: PASSWORD }));
  });

  test('a user who may not touch our keys', LIMIT, async (t) => {
    const redis = await withRedis(t);
    await addUser(redis);
    await isRefused({ address: redis.address, user: USER, password: PASSWORD, prefix: 'else' },
                    /the user lacks a permission in redis/);
  });
});

describe('Sentinel', { concurrency: true }, () => {
  /* A master, its replica and three Sentinels; all are stopped in the end. */
  async function deploy(t, options) {
    const master = await withRedis(t, options);
    const replica = await withRedis(t, { ...options, args: ['--replicaof', '127.0.0.1', String(master.port)] });
    const sentinels = await startSentinels(master);
    t.after(() => stop(sentinels));
    const sentinel_address = sentinels.map(({ port }) => `127.0.0.1:${port}`);
    return { master, replica, sentinels, options: { sentinel_address, sentinel_master_name: 'main' } };
  }
  const start = async (options) => {
    const node = await startServer({ config: engine(options) });
    await node.waitLog(/redis is there/);
    return node;
  };
  const linksTo = async (redis) =>
    (await redis.client.client('LIST')).match(/name=carillon-\w+-(commands|messages)/g)?.length ?? 0;

  async function failedOver(sentinels, port, limitMs = 20000) {
    await until(async () => (await Promise.all(sentinels.map((s) => s.masterPort()))).includes(port),
                'the replica to be promoted', limitMs);
    return performance.now();
  }

  test('a fail-over: all nodes are on the new master within five seconds', LIMIT, async (t) => {
    const { master, replica, sentinels, options } = await deploy(t);
    /* The first one named is not there. */
    const nodes = await Promise.all([1, 2].map(() =>
      start({ ...options, sentinel_address: ['127.0.0.1:1', ...options.sentinel_address] })));
    await nodes[0].waitLog(/sentinel is of no use address=127\.0\.0\.1:1 reason="redis refuses connections"/);
    await workTogether(nodes);
    assert.equal(await linksTo(master), 4);
    const readers = await Promise.all(nodes.map((node) => connect(node)));
    await Promise.all(readers.map((reader) => reader.subscribe('plain:stays')));

    await master.kill();
    await until(async () => (await reason(nodes[0])) !== undefined, 'the loss to be noticed');
    const promoted = await failedOver(sentinels, replica.port);
    await Promise.all(nodes.map((node) => ready(node)));
    const took = performance.now() - promoted;
    assert.ok(took < deadline(5000), `${took} ms after the promotion`);
    t.diagnostic(`ready again ${took.toFixed(0)} ms after the promotion`);
    await workTogether(nodes);
    assert.equal(await linksTo(replica), 4);
    await api(nodes[0], 'publish', { channel: 'plain:stays', data: 'again' });
    for (const reader of readers)
      assert.equal((await reader.push()).pub?.data, 'again');
    for (const node of nodes) {
      assert.equal(await count(node, 'redis_failovers_total'), 1);
      await node.waitLog(new RegExp(`redis has a new master address=127\\.0\\.0\\.1:${replica.port} was=127\\.0\\.0\\.1:${master.port}`));
    }
    await Promise.all(readers.map((reader) => reader.close()));
    await stop(nodes);
  });

  test('an old master that still answers is left as soon as another is named', LIMIT, async (t) => {
    const { master, replica, sentinels, options } = await deploy(t);
    const nodes = await Promise.all([1, 2].map(() => start(options)));
    /* It cannot be told that it is a replica now, nor to drop its clients. */
    await master.client.call('ACL', 'SETUSER', 'default', '-multi', '-slaveof', '-replicaof', '-client|kill');
    await sentinels[0].client.call('SENTINEL', 'FAILOVER', 'main');
    const promoted = await failedOver(sentinels, replica.port);
    await Promise.all(nodes.map((node) => node.waitLog(/redis is there.*\n?/, { from: node.logs().length })));
    assert.ok(performance.now() - promoted < deadline(5000));
    assert.match(await master.client.info('replication'), /role:master/);
    assert.deepEqual([await linksTo(master), await linksTo(replica)], [0, 4]);
    for (const node of nodes)
      await node.waitLog(/redis is away reason="sentinel names another master"/);
    await workTogether(nodes);
    await master.client.call('ACL', 'SETUSER', 'default', '+@all');
    await until(async () => /role:slave/.test(await master.client.info('replication')), 'the old master to follow', 20000);
    await workTogether(nodes);
    assert.equal(await count(nodes[0], 'redis_failovers_total'), 1);
    await stop(nodes);
  });

  test('a master that is frozen, and comes back when it is none any more', LIMIT, async (t) => {
    const { master, replica, sentinels, options } = await deploy(t);
    const nodes = await Promise.all([1, 2].map(() => start(options)));
    master.freeze();
    const promoted = await failedOver(sentinels, replica.port);
    await Promise.all(nodes.map((node) => node.waitLog(/redis has a new master/)));
    await Promise.all(nodes.map((node) => ready(node)));
    assert.ok(performance.now() - promoted < deadline(5000));
    await workTogether(nodes);
    master.thaw();
    await until(async () => /role:slave/.test(await master.client.info('replication')), 'the old master to follow', 20000);
    await workTogether(nodes);
    assert.deepEqual([await linksTo(master), await linksTo(replica)], [0, 4]);
    assert.equal(await count(nodes[0], 'redis_failovers_total'), 1);
    await stop(nodes);
  });

  test('TLS, passwords and ACL users, to Redis and to the Sentinels', LIMIT, async (t) => {
    const { master, replica, sentinels, options } = await deploy(t, {
      tls: { ca: authority.file, ...local }, password: 'admin-password' });
    await Promise.all([master, replica].map(addUser));
    await Promise.all(sentinels.map(({ client }) =>
      client.call('ACL', 'SETUSER', 'asker', 'on', '>asker-password', '-@all', '+sentinel|master',
                  '+sentinel|get-master-addr-by-name')));
    const tls = { enabled: true, server_ca_pem: authority.file };
    const all = { ...options, user: USER, password: PASSWORD, tls, sentinel_user: 'asker',
                  sentinel_password: 'asker-password', sentinel_tls: tls };
    const nodes = await Promise.all([1, 2].map(() => start(all)));
    await workTogether(nodes);
    await sentinels[0].client.call('SENTINEL', 'FAILOVER', 'main');
    await Promise.all(nodes.map((node) => node.waitLog(/redis has a new master/, { limitMs: 20000 })));
    await Promise.all(nodes.map((node) => ready(node)));
    await workTogether(nodes);
    for (const node of nodes)
      assert.doesNotMatch(node.logs().join('\n'), /-password|pass.word/);
    await stop(nodes);
    await isRefused({ ...all, sentinel_password: 'wrong-password' }, /redis refuses the user name or the password/);
    await isRefused({ ...all, sentinel_user: '', sentinel_password: '' }, /redis wants a password/);
    await isRefused({ ...all, sentinel_tls: { enabled: true } }, /no sentinel answers/);
    await isRefused({ ...all, tls: { enabled: true } }, /the certificate of redis is not trusted/);
  });

  test('sentinels come and go, Redis stays: nobody notices', LIMIT, async (t) => {
    const { sentinels, options } = await deploy(t);
    const nodes = await Promise.all([1, 2].map(() => start(options)));
    await Promise.all(sentinels.map((s) => s.kill()));
    await nodes[0].waitLog(/sentinel is of no use/);
    await workTogether(nodes);
    await Promise.all(sentinels.map((s) => s.start()));
    await nodes[0].waitLog(/sentinel is of use again/);
    await workTogether(nodes);
    assert.equal(await count(nodes[0], 'redis_reconnects_total'), 0);
    await stop(nodes);
  });

  test('a name that the Sentinels do not know, and Sentinels that are not there', LIMIT, async (t) => {
    const { master, sentinels, options } = await deploy(t);
    await isRefused({ ...options, sentinel_master_name: 'other' }, /sentinel does not know this master name/);
    await isRefused({ ...options, sentinel_address: ['127.0.0.1:1', '127.0.0.1:2'] }, /no sentinel answers/);
    await isRefused({ ...options, sentinel_address: `127.0.0.1:${master.port}` }, /redis does not know a command|redis answers with an error/);
    await isRefused({ address: `127.0.0.1:${sentinels[0].port}` }, /this is a sentinel, not a redis/);
  });

  test('a replica as the address is refused', LIMIT, async (t) => {
    const master = await withRedis(t);
    const replica = await withRedis(t, { args: ['--replicaof', '127.0.0.1', String(master.port)] });
    await isRefused({ address: replica.address }, /this redis is a read-only replica/);
  });
});
