// Settings > NanoBanana: profiles with their keys. A key goes to the server and never comes back.
import { button, element } from "./dom.js";
import { confirm, prompt, refreshDefinitions, request } from "./host.js";
import { t } from "./i18n.js";
import { Fields } from "./settings_fields.js";

const DEFAULT = "default";
const MOST_OFFERS = 40;

/** A gateway may list hundreds of models, most of which make words. */
const looksLikeImages = (name) => Number(/image|banana|picture|draw|flux|dall|diffusion/i.test(name));

export class SettingsPanel {
  /** `onSaved()` is called after something was saved: nodes then update prices and sizes. */
  constructor(onSaved) {
    this.onSaved = onSaved;
    this.models = [];
    this.profiles = [];
    this.name = DEFAULT;
    this.root = element("div", { class: "nanobanana-settings", onkeydown: (event) => this.typed(event) });
    this.watcher = new MutationObserver(() => this.left());
  }

  /** Enter in a line of text saves. */
  typed(event) {
    if (event.key !== "Enter" || event.isComposing || !event.target.matches?.("input.nanobanana-field")) return;
    event.preventDefault();
    event.stopPropagation();
    if (!this.saveButton.disabled) this.save();
  }

  /** The page was closed: what is not saved is asked about. Whoever says no finds it there the next time. */
  async left() {
    if (this.root.isConnected) return;
    this.watcher.disconnect();
    if (!this.fields?.isDirty) return;
    if (await confirm(t("settings.unsaved_title"), t("settings.unsaved", { name: this.name }), "default")) await this.save();
  }

  /** The panel's element, filled again unless it has changes; the host calls this whenever it shows the page. */
  render() {
    if (!this.fields?.isDirty) {
      // What was shown before may have changed, and must not be typed into.
      this.root.replaceChildren();
      this.load();
    }
    this.watcher.observe(document.body, { childList: true, subtree: true });
    return this.root;
  }

  async load() {
    try {
      const [catalog, answer] = await Promise.all([request("/catalog"), request("/profiles")]);
      // What was typed before the server answered stays.
      if (this.fields?.isDirty) return;
      this.models = catalog.models.map((model) => model.name);
      this.take(answer);
    } catch (error) {
      this.root.replaceChildren(message("error", error.message, error.hint));
    }
  }

  take(answer) {
    this.profiles = answer.profiles;
    this.table = answer.fields;
    if (!this.profiles.some((profile) => profile.name === this.name)) this.name = DEFAULT;
    this.build();
  }

  get profile() {
    return this.profiles.find((profile) => profile.name === this.name);
  }

  build() {
    const wasOpen = this.fields?.isOpen ?? false;
    this.fields = new Fields(this.profile, this.table, { models: this.models, onChange: () => this.mark() });
    this.fields.isOpen = wasOpen;
    this.choice = element(
      "select",
      { class: "nanobanana-field nanobanana-profile", "aria-label": t("settings.profile"), onchange: () => this.choose() },
      ...this.profiles.map(({ name }) => element("option", { value: name, text: name, selected: name === this.name })),
    );
    const own = this.name !== DEFAULT;
    this.saveButton = button(t("settings.save"), () => this.save(), { class: "nanobanana-primary nanobanana-save" });
    this.undoButton = button(t("settings.undo"), () => this.build(), { class: "nanobanana-undo" });
    this.testButton = button(t("settings.test"), () => this.test(), { class: "nanobanana-test" });
    this.says = element("div", { class: "nanobanana-says", role: "status" });
    this.root.replaceChildren(
      element(
        "div",
        { class: "nanobanana-row" },
        this.choice,
        button(t("settings.add"), () => this.add(), { class: "nanobanana-add" }),
        button(t("settings.rename"), () => this.rename(), { class: "nanobanana-rename", disabled: !own }),
        button(t("settings.delete"), () => this.remove(), { class: "nanobanana-danger nanobanana-delete", disabled: !own }),
      ),
      this.fields.root,
      element("div", { class: "nanobanana-row" }, this.saveButton, this.testButton, this.undoButton),
      this.says,
    );
    if (this.profile.problem && this.profile.base_url) this.say("warning", this.profile.problem);
    this.mark();
  }

