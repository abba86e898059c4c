// Niceties of the console. Every page works without them.
"use strict";

// A search field that hides what does not match: <input data-filter="#rows"> and rows as children of it.
for (const field of document.querySelectorAll("input[data-filter]")) {
  const target = document.querySelector(field.dataset.filter);
  const say = document.querySelector(field.dataset.count || "#no-count");
  const apply = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of target.children) {
      const text = (row.dataset.text || row.textContent).toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    if (say) say.textContent = shown + " of " + target.children.length;
  };
  if (target) {
    field.addEventListener("input", apply);
    if (field.value) apply();
  }
}

// A box that ticks all others whose row is shown: <input type=checkbox data-all="#rows input">
for (const box of document.querySelectorAll("input[data-all]")) {
  box.closest("[hidden]")?.removeAttribute("hidden");
  const others = () => [...document.querySelectorAll(box.dataset.all)].filter((one) => !one.closest("[hidden]"));
  box.checked = others().length > 0 && others().every((one) => one.checked);
  box.addEventListener("change", () => {
    for (const one of others()) one.checked = box.checked;
  });
}

// One open question at a time; Escape closes it.
document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.("details.confirm") || !event.target.open) return;
  for (const other of document.querySelectorAll("details.confirm[open]")) {
    if (other !== event.target) other.open = false;
  }
}, true);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details.confirm[open], details.menu[open]")) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});

// A form is sent once.
document.addEventListener("submit", (event) => {
  const form = event.target;
  // What gives a file leaves the page where it is.
  if (event.submitter?.matches("[data-file]")) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  form.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.removeAttribute("aria-busy");
  }
});

// A part of a page that the server keeps up to date: <div data-live="/address">. Each event `part` brings it anew as
// text of ours; `end` loads the page once more.
for (const part of document.querySelectorAll("[data-live]")) {
  const source = new EventSource(part.dataset.live);
  source.addEventListener("part", (event) => {
    const page = new DOMParser().parseFromString(event.data, "text/html");
    part.replaceChildren(...page.body.childNodes);
  });
  source.addEventListener("end", () => {
    source.close();
    location.reload();
  });
}

// Copies the text of a field: <button data-copy="#field">
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).value);
    button.textContent = "Copied";
  });
}
