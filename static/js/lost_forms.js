// A form that is sent after its session has ended is not lost. This tab remembers what was sent; the page that says that the
// session is over (data-over) marks it as lost, and the form is filled in when it is next shown in this tab.
document.addEventListener("DOMContentLoaded", () => { // by then htmx hears that another country is chosen
  const KEY = "lost-form";
  const form = document.querySelector("form[data-remembered]");
  const sent = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  const fill = () => {
    for (const [name, value] of sent.fields) {
      const field = form.elements[name];
      if (!field || field.type === "checkbox") continue;
      // What its country has no option or field for stays in the tab until that country's fields have come.
      if (field.matches?.("select") && ![...field.options].some((option) => option.value === value)) continue;
      field.value = value;
    }
    for (const box of form.querySelectorAll("[type=checkbox]")) box.checked = sent.fields.some(([name]) => name === box.name);
  };
  if (document.querySelector("[data-over]")) {
    if (sent) sessionStorage.setItem(KEY, JSON.stringify({ ...sent, lost: true }));
  } else if (form) {
    sessionStorage.removeItem(KEY);
    if (sent?.lost && sent.action === form.action) {
      const before = new Map([...form.querySelectorAll("select[hx-post]")].map((select) => [select, select.value]));
      fill();
      form.querySelector("[data-filled-in]").hidden = false;
      for (const [select, value] of before) {
        if (select.value === value) continue;
        document.addEventListener("htmx:afterSettle", fill, { once: true });
        select.dispatchEvent(new Event("change", { bubbles: true }));
      }
    }
    form.addEventListener("submit", () => {
      const fields = [...new FormData(form)].filter(([name]) => name !== "csrf_token");
      sessionStorage.setItem(KEY, JSON.stringify({ action: form.action, fields }));
    });
  }
});
