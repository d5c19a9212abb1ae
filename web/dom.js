// Small helpers that make elements; text goes in as text only.

/** An element. `options`: class, text, title, attributes and `on<event>` handlers; further arguments are children. */
export function element(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") made.className = value;
    else if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export function button(text, onclick, options = {}) {
  const { class: extra = "", ...rest } = options;
  return element("button", { type: "button", class: `nanobanana-button ${extra}`.trim(), text, onclick, ...rest });
}

export function icon(name) {
  return element("i", { class: `pi pi-${name}`, "aria-hidden": "true" });
}

/** Give `parent` exactly these children; does nothing if it has them already. */
export function replace(parent, ...children) {
  const wanted = children.filter(Boolean);
  if (wanted.length === parent.childNodes.length && wanted.every((one, at) => one === parent.childNodes[at])) return;
  parent.replaceChildren(...wanted);
}

/**
 * Show `box` above all else until Escape or a click elsewhere, then give the focus back to `anchor`: the browser's own
 * popover. `place`: an element of ours to put it into.
 */
export function popOver(place, anchor, box) {
  box.setAttribute("popover", "auto");
  box.addEventListener("toggle", ({ newState }) => {
    if (newState !== "closed") return;
    box.remove();
    anchor.focus();
  });
  place.append(box);
  box.showPopover();
}
