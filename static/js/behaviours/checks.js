// What a swapped region finds wrong with a form (data-checks names the form) stands at the field too, and goes once mended.
document.addEventListener("htmx:afterSettle", (event) => {
  const region = event.target.closest?.("[data-checks]");
  const form = region && document.getElementById(region.dataset.checks);
  if (!form) return;
  for (const place of form.querySelectorAll("[data-error-of]")) {
    const id = place.dataset.errorOf;
    const words = region.querySelector(`[data-wrong="${CSS.escape(id)}"]`);
    const field = document.getElementById(id);
    place.hidden = !words;
    place.replaceChildren(...(words ? words.cloneNode(true).childNodes : []));
    if (!field.matches("input")) continue;
    if (words) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
    field.closest(".field").classList.toggle("field-wrong", Boolean(words));
  }
  // What was said on top of the page is mended as well.
  if (!region.querySelector("[data-wrong]")) document.querySelector(".error-summary")?.remove();
});
