// A small menu beside what it belongs to.
import { element, popOver } from "./dom.js";

/** Show `items`, [{name, text, run}], below `anchor`, which gets the focus back. `place`: an element of ours for it. */
export function openMenu(place, anchor, items, label) {
  const entry = ({ name, text, run }) =>
    element("button", {
      type: "button",
      role: "menuitem",
      tabindex: "-1",
      class: `nanobanana-menu-item nanobanana-menu-${name}`,
      text,
      onclick: () => {
        menu.hidePopover();
        run();
      },
    });
  const onkeydown = (event) => {
    const entries = [...menu.children];
    const at = entries.indexOf(event.target);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + entries.length, Home: 0, End: entries.length - 1 }[event.key];
    event.stopPropagation();
    if (event.key === "Escape" || event.key === "Tab") menu.hidePopover();
    else if (to !== undefined) entries[to % entries.length].focus();
    else return;
    event.preventDefault();
  };
  const menu = element("div", { class: "nanobanana-menu", role: "menu", "aria-label": label, onkeydown }, ...items.map(entry));
  popOver(place, anchor, menu);
  const box = anchor.getBoundingClientRect();
  menu.style.left = `${Math.max(4, Math.min(box.left, innerWidth - menu.offsetWidth - 4))}px`;
  menu.style.top = `${Math.max(4, Math.min(box.bottom + 2, innerHeight - menu.offsetHeight - 4))}px`;
  menu.firstElementChild?.focus();
}
