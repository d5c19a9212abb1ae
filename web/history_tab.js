// The sidebar's history: every image that was paid for, to be found, looked at and used again.
import { button, element } from "./dom.js";
import { api, confirm, copyText, request, routeUrl, toast } from "./host.js";
import { recall, selectedRecall } from "./edit_menu.js";
import { makeRow, ROW_HEIGHT } from "./history_row.js";
import { HistoryStore } from "./history_store.js";
import { t } from "./i18n.js";
import { totalsLine, totalsTable } from "./history_totals.js";
import { VirtualList } from "./virtual_list.js";

const TYPING = 250;

export class HistoryTab {
  constructor() {
    this.store = new HistoryStore(({ before, limit, search }) => {
      const query = new URLSearchParams({ limit: String(limit), search });
      if (before !== null) query.set("before", String(before));
      return request(`/history?${query}`);
    });
    const actions = {
      load: (row) => this.load(row),
      answer: ({ call }) => window.open(routeUrl(`/pictures/${call.answer}/original`), "_blank", "noopener"),
      open: ({ picture }) => window.open(routeUrl(`/pictures/${picture.id}/original`), "_blank", "noopener"),
      copy: (row) => this.copy(row),
      download: (row, made) => this.download(row, made),
    };
    this.list = new VirtualList({ rowHeight: ROW_HEIGHT, make: (row) => makeRow(row, actions), onEnd: () => this.more() });
    this.searchField = element("input", {
      type: "search",
      class: "nanobanana-field nanobanana-search",
      placeholder: t("history.search"),
      "aria-label": t("history.search"),
      oninput: () => this.typed(),
    });
    this.totals = element("summary", { class: "nanobanana-totals-line" });
    this.totalsBody = element("div", { class: "nanobanana-totals-body" });
    this.says = element("div", { class: "nanobanana-says", role: "status" });
    this.root = element(
      "div",
      { class: "nanobanana-history" },
      element(
        "div",
        { class: "nanobanana-history-head" },
        element("div", { class: "nanobanana-row nanobanana-history-title" }, element("h3", { text: t("history.title") }), this.#clearMenu()),
        this.searchField,
        element("details", { class: "nanobanana-totals" }, this.totals, this.totalsBody),
        this.says,
      ),
      this.list.root,
    );
    api.addEventListener("nanobanana.status", ({ detail }) => detail.state !== "running" && this.later());
  }

  /** The host opened the tab. */
  render(container) {
    container.classList.add("nanobanana-history-place");
    container.replaceChildren(this.root);
    this.refresh();
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.root.isConnected && this.refresh(), 300);
  }

  async refresh() {
    await this.try(async () => {
      await this.store.refresh();
      this.show();
      const answer = await request("/history/totals?days=30");
      this.totals.textContent = totalsLine(answer, t);
      this.totalsBody.replaceChildren(totalsTable(answer, t));
    });
  }

  show() {
    this.list.set(this.store.rows);
    const empty = this.store.complete && !this.store.rows.length;
    if (empty) this.says.textContent = this.store.search ? t("history.nothing_found") : t("history.empty");
    else this.says.textContent = "";
  }

  async more() {
    if (this.store.complete || this.store.loading) return;
    await this.try(async () => {
      if (await this.store.more()) this.show();
    });
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.search(this.searchField.value.trim()), TYPING);
  }

  async search(words) {
    this.store.search = words;
    this.store.reset();
    this.list.root.scrollTop = 0;
    await this.try(async () => {
      await this.store.more();
      this.show();
    });
  }

  load({ picture }) {
    const there = selectedRecall();
    if (recall(picture.id, null, there)) toast("success", there ? t("history.put") : t("history.loaded"));
  }

  async copy({ call }) {
    await copyText(call.prompt, this.root);
    toast("success", t("history.copied"));
  }

  async download({ call }, made) {
    made.disabled = true;
    await this.try(async () => {
      const answer = await request("/history/download", { method: "POST", body: { id: call.id } });
      if (answer.call) this.store.update(answer.call);
      this.show();
      if (answer.error) toast("error", answer.error, answer.hint);
      else toast("success", t("history.downloaded"));
    });
    made.disabled = false;
  }

  #clearMenu() {
    const choices = element(
      "div",
      { class: "nanobanana-row nanobanana-clear-choices", id: "nanobanana-clear-choices", hidden: true },
      ...[["older_90", { days: 90 }], ["older_30", { days: 30 }], ["all", { all: true }]].map(([name, body]) =>
        button(t(`clear.${name}`), () => this.clear(name, body), { class: `nanobanana-danger nanobanana-clear-${name}` }),
      ),
    );
    const show = (shown) => {
      choices.hidden = !shown;
      open.setAttribute("aria-expanded", String(shown));
    };
    const options = { class: "nanobanana-clear", "aria-expanded": "false", "aria-controls": "nanobanana-clear-choices" };
    const open = button(t("clear.open"), () => show(choices.hidden), options);
    this.closeClearMenu = () => show(false);
    const onkeydown = (event) => {
      if (event.key !== "Escape" || choices.hidden) return;
      event.stopPropagation();
      show(false);
      open.focus();
    };
    return element("div", { class: "nanobanana-clear-menu", onkeydown }, open, choices);
  }

  async clear(name, body) {
    this.closeClearMenu();
    if (!(await confirm(t(`clear.${name}`), t("clear.message")))) return;
    await this.try(async () => {
      const cleared = await request("/history/clear", { method: "POST", body });
      toast("success", t("clear.done", { calls: cleared.calls, pictures: cleared.pictures }));
      this.store.reset();
      this.list.set([], { anew: true });
      await this.refresh();
    });
  }

  async try(work) {
    try {
      await work();
    } catch (error) {
      this.says.textContent = [error.message, error.hint].filter(Boolean).join(" ");
    }
  }
}
