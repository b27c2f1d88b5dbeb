/* The runbook speaks of metrics that exist and of what the server really logs. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { metrics } from './helpers/http.mjs';
import { startNode, startRedis } from './helpers/redis.mjs';
import { root } from './helpers/server.mjs';

const runbook = fs.readFileSync(`${root}docs/runbook.md`, 'utf8');

test('every metric of the runbook is on /metrics', async () => {
  const redis = await startRedis();
  const node = await startNode(redis, { config: { prometheus: { enabled: true } } });
  const known = new Set((await metrics(node)).map(({ name }) => name));
  const named = [...runbook.matchAll(/carillon_[a-z_]+/g)].map(([name]) => name);
  assert.ok(named.length > 10);
  assert.deepEqual(named.filter((name) => !known.has(name)), []);
  await node.stop();
  await redis.stop();
});

test('every reason and log line of the runbook is in the source', () => {
  const folders = ['channels', 'server'];
  const source = folders.flatMap((folder) => fs.readdirSync(root + folder, { recursive: true })
    .filter((name) => name.endsWith('.c')).map((name) => fs.readFileSync(path.join(root, folder, name), 'utf8'))).join('\n');
  const lines = [...runbook.matchAll(/`(?:WARN|INFO) ([a-z ,]+?)(?: [a-z_]+=.*?)?`/g)].map(([, text]) => text);
  const reasons = [...runbook.matchAll(/"(redis [a-z ]+|no route to redis|connecting to redis takes too long)"/g)]
    .map(([, text]) => text);
  assert.ok(lines.length > 5 && reasons.length > 4);
  assert.deepEqual([...lines, ...reasons].filter((text) => !source.includes(text)), []);
});
