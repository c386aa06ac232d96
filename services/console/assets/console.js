// What htmx leaves open when a page keeps itself up to date: the focus stays where it was, changes are said aloud once, and
// a page that could not be refreshed does not look as if it had been.
(() => {
  "use strict";
  const live = () => document.getElementById("live");
  const keyOf = e => e.id || e.getAttribute("href") || e.getAttribute("name") || e.textContent;
  const alike = key => [...live().querySelectorAll("a, button, input, select, summary, [tabindex]")].filter(e => keyOf(e) === key);
  const stale = is => {
    const note = document.getElementById("stale");
    if (note) {
      note.hidden = !is;
    }
  };
  let focused = null;
  let said = live() && live().dataset.news;

  document.addEventListener("htmx:beforeSwap", () => {
    const at = document.activeElement;
    focused = live() && live().contains(at) ? { key: keyOf(at), nth: alike(keyOf(at)).indexOf(at) } : null;
  });
  // At once, not when the part has settled: a key that is pressed in between would go nowhere.
  document.addEventListener("htmx:afterSwap", () => {
    if (focused && live() && !live().contains(document.activeElement)) {
      const now = alike(focused.key);
      (now[focused.nth] || now[0] || document.getElementById("main")).focus({ preventScroll: true });
    }
  });
  document.addEventListener("htmx:afterSettle", () => {
    stale(false);
    const news = live() && live().dataset.news;
    if (news && news !== said) {
      document.getElementById("news").textContent = said = news;
    }
  });
  for (const fault of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
    document.addEventListener(fault, () => stale(true));
  }
})();
