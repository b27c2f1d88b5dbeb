/* What the kernel says about a running server: descriptors and CPU time. */
import fs from 'node:fs';
import { deadline } from './server.mjs';

const TICK_MS = 10; /* of /proc/PID/stat: 100 per second on Linux */

export const openFiles = (server) => fs.readdirSync(`/proc/${server.pid}/fd`).length;

/* CPU time used so far, user and system. */
export function cpuMs(server) {
  const stat = fs.readFileSync(`/proc/${server.pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/* Throws unless, with all clients gone, the server lets go of their descriptors (back to `files`) and then
 * rests: nothing leaks, nothing spins. */
export async function assertRests(server, files) {
  const end = performance.now() + deadline(8000);
  while (openFiles(server) > files) {
    if (performance.now() > end)
      throw new Error(`${openFiles(server)} descriptors are open, ${files} were at the start`);
    await pause(50);
  }
  const used = cpuMs(server);
  await pause(500); /* the time over which it is measured */
  if (cpuMs(server) - used > 50)
    throw new Error(`${cpuMs(server) - used} ms of CPU in half a second with nothing to do`);
}
