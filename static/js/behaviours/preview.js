// A form marked data-preview shows what is typed in its preview: the button that it names is pressed, a moment after the last key.
{
  const form = document.querySelector("[data-preview]");
  const button = form && document.getElementById(form.dataset.preview);
  let timer;
  const look = () => {
    clearTimeout(timer);
    timer = setTimeout(() => form.requestSubmit(button), 400);
  };
  for (const field of form?.elements ?? []) {
    field.addEventListener("input", look);
  }
  if (button) button.classList.add("sr-only");
}
