/* Secrets stay where they belong: not in logs, answers, /metrics, the process list, the environment or a core dump. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { api } from './helpers/http.mjs';
import { Client } from './helpers/protocol.mjs';
import { startRedis } from './helpers/redis.mjs';
import { runCarillon, startServer, temporaryFile, within } from './helpers/server.mjs';

const secret = (name) => `${name}-${randomBytes(24).toString('hex')}`;
const API_KEY = secret('api');
const TOKEN_KEY = secret('token');
const REDIS_PASSWORD = secret('redis');
const SECRETS = [API_KEY, TOKEN_KEY, REDIS_PASSWORD];

function assertNone(what, content, secrets = SECRETS) {
  for (const text of secrets)
    assert.ok(!content.includes(text), `${what} holds the secret "${text.split('-')[0]}"`);
}

/* The core dump of a server, when the system writes one into its folder. */
async function coreOf(server, folder) {
  server.signal('SIGABRT');
  await within(20000, server.ended, 'the server to abort');
  const name = fs.readdirSync(folder).find((file) => file.startsWith('core'));
  return name && fs.readFileSync(path.join(folder, name));
}

test('a secret is nowhere but in memory that is not dumped', async (t) => {
  const redis = await startRedis({ password: REDIS_PASSWORD });
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'carillon-core-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  t.after(() => redis.stop());
  const start = () => startServer({
    config: {
      log: { level: 'debug' },
      node: { name: 'marker-of-this-node' },
      http_api: { key: API_KEY },
      engine: { type: 'redis', redis: { address: redis.address, password_file: temporaryFile('pw', REDIS_PASSWORD) } },
    },
    env: { CARILLON_CLIENT_TOKEN_HMAC_SECRET_KEY: TOKEN_KEY },
    wrap: ['sh', '-c', `cd ${folder} && ulimit -c unlimited; exec "$0" "$@"`],
    allowErrors: true,
  });
  const server = await start();
  const unasked = await start();
  const answers = [];
  for (const [method, body, key] of [['publish', { channel: 'a', data: 1 }, API_KEY], ['publish', '{', API_KEY],
                                     ['nothing', {}, API_KEY], ['info', {}, API_KEY], ['info', {}, `${API_KEY}x`]])
    answers.push((await api(server, method, body, { key })).text);
  const client = await Client.open(server);
  client.send(JSON.stringify({ id: 1, connect: { token: 'e30.e30.e30' } }));
  await client.closed();
  answers.push(await (await fetch(`${server.url}/metrics`)).text());
  await redis.kill();
  await server.waitLog(/redis is away/);
  assertNone('an answer', answers.join('\n'));
  for (const file of ['cmdline', 'environ'])
    assertNone(`/proc/PID/${file}`, fs.readFileSync(`/proc/${server.pid}/${file}`, 'latin1'));
  await server.stop();
  assertNone('the log', server.logs().join('\n'));
  /* Of one that nobody has sent the key: what a request has just brought may lie in freed buffers of the library. */
  const core = await coreOf(unasked, folder);
  if (!core) {
    t.diagnostic('no core dump was written here');
    return;
  }
  assert.ok(core.includes('marker-of-this-node'), 'what is no secret is in the dump');
  assertNone('the core dump', core, [API_KEY, TOKEN_KEY]); /* hiredis frees the password without wiping it */
});

test('a secret on the command line stops the start and is not repeated', async () => {
  const { code, stderr } = await runCarillon([`--http_api.key=${API_KEY}`]);
  assert.equal(code, 1);
  assert.match(stderr, /http_api\.key: holds a secret/);
  assertNone('stderr', stderr);
});

test('files with secrets that others can read are warned about', async () => {
  const file = temporaryFile('key', API_KEY);
  fs.chmodSync(file, 0o644);
  const server = await startServer({ config: { http_api: { key_file: file } } });
  assert.ok(server.logs().some((line) => /WARN.*http_api\.key: everybody on this machine can read/.test(line)));
  assert.equal((await api(server, 'info', {}, { key: API_KEY })).status, 200);
  await server.stop();
});
