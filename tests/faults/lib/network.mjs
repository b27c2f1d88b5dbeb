/* A node whose way to Redis can be cut, and only that: its clients still reach it.
 *
 *   const place = await isolate();
 *   startRedis({ args: place.redisArgs })                 Redis must listen there too
 *   startNode(redis, await place.node(redis))             address, wrap, the address of Redis
 *   await place.cut(); await place.heal();
 *   await place.remove();
 *
 * As root with `ip`: a network namespace with two veth pairs, one for clients, one for Redis; cutting takes the
 * second one's link down, and as on a broken switch both sides notice nothing but silence. Where that is not
 * permitted, a fault proxy stands before Redis, and cutting makes it a black hole; place.how says which it is.
 */
import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { startProxy } from './proxy.mjs';

const run = promisify(execFile);
const ip = (line) => run('ip', line.split(' '));

let count = 0;

class Namespace {
  how = 'a network namespace whose link goes down';

  constructor() {
    const number = ++count;
    const id = process.pid % 4096;
    this.name = `carillon-${process.pid}-${number}`;
    this.links = [0, 1].map((n) => ({ outer: `cr${process.pid}o${number}${n}`, inner: `cr${process.pid}i${number}${n}` }));
    /* Two networks of four addresses each, from a private range that hardly anybody uses. */
    this.nets = [0, 1].map((n) => `10.${213 + (number % 8)}.${id >> 4}.${((id & 15) << 4) + 4 * n}`);
    const host = (network, n) => network.replace(/\d+$/, (last) => Number(last) + n);
    this.outer = this.nets.map((network) => host(network, 1));
    this.inner = this.nets.map((network) => host(network, 2));
    this.redisArgs = ['--bind', '127.0.0.1', this.outer[1], '--protected-mode', 'no'];
  }

  async create() {
    await ip(`netns add ${this.name}`);
    process.once('exit', () => this.#removeSync());
    for (const [n, { outer, inner }] of this.links.entries()) {
      await ip(`link add ${outer} type veth peer name ${inner} netns ${this.name}`);
      await ip(`addr add ${this.outer[n]}/30 dev ${outer}`);
      await ip(`link set ${outer} up`);
      await ip(`-n ${this.name} addr add ${this.inner[n]}/30 dev ${inner}`);
      await ip(`-n ${this.name} link set ${inner} up`);
      /* Without the link, nothing of ours leaves by another way. */
      await ip(`route add blackhole ${this.nets[n]}/30 metric 9999`);
    }
    await ip(`-n ${this.name} link set lo up`);
    return this;
  }

  async node(redis) {
    return { address: this.inner[0], wrap: ['ip', 'netns', 'exec', this.name],
             redis: { address: `redis://${this.outer[1]}:${redis.port}` } };
  }

  cut() {
    return ip(`link set ${this.links[1].outer} down`);
  }

  heal() {
    return ip(`link set ${this.links[1].outer} up`);
  }

  #removeSync() {
    for (const line of this.#removal())
      spawnSync('ip', line.split(' '));
  }

  #removal() {
    return [...this.links.map(({ outer }) => `link del ${outer}`), `netns del ${this.name}`,
            ...this.nets.map((network) => `route del blackhole ${network}/30 metric 9999`)];
  }

  async remove() {
    for (const line of this.#removal())
      await ip(line).catch(() => {});
  }
}

/* A node that reaches Redis over a fault proxy, place.proxy. */
export class ProxiedPlace {
  redisArgs = [];
  how = 'a proxy that becomes a black hole';

  async node(redis) {
    this.proxy = await startProxy({ port: redis.port });
    return { redis: { address: `redis://127.0.0.1:${this.proxy.port}` } };
  }

  cut() {
    return this.proxy.set({ isBlackHole: true });
  }

  heal() {
    return this.proxy.heal();
  }

  async remove() {
    await this.proxy?.close();
  }
}

export async function isolate() {
  const namespace = new Namespace();
  try {
    return await namespace.create();
  } catch (error) {
    await namespace.remove();
    const place = new ProxiedPlace();
    place.how += ` (no network namespace: ${(error.stderr ?? error.message).trim().split('\n')[0]})`;
    return place;
  }
}
