/* The flood: what happens to a client that sends as fast as it can, and to the page beside it.
 *
 * A connection of its own (flood-worker.js) publishes into a side channel of the room. Once its allowance
 * is used up the server answers with error 111; a client that goes on all the same is disconnected with
 * 3013. Meanwhile the page's own link publishes, too, and we take the time: the limit is per connection,
 * so nobody else should notice.
 */
const PROBES_MIN = 9;
const NONE = { sent: 0, accepted: 0, refused: 0, ms: 0 };

const $ = (id) => document.getElementById(id);
const breath = () => new Promise((resolve) => setTimeout(resolve));
const inMs = (ms) => (ms === Infinity ? 'no answer' : ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms).toLocaleString()} ms`);
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

function verdict({ ms, refused, end }) {
  if (!end) return ms ? 'Sending as fast as this browser can…' : 'Connecting…';
  if (end.code === 3013) return `After ${inMs(ms)} the server ended the connection: ${end.reason} (3013).`;
  if (!ms) return `No connection (${end.code}).`;
  return refused ? `The connection ended: ${end.reason || 'closed'} (${end.code}).` : 'Nobody stopped it: this server sets no limits.';
}

export class Flood {
  #worker = null;
  #stop = () => {};
  #before = [];
  #trips = [];

  /* url of the node's WebSocket; channel() is the side channel; probe() a round trip of the page. */
  constructor({ url, channel, probe }) {
    Object.assign(this, { url, channel, probe });
    $('flood').addEventListener('click', () => this.#start());
    $('flood-close').addEventListener('click', () => this.#close());
  }

  async #start() {
    $('flood').disabled = true;
    $('flood-panel').hidden = false;
    this.#trips = [];
    this.#show(NONE);
    this.#before = await this.#measure([]);
    await Promise.all([this.#pour(), this.#measure(this.#trips)]);
    $('flood').disabled = false;
  }

  /* Until the connection has ended, or the panel was closed. */
  #pour() {
    const worker = this.#worker = new Worker('flood-worker.js');
    worker.postMessage({ url: this.url, channel: this.channel() });
    return new Promise((resolve) => {
      this.#stop = () => {
        worker.terminate();
        this.#worker = null;
        resolve();
      };
      worker.onmessage = ({ data }) => {
        this.#show(data);
        if (data.end) this.#stop();
      };
    });
  }

  #close() {
    this.#stop();
    $('flood-panel').hidden = true;
    $('flood').focus();
  }

  /* The page's own round trips, one after the other, for as long as the flood lasts. */
  async #measure(trips) {
    while ((this.#worker || trips.length < PROBES_MIN) && trips.at(-1) !== Infinity) {
      const start = performance.now();
      const isGood = await this.probe().then(() => true, () => false);
      trips.push(isGood ? performance.now() - start : Infinity);
      await breath();
    }
    this.#showTrips();
    return trips;
  }

  #show(figures) {
    for (const name of ['sent', 'accepted', 'refused']) $(`flood-${name}`).textContent = figures[name].toLocaleString();
    $('flood-panel').dataset.end = figures.end?.code ?? '';
    $('flood-verdict').textContent = verdict(figures);
    this.#showTrips();
  }

  #showTrips() {
    const [now, before] = [this.#trips, this.#before];
    $('flood-trip').textContent = now.length ? `This page meanwhile: round trip ${inMs(median(now))} `
      + `(before: ${inMs(median(before))}), the slowest ${inMs(Math.max(...now))}.` : 'This page meanwhile: …';
  }
}
