// A request that failed says so where the customer looks, and leaves the page as it was.
{
  const say = (kind) => {
    const place = document.getElementById("failure");
    if (!place) return;
    place.textContent = place.dataset[kind];
    place.hidden = false;
    place.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("htmx:sendError", () => say("offline"));
  document.addEventListener("htmx:responseError", () => say("refused"));
  document.addEventListener("htmx:beforeRequest", () => {
    const place = document.getElementById("failure");
    if (place) place.hidden = true;
  });
}
