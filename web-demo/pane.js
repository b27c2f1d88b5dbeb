/* One page or several? Before the first paint (a classic script in the head, so that nothing flashes).
 *
 * /?nodes=8000,8001 goes on to split.html, which shows this page once for each node, in frames; in a
 * frame the page leaves out what the frame's page has already (data-framed, in the style sheet).
 */
(() => {
  if (window.parent !== window) {
    document.documentElement.dataset.framed = '';
  } else if (new URLSearchParams(location.search).has('nodes')) {
    window.stop(); /* nothing of this page is wanted: not its connection either */
    location.replace(`split.html${location.search}${location.hash}`);
  }
})();
