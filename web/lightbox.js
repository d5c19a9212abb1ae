// An image as large as the window, with the others of its run beside it: arrow keys, Escape.
import { button, element, popOver } from "./dom.js";
import { routeUrl } from "./host.js";
import { t } from "./i18n.js";

/** Show `pictures[at]`, {id, width, height}; `place`: an element of ours for it. The focus goes back to `anchor`. */
export function openLightbox(place, anchor, pictures, at) {
  const image = element("img", { alt: "", draggable: false });
  const says = element("div", { class: "nanobanana-lightbox-says", role: "status" });
  const address = () => routeUrl(`/pictures/${pictures[at].id}/original`);
  const show = (next) => {
    at = (next + pictures.length) % pictures.length;
    const { width, height } = pictures[at];
    image.src = address();
    image.alt = says.textContent = t("lightbox.says", { number: at + 1, count: pictures.length, size: `${width} x ${height}` });
  };
  const step = (by, sign, name) =>
    button(sign, () => show(at + by), { class: `nanobanana-lightbox-${name}`, "aria-label": t(`lightbox.${name}`), hidden: pictures.length < 2 });
  const onkeydown = (event) => {
    event.stopPropagation();
    if (event.key === "ArrowRight") show(at + 1);
    else if (event.key === "ArrowLeft") show(at - 1);
    else if (event.key === "Escape") box.hidePopover();
    else return;
    event.preventDefault();
  };
  const bar = element(
    "div",
    { class: "nanobanana-row" },
    step(-1, "\u2039", "previous"),
    step(1, "\u203a", "next"),
    says,
    button(t("image.open"), () => window.open(address(), "_blank", "noopener"), { class: "nanobanana-lightbox-open" }),
    button(t("lightbox.close"), () => box.hidePopover(), { class: "nanobanana-lightbox-close" }),
  );
  const options = { class: "nanobanana-lightbox", role: "dialog", tabindex: "-1", "aria-label": t("lightbox.name") };
  const box = element("div", { ...options, onkeydown }, image, bar);
  show(at);
  popOver(place, anchor, box);
  box.focus();
}
