/* Publishing and reading the history over plain HTTP, for links without the SDK, and where our node is. The fetch
 * is given: one that is listened to (tap.js).
 *
 * The demo's API needs no key. A real page would ask its own application server, which holds the key.
 */
const root = new URL('.', location.href);
root.search = root.hash = '';

export const urlOf = (path) => new URL(path, root);

/* Gives publish(channel, data), one request at a time: parallel ones may overtake each other. */
export function publisher(fetch) {
  let last = Promise.resolve();
  return (channel, data) => (last = last.catch(() => {}).then(() => post(fetch, 'publish', { channel, data })));
}

/* Gives { publications, epoch, offset }, the newest first. */
export const recall = (fetch, channel, limit) => post(fetch, 'history', { channel, limit, reverse: true });

async function post(fetch, method, params) {
  const response = await fetch(urlOf(`api/${method}`), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(params),
    signal: AbortSignal.timeout(5000),
  });
  if (!response.ok) throw { code: response.status, message: response.statusText || 'refused' };
  const { error, result } = await response.json();
  if (error) throw error;
  return result;
}
