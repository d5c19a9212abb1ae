// What a node shows of its runs: an estimate; text, bar and images while running; warnings and errors, which stay.
import { button, element, icon, replace } from "./dom.js";
import { openLightbox } from "./lightbox.js";
import { openMenu } from "./menu.js";

const MOST_PICTURES = 16;

export class Panel {
  /** `actions`: {openSettings(), tryWithout(), imageActions(picture), run(name)}: see `actionsOf` in runs.js for names. `t(key, values)` gives words. */
  constructor(t, actions) {
    this.t = t;
    this.actions = actions;
    this.headline = element("div", { class: "nanobanana-headline" });
    // For screen readers: the seconds that tick in the headline would be read out one by one.
    this.spoken = element("div", { class: "nanobanana-spoken", role: "status" });
    this.barFill = element("div", { class: "nanobanana-bar-fill" });
    const range = { "aria-label": t("panel.progress"), "aria-valuemin": "0", "aria-valuemax": "100" };
    this.bar = element("div", { class: "nanobanana-bar", role: "progressbar", ...range }, this.barFill);
    this.pictures = element("div", { class: "nanobanana-pictures" });
    this.buttons = element("div", { class: "nanobanana-run-actions" });
    this.cost = element("div", { class: "nanobanana-cost" });
    this.notes = element("div", { class: "nanobanana-notes" });
    this.estimate = element("div", { class: "nanobanana-estimate" });
    this.setupText = element("div");
    this.setupButtons = element(
      "div",
      { class: "nanobanana-run-actions" },
      button(t("setup.try"), () => actions.tryWithout(), { class: "nanobanana-try-without" }),
      button(t("setup.open"), () => actions.openSettings(), { class: "nanobanana-open-settings" }),
    );
    this.setup = element("div", { class: "nanobanana-setup" }, this.setupText, this.setupButtons);
    this.content = element("div", { class: "nanobanana-panel-content" });
    const name = { role: "region", "aria-label": t("panel.name") };
    this.root = element("div", { class: "nanobanana-panel", ...name }, this.content, this.spoken);
    // The canvas zooms on the wheel: content that is longer than its place scrolls instead.
    this.root.addEventListener("wheel", (event) => this.#scrolls() && event.stopPropagation(), { passive: true });
  }

  /**
   * `view`: {estimate, setup, headline, spoken, tone, progress, cost, pictures, failed, warnings, errors, actions}; `progress`
   * is null unless something runs, `tone` is "running", "done", "warning", "failed" or "quiet", `setup` is
   * "", "needed", "remote" (this browser may not set anything) or "wrong".
   */
  show(view) {
    this.root.dataset.tone = view.tone ?? "quiet";
    this.headline.textContent = view.headline ?? "";
    if (this.spoken.textContent !== view.spoken) this.spoken.textContent = view.spoken;
    this.cost.textContent = view.cost ?? "";
    this.estimate.textContent = view.estimate ?? "";
    if (view.progress !== null) {
      const percent = Math.round(view.progress * 100);
      this.barFill.style.width = `${percent}%`;
      this.bar.setAttribute("aria-valuenow", String(percent));
    }
    this.setupText.textContent = ["needed", "remote"].includes(view.setup) ? this.t(`setup.${view.setup}`) : "";
    this.setupButtons.hidden = view.setup === "remote";
    this.#showPictures(view.pictures, view.failed);
    this.#showActions(view.actions);
    this.#showNotes(view.warnings, view.errors);
    replace(
      this.content,
      view.headline ? this.headline : null,
      view.progress === null ? null : this.bar,
      // Reasons stand where they are seen without scrolling.
      view.warnings.length || view.errors.length ? this.notes : null,
      view.pictures.length ? this.pictures : null,
      view.cost ? this.cost : null,
      view.actions.length ? this.buttons : null,
      view.setup ? this.setup : null,
      view.estimate ? this.estimate : null,
    );
  }

  #scrolls() {
    return this.root.scrollHeight > this.root.clientHeight + 1;
  }

  #showPictures(pictures, failed) {
    const shown = pictures.slice(0, MOST_PICTURES);
    this.shown = shown;
    const there = new Map([...this.pictures.children].map((one) => [one.dataset.key, one]));
    const tiles = shown.map((picture) => there.get(picture.key) ?? this.#picture(picture));
    tiles.forEach((tile, at) => (tile.dataset.number = String(at + 1)));
    for (let at = 0; at < failed && tiles.length < MOST_PICTURES; at += 1) {
      const key = `failed ${at}`;
      const title = this.t("phase.failed");
      const options = { class: "nanobanana-picture nanobanana-picture-failed", role: "img", "aria-label": title, title, "data-key": key };
      tiles.push(there.get(key) ?? element("div", options, icon("times-circle")));
    }
    replace(this.pictures, ...tiles);
  }

  #showActions(actions) {
    const key = JSON.stringify(actions);
    if (this.buttons.dataset.key === key) return;
    this.buttons.dataset.key = key;
    const made = ({ name, text }) => button(text, () => this.actions.run(name), { class: `nanobanana-run-${name}` });
    this.buttons.replaceChildren(...actions.map(made));
  }

  #picture(picture) {
    const size = `${picture.width} x ${picture.height}`;
    const title = picture.free ? this.t("picture.free", { size }) : this.t("picture.new", { size });
    const image = element("img", { src: picture.image, alt: title, draggable: false });
    const options = { type: "button", class: "nanobanana-picture", title, "data-key": picture.key };
    const tile = element("button", {
      ...options,
      "aria-haspopup": "menu",
      onclick: () => this.#enlarge(tile, picture),
      oncontextmenu: (event) => {
        event.preventDefault();
        event.stopPropagation();
        openMenu(this.root, tile, this.actions.imageActions(picture), title);
      },
    }, image);
    return tile;
  }

  #enlarge(tile, picture) {
    // An image that could not be saved is in nobody's reach.
    const there = this.shown.filter((one) => one.id);
    if (picture.id) openLightbox(this.root, tile, there, there.findIndex((one) => one.key === picture.key));
  }

  #showNotes(warnings, errors) {
    const key = JSON.stringify([warnings, errors]);
    if (this.notes.dataset.key === key) return;
    this.notes.dataset.key = key;
    this.notes.replaceChildren(
      ...errors.map((error) => this.#error(error)),
      ...warnings.map((text) => note("warning", "exclamation-triangle", element("div", { text }))),
    );
  }

  #error(error) {
    const lines = [element("div", { class: "nanobanana-error-message", text: error.message })];
    if (error.hint) lines.push(element("div", { class: "nanobanana-error-hint", text: error.hint }));
    const facts = [];
    if (error.times > 1) facts.push(this.t("error.times", { count: error.times }));
    if (error.billed) facts.push(this.t(`error.billed_${error.billed}`));
    if (error.request_id) facts.push(this.t("error.request_id", { id: error.request_id }));
    if (facts.length) lines.push(element("div", { class: "nanobanana-error-facts", text: facts.join(" \u00b7 ") }));
    return note("error", "times-circle", element("div", {}, ...lines));
  }
}

function note(kind, sign, content) {
  return element("div", { class: `nanobanana-note nanobanana-note-${kind}` }, icon(sign), content);
}
