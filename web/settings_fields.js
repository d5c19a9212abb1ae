// The fields of one profile, as elements.
import { button, element } from "./dom.js";
import { t } from "./i18n.js";
import { NOTHING, readList, toChanges, toForm } from "./settings_form.js";

export class Fields {
  /** `table`: the server's settings, see settings_form.js. `options`: {models, onChange()}; `models` are the documented names. */
  constructor(profile, table, { models, onChange }) {
    this.profile = profile;
    this.table = table;
    this.models = models;
    this.onChange = onChange;
    this.form = toForm(profile, table);
    this.removed = new Set();
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
        return this.#secret(field, this.#keySet());
      case "secrets":
        return this.#secret(field, this.#keysSet());
      case "choice":
        return this.#choice(field.name, field.choices);
      case "switch":
        return this.#switch(field.name);
      case "lines":
      case "text":
      case "headers":
      case "fields":
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

  get extraModels() {
    return readList(this.form.extra_models);
  }

  /** Put a model on the list of extra ones, as if it had been typed. */
  addModel(name) {
    const field = this.root.querySelector("#nanobanana-extra_models");
    field.value = [...this.extraModels, name].join("\n");
    field.dispatchEvent(new Event("input"));
  }

  get isDirty() {
    const { changes, wrong } = toChanges(this.form, this.profile, this.table);
    return this.removed.size > 0 || wrong.length > 0 || Object.keys(changes).length > 0;
  }

  /** What is to be saved, or null if a number field holds no number. */
  changes() {
    const { changes, wrong } = toChanges(this.form, this.profile, this.table);
    for (const field of this.root.querySelectorAll("[data-field]")) {
      field.classList.toggle("nanobanana-wrong", wrong.includes(field.dataset.field));
    }
    for (const { name, kind } of this.table) if (this.removed.has(name)) changes[name] ??= NOTHING[kind];
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

  #input(name, options, tag = "input") {
    const { class: extra = "", ...rest } = options;
    const fixed = this.profile.from_environment.includes(name);
    const field = element(tag, {
      ...(tag === "input" ? { type: "text" } : {}),
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

  /** What the server tells of the key: nothing if there is none. */
  #keySet() {
    const { has_key: hasKey, key_tail: tail } = this.profile;
    if (!hasKey) return "";
    return tail ? t("settings.key_set", { tail }) : t("settings.key_set_short");
  }

  #keysSet() {
    const tails = this.profile.spare_key_tails;
    return tails.length ? t("settings.keys_set", { count: tails.length, tails: tails.map((tail) => `...${tail}`).join(", ") }) : "";
  }

  #secret({ name, kind }, set) {
    const { field, fixed } = this.#input(name, {
      // A browser that offers to save the key would keep it in a second place.
      ...(kind === "secret" ? { type: "password", autocomplete: "new-password" } : { rows: "2", class: "nanobanana-secrets" }),
      spellcheck: "false",
      placeholder: set || t("settings.key_none"),
    }, kind === "secret" ? "input" : "textarea");
    const remove = button(t("settings.remove_key"), () => {
      if (!this.removed.delete(name)) this.removed.add(name);
      field.placeholder = this.removed.has(name) ? t("settings.key_removed") : set;
      this.#changed();
    }, { class: "nanobanana-remove-key", disabled: !set || fixed });
    const show = button(t("settings.show_key"), () => {
      const shown = field.type === "password";
      field.type = shown ? "text" : "password";
      show.setAttribute("aria-pressed", String(shown));
      show.textContent = shown ? t("settings.hide_key") : t("settings.show_key");
    }, { class: "nanobanana-show-key", "aria-pressed": "false", disabled: true });
    // What is stored can't be shown: it never comes here.
    field.addEventListener("input", () => (show.disabled = !field.value));
    const row = element("div", { class: "nanobanana-row" }, field, kind === "secret" ? show : null, remove);
    const labelled = this.#labelled(name, row, fixed ? t("settings.from_environment") : "");
    field.id = `nanobanana-${name}`;
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
    const { field } = this.#input(name, { rows: "2", spellcheck: "false" }, "textarea");
    if (name === "extra_models") field.addEventListener("input", () => this.#showPrices());
    return this.#labelled(name, field);
  }

  #showPrices() {
    const models = new Set([...this.models, ...this.extraModels, ...Object.keys(this.form.prices)]);
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
