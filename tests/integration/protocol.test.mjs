/* The line protocol, command by command: every reply, error code and disconnect code a client can get
 * without tokens and history. Single commands by hand, so that bytes can be compared.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openChannels, openConfig, startServer } from './helpers/server.mjs';
import { Client, closeAfter, closeAfterConnect, connect } from './helpers/protocol.mjs';

const ERRORS = {
  102: 'unknown channel', 103: 'permission denied', 105: 'already subscribed',
  106: 'limit exceeded', 107: 'bad request', 108: 'not available',
};
const BAD_REQUEST = { code: 3501, reason: 'bad request' };
const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let server;
let closedServer; /* nothing is allowed: the defaults */

before(async () => {
  const config = {
    client: { ...openConfig.client, channel_limit: 5 },
    channel: {
      without_namespace: openChannels,
      namespaces: [
        { name: 'closed' },
        {
          name: 'limited', allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true,
          allow_user_limited_channels: true,
        },
        { name: 'read', allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true },
        { name: 'users', allow_subscribe_for_client: true, allow_publish_for_client: true },
        {
          name: 'members', allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true,
          allow_publish_for_subscriber: true, allow_publish_for_anonymous: true,
        },
      ],
    },
  };
  [server, closedServer] = await Promise.all([startServer({ config }), startServer()]);
});
after(() => Promise.all([server.stop(), closedServer.stop()]));

/* The close a client gets for these frames; each row is a sub-test, 16 at a time. */
function closes(title, rows, expected, run) {
  test(title, { concurrency: 16 }, (t) => Promise.all(rows.map(([name, ...frames]) =>
    t.test(name, async () => assert.deepEqual(await run(server, ...frames), expected)))));
}

test('connect answers with id, version and ping settings, and nothing else', async () => {
  const client = await connect(server, { connect: { name: 'js', version: '1', data: { a: 1 } } });
  assert.deepEqual(Object.keys(client.info).sort(), ['client', 'ping', 'pong', 'version']);
  assert.match(client.info.client, UUID_V4);
  assert.match(client.info.version, /^\d+\.\d+\.\d+/);
  assert.equal(client.info.ping, 25);
  assert.equal(client.info.pong, true);
  const other = await connect(server);
  assert.notEqual(other.info.client, client.info.client);
});

test('connect ignores members it does not know', async () => {
  const more = { flag: 3, dict: 'd', profile: 'p', subs: {}, headers: { a: 'b' }, later: [{}] };
  await (await connect(server, { connect: more })).close();
});

test('the largest id is echoed', async () => {
  const client = await connect(server);
  const arrival = client.reply(4294967295);
  client.send('{"id":4294967295,"subscribe":{"channel":"x"}}');
  assert.equal(await arrival, '{"id":4294967295,"subscribe":{}}');
});

test('anonymous clients are refused by default, with 3501', async () => {
  assert.deepEqual(await closeAfter(closedServer, '{"id":1,"connect":{}}'), BAD_REQUEST);
});

test('a token is refused with 3500 when no key is configured', async () => {
  const token = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl';
  const expected = { code: 3500, reason: 'invalid token' };
  for (const one of [server, closedServer])
    for (const text of [token, 'x'])
      assert.deepEqual(await closeAfter(one, `{"id":1,"connect":{"token":"${text}"}}`), expected);
});

const COMMANDS = ['subscribe', 'unsubscribe', 'publish', 'presence', 'presence_stats', 'history',
                  'ping', 'rpc', 'refresh', 'sub_refresh'];
closes('before connect every other command closes with 3501', [
  ...COMMANDS.map((name) => [name, `{"id":1,"${name}":{"channel":"x","data":1}}`]),
  ['send', '{"send":{"data":1}}'],
  ['a pong', '{}'],
], BAD_REQUEST, closeAfter);

