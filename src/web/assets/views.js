// Niceties of the pages that show things: completion in the SQL editor, and pages that follow what runs. Everything
// works without it.
"use strict";

(() => {
  const KEYWORDS = ("SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT OFFSET JOIN LEFT RIGHT FULL INNER ON USING AS AND OR NOT " +
    "IN IS NULL LIKE ILIKE BETWEEN EXISTS CASE WHEN THEN ELSE END DISTINCT UNION ALL WITH DESC ASC FILTER OVER " +
    "PARTITION sum count avg min max coalesce date_trunc extract round lower upper").split(" ");
  const MOST = 12;

  // Names are asked for once, and the fields of a table when it is first written.
  function names(address) {
    const fields = new Map();
    const get = async (query) => {
      try {
        const answer = await fetch(address + query, { credentials: "same-origin" });
        return answer.ok ? await answer.json() : {};
      } catch {
        return {};
      }
    };
    let tables;
    return {
      tables: () => (tables ??= get("").then((found) => found.tables ?? [])),
      fields: (schema, table) => {
        const key = JSON.stringify([schema, table]);
        if (!fields.has(key)) {
          const query = new URLSearchParams({ schema, table });
          fields.set(key, get("?" + query).then((found) => found.fields ?? []));
        }
        return fields.get(key);
      },
    };
  }

  // Tables that a statement names, with the names it calls them by.
  function mentioned(sql, tables) {
    const found = [];
    const pattern = /\b(?:from|join|,)\s+("?[\w$]+"?)(?:\.("?[\w$]+"?))?(?:\s+(?:as\s+)?("?[\w$]+"?))?/gi;
    const plain = (name) => name?.replaceAll('"', "");
    for (const [, first, second, alias] of sql.matchAll(pattern)) {
      const [schema, table] = second ? [plain(first), plain(second)] : [undefined, plain(first)];
      const known = tables.find(([s, t]) => t === table && (schema === undefined || s === schema));
      const isKeyword = alias && /^(where|on|using|left|right|full|inner|join|group|order|limit|union|having)$/i.test(alias);
      if (known) found.push({ schema: known[0], table: known[1], alias: isKeyword || !alias ? known[1] : plain(alias) });
    }
    return found;
  }

  async function suggestions(known, text, caret) {
    const before = text.slice(0, caret);
    const [, owner, word] = /(?:([\w$"]+)\.)?([\w$"]*)$/.exec(before);
    if (!owner && !word) return { word, found: [] };
    const tables = await known.tables();
    const used = mentioned(text, tables);
    const begins = (name) => name.toLowerCase().replaceAll('"', "").startsWith(word.toLowerCase().replaceAll('"', ""));
    const quoted = (name) => (/^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`);
    const found = [];
    if (owner) {
      const plain = owner.replaceAll('"', "");
      for (const [schema, table] of tables) if (schema === plain && begins(table)) found.push([quoted(table), "table"]);
      for (const one of used.filter((one) => one.alias === plain || one.table === plain)) {
        for (const [name, type] of await known.fields(one.schema, one.table)) if (begins(name)) found.push([name, type]);
      }
    } else {
      for (const one of used) {
        for (const [name, type] of await known.fields(one.schema, one.table)) if (begins(name)) found.push([name, type]);
      }
      for (const schema of new Set(tables.map(([schema]) => schema))) if (begins(schema)) found.push([quoted(schema), "schema"]);
      for (const [schema, table] of tables) {
        if (begins(table)) found.push([`${quoted(schema)}.${quoted(table)}`, "table"]);
      }
      for (const keyword of KEYWORDS) if (word.length > 1 && begins(keyword)) found.push([keyword, ""]);
    }
    const seen = new Set();
    const once = found.filter(([name]) => name !== word && !seen.has(name) && seen.add(name));
    return { word, found: once.slice(0, MOST) };
  }

  // Where the caret is, measured in a copy of the field.
  function place(field) {
    const copy = document.createElement("div");
    const style = getComputedStyle(field);
    for (const name of ["font", "padding", "border", "letterSpacing", "lineHeight", "boxSizing", "tabSize"]) copy.style[name] = style[name];
    Object.assign(copy.style, { position: "absolute", visibility: "hidden", whiteSpace: "pre-wrap", overflowWrap: "break-word", width: field.clientWidth + "px" });
    copy.textContent = field.value.slice(0, field.selectionEnd);
    const mark = document.createElement("span");
    mark.textContent = "\u200b";
    copy.append(mark);
    field.parentElement.append(copy);
    const at = { left: mark.offsetLeft, top: mark.offsetTop + mark.offsetHeight - field.scrollTop };
    copy.remove();
    return at;
  }

  function complete(editor) {
    const field = editor.querySelector("textarea");
    if (!field) return;
    const known = names(editor.dataset.names);
    const list = document.createElement("ul");
    list.className = "suggestions";
    list.id = `${field.id}-suggestions`;
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Suggestions");
    list.hidden = true;
    const frame = field.parentElement;
    frame.classList.add("completes");
    frame.append(list);
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", list.id);
    let chosen = 0;
    let word = "";
    let asked = 0;

    const close = () => {
      list.hidden = true;
      field.removeAttribute("aria-activedescendant");
    };
    const mark = () => {
      [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === chosen)));
      const item = list.children[chosen];
      if (item) {
        field.setAttribute("aria-activedescendant", item.id);
        item.scrollIntoView({ block: "nearest" });
      }
    };
    const take = (name) => {
      const end = field.selectionEnd;
      field.setRangeText(name, end - word.length, end, "end");
      close();
      field.focus();
    };
    const offer = async (isAsked) => {
      const turn = ++asked;
      const result = await suggestions(known, field.value, field.selectionEnd);
      if (turn !== asked) return;
      word = result.word;
      if (!result.found.length || (!isAsked && document.activeElement !== field)) return close();
      list.replaceChildren(
        ...result.found.map(([name, kind], at) => {
          const item = document.createElement("li");
          item.id = `${list.id}-${at}`;
          item.setAttribute("role", "option");
          const told = document.createElement("small");
          told.textContent = kind;
          item.append(name, " ", told);
          item.addEventListener("mousedown", (event) => {
            event.preventDefault();
            take(name);
          });
          item.dataset.name = name;
          return item;
        }),
      );
      const at = place(field);
      list.style.left = `${Math.min(at.left, Math.max(0, field.clientWidth - 260))}px`;
      list.style.top = `${field.offsetTop + Math.min(at.top, field.clientHeight)}px`;
      list.hidden = false;
      chosen = 0;
      mark();
    };

    field.addEventListener("input", () => offer(false));
    field.addEventListener("blur", close);
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        field.form.requestSubmit();
      } else if (event.key === " " && event.ctrlKey) {
        event.preventDefault();
        offer(true);
      } else if (!list.hidden && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
        event.preventDefault();
        const count = list.children.length;
        chosen = (chosen + (event.key === "ArrowDown" ? 1 : count - 1)) % count;
        mark();
      } else if (!list.hidden && (event.key === "Enter" || event.key === "Tab")) {
        event.preventDefault();
        take(list.children[chosen].dataset.name);
      } else if (!list.hidden && event.key === "Escape") {
        event.preventDefault();
        close();
      }
    });
  }

  // What runs is shown as it goes; when it has ended, the page is shown anew.
  async function follow(part) {
    const pause = 2000;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (document.hidden) continue;
      try {
        const answer = await fetch(location.href, { credentials: "same-origin" });
        if (!answer.ok || answer.redirected) return;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const next = page.querySelector("[data-follow]");
        if (!next) return location.reload();
        if (!part.contains(document.activeElement)) part.replaceChildren(...next.childNodes);
      } catch {
        // The server is away for a moment.
      }
    }
  }

  // The newest is at the right, which a narrow screen would not show.
  for (const scrolled of document.querySelectorAll(".chart .table")) scrolled.scrollLeft = scrolled.scrollWidth;
  document.querySelectorAll(".editor[data-names]").forEach(complete);
  const live = document.querySelector("[data-follow]");
  if (live) follow(live);
})();
