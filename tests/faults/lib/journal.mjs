/* What readers got, and whether that is what they were promised:
 *
 *   I1  offsets of an epoch are contiguous, or the reader was told that it has missed something
 *   I2  no offset twice         I3  only ever increasing
 *   one (channel, epoch, offset) is one payload, for all readers of all nodes
 *   what was acknowledged to its publisher was received, or the reader was told
 *   in the end every reader is where the channel is: no tail is missing in silence
 *
 *   const journal = new Journal();
 *   const track = journal.track('reader 7 on A', 'room');
 *   track.subscribed({ epoch, offset, recovered });     at each (re)subscription; recovered as SDKs report it
 *   track.publication(offset, text);                    those of a recovery come after subscribed()
 *   journal.acknowledged('room', { epoch, offset }, text);
 *   journal.kept('room', epoch, [{ offset, data }]);    the history, in the end
 *   journal.faults(tops)                                texts, none when all is well; tops: channel -> position
 *
 * A recovery may lead into another epoch: then the new one must have what the reader got in the old one, and what the
 * reader lacked in the old one may come in the new one, at the same offset.
 * "Told" is a subscription that was not recovered. A reader that is sent away for an insufficient state (code
 * 2500) subscribes again from its position, so what follows says whether it was told or refilled.
 */
const at = ({ epoch, offset }) => `${epoch}:${offset}`;
const brief = (text) => (text.length > 40 ? `${text.slice(0, 40)}…` : text);

class Track {
  position = null; /* the last one received, or told */
  told = []; /* [{ from, to }] */
  links = []; /* [{ from: position, to: epoch }]: recovered into another epoch */
  recoveries = 0;
  received = 0;
  #runs = []; /* contiguous: [{ epoch, first, last }] */
  #journal;

  constructor(journal, name, channel) {
    this.#journal = journal;
    this.name = name;
    this.channel = channel;
  }

  #fault(text) {
    this.#journal.fault(`${this.name}, ${this.channel}: ${text}`);
  }

  subscribed({ epoch, offset, recovered }) {
    const from = this.position;
    if (from && recovered) {
      this.recoveries += 1;
      if (offset < from.offset)
        this.#fault(`recovered from ${at(from)} back to ${epoch}:${offset}`);
      if (epoch !== from.epoch)
        this.#goOn(epoch);
      return;
    }
    if (from)
      this.told.push({ from, to: { epoch, offset } });
    this.position = { epoch, offset };
    this.#runs.push({ epoch, first: offset + 1, last: offset });
  }

  /* The new epoch begins with what was received in the old one: faults() sees whether that is true. */
  #goOn(epoch) {
    const old = this.position;
    this.links.push({ from: old, to: epoch });
    for (const run of this.#runs.filter((one) => one.epoch === old.epoch && one.last > 0))
      this.#runs.push({ ...run, epoch });
    this.position = { epoch, offset: old.offset };
    this.#runs.push({ epoch, first: old.offset + 1, last: old.offset });
  }

  publication(offset, text) {
    if (!this.position) {
      this.#fault(`publication ${offset} before it was subscribed`);
      return;
    }
    const { epoch, offset: last } = this.position;
    this.received += 1;
    if (offset <= last)
      this.#fault(`${epoch}:${offset} came after ${last}: twice or backwards`);
    else if (offset > last + 1)
      this.#fault(`a silent hole: ${epoch}:${offset} came after ${last}`);
    this.#journal.saw(this.name, this.channel, { epoch, offset }, text);
    const run = this.#runs.at(-1);
    if (offset === run.last + 1)
      run.last = offset;
    else
      this.#runs.push({ epoch, first: offset, last: offset });
    this.position = { epoch, offset };
  }

  has({ epoch, offset }) {
    return this.#runs.some((run) => run.epoch === epoch && run.first <= offset && offset <= run.last);
  }

  /* This epoch, and those that it was led into from there. */
  epochsFrom(epoch) {
    const epochs = [epoch];
    for (const { from, to } of this.links)
      if (epochs.includes(from.epoch))
        epochs.push(to);
    return epochs;
  }

  /* A position that it need not have: before its first subscription, or within what it was told of. */
  isExcused({ epoch, offset }) {
    const start = this.#runs[0];
    if (start && this.epochsFrom(start.epoch).includes(epoch) && offset < start.first)
      return true;
    const isKnown = this.#runs.some((run) => run.epoch === epoch);
    return this.told.some(({ from, to }) => {
      const isAfter = epoch === from.epoch && offset > from.offset;
      const isBefore = epoch === to.epoch && offset <= to.offset;
      if (from.epoch !== to.epoch)
        return isAfter || isBefore || !isKnown;
      return isAfter && (isBefore || to.offset < from.offset); /* back: what was behind it is gone */
    });
  }
}

