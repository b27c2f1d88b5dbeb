/* Certificates for tests, made by the openssl command in a folder that goes with the process.
 *
 *   const ca = makeAuthority();                        { file, issue }
 *   const server = ca.issue('DNS:localhost,IP:127.0.0.1');   { cert, key }: paths
 *   ca.issue(names, { isExpired: true })               or { days: 100 } instead of 1
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const folders = [];
process.on('exit', () => {
  for (const folder of folders)
    fs.rmSync(folder, { recursive: true, force: true });
});

const CONFIG = `
[ca]
default_ca = only
[only]
database = index.txt
rand_serial = yes
new_certs_dir = .
policy = any
default_md = sha256
default_days = 1
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
`;

export function makeAuthority() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'carillon-ca-'));
  folders.push(folder);
  const openssl = (...args) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj'];
  let count = 0;
  fs.writeFileSync(path.join(folder, 'ca.cnf'), CONFIG);
  fs.writeFileSync(path.join(folder, 'index.txt'), '');
  openssl('req', '-x509', ...newKey, '/CN=Test CA', '-days', '2', '-keyout', 'ca.key', '-out', 'ca.pem');

  function issue(names, { isExpired = false, days = 1 } = {}) {
    const name = `cert${++count}`;
    openssl('req', '-new', ...newKey, `/CN=${name}`, '-addext', `subjectAltName=${names}`,
            '-keyout', `${name}.key`, '-out', `${name}.csr`);
    const dates = isExpired ? ['-startdate', '20200101000000Z', '-enddate', '20200102000000Z'] : ['-days', String(days)];
    openssl('ca', '-batch', '-notext', '-config', 'ca.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key',
            ...dates, '-in', `${name}.csr`, '-out', `${name}.pem`);
    return { cert: path.join(folder, `${name}.pem`), key: path.join(folder, `${name}.key`) };
  }
  return { file: path.join(folder, 'ca.pem'), issue };
}
