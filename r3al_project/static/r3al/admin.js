// Adds landmarks for screen readers, and makes toggles reachable and usable by keyboard, which the stock pages lack.
(function () {
  function mend(root) {
    const main = document.getElementById("main");
    if (main) main.setAttribute("role", "main");
    const sidebar = document.getElementById("nav-sidebar") || document.getElementById("nav-sidebar-inner");
    if (sidebar && !sidebar.hasAttribute("role")) { sidebar.setAttribute("role", "navigation"); sidebar.setAttribute("aria-label", "Lists"); }
    for (const icon of root.querySelectorAll(".material-symbols-outlined")) {
      const owner = icon.closest("a, button, [role=button]");
      if (owner && owner.textContent.trim() !== icon.textContent.trim()) icon.setAttribute("aria-hidden", "true");
    }
    for (const toggle of root.querySelectorAll("span[x-on\\:click], div[x-on\\:click], a[x-on\\:click]:not([href])")) {
      if (toggle.hasAttribute("tabindex")) continue;
      toggle.setAttribute("tabindex", "0");
      toggle.setAttribute("role", "button");
      const icon = toggle.textContent.trim();
      if (!toggle.hasAttribute("aria-label") && /^[a-z_]+$/.test(icon)) toggle.setAttribute("aria-label", icon.replaceAll("_", " "));
      toggle.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle.click(); }
      });
    }
  }
  document.addEventListener("DOMContentLoaded", () => mend(document));
  document.addEventListener("htmx:afterSwap", (event) => mend(event.target));
})();