export class Journal {
  tracks = [];
  #faults = [];
  #faultCount = 0;
  #payloads = new Map(); /* "channel epoch:offset" -> { text, who } */
  #acknowledged = []; /* [{ channel, position, text }] */

  track(name, channel) {
    const track = new Track(this, name, channel);
    this.tracks.push(track);
    return track;
  }

  fault(text) {
    this.#faultCount += 1;
    if (this.#faults.length < 20) /* one bug makes many */
      this.#faults.push(text);
  }

  saw(who, channel, position, text) {
    const key = `${channel} ${at(position)}`;
    const known = this.#payloads.get(key);
    if (!known)
      this.#payloads.set(key, { text, who });
    else if (known.text !== text)
      this.fault(`${channel} ${at(position)} is "${brief(known.text)}" for ${known.who} and "${brief(text)}" for ${who}`);
  }

  acknowledged(channel, position, text) {
    this.#acknowledged.push({ channel, position, text });
    this.saw('its publisher', channel, position, text);
  }

  get acknowledgedCount() {
    return this.#acknowledged.length;
  }

  get toldCount() {
    return this.tracks.reduce((sum, { told }) => sum + told.length, 0);
  }

  get recoveryCount() {
    return this.tracks.reduce((sum, { recoveries }) => sum + recoveries, 0);
  }

  /* Who went on from one epoch into another must have had in the old one what the new one has there. */
  #checkLinks() {
    const links = new Map();
    for (const track of this.tracks)
      for (const { from, to } of track.links)
        links.set(`${track.channel} ${at(from)} ${to}`, { track, from, to });
    for (const { track: { name, channel }, from, to } of links.values())
      for (let { offset } = from; offset > 0; offset--) {
        const before = this.#payloads.get(`${channel} ${from.epoch}:${offset}`);
        const after = this.#payloads.get(`${channel} ${to}:${offset}`);
        if (before && after && before.text !== after.text)
          this.fault(`${name}, ${channel}: went on from ${at(from)} into ${to}, but ${offset} is "${brief(before.text)}" ` +
            `in the one and "${brief(after.text)}" in the other`);
      }
  }

  /* What the channel's history has in the end: [{ offset, data }]. */
  kept(channel, epoch, publications) {
    for (const { offset, data } of publications)
      this.saw('the history', channel, { epoch, offset }, data);
  }

  /* Has the reader this text at that place, or at the same offset of an epoch that it was led into? */
  #came(track, channel, { epoch, offset }, text) {
    return track.has({ epoch, offset }) || track.epochsFrom(epoch).some((to) =>
      track.has({ epoch: to, offset }) && this.#payloads.get(`${channel} ${to}:${offset}`)?.text === text);
  }

  /* True when all readers of these channels are at these tops: { channel: { epoch, offset } }. */
  isAt(tops) {
    return this.tracks.every(({ channel, position }) =>
      !tops[channel] || (position && at(position) === at(tops[channel])));
  }

  /* Everything that is wrong, given where the channels ended. */
  faults(tops = {}) {
    this.#checkLinks();
    const found = [...this.#faults];
    if (this.#faultCount > found.length)
      found.push(`and ${this.#faultCount - found.length} more`);
    for (const { name, channel, position } of this.tracks)
      if (tops[channel] && (!position || at(position) !== at(tops[channel])))
        found.push(`${name}, ${channel}: is at ${position ? at(position) : 'nothing'}, the channel at ${at(tops[channel])}`);
    let missing = 0;
    for (const { channel, position, text } of this.#acknowledged)
      for (const track of this.tracks)
        if (track.channel === channel && !this.#came(track, channel, position, text) && !track.isExcused(position) &&
            ++missing <= 20)
          found.push(`${track.name}, ${channel}: never got ${at(position)} "${brief(text)}", which was acknowledged, ` +
            'and was not told');
    if (missing > 20)
      found.push(`and ${missing - 20} more that were acknowledged and never came`);
    return found;
  }
}