  mark() {
    this.saveButton.disabled = this.undoButton.disabled = !this.fields.isDirty;
  }

  say(kind, text, hint = "") {
    this.says.replaceChildren(...(text ? [message(kind, text, hint)] : []));
  }

  async choose() {
    const wanted = this.choice.value;
    if (this.fields.isDirty && !(await confirm(t("settings.discard_title"), t("settings.discard")))) {
      this.choice.value = this.name;
      return;
    }
    this.name = wanted;
    this.build();
  }

  /** Send a change to the server and fill the panel from its answer. Resolves to the answer, null after an error. */
  async change(method, path, body) {
    try {
      const answer = await request(path, { method, body });
      this.take(answer);
      await this.onSaved();
      return answer;
    } catch (error) {
      this.say("error", error.message, error.hint);
      return null;
    }
  }

  async save() {
    const changes = this.fields.changes();
    if (!changes) return this.say("error", t("settings.not_a_number"));
    this.saveButton.disabled = true;
    const answer = await this.change("PUT", "/profiles", { name: this.name, ...changes });
    if (!answer) return this.mark();
    if (answer.key_dropped) this.say("warning", t("settings.key_dropped"));
    else this.say("success", t("settings.saved"));
    if ("extra_models" in changes) refreshDefinitions();
  }

  async test() {
    const changes = this.fields.changes();
    if (!changes) return this.say("error", t("settings.not_a_number"));
    this.testButton.disabled = true;
    this.say("info", t("settings.testing"));
    try {
      const found = await request("/profiles/test", { method: "POST", body: { name: this.name, ...changes } });
      const title = t(`verdict.${found.verdict}`);
      this.say(found.ok ? "success" : "error", `${title} ${found.message}`, found.hint);
      if (found.ok && this.fields.isDirty) {
        this.says.append(button(t("settings.save_and_use"), () => this.save(), { class: "nanobanana-primary nanobanana-save-and-use" }));
      }
      this.says.append(...this.#offer(found.models ?? []));
    } catch (error) {
      this.say("error", error.message, error.hint);
    }
    this.testButton.disabled = false;
  }

  /** The models that the gateway lists and the menu lacks, each to be added with a click. */
  #offer(listed) {
    const known = new Set([...this.models, ...this.fields.extraModels]);
    const others = listed.filter((name) => !known.has(name)).sort((one, other) => looksLikeImages(other) - looksLikeImages(one));
    if (!others.length) return [];
    const add = (name) => {
      const made = button(name, () => {
        this.fields.addModel(name);
        made.remove();
      }, { class: "nanobanana-offer", title: t("settings.add_model", { model: name }) });
      return made;
    };
    const row = element("div", { class: "nanobanana-offers" }, ...others.slice(0, MOST_OFFERS).map(add));
    return [element("div", { class: "nanobanana-hint", text: t("settings.other_models", { count: others.length }) }), row];
  }

  async add() {
    const name = await prompt(t("settings.add"), t("settings.name_prompt"));
    if (name && (await this.change("POST", "/profiles", { name }))) this.show(name);
  }

  async rename() {
    const name = await prompt(t("settings.rename"), t("settings.name_prompt"), this.name);
    if (!name || name === this.name) return;
    if (await this.change("POST", "/profiles/rename", { name: this.name, new_name: name })) this.show(name);
  }

  async remove() {
    if (!(await confirm(t("settings.delete_title", { name: this.name }), t("settings.delete_message")))) return;
    if (await this.change("DELETE", "/profiles", { name: this.name })) refreshDefinitions();
  }

  show(name) {
    this.name = name;
    this.build();
    refreshDefinitions();
  }
}

function message(kind, text, hint = "") {
  const lines = [element("div", { text }), hint ? element("div", { class: "nanobanana-hint", text: hint }) : null];
  return element("div", { class: `nanobanana-message nanobanana-message-${kind}` }, ...lines);
}
