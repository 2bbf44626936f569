// Adds landmarks for screen readers, and makes toggles reachable and usable by keyboard, which the stock pages lack.
(function () {
  // A box that scrolls is a landmark: it has the name of what it scrolls, and a number where several have the same.
  function nameRegion(box) {
    if (box.dataset.named) return;
    box.dataset.named = "1";
    const part = box.closest("[aria-labelledby], nav, form, section");
    const heading = part && (document.getElementById(part.getAttribute("aria-labelledby")) || part.querySelector("h2, h3"));
    const name = (heading && heading.textContent.trim().replace(/\s+/g, " ")) || (box.closest("nav") ? "Pages and lists" : "Wide content");
    const same = document.querySelectorAll(`[data-region-name="${CSS.escape(name)}"]`).length;
    box.dataset.regionName = name;
    box.setAttribute("aria-label", same ? `${name} ${same + 1}` : name);
  }

  function mend(root) {
    const main = document.getElementById("main");
    if (main) main.setAttribute("role", "main");
    const sidebar = document.getElementById("nav-sidebar") || document.getElementById("nav-sidebar-inner");
    if (sidebar && !sidebar.hasAttribute("role")) { sidebar.setAttribute("role", "navigation"); sidebar.setAttribute("aria-label", "Lists"); }
    for (const icon of root.querySelectorAll(".material-symbols-outlined")) {
      const owner = icon.closest("a, button, [role=button]");
      if (owner && owner.textContent.trim() !== icon.textContent.trim()) icon.setAttribute("aria-hidden", "true");
    }
    for (const help of root.querySelectorAll("span[aria-label]:not([role])")) help.setAttribute("role", "img");
    for (const box of root.querySelectorAll(".simplebar-content-wrapper[role=region]")) nameRegion(box);
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
  window.addEventListener("load", () => setTimeout(() => mend(document))); // after other scripts have added their parts
  document.addEventListener("htmx:afterSwap", (event) => mend(event.target));
})();
