/* Every command in README.md does what it says: the blocks are run in their order against a server
 * that is started as `./dev run` starts it (deploy/demo.json), on another port.
 * helpers/readme.mjs says how a block is marked.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { root, startServer, within } from './helpers/server.mjs';
import { api } from './helpers/http.mjs';
import { codeBlocks } from './helpers/readme.mjs';

const file = path.join(root, 'README.md');
const skip = fs.existsSync(file) ? false : 'README.md does not exist';
let server;
const started = [];

before(async () => {
  if (skip)
    return;
  const config = JSON.parse(fs.readFileSync(path.join(root, 'deploy/demo.json'), 'utf8'));
  server = await startServer({ config });
});
after(async () => {
  for (const { child, state } of started)
    if (state.end === null)
      process.kill(-child.pid, 'SIGKILL'); /* its own process group: a shell and its curl */
  await server?.stop();
});

const COMMANDS = {
  sh: (code) => ['sh', ['-eu', '-c', code]],
  js: (code) => ['node', ['--input-type=module', '--eval', code]],
};

/* README speaks of port 8000; a subscriber in a block runs where tests/ has its npm packages. */
function launch({ language, code }) {
  const kind = ['js', 'javascript', 'mjs'].includes(language) ? 'js' : 'sh';
  const [command, args] = COMMANDS[kind](code.replaceAll(/\b(localhost|127\.0\.0\.1):8000\b/g,
    `127.0.0.1:${server.port}`));
  const cwd = kind === 'js' ? path.join(root, 'tests') : root;
  const child = spawn(command, args, { cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const state = { child, output: '', end: null, changed: () => {} };
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      state.output += chunk;
      state.changed();
    });
  child.once('error', (error) => (state.output += `${error}`));
  state.ended = new Promise((resolve) => child.once('close', (status) => {
    state.end = status;
    resolve(status);
    state.changed();
  }));
  return state;
}

async function subscriptions() {
  const { json, text } = await api(server, 'info', {});
  return json?.result?.nodes?.[0].num_subs ?? assert.fail(`/api/info answered ${text}`);
}

/* Starts a subscriber and waits for its subscription, so that what is published next reaches it. */
async function startSubscriber(block) {
  const was = await subscriptions();
  const state = launch(block);
  started.push({ ...block, child: state.child, state });
  const isThere = async () => {
    while (state.end === null && (await subscriptions()) === was)
      await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await within(10000, isThere(), () => `a subscription; the block printed:\n${state.output}`);
  assert.equal(state.end, null, state.output);
}

/* Waits until the block has printed this text; fails when it ended without. */
async function untilPrinted(state, wanted) {
  const seen = new Promise((resolve, reject) => {
    state.changed = () => {
      if (state.output.includes(wanted))
        resolve();
      else if (state.end !== null)
        reject(new Error(`ended with ${state.end} and without "${wanted}":\n${state.output}`));
    };
    state.changed();
  });
  await within(10000, seen, () => `"${wanted}" to be printed; so far:\n${state.output}`);
}

test('every block in README.md says whether it is run', { skip }, () => {
  const blocks = codeBlocks(fs.readFileSync(file, 'utf8'));
  assert.ok(blocks.some(({ mode }) => mode === 'run'), 'README.md has no block to run');
  for (const { line, mode } of blocks)
    assert.notEqual(mode, null, `README.md line ${line}: the line above this block must be ` +
      '<!-- run -->, <!-- start, prints: ... --> or <!-- not run: why -->');
});

test('the blocks of README.md work', { skip }, async (t) => {
  for (const block of codeBlocks(fs.readFileSync(file, 'utf8'))) {
    if (block.mode === 'skip' || block.mode === null)
      continue;
    await t.test(`line ${block.line}`, async () => {
      if (block.mode === 'start')
        return startSubscriber(block);
      const state = launch(block);
      await within(30000, state.ended, () => `the block to end; it printed:\n${state.output}`);
      assert.equal(state.end, 0, state.output);
      if (block.prints)
        assert.ok(state.output.includes(block.prints), `"${block.prints}" is not in:\n${state.output}`);
    });
  }
  for (const { line, prints, state } of started)
    await t.test(`what was started at line ${line} printed "${prints}"`, () => untilPrinted(state, prints));
});

test('the reader of README.md knows its marks', () => {
  const text = ['a', '<!-- run, prints: {} -->', '```sh', 'curl x', '```', '```json', '{}', '```', '```js', 'y', '```',
                '<!-- not run: needs a phone -->', '```sh', 'z', '```'].join('\n');
  assert.deepEqual(codeBlocks(text), [
    { line: 3, language: 'sh', code: 'curl x', mode: 'run', prints: '{}', why: undefined },
    { line: 9, language: 'js', code: 'y', mode: null, prints: undefined, why: undefined },
    { line: 13, language: 'sh', code: 'z', mode: 'skip', prints: undefined, why: 'needs a phone' },
  ]);
});
