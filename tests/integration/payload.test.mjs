/* Payload bytes arrive as they were sent, over WebSocket and over the API. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openConfig, startServer } from './helpers/server.mjs';
import { connect } from './helpers/protocol.mjs';
import { api } from './helpers/http.mjs';

const KEY = 'payload-test-key';
let server;
let reader;
let writer;

before(async () => {
  server = await startServer({ config: { ...openConfig, http_api: { key: KEY } } });
  [reader, writer] = await Promise.all([connect(server), connect(server)]);
  await reader.subscribe('p');
});
after(() => server.stop());

const EXACT = [
  ['a number zero', '0'],
  ['minus zero', '-0'],
  ['false', 'false'],
  ['an empty string', '""'],
  ['an empty list', '[]'],
  ['an empty object', '{}'],
  ['a number of 60 digits', `${'1234567890'.repeat(6)}.${'0'.repeat(20)}`],
  ['a number out of range', '1e400'],
  ['exponents as written', '[1E+2,1e-07,2.50]'],
  ['escapes as written', String.raw`"\u00e9\u0041\/\b\f\n\r\t\"\\ \ud83d\ude00"`],
  ['upper case escapes', String.raw`"\u00E9\uD83D\uDE00"`],
  ['an escaped NUL', String.raw`"a\u0000b"`],
  ['UTF-8 of 2, 3 and 4 bytes', '"\u00e9\u20ac\u{1f600}"'],
  ['line separators of JavaScript', '"\u2028\u2029"'],
  ['markup', '"<script>&amp;</script>"'],
  ['DEL', '"\u007f"'],
  ['the order of members', '{"z":1,"a":2,"m":{"y":1,"b":2}}'],
  ['repeated members', '{"a":1,"a":2}'],
  ['members that look like ours', '{"id":1,"data":{"channel":"q"},"push":{"pub":{}}}'],
  ['spaces and tabs between tokens', '{ "a" :\t[ 1 , 2 ] }'],
  ['deep nesting', '['.repeat(500) + ']'.repeat(500)],
  ['braces in strings', String.raw`"}]{[\"}"`],
];

async function dataOf(push) {
  const { pub } = JSON.parse(push).push; /* the line as a whole is JSON */
  const marker = '"data":';
  const start = push.indexOf(marker) + marker.length;
  return { text: push.slice(start), pub };
}

async function expectData(expected) {
  const { text } = await dataOf(await reader.pushText());
  assert.equal(text.slice(0, expected.length), expected);
  assert.match(text.slice(expected.length), /^[,}]/);
}

test('published by a client', async (t) => {
  for (const [name, data] of EXACT)
    await t.test(name, async () => {
      await writer.requestText(`"publish":{"channel":"p","data":${data}}`);
      await expectData(data);
    });
});

test('published over the API', async (t) => {
  for (const [name, data] of EXACT)
    await t.test(name, async () => {
      const answer = await api(server, 'publish', `{"channel":"p","data":${data}}`, { key: KEY });
      assert.equal(answer.text, '{"result":{}}');
      await expectData(data);
    });
});

test('raw newlines between tokens are dropped, the rest stays', async () => {
  const body = '{\n  "channel": "p",\n  "data": {\r\n    "a":\n [1,\n\n 2],\r "b": "x\\ny" }\n}\n';
  await api(server, 'publish', body, { key: KEY });
  await expectData('{    "a": [1, 2], "b": "x\\ny" }');
});

test('a command of exactly 65,536 bytes arrives', async () => {
  const head = '{"id":900,"publish":{"channel":"p","data":"';
  const data = 'x'.repeat(65536 - head.length - '"}}'.length);
  const arrival = writer.reply(900);
  writer.send(`${head}${data}"}}`);
  assert.equal(await arrival, '{"id":900,"publish":{}}');
  await expectData(`"${data}"`);
});

test('an escaped channel name is the same channel', async () => {
  await writer.requestText('"publish":{"channel":"\\u0070","data":5}');
  assert.deepEqual((await reader.push()).channel, 'p');
});

test('a name with characters that JSON escapes comes back whole', async () => {
  const name = 'a"b\\c<d>/~ e';
  await reader.subscribe(name);
  await writer.publish(name, 1);
  assert.equal((await reader.push()).channel, name);
});

test('tags of the API reach the subscriber', async () => {
  const body = { channel: 'p', data: 1, tags: { color: 'red', 'k"': 'v' } };
  await api(server, 'publish', body, { key: KEY });
  assert.deepEqual((await reader.push()).pub, { data: 1, tags: body.tags });
});

test('b64data of the API is the payload itself', async () => {
  const data = '{ "b": 64 }';
  await api(server, 'publish', { channel: 'p', b64data: Buffer.from(data).toString('base64') }, { key: KEY });
  await expectData(data);
});
