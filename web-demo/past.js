/* A channel's past: what was said before we came, and while we were away.
 *
 *   const past = new Past(recall, handlers);    recall(limit) gives a promise of { publications }, newest first
 *   past.publication({ data, offset, info }, when);   each one that arrives; 'live' unless somebody knows better
 *   past.subscribed(position, isRecovered);     after every (re)subscribe; no position: nothing is kept
 *   past.stop();
 *
 * Handlers: onData(data, client, when), when being 'live', 'missed' or 'earlier'; and, optional,
 * onMark({ kind, count }): 'earlier' follows what is, 'recovered' and 'lost' come before what was missed
 * (count undefined: nobody can tell); onPosition({ offset, epoch }); isFresh: the room has nothing yet.
 *
 * Offsets have no holes, so one number says what we have: all up to it was given on. Nothing is given on
 * twice, whether it came live, by the SDK's recovery or from the history. What arrives while we wait for
 * the history is held, so that all comes in order. What the SDK has recovered follows its subscribed event
 * at once: that is held for a moment too, and counted.
 */
const LIMIT = 100;

export class Past {
  #offset = null; /* of the last one given on */
  #epoch = null;
  #held = null;   /* while we wait */
  #turn = 0;

  constructor(recall, handlers) {
    this.recall = recall;
    this.handlers = handlers;
  }

  stop() {
    this.#turn = -1;
    this.#held = [];
  }

  publication(publication, when = 'live') {
    if (this.#held) this.#held.push(publication);
    else this.#give(publication, when);
  }

  async subscribed(position, isRecovered = false) {
    const turn = (this.#turn += 1);
    const isFirst = this.#offset === null;
    const isAsked = position && (isFirst ? this.handlers.isFresh : !isRecovered);
    this.#held ??= [];
    const answer = await (isAsked ? this.recall(LIMIT).catch(() => null) : null);
    if (turn !== this.#turn) return; /* subscribed again meanwhile, or gone */
    const kept = [...(answer?.publications ?? [])].reverse();
    if (position && isFirst) this.#begin(kept, position);
    else if (position) this.#goOn(kept, position, isRecovered);
    const held = this.#held;
    this.#held = null;
    for (const publication of [...kept, ...held]) this.#give(publication, 'live');
    if (!position) return;
    if (answer || !isAsked) this.#offset ??= position.offset; /* else we ask again next time */
    if (this.#offset !== null) this.#tell();
  }

  #begin(kept, { offset: top, epoch }) {
    this.#epoch = epoch;
    const earlier = kept.filter(({ offset }) => offset <= top);
    for (const publication of earlier) this.#give(publication, 'earlier');
    if (earlier.length > 0) this.handlers.onMark?.({ kind: 'earlier' });
  }

  #goOn(kept, { offset: top, epoch }, isRecovered) {
    const isOther = epoch !== this.#epoch; /* the server has lost what it had, and counts anew */
    if (isOther) this.#offset = 0;
    this.#epoch = epoch;
    const missed = (isRecovered ? this.#held : kept.filter(({ offset }) => offset <= top))
      .filter(({ offset }) => offset > this.#offset);
    const lost = isRecovered ? 0 : (missed[0]?.offset ?? top + 1) - this.#offset - 1;
    if (isOther) this.handlers.onMark?.({ kind: 'lost' });
    else this.handlers.onMark?.(lost > 0 ? { kind: 'lost', count: lost } : { kind: 'recovered', count: missed.length });
    for (const publication of missed) this.#give(publication, 'missed');
  }

  #give({ data, offset, info }, when) {
    if (offset !== undefined) {
      if (offset <= this.#offset) return; /* we have it */
      this.#offset = offset;
    }
    this.handlers.onData(data, info?.client, when);
    if (offset !== undefined && when === 'live' && !this.#held) this.#tell();
  }

  #tell() {
    this.handlers.onPosition?.({ offset: this.#offset, epoch: this.#epoch });
  }
}
