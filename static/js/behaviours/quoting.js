// Choosing a plan: the buttons beside a quantity, and no agreeing to a quote that is no longer what the form says.
{
  const form = document.getElementById("choice");
  const wait = () => {
    for (const button of document.querySelectorAll("[data-quoted]")) button.setAttribute("aria-disabled", "true");
  };
  form?.addEventListener("click", (event) => {
    const button = event.target.closest("[data-step]");
    if (!button) return;
    event.preventDefault();
    const field = button.parentElement.querySelector("input");
    const now = Number.parseInt(field.value.replace(/[^0-9]/g, ""), 10) || 0;
    field.value = Math.max(0, now + Number(button.dataset.step));
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  form?.addEventListener("input", wait);
  document.addEventListener("submit", (event) => {
    if (event.submitter?.getAttribute("aria-disabled") === "true") event.preventDefault();
  }, true);
}
