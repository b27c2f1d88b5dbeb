/* A button that copies, and says so for a moment. The clipboard exists on https and localhost only: elsewhere
 * the button is not there.
 */
const SAY_MS = 1500;

/* textOf() is asked when the button is pressed. */
export function copyButton(button, textOf) {
  const words = button.textContent;
  button.hidden = !navigator.clipboard;
  button.addEventListener('click', async () => {
    button.textContent = await navigator.clipboard.writeText(textOf()).then(() => 'Copied', () => 'Not allowed');
    setTimeout(() => { button.textContent = words; }, SAY_MS);
  });
}
