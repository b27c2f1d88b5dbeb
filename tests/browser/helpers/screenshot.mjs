/* The README's picture: a conversation with cursors and a chart that has something to show, at
 * 1280 x 720; the same moment in both themes, cut together along a slanted line.
 */
import fs from 'node:fs';
import { visit } from './demo.mjs';

const SIZE = { width: 1280, height: 720 };
const PLAY_MS = 45000;

const VIEWER = 'Brisk Otter';
/* Who, what, and the transport that the viewer has just changed to. */
const SCRIPT = [
  ['Golden Hare', 'Morning! The new bells are up 🔔'],
  ['Amber Robin', 'Heard them from across the river.'],
  ['Brisk Otter', 'Is that your cursor, up there?', 'eventsource'],
  ['Golden Hare', 'It is. And you can see it in the chart, too.'],
  ['Amber Robin', 'What happens when the server goes down?'],
  ['Brisk Otter', 'Kill it and see: every page comes back by itself.', 'http_stream'],
  ['Amber Robin', 'Without a reload 😄'],
  ['Brisk Otter', 'On every transport.', 'websocket'],
];

/* Slow loops for each cursor, ending at a place of its own. */
const PATHS = {
  'Golden Hare': (t) => [0.46 + 0.12 * Math.sin(6.1 * t), 0.37 + 0.1 * Math.sin(9.3 * t + 1)],
  'Amber Robin': (t) => [0.86 + 0.07 * Math.sin(7.7 * t + 2), 0.83 + 0.1 * Math.cos(5.9 * t)],
};

export async function takeScreenshot(browser, server, target) {
  const room = 'lobby';
  const visitors = new Map();
  for (const name of new Set(SCRIPT.map(([who]) => who)))
    visitors.set(name, await visit(browser, server, { name, room, viewport: SIZE, locale: 'en-GB' }));
  await play(visitors);
  const viewer = visitors.get(VIEWER);
  const light = await viewer.page.screenshot();
  await viewer.systemIs('dark');
  const dark = await viewer.page.screenshot();
  fs.writeFileSync(target, await cutTogether(browser, light, dark));
  for (const visitor of visitors.values())
    await visitor.leave();
}

async function play(visitors) {
  const start = performance.now();
  const lines = SCRIPT.map(([who, text, over], i) => ({ who, text, over, at: (0.12 + 0.82 * (i / (SCRIPT.length - 1))) * PLAY_MS }));
  for (;;) {
    const now = performance.now() - start;
    if (now > PLAY_MS)
      return;
    while (lines.length > 0 && lines[0].at < now) {
      const { who, text, over } = lines.shift();
      if (over)
        await visitors.get(VIEWER).switchTo(over);
      await visitors.get(who).say(text);
    }
    for (const [name, pathOf] of Object.entries(PATHS)) {
      /* Not always both, so that the curve has hills and valleys. */
      if (Math.sin(now / 2700 + name.length * 2.4) < -0.35 && now < PLAY_MS - 2500)
        continue;
      const [x, y] = pathOf(now / PLAY_MS);
      await visitors.get(name).page.mouse.move(x * SIZE.width, y * SIZE.height);
    }
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
}

async function cutTogether(browser, left, right) {
  const context = await browser.newContext({ viewport: SIZE });
  const page = await context.newPage();
  const source = (png) => `data:image/png;base64,${png.toString('base64')}`;
  await page.setContent(`<style>body { margin: 0 } img { position: absolute; inset: 0 }
    img + img { clip-path: polygon(60% 0, 100% 0, 100% 100%, 48% 100%) }</style>
    <img src="${source(left)}"><img src="${source(right)}">`);
  const png = await page.screenshot();
  await context.close();
  return png;
}
