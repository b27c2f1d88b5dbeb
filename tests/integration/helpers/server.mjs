/* Starts the real carillon binary for a test, on a port the kernel picks, and judges how it ends.
 *
 *   const server = await startServer({ config: { client: { insecure: true } } });
 *   server.url, server.wsUrl, server.port, server.pid, server.logs(), await server.waitLog(/regex/)
 *   await server.stop();          SIGTERM, resolves with { code, signal }
 *   server.kill();                SIGKILL, for tests that want a dead server
 *   await runCarillon(['config', 'check', file])   runs to the end: { code, signal, stdout, stderr }
 *
 * stop() rejects when the process ended by itself before, did not end in time, left with another
 * status than 0, printed a line of level ERROR (unless allowErrors), or a sanitizer reported.
 *
 * Environment: CARILLON_BIN (build/carillon), CARILLON_TEST_WORKERS (2), CARILLON_TEST_SLOW (1; a
 * factor for all deadlines, for sanitizer builds and valgrind). No CARILLON_ variable reaches the
 * server but those a test gives in `env`: they would be options.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../../', import.meta.url));
export const binary = path.resolve(root, process.env.CARILLON_BIN ?? 'build/carillon');

const slow = Number(process.env.CARILLON_TEST_SLOW ?? 1);

/* A time in milliseconds that is only a limit: stretched when the server is known to be slow. */
export const deadline = (ms) => ms * slow;

/* Rejects with `what` when the promise is not settled in time. `what` may be a function. The time is counted
 * in slices, so that a machine that stood still costs one of them and not the test. */
export function within(ms, promise, what) {
  const SLICES = 10;
  let timer, passed = 0;
  const late = new Promise((_, reject) => {
    timer = setInterval(() => {
      if (++passed < SLICES)
        return;
      const text = typeof what === 'function' ? what() : what;
      reject(new Error(`not within ${deadline(ms)} ms: ${text}`));
    }, deadline(ms) / SLICES);
  });
  return Promise.race([promise, late]).finally(() => clearInterval(timer));
}

/* Asks until the check, which may be asynchronous, holds; gives how many milliseconds that took. */
export async function until(check, what, limitMs = 5000) {
  const start = performance.now();
  let isOver = false;
  await within(limitMs, (async () => {
    while (!await check() && !isOver)
      await new Promise((resolve) => setTimeout(resolve, 5));
  })(), what).finally(() => (isOver = true));
  return performance.now() - start;
}

/* The next event of that name of an SDK's client or subscription. */
export const event = (emitter, name, limitMs = 5000) =>
  within(limitMs, new Promise((resolve) => emitter.once(name, resolve)), `the SDK's event "${name}"`);

/* Everybody may connect, subscribe and publish in channels without a namespace. */
export const openChannels = {
  allow_subscribe_for_client: true,
  allow_subscribe_for_anonymous: true,
  allow_publish_for_client: true,
  allow_publish_for_anonymous: true,
};
export const openConfig = {
  client: { allow_anonymous_connect_without_token: true },
  channel: { without_namespace: openChannels },
};

const children = new Set();
const folders = new Set();

function cleanUp() {
  for (const child of children)
    child.kill('SIGKILL');
  for (const folder of folders)
    fs.rmSync(folder, { recursive: true, force: true });
}
process.on('exit', cleanUp);
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'])
  process.once(signal, () => process.exit(1));

/* A file that is gone when the test process ends. */
export function temporaryFile(name, text) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'carillon-test-'));
  folders.add(folder);
  const file = path.join(folder, name);
  fs.writeFileSync(file, text, { mode: 0o600 });
  return file;
}

function environment(extra) {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('CARILLON_'));
  return { ...Object.fromEntries(kept), ...extra };
}

function launch(args, { env = {}, fileLimit, program = binary, wrap = [] } = {}) {
  const options = { env: environment(env), cwd: root, stdio: ['ignore', 'pipe', 'pipe'] };
  if (fileLimit)
    wrap = [...wrap, 'sh', '-c', `ulimit -n ${fileLimit} && exec "$0" "$@"`];
  const [command, ...rest] = [...wrap, program, ...args];
  const child = spawn(command, rest, options);
  children.add(child);
  child.once('exit', () => children.delete(child));
  /* A failed test must not keep its process waiting for a server that nobody will stop. */
  for (const handle of [child, child.stdout, child.stderr])
    handle.unref();
  return child;
}

/* Runs the binary to its end, for commands and for starts that are expected to fail. */
export async function runCarillon(args, { env, limitMs = 10000 } = {}) {
  const child = launch(args, { env });
  const result = { code: null, signal: null, stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => (result.stdout += chunk));
  child.stderr.on('data', (chunk) => (result.stderr += chunk));
  try {
    const what = () => `carillon ${args.join(' ')} to end; it printed:\n${result.stdout}${result.stderr}`;
    [result.code, result.signal] = await within(limitMs, once(child, 'close'), what);
  } finally {
    child.kill('SIGKILL');
  }
  return result;
}

const SANITIZER = /ERROR: (Address|Leak|Memory)Sanitizer|WARNING: ThreadSanitizer|runtime error:/;

