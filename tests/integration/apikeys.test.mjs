/* API keys in a file of hashes: scopes, names in the metrics, rotation by SIGHUP; carillon key hash. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import { api } from './helpers/http.mjs';
import { binary, runCarillon, startServer, temporaryFile } from './helpers/server.mjs';

/* { key, entry } as `carillon key hash` prints them. */
function makeKey(name, ...scopes) {
  const args = ['key', 'hash', '--name', name, ...scopes.flatMap((scope) => ['--scope', scope])];
  const { stdout, stderr, status } = spawnSync(binary, args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return { key: stderr.trim().split(': ')[1], entry: JSON.parse(stdout) };
}

const fileOf = (...keys) => JSON.stringify({ keys: keys.map(({ entry }) => entry) });

test('keys have scopes, and are changed without a restart', async () => {
  const shop = makeKey('shop', 'publish');
  const watch = makeKey('watch', 'read');
  const admin = makeKey('admin');
  const file = temporaryFile('keys.json', fileOf(shop, watch));
  const server = await startServer({ config: { http_api: { keys_file: file } }, allowErrors: true });
  const status = async (method, key, body = {}) => (await api(server, method, body, { key })).status;
  const message = { channel: 'a', data: 1 };

  assert.equal(await status('publish', shop.key, message), 200);
  assert.equal(await status('info', watch.key), 200);
  assert.equal(await status('publish', watch.key, message), 403);
  assert.equal(await status('disconnect', shop.key, { user: '1' }), 403);
  assert.equal(await status('publish', admin.key, message), 401);
  const refused = await api(server, 'info', {}, { key: shop.key });
  assert.match(refused.text, /lacks the scope "read"/);

  let from = server.logs().length;
  fs.writeFileSync(file, fileOf(watch, admin));
  process.kill(server.pid, 'SIGHUP');
  await server.waitLog(/API keys read count=2/, { from });
  assert.equal(await status('publish', shop.key, message), 401);
  assert.equal(await status('disconnect', admin.key, { user: '1' }), 200);

  from = server.logs().length;
  fs.writeFileSync(file, `{"keys":[{"name":"x","scopes":["all"],"hash":"${admin.key}"}]}`);
  process.kill(server.pid, 'SIGHUP');
  await server.waitLog(/ERROR.*API keys not read.*keys\[0\]/, { from });
  assert.equal(await status('info', watch.key), 200, 'the keys before stay');

  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  assert.match(metrics, /carillon_api_key_calls_total\{key="watch",result="allowed"\} 2/);
  assert.match(metrics, /carillon_api_key_calls_total\{key="watch",result="denied"\} 1/);
  await server.stop();
  for (const { key } of [shop, watch, admin])
    assert.ok(![...server.logs(), metrics].some((text) => text.includes(key)), 'a key is printed nowhere');
});

test('a file of keys that is wrong stops the start', async () => {
  const file = temporaryFile('keys.json', '{"keys":[{"name":"x","scopes":["everything"],"hash":""}]}');
  const { code, stderr } = await runCarillon(['--port=0', `--http_api.keys_file=${file}`]);
  assert.equal(code, 1);
  assert.match(stderr, /http_api\.keys_file: .*keys\[0\]: "scopes" must be/);
});

test('carillon key hash takes a key from stdin, never from the command line, and no weak one', async () => {
  const key = '0123456789abcdef0123456789abcdef';
  const hash = (input, ...args) => spawnSync(binary, ['key', 'hash', ...args], { encoding: 'utf8', input });
  const good = hash(`${key}\n`, '-');
  assert.equal(good.status, 0);
  assert.match(JSON.parse(good.stdout).hash, /^blake2b\$[\w-]{22}\$[\w-]{43}$/);
  assert.ok(!(good.stdout + good.stderr).includes(key));
  assert.match(hash('short\n', '-').stderr, /shorter than 32/);
  const word = hash('', key);
  assert.equal(word.status, 1);
  assert.ok(!word.stderr.includes(key));
});
