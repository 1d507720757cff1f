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
      const answer = await fetch(notice.dataset.stay).catch(() => null);
      // Too late: the page itself says how to come back.
      if (answer?.ok) wait();
      else location.reload();
    });
    document.addEventListener("htmx:afterRequest", wait);
    wait();
  }
}
