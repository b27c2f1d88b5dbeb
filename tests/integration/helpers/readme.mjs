/* Finds the code blocks of README.md and what is to be done with each.
 *
 * Every block that a reader may type (sh, bash, console, js, javascript, mjs, python, go) needs an
 * HTML comment, which readers do not see, in the line right above its fence:
 *
 *   <!-- run -->                    must end with status 0
 *   <!-- run, prints: TEXT -->      and its output must contain TEXT
 *   <!-- start, prints: TEXT -->    a subscriber: the next blocks run once it has subscribed, while it goes
 *                                   on; TEXT must come in the end
 *   <!-- not run: WHY -->           e.g. "not run: ./dev fresh types it into a bare Debian"
 *
 * Other blocks (json, text, ...) need none.
 */
const RUNNABLE = new Set(['sh', 'bash', 'shell', 'console', 'js', 'javascript', 'mjs', 'python', 'go']);
const NOTE = /^<!-- (?:(run|start)(?:, prints: (.+?))?|not run: (.+?)) -->$/;

/* [{ line, language, code, mode: 'run' | 'start' | 'skip' | null, prints, why }] */
export function codeBlocks(text) {
  const lines = text.split('\n');
  const blocks = [];
  for (let i = 0; i < lines.length; i++) {
    const fence = /^(`{3,})(\S*)\s*$/.exec(lines[i]);
    if (!fence)
      continue;
    const end = lines.indexOf(fence[1], i + 1);
    if (end < 0)
      throw new Error(`README.md line ${i + 1}: this code block never ends`);
    if (RUNNABLE.has(fence[2])) {
      const note = NOTE.exec(lines[i - 1]?.trim() ?? '');
      const mode = !note ? null : note[3] ? 'skip' : note[1];
      blocks.push({ line: i + 1, language: fence[2], code: lines.slice(i + 1, end).join('\n'), mode,
                    prints: note?.[2], why: note?.[3] });
    }
    i = end;
  }
  return blocks;
}
