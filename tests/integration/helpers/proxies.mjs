/* Real nginx and HAProxy in front of nodes, as processes without privileges, with the files of deploy/.
 *
 *   const proxy = await startProxy('nginx', nodes, { edit: [[/75s/g, '2s']] });
 *   proxy.url, proxy.port, proxy.ca, proxy.folder      https; the certificate's authority; where its logs are
 *   proxy.log()                                        what it wrote: its own log and that of requests
 *   proxy.reload();                                    as the manual says: nginx -s reload; SIGUSR2
 *   await proxy.restart();                             killed, and started again on the same port
 *   await proxy.stop();
 *
 * Of the files only users, limits, ports, addresses, paths and certificates are replaced, and what `edit` says; a pattern that
 * is not there is an error. Root becomes nobody.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { makeAuthority } from './certificates.mjs';
import { freePort } from './redis.mjs';
import { root, until, within } from './server.mjs';

const NOBODY = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};

export function replaceAll(text, rows) {
  for (const [pattern, by] of rows) {
    if (!text.match(pattern))
      throw new Error(`the file does not have ${pattern}`);
    text = text.replace(pattern, by);
  }
  return text;
}

/* How each of them is configured, started and told to read its file again. */
const KINDS = {
  nginx: {
    file: 'nginx.conf',
    rows: ({ folder, port, plainPort, nodes }) => [
      [/^user .*\n/m, ''],
      [/\/run\/nginx\.pid/, `${folder}/pid`],
      [/\/var\/log\/nginx\/error\.log/, 'stderr'],
      [/\/var\/log\/nginx\/access\.log/, `${folder}/access.log`],
      [/^http \{$/m, ['http {', ...['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) =>
        `    ${name}_temp_path ${folder}/${name};`)].join('\n')],
      [/listen 80;/, `listen 127.0.0.1:${plainPort};`],
      [/listen 443 /, `listen 127.0.0.1:${port} `],
      [/\/etc\/ssl\/carillon\/fullchain\.pem/, `${folder}/cert.pem`],
      [/\/etc\/ssl\/carillon\/privkey\.pem/, `${folder}/key.pem`],
      [/127\.0\.0\.1:8000/g, `127.0.0.1:${nodes[0].port}`],
      [/127\.0\.0\.1:8001/g, `127.0.0.1:${nodes[1].port}`],
    ],
    command: (file) => ['nginx', ['-e', 'stderr', '-c', file, '-g', 'daemon off;']],
    reload: 'SIGHUP',
  },
  haproxy: {
    file: 'haproxy.cfg',
    rows: ({ folder, port, plainPort, nodes }) => [
      [/^ +(user|group|chroot) .*\n/gm, ''],
      [/maxconn 20000/, 'maxconn 1000'], /* only root may raise its own limit */
      [/log \/dev\/log local0/, 'log stdout format raw local0'],
      [/bind :80\b/, `bind 127.0.0.1:${plainPort}`],
      [/bind :443 /, `bind 127.0.0.1:${port} `],
      [/\/etc\/haproxy\/carillon\.pem/, `${folder}/both.pem`],
      [/127\.0\.0\.1:8000/g, `127.0.0.1:${nodes[0].port}`],
      [/127\.0\.0\.1:8001/g, `127.0.0.1:${nodes[1].port}`],
    ],
    command: (file) => ['haproxy', ['-W', '-f', file]],
    reload: 'SIGUSR2',
  },
};

const running = new Set();
process.on('exit', () => running.forEach((proxy) => proxy.abandon()));

class Proxy {
  #kind;
  #child = null;
  #text = '';

  constructor(name, ports, nodes, edit) {
    Object.assign(this, ports, { name, nodes });
    this.#kind = KINDS[name];
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), `carillon-${name}-`));
    this.url = `https://localhost:${this.port}`;
    this.plainUrl = `http://localhost:${this.plainPort}`;
    running.add(this);
    this.#certify();
    const text = fs.readFileSync(path.join(root, 'deploy', this.#kind.file), 'utf8');
    this.file = path.join(this.folder, this.#kind.file);
    fs.writeFileSync(this.file, replaceAll(text, [...edit, ...this.#kind.rows(this)]));
    if (NOBODY.uid)
      for (const file of ['.', ...fs.readdirSync(this.folder)])
        fs.chownSync(path.join(this.folder, file), NOBODY.uid, NOBODY.gid);
  }

  #certify() {
    const ca = makeAuthority();
    const { cert, key } = ca.issue('DNS:localhost,IP:127.0.0.1');
    const [certText, keyText] = [cert, key].map((file) => fs.readFileSync(file, 'utf8'));
    const put = (name, text) => fs.writeFileSync(path.join(this.folder, name), text, { mode: 0o600 });
    put('cert.pem', certText);
    put('key.pem', keyText);
    put('both.pem', certText + keyText);
    this.ca = ca.file;
  }

  log() {
    const file = path.join(this.folder, 'access.log');
    return this.#text + (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '');
  }

  async start() {
    const [command, args] = this.#kind.command(this.file);
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
    const child = spawn(command, args, { cwd: this.folder, env, stdio: ['ignore', 'pipe', 'pipe'], ...NOBODY });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => (this.#text += chunk));
      stream.unref();
    }
    child.unref();
    const ended = new Promise((_, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`${this.name} ended with ${code}: ${this.#text}`)));
    });
    ended.catch(() => {});
    await Promise.race([ended, until(() => this.#answers(), () => `${this.name} to listen: ${this.#text}`, 10000)]);
    return this;
  }

  #answers() {
    return new Promise((resolve) => {
      const socket = tls.connect({ port: this.port, host: '127.0.0.1', rejectUnauthorized: false });
      socket.once('secureConnect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('secureConnect', () => socket.destroy());
    });
  }

  reload() {
    this.#child.kill(this.#kind.reload);
  }

  /* The master ends its workers, and with them all connections. */
  async kill() {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await within(10000, ended, `${this.name} to end: ${this.#text}`);
  }

  async restart() {
    await this.kill();
    await this.start();
  }

  abandon() {
    running.delete(this);
    this.#child?.kill('SIGTERM');
    fs.rmSync(this.folder, { recursive: true, force: true });
  }

  async stop() {
    if (this.#child.exitCode === null && this.#child.signalCode === null)
      await this.kill();
    this.abandon();
  }
}

/* Another process may take a port that was free a moment ago: then the next one. */
export async function startProxy(name, nodes, { edit = [] } = {}) {
  for (let left = 3; ; left--) {
    const ports = { port: await freePort(), plainPort: await freePort() };
    const proxy = new Proxy(name, ports, nodes, edit);
    try {
      return await proxy.start();
    } catch (error) {
      proxy.abandon();
      if (left === 0)
        throw error;
    }
  }
}
