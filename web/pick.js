// The images on a NanoBanana Pick node: a click chooses.
import { button, element } from "./dom.js";
import { api, findNode, queue, rootGraph } from "./host.js";
import { t } from "./i18n.js";
import { chain, mount } from "./mount.js";

const PICK = "NanoBananaGatewayPick";
const WIDGET = "nanobanana_tiles";
const WIDTH = 360;
const MOST_NODES = 50;

const attached = new Map();
const known = new Map();

const readNumbers = (text) => (String(text ?? "").match(/\d+/g) ?? []).map(Number);

/** Give a Pick node its tiles. */
export function attachPick(node) {
  if (node.comfyClass !== PICK || attached.has(node)) return;
  const says = element("div", { class: "nanobanana-estimate", text: t("pick.empty") });
  const tiles = element("div", { class: "nanobanana-tiles", role: "group", "aria-label": t("pick.images") });
  const go = button(t("pick.go"), () => queue(), { class: "nanobanana-primary nanobanana-pick-go" });
  const content = element("div", { class: "nanobanana-panel-content" }, says, tiles, go);
  const root = element("div", { class: "nanobanana-panel" }, content);
  root.addEventListener("wheel", (event) => root.scrollHeight > root.clientHeight + 1 && event.stopPropagation(), { passive: true });
  go.hidden = true;
  const entry = { says, tiles, go, widget: node.widgets.find((one) => one.name === "chosen") };
  attached.set(node, entry);
  chain(node, "onRemoved", () => attached.delete(node));
  chain(entry.widget, "callback", () => setTimeout(() => mark(entry)));
  mount(node, { root, content }, WIDGET);
  node.setSize([Math.max(WIDTH, node.size[0]), node.computeSize()[1]]);
}

/** Listen to the server's events. To be called once. */
export const listenPick = () => api.addEventListener("nanobanana.tiles", ({ detail }) => showTiles(detail));

/** Another graph was opened: show again what is known of its nodes. */
export const restoreTiles = () => [...known.values()].forEach(draw);

/** Show the images of an event on their node, and keep them while workflows come and go. */
export function showTiles(event) {
  const key = `${event.workflow}/${event.node}`;
  known.delete(key);
  known.set(key, event);
  if (known.size > MOST_NODES) known.delete(known.keys().next().value);
  draw(event);
}

function draw(event) {
  const here = String(rootGraph()?.id ?? "");
  if (event.workflow && here && event.workflow !== here) return;
  const entry = attached.get(findNode(event.node));
  if (!entry) return;
  entry.tiles.replaceChildren(...event.tiles.map((one, at) => tile(entry, one, at + 1)));
  entry.go.hidden = false;
  mark(entry);
}

function tile(entry, { image, width, height }, number) {
  const title = t("pick.image", { number, size: `${width} x ${height}` });
  const picture = element("img", { src: image, alt: title, draggable: false });
  const options = { type: "button", class: "nanobanana-tile", title, "data-number": String(number), "aria-pressed": "false" };
  return element("button", { ...options, onclick: () => toggle(entry, number) }, picture);
}

function toggle(entry, number) {
  const chosen = readNumbers(entry.widget.value);
  const now = chosen.includes(number) ? chosen.filter((one) => one !== number) : [...chosen, number];
  entry.widget.value = now.join(", ");
  entry.widget.callback?.(entry.widget.value);
  mark(entry);
}

function mark(entry) {
  const chosen = readNumbers(entry.widget.value);
  for (const one of entry.tiles.children) {
    const place = chosen.indexOf(Number(one.dataset.number));
    one.setAttribute("aria-pressed", String(place >= 0));
    one.dataset.place = place >= 0 && chosen.length > 1 ? String(place + 1) : "";
  }
  const count = [...entry.tiles.children].filter((one) => one.getAttribute("aria-pressed") === "true").length;
  if (entry.tiles.children.length) entry.says.textContent = count ? t("pick.chosen", { count }) : t("pick.choose");
  entry.go.disabled = !count;
}
