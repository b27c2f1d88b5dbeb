/* Tokens that the back end takes back: on one process, and on three nodes over a real Redis, of which one starts later. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import jsonwebtoken from 'jsonwebtoken';
import { api, metrics, sum } from './helpers/http.mjs';
import { Client, connect } from './helpers/protocol.mjs';
import { startNode, startRedis } from './helpers/redis.mjs';
import { openChannels, startServer, until } from './helpers/server.mjs';

const SECRET = 'a secret for tests of revocation, of 32 bytes or more';
const config = {
  client: { token: { hmac_secret_key: SECRET }, allow_anonymous_connect_without_token: true },
  channel: { without_namespace: openChannels },
  http_api: { insecure: true },
};
const now = () => Math.floor(Date.now() / 1000);
/* With noTimestamp the library drops an "iat" that is given. */
const sign = (claims) => jsonwebtoken.sign(claims, SECRET, { noTimestamp: claims.iat === undefined });
const join = (node, claims) => connect(node, { connect: { token: sign(claims) } });

/* How a connection with this token ends. */
async function refusal(node, claims) {
  const client = await Client.open(node);
  client.send(JSON.stringify({ id: 1, connect: { token: sign(claims) } }));
  return client.closed();
}

const KEPT = 'carillon:1:centrifugo:kept';
const INVALID = { code: 3500, reason: 'invalid token' };

async function assertRefused(node, claims) {
  const { code, reason } = await refusal(node, claims);
  assert.deepEqual({ code, reason }, INVALID);
}

async function assertClosed(client) {
  const { code, reason } = await client.closed();
  assert.deepEqual({ code, reason }, INVALID);
}

async function call(node, method, body) {
  const { json } = await api(node, method, body);
  assert.deepEqual(json, { result: {} });
}

async function assertTaken(node, claims) {
  const client = await join(node, claims);
  await client.close();
}

test('on one process', async (t) => {
  const server = await startServer({ config });
  t.after(() => server.stop());

  await t.test('one token is refused by its id, and its connections end', async () => {
    const [first, other] = [await join(server, { sub: 'a', jti: 'one' }), await join(server, { sub: 'a', jti: 'two' })];
    await call(server, 'revoke_token', { uid: 'one' });
    await assertClosed(first);
    await assertRefused(server, { sub: 'a', jti: 'one' });
    await assertTaken(server, { sub: 'a', jti: 'three' });
    await other.call({ refresh: { token: sign({ sub: 'a', jti: 'two', exp: now() + 100 }) } });
    other.send(JSON.stringify({ id: 90, refresh: { token: sign({ sub: 'a', jti: 'one' }) } }));
    await assertClosed(other);
  });

  await t.test('all of a user from before a time, and those that do not say when', async () => {
    const at = now() - 100;
    const clients = [await join(server, { sub: 'b', iat: at - 1 }), await join(server, { sub: 'b' })];
    const newer = await join(server, { sub: 'b', iat: at });
    const stranger = await join(server, { sub: 'c' });
    await call(server, 'invalidate_user_tokens', { user: 'b', issued_before: at });
    await Promise.all(clients.map(assertClosed));
    await assertRefused(server, { sub: 'b', iat: at - 1 });
    await assertRefused(server, { sub: 'b' });
    await assertTaken(server, { sub: 'b', iat: at });
    for (const client of [newer, stranger]) {
      await client.subscribe('x');
      await client.close();
    }
  });

  await t.test('an earlier time takes nothing back, none means now', async () => {
    const at = now() - 100;
    await call(server, 'invalidate_user_tokens', { user: 'd', issued_before: at });
    await call(server, 'invalidate_user_tokens', { user: 'd', issued_before: at - 50 });
    await assertRefused(server, { sub: 'd', iat: at - 1 });
    await call(server, 'invalidate_user_tokens', { user: 'd' });
    await assertRefused(server, { sub: 'd', iat: at + 50 });
    await assertTaken(server, { sub: 'd', iat: now() });
  });

  await t.test('it ends when it is said to', async () => {
    const end = now() + 2;
    await call(server, 'revoke_token', { uid: 'short', expire_at: end });
    await assertRefused(server, { sub: 'e', jti: 'short' });
    await until(() => Date.now() / 1000 >= end, 'the end to come');
    await assertTaken(server, { sub: 'e', jti: 'short' });
  });

  await t.test('a plain SSE stream ends, too', async () => {
    const token = sign({ sub: 'f', jti: 'sse' });
    const response = await fetch(`${server.url}/sse?channel=x&token=${token}`, { signal: AbortSignal.timeout(5000) });
    assert.equal(response.status, 200);
    const body = response.text();
    await call(server, 'revoke_token', { uid: 'sse' });
    await body;
    assert.equal((await fetch(`${server.url}/sse?channel=x&token=${token}`)).status, 401);
  });

  await t.test('wrong parameters are refused', async () => {
    const rows = [
      ['revoke_token', {}, /"uid" must be/], ['revoke_token', { uid: 1 }, /"uid" must be/],
      ['revoke_token', { uid: 'x'.repeat(256) }, /"uid" must be/],
      ['revoke_token', { uid: 'x', expire_at: now() - 1 }, /must be in the future/],
      ['revoke_token', { uid: 'x', expire_at: 'soon' }, /"expire_at" must be a time/],
      ['revoke_token', { uid: 'x', channel: 'c' }, /"channel" is not supported/],
      ['invalidate_user_tokens', {}, /"user" must be/], ['invalidate_user_tokens', { user: '' }, /"user" must be/],
      ['invalidate_user_tokens', { user: 'x', issued_before: -1 }, /"issued_before" must be a time/],
    ];
    for (const [method, body, message] of rows) {
      const { json } = await api(server, method, body);
      assert.equal(json.error.code, 107);
      assert.match(json.error.message, message);
    }
  });

  assert.ok(sum(await metrics(server), /client_tokens_revoked_total/) >= 8);
});

