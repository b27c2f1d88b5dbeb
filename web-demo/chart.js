/* Messages per second, the last minute, on a canvas.
 *
 * Arrivals are counted in slots of 250 ms; the curve is a weighted mean over 2 s, so one message is a small
 * hill and not a needle (and the curve tells the truth of a second ago). A chat message is also a bell stroke: a dot at the foot of the curve.
 * Cheap: one short path per frame, 15 frames a second, none while the page is hidden or after a minute of
 * silence. The scale follows the highest hill, slowly.
 */
const SLOT_MS = 250;
const SLOTS = 240;
const RING = 512; /* above SLOTS + MEAN */
const FRAME_MS = 66; /* the curve slides a few pixels a second: more frames would show nothing new */
const SPAN_MS = SLOTS * SLOT_MS;
const PAD = { left: 30, right: 10, top: 8, bottom: 18 };

const WEIGHTS = [1, 2, 3, 4, 4, 3, 2, 1];
const MEAN = WEIGHTS.length;
const WEIGHT_SUM = WEIGHTS.reduce((a, b) => a + b);

const still = matchMedia('(prefers-reduced-motion: reduce)');
const text = (value) => (value >= 100 ? Math.round(value).toString() : value.toFixed(1));

/* The next round number, one that halves well. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value) * power;
}

export class Chart {
  #all = new Uint32Array(RING);
  #strikes = new Uint32Array(RING);
  #slot = 0;
  #scale = 5;
  #timer = 0;
  #busyUntil = 0;
  #figuresAt = 0;

  constructor() {
    this.canvas = document.getElementById('chart');
    this.context = this.canvas.getContext('2d');
    this.#slot = this.#now();
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
    document.documentElement.addEventListener('themechange', () => this.#restyle());
    document.addEventListener('visibilitychange', () => this.#wake());
    this.#resize();
  }

  count(isStrike) {
    this.#advance();
    this.#all[this.#slot % RING] += 1;
    if (isStrike) this.#strikes[this.#slot % RING] += 1;
    this.#busyUntil = performance.now() + SPAN_MS + 2 * MEAN * SLOT_MS;
    this.#wake();
  }

  #now() {
    return Math.floor(performance.now() / SLOT_MS);
  }

  #advance() {
    const now = this.#now();
    const first = Math.max(this.#slot + 1, now - RING + 1);
    for (let slot = first; slot <= now; slot++) this.#all[slot % RING] = this.#strikes[slot % RING] = 0;
    this.#slot = now;
  }

  /* Messages per second around a slot; slots before the page was opened count as silent. */
  #rate(slot) {
    let sum = 0;
    for (let i = 0; i < MEAN && slot - i >= 0; i++) sum += WEIGHTS[i] * this.#all[(slot - i) % RING];
    return (sum / WEIGHT_SUM) * (1000 / SLOT_MS);
  }

  /* ---- drawing ---- */

  #wake() {
    if (this.#timer || document.hidden) return;
    this.#timer = setTimeout(() => requestAnimationFrame(() => this.#tick()), still.matches ? 1000 : FRAME_MS);
  }

  #tick() {
    this.#timer = 0;
    this.#advance();
    this.#draw();
    if (performance.now() < this.#busyUntil) this.#wake();
  }

  #resize() {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio = Math.min(devicePixelRatio || 1, 3);
    Object.assign(this, { width: clientWidth, height: clientHeight });
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#restyle();
  }

  #restyle() {
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    this.colours = { all: colour('--patina'), strike: colour('--bronze'), line: colour('--line'), ink: colour('--muted') };
    this.font = `11px ${style.fontFamily}`;
    this.#draw();
  }

  #draw() {
    const newest = this.#slot - 1; /* the last slot that is complete */
    const rates = Array.from({ length: SLOTS + 2 }, (_, i) => this.#rate(newest - SLOTS - 1 + i));
    const peak = Math.max(...rates);
    this.#figures(rates.at(-1), peak);
    const wanted = roundUp(Math.max(4, peak * 1.15));
    this.#scale += still.matches || Math.abs(wanted - this.#scale) < 0.01 ? wanted - this.#scale : (wanted - this.#scale) * 0.22;

    const { context, width, height } = this;
    if (!width || !height) return;
    context.clearRect(0, 0, width, height);
    const box = {
      x: PAD.left, y: PAD.top, w: width - PAD.left - PAD.right, h: height - PAD.top - PAD.bottom,
      slide: (performance.now() % SLOT_MS) / SLOT_MS,
    };
    box.step = box.w / SLOTS;
    this.#grid(box, wanted);
    context.save();
    context.beginPath();
    context.rect(box.x, 0, box.w, height);
    context.clip();
    this.#curve(box, rates);
    this.#dots(box, newest);
    context.restore();
  }

  #grid(box, top) {
    const { context, colours } = this;
    context.font = this.font;
    context.fillStyle = colours.ink;
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    for (const value of [0, top / 2, top]) {
      const y = Math.round(box.y + box.h * (1 - value / this.#scale)) + 0.5;
      if (y < box.y - 1) continue;
      context.beginPath();
      context.moveTo(box.x, y);
      context.lineTo(box.x + box.w, y);
      context.stroke();
      context.fillText(value >= 1000 ? `${value / 1000}k` : String(value), box.x - 6, y);
    }
    context.textBaseline = 'alphabetic';
    const y = box.y + box.h + 14;
    context.fillText('now', box.x + box.w, y);
    context.textAlign = 'center';
    context.fillText('30 s', box.x + box.w / 2, y);
    context.textAlign = 'left';
    context.fillText('60 s', box.x, y);
  }

  #curve(box, rates) {
    const { context, colours } = this;
    const floor = box.y + box.h;
    const x = (i) => box.x + box.w + (i - rates.length + 1 - box.slide) * box.step;
    const y = (i) => floor - (Math.min(rates[i], this.#scale * 1.05) / this.#scale) * box.h;
    context.beginPath();
    context.moveTo(x(0), y(0));
    for (let i = 1; i < rates.length; i++) {
      context.quadraticCurveTo(x(i - 1), y(i - 1), (x(i - 1) + x(i)) / 2, (y(i - 1) + y(i)) / 2);
    }
    context.lineTo(box.x + box.w + box.step, y(rates.length - 1));
    context.strokeStyle = colours.all;
    context.lineWidth = 2;
    context.lineJoin = 'round';
    context.stroke();
    context.lineTo(box.x + box.w + box.step, floor);
    context.lineTo(x(0), floor);
    context.globalAlpha = 0.16;
    context.fillStyle = colours.all;
    context.fill();
    context.globalAlpha = 1;
  }

  #dots(box, newest) {
    const { context, colours } = this;
    context.fillStyle = colours.strike;
    for (let age = -1; age <= SLOTS; age++) {
      const slot = newest - age;
      const count = slot >= 0 ? this.#strikes[slot % RING] : 0;
      if (!count) continue;
      context.beginPath();
      const x = box.x + box.w - (age + 0.5 + box.slide) * box.step;
      context.arc(x, box.y + box.h, Math.min(5, 2.5 + count * 0.5), 0, 7);
      context.fill();
    }
  }

  /* Not more than four times a second: numbers that flicker cannot be read. */
  #figures(rate, peak) {
    const now = performance.now();
    if (now - this.#figuresAt < 250 && rate) return;
    this.#figuresAt = now;
    document.getElementById('rate').textContent = text(rate);
    document.getElementById('peak').textContent = text(peak);
  }
}
