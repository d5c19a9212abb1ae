// One row of the history: an image, what is known of it, and what can be done with it.
import { element, icon } from "./dom.js";
import { locale, routeUrl } from "./host.js";
import { t } from "./i18n.js";
import { duration, fileSize, moment } from "./format.js";

export const ROW_HEIGHT = 124;

/** `actions`: {load, open, copy, answer, download}, each called with the row. */
export function makeRow(row, actions) {
  const { call, picture } = row;
  const root = element("div", { class: "nanobanana-item", "data-call": call.id, "data-state": call.state });
  root.append(
    picture ? thumbnail(row, actions) : element("div", { class: "nanobanana-thumb nanobanana-thumb-none" }, icon(sign(call))),
    element(
      "div",
      { class: "nanobanana-item-text" },
      element("div", { class: "nanobanana-prompt", text: call.prompt, title: shortened(call.prompt) }),
      element("div", { class: "nanobanana-facts", text: facts(call, picture) }),
      element("div", { class: `nanobanana-state nanobanana-state-${call.state}`, text: [moment(call.at, locale()), stateText(call), ...call.notes].join(" \u00b7 "), title: [call.error, ...call.notes].join("\n").trim() }),
      element("div", { class: "nanobanana-actions" }, ...buttons(row, actions)),
    ),
  );
  return root;
}

function thumbnail(row, actions) {
  const { picture } = row;
  const image = element("img", { src: routeUrl(`/pictures/${(picture.composite ?? picture).id}/thumbnail`), alt: "", loading: "lazy", draggable: false });
  const made = element("button", {
    type: "button",
    class: "nanobanana-thumb",
    title: t("history.open"),
    onclick: () => actions.open({ call: row.call, picture: picture.composite ?? picture }),
  });
  image.addEventListener("error", () => made.replaceChildren(icon("image")));
  made.append(image);
  return made;
}

function facts(call, given) {
  const parts = [call.model];
  const picture = given?.composite ?? given;
  if (picture?.width) parts.push(`${picture.width} x ${picture.height}`);
  else parts.push(call.ratio);
  if (picture) parts.push(fileSize(picture.bytes));
  if (call.seconds !== null) parts.push(t("status.seconds", { seconds: duration(call.seconds) }));
  if (call.simulated) parts.push(t("estimate.simulated"));
  else if (call.billed !== "no" && call.cost !== null) parts.push(t.money(call.cost, call.currency));
  return parts.join(" \u00b7 ");
}

export function stateText(call) {
  if (call.state === "failed") return `${t(`state.failed_${call.billed}`)} ${call.error}`;
  if (call.can_download) return t("state.to_download");
  return t(`state.${call.state}`);
}

function sign(call) {
  if (call.state === "failed") return "times-circle";
  return call.can_download ? "cloud-download" : "clock";
}

const shortened = (text) => (text.length > 1000 ? `${text.slice(0, 1000)}...` : text);

function buttons(row, actions) {
  const { call, picture } = row;
  return [
    picture && action("load", "arrow-right", { call, picture: picture.composite ?? picture }, actions.load),
    picture?.composite && action("load_answer", "image", row, actions.load),
    picture && action("open", "external-link", row, actions.open),
    action("copy", "copy", row, actions.copy),
    call.answer && action("answer", "file", row, actions.answer),
    call.can_download && action("download", "cloud-download", row, actions.download),
  ].filter(Boolean);
}

function action(name, sign, row, run) {
  const title = t(`history.${name}`);
  const options = { type: "button", class: `nanobanana-action nanobanana-action-${name}`, title, "aria-label": title };
  const made = element("button", { ...options, onclick: () => run(row, made) }, icon(sign));
  if (name === "load" || name === "download") made.append(element("span", { text: t(`history.${name}_short`) }));
  return made;
}
