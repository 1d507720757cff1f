// What is typed into a field while its replacement is on the way is kept. The answer only knows what the request told.
{
  let typed = [];
  document.addEventListener("htmx:beforeSwap", (event) => {
    const told = event.detail.requestConfig.formData;
    typed = [...event.detail.target.querySelectorAll("input[id]:not([type=radio], [type=checkbox], [type=hidden])")]
      .filter((field) => told.has(field.name) && field.value !== told.get(field.name))
      .map((field) => [field.id, field.value]);
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const [id, value] of typed) {
      const field = document.getElementById(id);
      if (field) field.value = value;
    }
    typed = [];
  });
}
