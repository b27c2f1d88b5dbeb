/* `carillon doctor` for tests: runs it, reads its JSON, and takes care that it never says the token.
 *
 *   const found = await doctor(url, ['--origin', 'https://good.example'], { token });
 *   found.code, found.check('tls').result, .seen, .do
 *   found.failed                                     names of the checks that failed
 */
import assert from 'node:assert/strict';
import { binary, deadline, runCarillon } from './server.mjs';
import { execFileSync } from 'node:child_process';

/* Seconds for each of its steps: what must fail by silence takes so long. */
export const patience = (seconds) => ['--timeout', String(Math.min(60, Math.ceil(deadline(seconds * 1000) / 1000)))];

export async function doctor(url, args = [], { token, limitMs = 60000 } = {}) {
  const env = token ? { CARILLON_TOKEN: token } : {};
  const { code, stdout, stderr } = await runCarillon(['doctor', url, '--json', ...args], { env, limitMs });
  assert.equal(stderr, '');
  if (token)
    assert.ok(!stdout.includes(token) && !stdout.includes(token.split('.')[2]), 'the token is in the output');
  const { result, checks } = JSON.parse(stdout);
  assert.equal(code, result === 'ok' ? 0 : 1, stdout);
  const check = (name) => checks.find((one) => one.check === name) ?? assert.fail(`no check "${name}" in ${stdout}`);
  const failed = checks.filter((one) => one.result === 'fail').map((one) => one.check);
  for (const one of checks)
    assert.ok(one.result !== 'fail' || one.do, `what failed says what to do: ${JSON.stringify(one)}`);
  return { code, checks, check, failed, stdout };
}

/* The check of that name failed, alone, and these texts match what was seen and what to do. */
export function assertFailed(found, name, seen, advice) {
  assert.deepEqual(found.failed, [name], found.stdout);
  const one = found.checks.find((c) => c.check === name && c.result === 'fail');
  assert.match(one.seen, seen);
  assert.match(one.do, advice);
}

export const secret = 'doctor-test-secret-of-more-than-32-bytes';

export function makeToken(args = [], key = secret) {
  const env = { PATH: process.env.PATH, CARILLON_CLIENT_TOKEN_HMAC_SECRET_KEY: key };
  return execFileSync(binary, ['token', '--user', 'alice', ...args], { env, encoding: 'utf8' }).trim();
}
