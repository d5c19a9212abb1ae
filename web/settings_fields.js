// The fields of one profile, as elements.
import { button, element } from "./dom.js";
import { t } from "./i18n.js";
import { readList, toChanges, toForm } from "./settings_form.js";

export class Fields {
  /** `table`: the server's settings, see settings_form.js. `options`: {models, onChange()}; `models` are the documented names. */
  constructor(profile, table, { models, onChange }) {
    this.profile = profile;
    this.table = table;
    this.models = models;
    this.onChange = onChange;
    this.form = toForm(profile, table);
    this.removeKey = false;
    this.prices = element("div", { class: "nanobanana-prices" });
    this.root = element(
      "div",
      { class: "nanobanana-fields" },
      ...table.filter((field) => field.first).map((field) => this.#field(field)),
      element(
        "details",
        { class: "nanobanana-more" },
        element("summary", { text: t("settings.more") }),
        element("div", { class: "nanobanana-more-fields" }, ...table.filter((field) => !field.first).map((field) => this.#field(field))),
      ),
    );
    this.#showPrices();
  }

  #field(field) {
    switch (field.kind) {
      case "address":
        return this.#text(field.name, { placeholder: t("settings.base_url_example"), type: "url", spellcheck: "false" });
      case "secret":
        return this.#key();
      case "choice":
        return this.#choice(field.name, field.choices);
      case "switch":
        return this.#switch(field.name);
      case "lines":
        return this.#lines(field.name);
      case "text":
        return this.#area(field.name);
      case "prices":
        return this.#labelled(field.name, this.prices);
      default:
        return this.#text(field.name, { inputmode: field.kind === "whole" && !field.unit ? "numeric" : "decimal", class: "nanobanana-short" });
    }
  }

  get isOpen() {
    return this.root.querySelector("details").open;
  }

  set isOpen(open) {
    this.root.querySelector("details").open = open;
  }

  get isDirty() {
    const { changes, wrong } = toChanges(this.form, this.profile, this.table);
    return this.removeKey || wrong.length > 0 || Object.keys(changes).length > 0;
  }

  /** What is to be saved, or null if a number field holds no number. */
  changes() {
    const { changes, wrong } = toChanges(this.form, this.profile, this.table);
    for (const field of this.root.querySelectorAll("[data-field]")) {
      field.classList.toggle("nanobanana-wrong", wrong.includes(field.dataset.field));
    }
    if (this.removeKey && !changes.api_key) changes.api_key = "";
    return wrong.length ? null : changes;
  }

  #changed() {
    this.onChange();
  }

  #labelled(name, field, note = "") {
    const id = `nanobanana-${name}`;
    if (field.matches("input, select, textarea")) field.id = id;
    return element(
      "div",
      { class: "nanobanana-labelled" },
      element("label", { for: id, text: t(`field.${name}`) }),
      element("div", { class: "nanobanana-control" }, field, element("div", { class: "nanobanana-hint", text: note || t(`hint.${name}`) })),
    );
  }

  #input(name, options) {
    const { class: extra = "", ...rest } = options;
    const fixed = this.profile.from_environment.includes(name);
    const field = element("input", {
      type: "text",
      class: `nanobanana-field ${extra}`.trim(),
      "data-field": name,
      disabled: fixed,
      ...rest,
    });
    field.value = this.form[name];
    field.addEventListener("input", () => {
      this.form[name] = field.value;
      this.#changed();
    });
    return { field, fixed };
  }

  #text(name, options = {}) {
    const { field, fixed } = this.#input(name, options);
    return this.#labelled(name, field, fixed ? t("settings.from_environment") : "");
  }

  #key() {
    const { has_key: hasKey, key_tail: tail, from_environment: given } = this.profile;
    const set = tail ? t("settings.key_set", { tail }) : t("settings.key_set_short");
    const { field, fixed } = this.#input("api_key", {
      type: "password",
      // A browser that offers to save the key would keep it in a second place.
      autocomplete: "new-password",
      spellcheck: "false",
      placeholder: hasKey ? set : t("settings.key_none"),
    });
    const remove = button(t("settings.remove_key"), () => {
      this.removeKey = !this.removeKey;
      field.placeholder = this.removeKey ? t("settings.key_removed") : set;
      this.#changed();
    }, { class: "nanobanana-remove-key", disabled: !hasKey || fixed });
    const note = given.includes("api_key") ? t("settings.from_environment") : t("hint.api_key");
    const row = element("div", { class: "nanobanana-row" }, field, remove);
    const labelled = this.#labelled("api_key", row, note);
    field.id = "nanobanana-api_key";
    return labelled;
  }

  #choice(name, options) {
    const field = element(
      "select",
      { class: "nanobanana-field", "data-field": name },
      ...options.map((value) => element("option", { value, text: t(`${name}.${value}`), selected: value === this.form[name] })),
    );
    field.addEventListener("change", () => {
      this.form[name] = field.value;
      this.#changed();
    });
    return this.#labelled(name, field);
  }

  #switch(name) {
    const field = element("input", { type: "checkbox", class: "nanobanana-check", "data-field": name });
    field.checked = this.form[name];
    field.addEventListener("change", () => {
      this.form[name] = field.checked;
      this.#changed();
    });
    return this.#labelled(name, field);
  }

  #area(name) {
    const field = element("textarea", { class: "nanobanana-field", "data-field": name, rows: "2", spellcheck: "false" });
    field.value = this.form[name];
    field.addEventListener("input", () => {
      this.form[name] = field.value;
      this.#changed();
    });
    return this.#labelled(name, field);
  }

  #lines(name) {
    const field = element("textarea", { class: "nanobanana-field", "data-field": name, rows: "2", spellcheck: "false" });
    field.value = this.form[name];
    field.addEventListener("input", () => {
      this.form[name] = field.value;
      if (name === "extra_models") this.#showPrices();
      this.#changed();
    });
    return this.#labelled(name, field);
  }

  #showPrices() {
    const models = new Set([...this.models, ...readList(this.form.extra_models), ...Object.keys(this.form.prices)]);
    this.prices.replaceChildren(...[...models].map((model) => this.#price(model)));
  }

  #price(model) {
    const field = element("input", {
      type: "text",
      inputmode: "decimal",
      class: "nanobanana-field nanobanana-price",
      "data-field": `prices.${model}`,
      "aria-label": t("settings.price_of", { model }),
    });
    field.value = this.form.prices[model] ?? "";
    field.addEventListener("input", () => {
      this.form.prices[model] = field.value;
      this.#changed();
    });
    return element("label", { class: "nanobanana-price-row" }, element("span", { text: model }), field);
  }
}
