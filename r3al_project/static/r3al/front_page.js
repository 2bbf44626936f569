// Fetches the live part of the page every two seconds while it is visible and keeps the focus. Shows a warning when the
// page is no longer up to date.
(function () {
  const page = document.getElementById("front-page");
  const headline = document.getElementById("fp-headline");
  const stale = document.getElementById("fp-stale");
  if (!page) return;
  let last = "";

  function say(text) {
    if (stale.textContent !== text) stale.textContent = text;
    stale.hidden = !text;
  }

  function show(text) {
    if (text === last) return;
    last = text;
    const at = document.activeElement;
    const href = at && page.contains(at) ? at.getAttribute("href") : null;
    page.innerHTML = text;
    const next = page.querySelector("#fp-headline-next");
    if (next && headline.textContent !== next.innerHTML) headline.textContent = next.content.textContent;
    const again = href && page.querySelector(`a[href="${CSS.escape(href)}"]`);
    if (again) again.focus({ preventScroll: true });
  }

  async function refresh() {
    if (document.hidden) return;
    try {
      const answer = await fetch(page.dataset.fragment, { headers: { Accept: "text/html" } });
      if (answer.redirected) say("You are logged out. Reload this page to log in again.");
      else if (!answer.ok) say("The server answered with an error. This page tries again.");
      else { show(await answer.text()); say(""); }
    } catch (error) {
      say("The server does not answer. This page tries again.");
    }
  }
  setInterval(refresh, 2000);
})();