const BROKEN = [
  ['an empty frame', ''],
  ['not JSON', 'hello'],
  ['a truncated object', '{"id":5,"subscribe":{"channel":"x"}'],
  ['trailing text', '{"id":5,"subscribe":{"channel":"x"}}x'],
  ['a trailing comma', '{"id":5,"subscribe":{"channel":"x",}}'],
  ['single quotes', "{'id':5}"],
  ['a comment', '{"id":5,"subscribe":{"channel":"x"}} // hi'],
  ['a raw control byte in a string', '{"id":5,"subscribe":{"channel":"a\tb"}}'],
  ['a bad escape', '{"id":5,"subscribe":{"channel":"a\\x"}}'],
  ['a lone surrogate', '{"id":5,"subscribe":{"channel":"\\ud800"}}'],
  ['a number like 01', '{"id":05,"subscribe":{"channel":"x"}}'],
  ['a byte order mark', '\ufeff{"id":5,"subscribe":{"channel":"x"}}'],
  ['a broken payload', '{"id":5,"publish":{"channel":"x","data":{]}}'],
  ['600 open brackets', `{"id":5,"publish":{"channel":"x","data":${'['.repeat(600)}`],
  ['an array', '[]'],
  ['a string', '"x"'],
  ['a number', '7'],
  ['null', 'null'],
  ['good, then broken', '{"id":5,"subscribe":{"channel":"x"}}\n{"id":6,'],
  ['id 0', '{"id":0,"subscribe":{"channel":"x"}}'],
  ['no id', '{"subscribe":{"channel":"x"}}'],
  ['a negative id', '{"id":-1,"subscribe":{"channel":"x"}}'],
  ['a fraction as id', '{"id":1.5,"subscribe":{"channel":"x"}}'],
  ['a string as id', '{"id":"1","subscribe":{"channel":"x"}}'],
  ['an id above 32 bits', '{"id":4294967296,"subscribe":{"channel":"x"}}'],
  ['two ids', '{"id":5,"id":6,"subscribe":{"channel":"x"}}'],
  ['two channels', '{"id":5,"subscribe":{"channel":"x","channel":"y"}}'],
  ['an id alone', '{"id":5}'],
  ['an unknown command', '{"id":5,"shout":{"channel":"x"}}'],
  ['a command that is a number', '{"id":5,"subscribe":5}'],
  ['a command that is a list', '{"id":5,"subscribe":[]}'],
  ['a channel that is a number', '{"id":5,"subscribe":{"channel":5}}'],
  ['a channel that is an object', '{"id":5,"publish":{"channel":{},"data":1}}'],
  ['recover that is a string', '{"id":5,"subscribe":{"channel":"x","recover":"yes"}}'],
  ['an offset that is a string', '{"id":5,"subscribe":{"channel":"x","offset":"12"}}'],
  ['a method that is a number', '{"id":5,"rpc":{"method":5}}'],
  ['an unknown delta', '{"id":5,"subscribe":{"channel":"x","delta":"xdelta"}}'],
  ['a second connect', '{"id":5,"connect":{}}'],
  ['a pong that was not asked for', '{}'],
  ['the ping command', '{"id":5,"ping":{}}'],
  ['refresh with an empty token', '{"id":5,"refresh":{"token":""}}'],
  ['refresh without a token', '{"id":5,"refresh":{}}'],
  ...['subscribe', 'unsubscribe', 'publish', 'presence', 'presence_stats', 'history'].flatMap((name) => [
    [`${name} with an empty channel`, `{"id":5,"${name}":{"channel":"","data":1}}`],
    [`${name} without a channel`, `{"id":5,"${name}":{"data":1}}`],
  ]),
];

closes('what is not a good command closes with 3501 and a reason', BROKEN, BAD_REQUEST, closeAfterConnect);

const WRONG = ['5', '[]', '"x"', '{"token":5}', '{"name":5}', '{"subs":[]}', '{"headers":5}', '{"version":{}}'];
closes('connect with wrong types closes with 3501', [
  ...WRONG.map((value) => [value, `{"id":1,"connect":${value}}`]),
  ['id 0', '{"id":0,"connect":{}}'],
  ['no id', '{"connect":{}}'],
], BAD_REQUEST, closeAfter);

test('send closes with 3508', async () => {
  const end = await closeAfterConnect(server, '{"send":{"data":{"a":1}}}');
  assert.deepEqual(end, { code: 3508, reason: 'not available' });
});