function isErrorLine(line) {
  return /^\S+ ERROR\b/.test(line) || /^\{.*"level":"error"/.test(line);
}

/* What each thread of a process is doing: its name, state and the system call it is in. */
function threadsOf(pid) {
  const read = (file) => {
    try {
      return fs.readFileSync(file, 'utf8').trim();
    } catch {
      return '?';
    }
  };
  const folder = `/proc/${pid}/task`;
  const one = (id) => {
    const [, name, state] = /\((.*)\) (\S)/.exec(read(`${folder}/${id}/stat`)) ?? [];
    return `${id} ${name} ${state} ${read(`${folder}/${id}/syscall`).split(' ')[0]} ${read(`${folder}/${id}/wchan`)}`;
  };
  return fs.existsSync(folder) ? `its threads: ${fs.readdirSync(folder).map(one).join(', ')}` : 'it is gone';
}

class Server {
  #child;
  #lines = [];
  #rest = '';
  #watchers = new Set();
  #end;
  #isOver = false;
  #allowErrors;

  constructor(child, allowErrors) {
    this.#child = child;
    this.#allowErrors = allowErrors;
    this.pid = child.pid;
    child.stdout.resume();
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text) => this.#take(text));
    this.#end = new Promise((resolve) => {
      child.once('error', (error) => resolve({ code: null, signal: null, error }));
      child.once('close', (code, signal) => resolve({ code, signal }));
    }).then((end) => {
      this.#isOver = true;
      for (const watcher of this.#watchers)
        watcher();
      return end;
    });
  }

  /* Resolves when the process is gone, whatever the reason. */
  get ended() {
    return this.#end;
  }

  logs() {
    return [...this.#lines];
  }

  #take(text) {
    const parts = (this.#rest + text).split('\n');
    this.#rest = parts.pop();
    this.#lines.push(...parts);
    for (const watcher of this.#watchers)
      watcher();
  }

  #tail() {
    return `its last lines:\n${this.#lines.slice(-20).join('\n')}`;
  }

  /* The first line, from line number `from` on, that matches. */
  async waitLog(regex, { limitMs = 5000, from = 0 } = {}) {
    let watcher;
    const found = new Promise((resolve, reject) => {
      watcher = () => {
        const line = this.#lines.slice(from).find((candidate) => regex.test(candidate));
        if (line !== undefined)
          resolve(line);
        else if (this.#isOver)
          reject(new Error(`the server ended without a line like ${regex}; ${this.#tail()}`));
      };
      this.#watchers.add(watcher);
      watcher();
    });
    try {
      return await within(limitMs, found, () => `a log line like ${regex}; ${this.#tail()}`);
    } finally {
      this.#watchers.delete(watcher);
    }
  }

  /* Sends a signal and does not wait. */
  signal(name) {
    this.#child.kill(name);
  }

  kill() {
    this.#child.kill('SIGKILL');
    return this.#end;
  }

  async stop(signal = 'SIGTERM', { limitMs = 15000 } = {}) {
    if (this.#isOver) {
      const end = await this.#end;
      throw new Error(`the server had already ended (${JSON.stringify(end)}); ${this.#tail()}`);
    }
    this.#child.kill(signal);
    return this.finish({ limitMs });
  }

  /* Waits for the end of a server that was told to stop, and judges it as stop() does. */
  async finish({ limitMs = 15000 } = {}) {
    try {
      await within(limitMs, this.#end, () => `the server to stop; ${threadsOf(this.pid)}; ${this.#tail()}`);
    } finally {
      this.#child.kill('SIGKILL');
    }
    const end = await this.#end;
    this.assertClean();
    if (end.code !== 0)
      throw new Error(`the server left with ${JSON.stringify(end)}; ${this.#tail()}`);
    return end;
  }

  /* No sanitizer report and no line of level ERROR so far. */
  assertClean() {
    const report = this.#lines.findIndex((line) => SANITIZER.test(line));
    if (report >= 0)
      throw new Error(`sanitizer report:\n${this.#lines.slice(report, report + 60).join('\n')}`);
    const error = this.#lines.find(isErrorLine);
    if (error && !this.#allowErrors)
      throw new Error(`the server printed an error: ${error}`);
  }
}

/* port 0: the kernel picks one. fileLimit: `ulimit -n` of the server. wrap: a command that becomes the one that
 * follows, as `ip netns exec NAME` does. */
export async function startServer({ config = {}, args = [], env = {}, workers, port = 0, address = '127.0.0.1', fileLimit,
                                    program, wrap, allowErrors = false } = {}) {
  const file = temporaryFile('config.json', JSON.stringify(config, null, 2));
  const count = workers ?? Number(process.env.CARILLON_TEST_WORKERS ?? 2);
  const all = ['--config', file, '--address', address, '--port', String(port),
               '--workers', String(count), ...args];
  const server = new Server(launch(all, { env, fileLimit, program, wrap }), allowErrors);
  try {
    const line = await server.waitLog(/carillon ready/, { limitMs: 10000 });
    server.readyLine = line;
    server.port = Number(/\bport"?[=:]"?(\d+)/.exec(line)?.[1]);
    if (!server.port)
      throw new Error(`no port in the ready line: ${line}`);
  } catch (error) {
    await server.kill();
    throw error;
  }
  server.url = `http://${address}:${server.port}`;
  server.wsUrl = `ws://${address}:${server.port}/connection/websocket`;
  return server;
}
