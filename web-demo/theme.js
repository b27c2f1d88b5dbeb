/* Light or dark, decided before the first paint (a classic script in the head, so that nothing flashes).
 *
 * The system's preference rules until the visitor presses the button; that choice is remembered.
 * In a frame the page around it decides (split.js): ?theme=dark to begin with, and messages.
 * The style sheet knows one thing only: data-theme on the root element. Who paints by hand (the chart)
 * listens to "themechange".
 */
(() => {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const root = document.documentElement;
  let chosen = null;
  const isFramed = window.parent !== window;
  const take = (theme) => { if (theme === 'light' || theme === 'dark') chosen = theme; };
  if (isFramed) take(new URLSearchParams(location.search).get('theme'));
  else try { chosen = localStorage.getItem('carillon.theme'); } catch { /* storage is blocked */ }

  const apply = () => {
    const theme = chosen || (system.matches ? 'dark' : 'light');
    root.dataset.theme = theme;
    document.getElementById('theme')
      ?.setAttribute('aria-label', `Switch to the ${theme === 'dark' ? 'light' : 'dark'} theme`);
    root.dispatchEvent(new Event('themechange'));
  };
  const flip = () => {
    chosen = root.dataset.theme === 'dark' ? 'light' : 'dark';
    try { localStorage.setItem('carillon.theme', chosen); } catch { /* good for this page only */ }
    apply();
  };

  apply();
  system.addEventListener('change', apply);
  addEventListener('message', ({ source, data }) => {
    if (!isFramed || source !== window.parent) return;
    take(data?.theme);
    apply();
  });
  addEventListener('DOMContentLoaded', () => {
    apply();
    document.getElementById('theme').addEventListener('click', flip);
  });
})();
