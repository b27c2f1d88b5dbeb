/* What an experiment plays on: Redis, nodes, readers, publishers, witnesses, and the invariants in the end.
 *
 *   const stage = await openStage(t, { nodes: 2, redisArgs, config });
 *   stage.redis, stage.nodes, stage.journal
 *   await stage.readers({ count: 200, nodes, channels, sdk: 4 });
 *   const publisher = stage.publisher({ channels, ratePerS });
 *   await stage.startWitness([node]);            I5
 *   await stage.baseline();                      I4: of memory and descriptors
 *   await stage.settled(channels, node);         all readers are where the channels are
 *   await stage.check(tops);                     I1 to I5
 *
 * places: node number -> where it runs (network.mjs). deploy(redis): starts what belongs to Redis, and gives what the
 * nodes' options of Redis are.
 *
 * What it saw is printed with say(). The form is full with CARILLON_FAULTS=full, else short: both() chooses.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { metrics, sum } from '../../integration/helpers/http.mjs';
import { openFiles } from '../../integration/helpers/process.mjs';
import { startNode, startRedis } from '../../integration/helpers/redis.mjs';
import { deadline, openChannels, openConfig, until } from '../../integration/helpers/server.mjs';
import { Journal } from './journal.mjs';
import { Publisher, call } from './publisher.mjs';
import { RawReader, SdkReader } from './readers.mjs';
import { startWitness } from './witness.mjs';

export const isFull = process.env.CARILLON_FAULTS === 'full';
export const both = (full, short) => (isFull ? full : short);
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/* Channels that remember and know who is there; "live:" for the witnesses. */
const remembers = {
  ...openChannels, history_size: 100000, history_ttl: '300s', force_recovery: true,
  presence: true, join_leave: true, allow_presence_for_client: true, allow_presence_for_anonymous: true,
};
export const config = {
  client: { ...openConfig.client, recovery_max_publication_limit: 100000, queue_max_size: 64 << 20 },
  channel: { without_namespace: remembers, namespaces: [{ name: 'live', ...openChannels }] },
  http_api: { insecure: true }, health: { enabled: true }, prometheus: { enabled: true },
};

const RSS_GROWTH = 1.1, RSS_SLACK_BYTES = 5 << 20, FILES_SLACK = 2;
const BACK_MS = 30000;
const PAGE = 50; /* of a history: a node that gave a large answer keeps its memory for the next one */

/* --- what an operator sees of a node --- */
export async function readiness(node) {
  const response = await fetch(`${node.url}/ready`, { signal: AbortSignal.timeout(deadline(5000)) });
  return { status: response.status, text: await response.text() };
}
export const isReady = async (node) => (await readiness(node)).status === 200;

/* Both give how long it took, in milliseconds. */
export const untilReady = (node, limitMs) => until(() => isReady(node), '/ready to be 200', limitMs);
export const untilNotReady = (node, limitMs) => until(async () => !await isReady(node), '/ready to be 503', limitMs);

/* The value of carillon_<name>; throws when there is no such metric. */
export async function metric(node, name) {
  const samples = (await metrics(node)).filter((sample) => sample.name === `carillon_${name}`);
  assert.ok(samples.length > 0, `no metric carillon_${name}`);
  return sum(samples, /./);
}

export const linesOf = (node, regex) => node.logs().filter((line) => regex.test(line));

function rssBytes({ pid }) {
  return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'latin1'))[1]);
}

class Stage {
  nodes = [];
  journal = new Journal();
  #t;
  #readers = [];
  #publishers = [];
  #witness = null;
  #baseline = new Map();
  #places = [];
  #gone = new Set();

  constructor(t) {
    this.#t = t;
    this.name = t.name;
  }

  say(text) {
    this.#t.diagnostic(text);
  }

  async open({ nodes, redisArgs = [], config: changed = config, places = {}, deploy }) {
    this.#places = Object.values(places);
    const placeArgs = this.#places.flatMap(({ redisArgs }) => redisArgs);
    this.redis = await startRedis({ args: [...redisArgs, ...placeArgs] });
    const more = await deploy?.(this.redis);
    for (let n = 0; n < nodes; n++) {
      const place = places[n] ? await places[n].node(this.redis) : { redis: more };
      this.nodes.push(await startNode(this.redis, { config: changed, ...place }));
    }
    return this;
  }

  nameOf(node) {
    return 'ABCDEFGH'[this.nodes.indexOf(node)];
  }

  /* Count readers, spread evenly over the nodes; each follows one of the channels, in turn, or `each` of them. The
   * first ones are real SDKs. */
  async readers({ count, nodes = this.nodes, channels, each = 1, sdk = 0, flags }) {
    const made = Array.from({ length: count }, (_, n) => {
      const node = nodes[n % nodes.length];
      const first = Math.floor(n / nodes.length) * each;
      const own = Array.from({ length: each }, (_, k) => channels[(first + k) % channels.length]);
      const Kind = n < sdk ? SdkReader : RawReader;
      return new Kind({ name: `${n < sdk ? 'SDK' : 'reader'} ${this.#readers.length + n} of ${this.nameOf(node)}`,
                        node, channels: own, journal: this.journal, flags });
    });
    this.#readers.push(...made);
    await Promise.all(made.map((reader) => reader.ready(30000)));
    return made;
  }

