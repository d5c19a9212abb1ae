// The image on a NanoBanana Recall node, and the way to another one.
import { button, element } from "./dom.js";
import { openHistory, routeUrl } from "./host.js";
import { t } from "./i18n.js";
import { chain, mount } from "./mount.js";

const RECALL = "NanoBananaGatewayRecall";
const WIDGET = "nanobanana_recalled";

/** Give a Recall node its image. */
export function attachRecall(node) {
  const widget = node.comfyClass === RECALL && node.widgets?.find((one) => one.name === "picture");
  if (!widget) return;
  const says = element("div", { class: "nanobanana-estimate", role: "status" });
  const image = element("img", { class: "nanobanana-recalled", alt: t("recall.image"), draggable: false });
  const choose = button(t("recall.choose"), openHistory, { class: "nanobanana-recall-choose" });
  const content = element("div", { class: "nanobanana-panel-content" }, image, says, element("div", { class: "nanobanana-row" }, choose));
  const root = element("div", { class: "nanobanana-panel" }, content);
  const show = () => {
    const id = String(widget.value ?? "").trim();
    says.textContent = id ? "" : t("recall.none");
    image.hidden = !id;
    if (id) image.src = routeUrl(`/pictures/${encodeURIComponent(id)}/thumbnail`);
    else image.removeAttribute("src");
  };
  image.addEventListener("error", () => {
    image.hidden = true;
    if (String(widget.value ?? "").trim()) says.textContent = t("recall.missing");
  });
  chain(widget, "callback", () => setTimeout(show));
  chain(node, "onConfigure", () => setTimeout(show));
  mount(node, { root, content }, WIDGET);
  show();
}