test('tokens in refresh and sub_refresh are refused with 3500 when no key is configured', async () => {
  const expected = { code: 3500, reason: 'invalid token' };
  assert.deepEqual(await closeAfterConnect(server, '{"id":5,"refresh":{"token":"a.b.c"}}'), expected);
  const end = await closeAfterConnect(server, '{"id":5,"subscribe":{"channel":"x"}}',
    '{"id":6,"sub_refresh":{"channel":"x","token":"a.b.c"}}');
  assert.deepEqual(end, expected);
});

const LONG = 'n'.repeat(256);

/* Commands of a connected client and the error they get. */
const REFUSED = [
  ['subscribe to an unknown namespace', '"subscribe":{"channel":"nobody:x"}', 102],
  ['subscribe where nothing is allowed', '"subscribe":{"channel":"closed:x"}', 103],
  ['anonymous subscribe where only users may', '"subscribe":{"channel":"users:x"}', 103],
  ['subscribe to a private channel', '"subscribe":{"channel":"$x"}', 103],
  ['subscribe to a private channel with a bad token', '"subscribe":{"channel":"$x","token":"a.b.c"}', 103],
  ['subscribe to a private channel of an unknown namespace', '"subscribe":{"channel":"$nobody:x"}', 102],
  ['subscribe to a channel of another user', '"subscribe":{"channel":"limited:x#42"}', 103],
  ['subscribe to 256 bytes', `"subscribe":{"channel":"${LONG}"}`, 107],
  ['subscribe to a name outside ASCII', '"subscribe":{"channel":"caf\u00e9"}', 107],
  ['subscribe to an escaped name outside ASCII', '"subscribe":{"channel":"caf\\u00e9"}', 107],
  ['subscribe with a map type', '"subscribe":{"channel":"x","type":1}', 103],
  ['subscribe with a filter', '"subscribe":{"channel":"x","tf":{"op":"","key":"a","cmp":"eq","val":"b"}}', 107],
  ['publish to an unknown namespace', '"publish":{"channel":"nobody:x","data":1}', 102],
  ['publish where nothing is allowed', '"publish":{"channel":"closed:x","data":1}', 103],
  ['publish where one may only read', '"publish":{"channel":"read:x","data":1}', 103],
  ['anonymous publish where only users may', '"publish":{"channel":"users:x","data":1}', 103],
  ['publish without subscribing where only subscribers may', '"publish":{"channel":"members:x","data":1}', 103],
  ['publish without data', '"publish":{"channel":"x"}', 107],
  ['publish to 256 bytes', `"publish":{"channel":"${LONG}","data":1}`, 107],
  ['publish to a name outside ASCII', '"publish":{"channel":"caf\u00e9","data":1}', 107],
  ['presence where it is off', '"presence":{"channel":"x"}', 108],
  ['presence_stats where it is off', '"presence_stats":{"channel":"x"}', 108],
  ['history where it is off', '"history":{"channel":"x","limit":10}', 108],
  ['presence in an unknown namespace', '"presence":{"channel":"nobody:x"}', 102],
  ['history in an unknown namespace', '"history":{"channel":"nobody:x"}', 102],
  ['rpc', '"rpc":{"method":"now","data":{}}', 108],
  ['rpc without a method', '"rpc":{"data":1}', 108],
  ['sub_refresh of a channel not subscribed', '"sub_refresh":{"channel":"x","token":"a.b.c"}', 103],
];

test('a refused command gets its error, byte for byte, and the connection goes on', async (t) => {
  const client = await connect(server);
  let id = 1;
  for (const [name, members, code] of REFUSED)
    await t.test(name, async () => {
      id++;
      const expected = `{"id":${id},"error":{"code":${code},"message":"${ERRORS[code]}"}}`;
      assert.equal(await client.requestText(members), expected);
    });
  await client.subscribe('still-here');
});

test('results without fields are empty objects', async () => {
  const client = await connect(server);
  assert.equal(await client.requestText('"subscribe":{"channel":"x","flag":1}'), '{"id":2,"subscribe":{}}');
  assert.equal(await client.requestText('"publish":{"channel":"y","data":1}'), '{"id":3,"publish":{}}');
  assert.equal(await client.requestText('"unsubscribe":{"channel":"x"}'), '{"id":4,"unsubscribe":{}}');
  assert.equal(await client.requestText('"unsubscribe":{"channel":"never"}'), '{"id":5,"unsubscribe":{}}');
});