  publisher(options) {
    const publisher = new Publisher({ nodes: this.nodes, journal: this.journal, ...options });
    this.#publishers.push(publisher);
    return publisher;
  }

  async startWitness(nodes) {
    this.#witness = await startWitness(nodes.map((node) => ({ name: this.nameOf(node), node })));
  }

  async baseline(nodes = this.nodes) {
    for (const node of nodes)
      this.#baseline.set(node, { rss: rssBytes(node), files: openFiles(node) });
  }

  /* Where these channels are now: { channel: { epoch, offset } }. */
  async tops(channels, node = this.nodes[0]) {
    const tops = {};
    for (const channel of channels) {
      const { result, error } = await call(node, 'history', { channel, limit: 0 });
      assert.ok(result, `history of ${channel}: ${JSON.stringify(error)}`);
      tops[channel] = { epoch: result.epoch, offset: result.offset ?? 0 };
    }
    return tops;
  }

  /* Everything that the channel's history has, page by page. */
  async history(channel, node = this.nodes[0]) {
    const all = [];
    for (let since; ;) {
      const { result } = await call(node, 'history', { channel, limit: PAGE, since });
      if (!result.publications?.length)
        return all;
      all.push(...result.publications);
      since = { epoch: result.epoch, offset: all.at(-1).offset };
    }
  }

  /* Waits until all readers are there; gives the tops and how long that took. */
  async settled(channels, node = this.nodes[0], limitMs = 10000) {
    const start = performance.now();
    let tops;
    await until(async () => this.journal.isAt(tops = await this.tops(channels, node)), 'all readers to be at the top',
                limitMs).catch(() => {});
    const tookMs = performance.now() - start;
    for (const channel of channels)
      this.journal.kept(channel, tops[channel].epoch, await this.history(channel, node));
    return { tops, tookMs };
  }

  /* The node is to be gone: it need not come back to its baseline. */
  forget(node) {
    this.#baseline.delete(node);
    this.#gone.add(node);
  }

  get disconnects() {
    return this.#readers.flatMap(({ disconnects }) => disconnects);
  }

  /* I1 to I5; a node that was stopped for good must have been taken out with forget(). */
  async check(tops) {
    const { journal } = this;
    const received = journal.tracks.reduce((total, track) => total + track.received, 0);
    this.say(`${journal.acknowledgedCount} acknowledged, ${received} received by ${journal.tracks.length} subscriptions, ` +
      `${journal.recoveryCount} recoveries, ${journal.toldCount} times "not recovered"`);
    assert.deepEqual(journal.faults(tops), [], 'I1 to I3');
    await this.#checkWitness();
    for (const [node, baseline] of this.#baseline)
      await this.#checkBaseline(node, baseline);
    this.nodes.forEach((node) => node.assertClean());
  }

  async #checkWitness() {
    const seen = await this.#witness?.stop() ?? [];
    this.#witness = null;
    for (const one of seen) {
      this.say(`witness on ${one.name}: ${one.pings} pings, p99 ${one.p99Ms} ms, longest ${one.maxMs} ms (the machine ` +
        `itself: p99 ${one.controlP99Ms} ms); ${one.received} of ${one.published} received, p99 ${one.receiveP99Ms} ms, ` +
        `${one.refused} refused`);
      assert.deepEqual(one.disconnects, [], `I5: the witness on ${one.name} was disconnected`);
      assert.deepEqual(one.excess, [], `I5: pings of the witness on ${one.name} took too long`);
    }
  }

  async #checkBaseline(node, { rss, files }) {
    /* A sanitizer build (which is why deadlines are stretched) keeps what is freed. */
    const rssLimit = deadline(1) > 1 ? Infinity : Math.max(rss * RSS_GROWTH, rss + RSS_SLACK_BYTES);
    const isBack = () => rssBytes(node) <= rssLimit && openFiles(node) <= files + FILES_SLACK;
    const now = () => `${this.nameOf(node)}: ${(rssBytes(node) / (1 << 20)).toFixed(1)} MiB of memory and ` +
      `${openFiles(node)} descriptors, at the start ${(rss / (1 << 20)).toFixed(1)} MiB and ${files}`;
    await until(isBack, () => `I4: back to the baseline; ${now()}`, BACK_MS);
    this.say(now());
  }

  /* Stops everything: nodes by SIGTERM, which must go well. */
  async end() {
    this.#readers.forEach((reader) => reader.close());
    await Promise.all(this.nodes.filter((node) => !this.#gone.has(node)).map((node) => node.stop()));
  }

  async close() {
    await Promise.all(this.#publishers.map((publisher) => publisher.stop()));
    await this.#witness?.stop();
    this.#readers.forEach((reader) => reader.close());
    this.nodes.forEach((node) => node.kill());
    await this.redis?.stop();
    await Promise.all(this.#places.map((place) => place.remove()));
  }
}

/* Everything is gone when the test is over, whatever its result. */
export async function openStage(t, options) {
  const stage = new Stage(t);
  t.after(() => stage.close());
  return stage.open(options);
}
