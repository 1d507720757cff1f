// What a swapped region has to say (data-say) is spoken by the page's live region, which itself is never swapped.
document.addEventListener("htmx:afterSettle", (event) => {
  const words = event.target.closest?.("[data-say]")?.dataset.say;
  const voice = document.getElementById("voice");
  if (words && voice) voice.textContent = words;
});