test('subscribing twice is error 105, and works again after unsubscribe', async () => {
  const client = await connect(server);
  await client.subscribe('twice');
  const { error } = await client.request({ subscribe: { channel: 'twice' } });
  assert.deepEqual(error, { code: 105, message: ERRORS[105] });
  await client.call({ unsubscribe: { channel: 'twice' } });
  await client.subscribe('twice');
});

test('the channel limit is error 106, and leaving makes room', async () => {
  const client = await connect(server);
  for (let i = 0; i < 5; i++)
    await client.subscribe(`limit-${i}`);
  const { error } = await client.request({ subscribe: { channel: 'limit-5' } });
  assert.deepEqual(error, { code: 106, message: ERRORS[106] });
  await client.call({ unsubscribe: { channel: 'limit-0' } });
  await client.subscribe('limit-5');
});

test('a name of 255 bytes is good', async () => {
  await (await connect(server)).subscribe('n'.repeat(255));
});

test('sub_refresh with an empty token is error 107', async () => {
  const client = await connect(server);
  await client.subscribe('x');
  const { error } = await client.request({ sub_refresh: { channel: 'x', token: '' } });
  assert.deepEqual(error, { code: 107, message: ERRORS[107] });
});

test('a subscriber may publish where only subscribers may', async () => {
  const client = await connect(server);
  await client.subscribe('members:room');
  await client.publish('members:room', 1);
  assert.deepEqual((await client.push()).pub.data, 1);
});

test('a publisher gets its own publication, with info', async () => {
  const client = await connect(server);
  await client.subscribe('own');
  await client.publish('own', { n: 1 });
  const push = await client.push();
  const info = { user: '', client: client.info.client };
  assert.deepEqual(push, { channel: 'own', pub: { data: { n: 1 }, info } });
});

test('others get it too, a publisher who is not subscribed does not', async () => {
  const [reader, writer] = await Promise.all([connect(server), connect(server)]);
  await reader.subscribe('others');
  await writer.publish('others', 'x');
  assert.equal((await reader.push()).pub.info.client, writer.info.client);
  await writer.publish('others', 'y'); /* its reply comes after any push of the first */
  assert.equal(writer.pending, 0);
});

test('after unsubscribe nothing more arrives', async () => {
  const [reader, writer] = await Promise.all([connect(server), connect(server)]);
  await reader.subscribe('left');
  await reader.subscribe('kept');
  await reader.call({ unsubscribe: { channel: 'left' } });
  await writer.publish('left', 1);
  await writer.publish('kept', 2);
  assert.equal((await reader.push()).channel, 'kept');
});

test('connect and many commands in one frame are answered, connect first', async () => {
  const client = await Client.open(server);
  const names = ['m1', 'm2', 'm3', 'm4', 'm5'];
  const commands = [
    { id: 1, connect: {} },
    ...names.map((channel, i) => ({ id: i + 2, subscribe: { channel } })),
    { id: 7, publish: { channel: 'm5', data: 'hi' } },
    { id: 8, unsubscribe: { channel: 'm1' } },
    { id: 9, rpc: { method: 'x' } },
  ];
  const last = commands.map(({ id }) => client.reply(id));
  client.send(commands.map((command) => JSON.stringify(command)).join('\n') + '\n');
  const lines = await Promise.all(last);
  assert.deepEqual(lines.map((line) => Object.keys(JSON.parse(line))[1]),
    ['connect', ...names.map(() => 'subscribe'), 'publish', 'unsubscribe', 'error']);
  const arrived = client.frames.join('\n').split('\n').filter((line) => line !== '');
  assert.match(arrived[0], /"connect":/);
  assert.deepEqual(arrived.filter((line) => line.startsWith('{"id"')).sort(), lines);
  assert.deepEqual((await client.push()).pub.data, 'hi');
});

test('commands after a failed one in the same frame are not lost', async () => {
  const client = await connect(server);
  const replies = [client.reply(2), client.reply(3)];
  client.send('{"id":2,"subscribe":{"channel":"nobody:x"}}\n{"id":3,"subscribe":{"channel":"fine"}}');
  assert.match((await replies[0]), /"code":102/);
  assert.equal(await replies[1], '{"id":3,"subscribe":{}}');
});
