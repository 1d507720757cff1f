// A request that failed says so at the top of the window, and leaves the page where it was.
{
  const show = (id, kind, words) => {
    const place = document.getElementById(id);
    if (!place) return;
    if (kind) place.textContent = words || place.dataset[kind];
    place.hidden = false;
  };
  const hide = (id) => {
    const place = document.getElementById(id);
    if (place) place.hidden = true;
  };
  document.addEventListener("htmx:sendError", () => show("failure", "offline"));
  document.addEventListener("htmx:responseError", (event) => {
    const answer = event.detail.xhr;
    const isPlain = answer.getResponseHeader("Content-Type")?.startsWith("text/plain");
    if (answer.status === 401) show("over");
    else show("failure", "refused", isPlain && answer.responseText);
  });
  document.addEventListener("htmx:beforeRequest", () => {
    hide("failure");
    hide("over");
  });
}
