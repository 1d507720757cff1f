// What was typed or chosen before this script had loaded counts as if it were typed now.
{
  const isChanged = (field) => {
    if (field.matches("select")) {
      return field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
    }
    if (field.matches("[type=checkbox], [type=radio]")) return field.checked !== field.defaultChecked;
    return field.value !== field.defaultValue;
  };
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) return; // the page was kept as it was, and has followed its fields
    for (const field of document.querySelectorAll("input, select, textarea")) {
      if (!field.closest("[hx-get], [hx-post]") || !isChanged(field)) continue;
      for (const name of ["input", "change"]) field.dispatchEvent(new Event(name, { bubbles: true }));
    }
  });
}
