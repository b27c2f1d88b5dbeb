/* A real redis-server for tests, and nodes of Carillon on it.
 *
 *   const redis = await startRedis();                 on a free port, nothing is written to disk
 *   const [a, b] = await startNodes(redis, 2, { config });
 *   await redis.client.publish(channel, bytes)        an ioredis client
 *   redis.freeze(); redis.thaw();                     SIGSTOP, SIGCONT
 *   await redis.kill(); await redis.start();          SIGKILL; again on the same port, with no data
 *   await redis.stop();
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import { startServer, within } from './server.mjs';

async function freePort() {
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

class RedisServer {
  #child = null;
  #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'carillon-redis-'));

  constructor(port) {
    this.port = port;
    this.address = `redis://127.0.0.1:${port}`;
    running.add(this);
  }

  async start() {
    const child = spawn('redis-server', ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '',
                                         '--appendonly', 'no', '--dir', this.#folder, '--daemonize', 'no'],
                        { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child = child;
    let text = '';
    await within(10000, new Promise((resolve, reject) => {
      child.stdout.on('data', (chunk) => {
        text += chunk;
        if (/Ready to accept connections/.test(text))
          resolve();
      });
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`redis-server ended: ${text}`)));
    }), () => `redis-server to start: ${text}`);
    child.stdout.resume();
    child.unref();
    child.stdout.unref();
    this.client ??= new Redis({ port: this.port, host: '127.0.0.1', retryStrategy: () => 50 });
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

/* Another process may take a port that was free a moment ago: then the next one. */
export async function startRedis() {
  for (let left = 5; ; left--) {
    const redis = new RedisServer(await freePort());
    try {
      return await redis.start();
    } catch (error) {
      redis.abandon();
      if (left === 0)
        throw error;
    }
  }
}

/* A node on this Redis; not before the two have met. */
export async function startNode(redis, { config = {}, ...options } = {}) {
  const engine = { type: 'redis', redis: { address: redis.address } };
  const node = await startServer({ config: { ...config, engine }, ...options });
  await node.waitLog(/redis is there/);
  return node;
}

export const startNodes = (redis, count, options) =>
  Promise.all(Array.from({ length: count }, () => startNode(redis, options)));
