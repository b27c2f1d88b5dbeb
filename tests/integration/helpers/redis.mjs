/* A real redis-server for tests, and nodes of Carillon on it.
 *
 *   const redis = await startRedis();                 on a free port, nothing is written to disk
 *   const [a, b] = await startNodes(redis, 2, { config });
 *   await redis.client.publish(channel, bytes)        an ioredis client
 *   redis.address, redis.socket                       redis://127.0.0.1:port, the path of its unix socket
 *   redis.freeze(); redis.thaw();                     SIGSTOP, SIGCONT
 *   await redis.kill(); await redis.start();          SIGKILL; again on the same port, with what it wrote
 *   await redis.stop();
 *
 *   await startRedis({ args: ['--replicaof', '127.0.0.1', '7000'] })   more for its command line; it writes in redis.folder
 *   await startRedis({ tls: { ca, cert, key, wantsClients } })         nothing but TLS on its port
 *   await startRedis({ password })
 *   await startSentinels(master, { name, count })     Sentinels that know each other and its replicas; they are
 *                                                     reached as the master is: TLS, password
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import { startServer, until, within } from './server.mjs';

export async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

const running = new Set();
process.on('exit', () => {
  for (const redis of running)
    redis.abandon();
});

function tlsArguments(port, { ca, cert, key, wantsClients = false }) {
  return ['--port', '0', '--tls-port', String(port), '--tls-ca-cert-file', ca, '--tls-cert-file', cert,
          '--tls-key-file', key, '--tls-auth-clients', wantsClients ? 'yes' : 'no', '--tls-replication', 'yes'];
}

class RedisServer {
  #child = null;
  #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'carillon-redis-'));
  #args;

  constructor(port, { args = [], tls, password = '' } = {}) {
    this.port = port;
    this.#args = args;
    this.tls = tls;
    this.password = password;
    this.socket = path.join(this.#folder, 'socket');
    this.address = `redis://127.0.0.1:${port}`;
    running.add(this);
  }

  get folder() {
    return this.#folder;
  }

  get listenArguments() {
    const listen = this.tls ? tlsArguments(this.port, this.tls) : ['--port', String(this.port)];
    const password = this.password ? ['--requirepass', this.password] : [];
    return [...listen, ...password, '--bind', '127.0.0.1', '--unixsocket', this.socket];
  }

  /* What redis-server is started with, and what it says when it is ready. */
  launchWords() {
    const follow = this.password ? ['--masterauth', this.password] : [];
    return [[...this.listenArguments, ...follow, '--save', '', '--appendonly', 'no',
             '--repl-diskless-sync-delay', '0', '--dir', this.#folder, '--daemonize', 'no', ...this.#args], /Ready to accept connections/];
  }

  /* In any case without TLS. */
  connect(options = {}) {
    const how = this.tls ? { path: this.socket } : { port: this.port, host: '127.0.0.1' };
    return new Redis({ ...how, password: this.password, retryStrategy: () => 50, ...options });
  }

  async start() {
    const [args, ready] = this.launchWords();
    const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child = child;
    let text = '';
    await within(10000, new Promise((resolve, reject) => {
      child.stdout.on('data', (chunk) => {
        text += chunk;
        if (ready.test(text))
          resolve();
      });
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`redis-server ended: ${text}`)));
    }), () => `redis-server to start: ${text}`);
    child.stdout.resume();
    child.unref();
    child.stdout.unref();
    this.client ??= this.connect();
    this.client.on('error', () => {}); /* it comes back by itself */
    return this;
  }

  freeze() {
    this.#child.kill('SIGSTOP');
  }

  thaw() {
    this.#child.kill('SIGCONT');
  }

  async kill() {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await within(5000, ended, 'redis-server to end');
  }

  abandon() {
    running.delete(this);
    this.#child?.kill('SIGKILL');
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }

  async stop() {
    this.client.disconnect();
    if (this.#child.exitCode === null && this.#child.signalCode === null)
      await this.kill();
    this.abandon();
  }
}

/* Follows one Redis and its replicas; fails over within about two seconds. */
class Sentinel extends RedisServer {
  #name;

  constructor(port, { master, name, args = '' }) {
    super(port, { tls: master.tls, password: master.password });
    this.#name = name;
    this.file = path.join(this.folder, 'sentinel.conf');
    const listen = this.listenArguments.join(' ').replace(/ ?--/g, '\n').trim();
    fs.writeFileSync(this.file, [
      listen, `dir ${this.folder}`, `sentinel monitor ${name} 127.0.0.1 ${master.port} 2`,
      ...(master.password ? [`sentinel auth-pass ${name} ${master.password}`] : []),
      `sentinel down-after-milliseconds ${name} 1000`, `sentinel failover-timeout ${name} 3000`, args, '',
    ].join('\n'));
  }

  launchWords() {
    return [[this.file, '--sentinel'], /\+monitor master/];
  }

  connect() {
    return super.connect({ enableReadyCheck: false });
  }

  async hasMet(others, replicas) {
    const list = await this.client.call('SENTINEL', 'MASTER', this.#name);
    const value = (name) => Number(list[list.indexOf(name) + 1]);
    return value('num-other-sentinels') === others && value('num-slaves') === replicas;
  }

  /* The port of the Redis it takes for the master. */
  async masterPort() {
    return Number((await this.client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', this.#name))[1]);
  }
}

/* Another process may take a port that was free a moment ago: then the next one. */
async function startOne(make) {
  for (let left = 5; ; left--) {
    const redis = make(await freePort());
    try {
      return await redis.start();
    } catch (error) {
      redis.abandon();
      if (left === 0)
        throw error;
    }
  }
}

export const startRedis = (options) => startOne((port) => new RedisServer(port, options));

export async function startSentinels(master, { name = 'main', count = 3, replicas = 1, args } = {}) {
  await until(async () => (await master.client.info('replication')).match(/state=online/g)?.length === replicas,
              'the replicas to follow', 20000);
  const sentinels = await Promise.all(Array.from({ length: count }, () =>
    startOne((port) => new Sentinel(port, { master, name, args }))));
  /* They usually tell each other every two seconds, and look for replicas every ten. */
  await Promise.all(sentinels.map(({ client }) =>
    client.call('SENTINEL', 'DEBUG', 'info-period', '300', 'publish-period', '200')));
  await until(async () => (await Promise.all(sentinels.map((s) => s.hasMet(count - 1, replicas)))).every(Boolean),
              'the sentinels to meet', 20000);
  return sentinels;
}

/* A node on this Redis; not before the two have met. */
export async function startNode(redis, { config = {}, redis: more = {}, ...options } = {}) {
  const engine = { type: 'redis', redis: { address: redis.address, ...more } };
  const node = await startServer({ config: { ...config, engine }, ...options });
  await node.waitLog(/redis is there/);
  return node;
}

export const startNodes = (redis, count, options) =>
  Promise.all(Array.from({ length: count }, () => startNode(redis, options)));
