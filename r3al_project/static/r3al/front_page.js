// Refreshes the front page every two seconds while it is visible; a failed fetch is tried again at the next tick.
(function () {
  const page = document.getElementById("front-page");
  if (!page) return;
  async function refresh() {
    if (document.hidden) return;
    try {
      const answer = await fetch(page.dataset.fragment, { headers: { Accept: "text/html" } });
      if (answer.ok && !answer.redirected) {
        const text = await answer.text();
        if (text !== page.dataset.last) {
          page.dataset.last = text;
          const focused = document.activeElement && page.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
          page.innerHTML = text;
          if (focused) { const again = page.querySelector(`a[href="${CSS.escape(focused)}"]`); if (again) again.focus(); }
        }
      }
    } catch (error) { /* the server is restarting: the next tick tries again */ }
  }
  setInterval(refresh, 2000);
})();