test('on three nodes', async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const nodes = await Promise.all([1, 2, 3].map(() => startNode(redis, { config })));
  t.after(() => Promise.all(nodes.map((node) => node.stop())));
  const at = now();

  await t.test('all of them close and refuse, when the call is answered', async () => {
    const clients = await Promise.all(nodes.map((node) => join(node, { sub: 'u', iat: at - 10 })));
    await call(nodes[0], 'invalidate_user_tokens', { user: 'u', issued_before: at });
    await Promise.all(nodes.map((node) => assertRefused(node, { sub: 'u', iat: at - 10 })));
    await Promise.all(clients.map(assertClosed));
    await call(nodes[1], 'revoke_token', { uid: 'j' });
    await Promise.all(nodes.map((node) => assertRefused(node, { sub: 'v', jti: 'j' })));
  });

  await t.test('a node that starts later knows', async () => {
    const late = await startNode(redis, { config });
    nodes.push(late);
    await late.waitLog(/revocations read count=2/);
    await assertRefused(late, { sub: 'u', iat: at - 10 });
    await assertRefused(late, { sub: 'v', jti: 'j' });
    await assertTaken(late, { sub: 'v', jti: 'k' });
  });

  await t.test('a node that was cut off closes what it let in meanwhile', async () => {
    const from = nodes.map((node) => node.logs().length);
    const client = await join(nodes[2], { sub: 'w', jti: 'hidden' });
    const bytes = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, ...Buffer.from('hidden')]);
    await redis.client.hset(KEPT, bytes, now() + 1000); /* nobody was told */
    await redis.client.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await assertClosed(client);
    await Promise.all(nodes.map((node, i) =>
      node.waitLog(/revocations read count=3/, { from: from[i], limitMs: 10000 })));
  });

  await t.test('what has ended is forgotten in Redis', async () => {
    await call(nodes[0], 'revoke_token', { uid: 'short', expire_at: now() + 2 });
    assert.equal(await redis.client.hlen(KEPT), 4);
    const end = now() + 2;
    await until(async () => (await redis.client.time())[0] >= end, 'the end to come');
    nodes.push(await startNode(redis, { config }));
    await until(async () => await redis.client.hlen(KEPT) === 3, 'the fourth to be forgotten');
  });

  await t.test('without Redis nothing is done, and said so', async () => {
    await redis.kill();
    await until(async () => (await api(nodes[0], 'revoke_token', { uid: 'x' })).json.error, 'an error');
    const { json } = await api(nodes[0], 'revoke_token', { uid: 'x' });
    assert.equal(json.error.code, 100);
    assert.match(json.error.message, /nothing was done/);
    await redis.start();
  });
});
