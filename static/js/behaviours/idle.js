// Five minutes before the session ends for want of a click, say so and offer to go on.
{
  const notice = document.getElementById("idle");
  let timer;
  const wait = () => {
    notice.hidden = true;
    clearTimeout(timer);
    timer = setTimeout(() => { notice.hidden = false; }, notice.dataset.after * 1000);
  };
  if (notice) {
    notice.querySelector("button").addEventListener("click", async () => {
      const answer = await fetch(notice.dataset.stay, { headers: { "HX-Request": "true" } }).catch(() => null);
      if (answer?.ok) wait();
      if (answer?.status !== 401) return;
      notice.hidden = true; // too late: what is typed stays, and the page says how to come back
      document.getElementById("over").hidden = false;
    });
    document.addEventListener("htmx:afterRequest", wait);
    wait();
  }
}
