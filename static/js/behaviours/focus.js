// The focus goes to what wants it: an error summary on a new page, the first of the rows that were just added. A field
// that was replaced while it had the focus gets it back.
{
  let kept = null;
  const seek = (root) => root.querySelector?.("[data-focus]")?.focus();
  document.addEventListener("DOMContentLoaded", () => seek(document));
  document.addEventListener("htmx:beforeSwap", () => {
    const active = document.activeElement;
    kept = active?.matches("[data-keep-focus]") ? active.id : null;
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (kept) document.getElementById(kept)?.focus();
    else if (event.target.matches("[data-focus]")) event.target.focus();
    else seek(event.target);
    kept = null;
  });
}
