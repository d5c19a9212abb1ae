// What a node shows of its runs: an estimate; text, bar and images while running; warnings and errors, which stay.
import { button, element, icon, replace } from "./dom.js";

const MOST_PICTURES = 16;

export class Panel {
  /** `actions`: {openSettings(), openPicture(picture)}. `t(key, values)` gives words. */
  constructor(t, actions) {
    this.t = t;
    this.actions = actions;
    this.headline = element("div", { class: "nanobanana-headline", role: "status" });
    this.barFill = element("div", { class: "nanobanana-bar-fill" });
    this.bar = element("div", { class: "nanobanana-bar", role: "progressbar" }, this.barFill);
    this.pictures = element("div", { class: "nanobanana-pictures" });
    this.cost = element("div", { class: "nanobanana-cost" });
    this.notes = element("div", { class: "nanobanana-notes" });
    this.estimate = element("div", { class: "nanobanana-estimate" });
    this.setup = element(
      "div",
      { class: "nanobanana-setup" },
      element("span", { text: t("setup.needed") }),
      button(t("setup.open"), () => actions.openSettings(), { class: "nanobanana-open-settings" }),
    );
    this.content = element("div", { class: "nanobanana-panel-content" });
    this.root = element("div", { class: "nanobanana-panel" }, this.content);
    // The canvas zooms on the wheel: content that is longer than its place scrolls instead.
    this.root.addEventListener("wheel", (event) => this.#scrolls() && event.stopPropagation(), { passive: true });
  }

  /**
   * `view`: {estimate, setup, headline, tone, progress, cost, pictures, warnings, errors}; `progress` is null unless
   * something runs, `tone` is "running", "done", "failed" or "quiet".
   */
  show(view) {
    this.root.dataset.tone = view.tone ?? "quiet";
    this.headline.textContent = view.headline ?? "";
    this.cost.textContent = view.cost ?? "";
    this.estimate.textContent = view.estimate ?? "";
    if (view.progress !== null) {
      const percent = Math.round(view.progress * 100);
      this.barFill.style.width = `${percent}%`;
      this.bar.setAttribute("aria-valuenow", String(percent));
    }
    this.#showPictures(view.pictures);
    this.#showNotes(view.warnings, view.errors);
    replace(
      this.content,
      view.headline ? this.headline : null,
      view.progress === null ? null : this.bar,
      view.pictures.length ? this.pictures : null,
      view.cost ? this.cost : null,
      view.warnings.length || view.errors.length ? this.notes : null,
      view.setup ? this.setup : null,
      view.estimate ? this.estimate : null,
    );
  }

  /** How high the content is, in the canvas' own pixels; null while it isn't laid out. */
  get height() {
    return this.content.isConnected && this.content.offsetParent !== null ? this.content.offsetHeight : null;
  }

  #scrolls() {
    return this.root.scrollHeight > this.root.clientHeight + 1;
  }

  #showPictures(pictures) {
    const shown = pictures.slice(-MOST_PICTURES);
    const there = new Map([...this.pictures.children].map((one) => [one.dataset.key, one]));
    replace(this.pictures, ...shown.map((picture) => there.get(picture.key) ?? this.#picture(picture)));
  }

  #picture(picture) {
    const size = `${picture.width} x ${picture.height}`;
    const title = picture.free ? this.t("picture.free", { size }) : this.t("picture.paid", { size });
    const image = element("img", { src: picture.image, alt: title, draggable: false });
    const options = { type: "button", class: "nanobanana-picture", title, "data-key": picture.key };
    return element("button", { ...options, onclick: () => this.actions.openPicture(picture) }, image);
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
