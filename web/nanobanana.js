// NanoBanana in ComfyUI's frontend: settings, status on the nodes, history, commands.
import { editSelected, editWith, imageOutput } from "./edit_menu.js";
import { HistoryTab } from "./history_tab.js";
import { app, HISTORY_TAB, openHistory, openSettings, toast } from "./host.js";
import { loadWords, t } from "./i18n.js";
import { tellTotal } from "./next_run.js";
import { attach, listen, refreshAll, refreshCatalog, restore, stopAll } from "./nodes.js";
import { attachPick, listenPick } from "./pick.js";
import { attachRecall } from "./recall.js";
import { SettingsPanel } from "./settings_panel.js";

const badge = { label: "NanoBanana", url: "", icon: "pi pi-image" };

let settingsPanel = null;
let historyTab = null;

/** The pack's own styles, after the host's; without them everything still works. */
async function addStyle() {
  try {
    const response = await fetch(new URL("./nanobanana.css", import.meta.url));
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(await response.text());
    document.adoptedStyleSheets.push(sheet);
  } catch (error) {
    console.warn("NanoBanana: the styles could not be loaded", error);
  }
}

app.registerExtension({
  name: "nanobananaforcomfyui.gateway",

  settings: [
    {
      id: "NanoBanana.Connection",
      category: ["NanoBanana", "NanoBananaGateway", "Connection"],
      // The words that people search the settings for; the page itself has no room for them.
      name: "NanoBanana gateway: base URL, API key, model, price, limit",
      // Its own page, not a value of the frontend's: those are kept in plain text and sent to telemetry.
      type: () => (settingsPanel ??= new SettingsPanel(refreshCatalog)).render(),
      defaultValue: "",
      telemetry: { trackChanges: false },
    },
    {
      id: "NanoBanana.Status.Previews",
      category: ["NanoBanana", "NanoBananaNodes", "Previews"],
      name: "Show finished images on the node",
      tooltip: "Small images under the node's status as they arrive.",
      type: "boolean",
      defaultValue: true,
      // The new value is set once this has returned.
      onChange: () => setTimeout(refreshAll),
    },
  ],

  commands: [
    { id: "NanoBanana.OpenSettings", label: "NanoBanana: open the settings", icon: "pi pi-cog", function: openSettings },
    {
      id: "NanoBanana.OpenHistory",
      label: "NanoBanana: open the history",
      icon: "pi pi-history",
      function: openHistory,
    },
    {
      id: "NanoBanana.EditSelected",
      label: "NanoBanana: edit the selected node's image",
      icon: "pi pi-pencil",
      function: () => editSelected() ?? toast("info", t("edit.select_first")),
    },
    { id: "NanoBanana.Total", label: "NanoBanana: what the next run costs", icon: "pi pi-wallet", function: tellTotal },
    { id: "NanoBanana.Stop", label: "NanoBanana: stop all calls", icon: "pi pi-stop-circle", function: stopAll },
  ],

  aboutPageBadges: [badge],

  async init() {
    await Promise.all([addStyle(), loadWords()]);
  },

  async setup() {
    app.extensionManager.registerSidebarTab({
      id: HISTORY_TAB,
      icon: "pi pi-images",
      title: t("history.tab"),
      tooltip: t("history.title"),
      type: "custom",
      render: (container) => (historyTab ??= new HistoryTab()).render(container),
    });
    listen();
    listenPick();
    const catalog = await refreshCatalog();
    if (catalog) Object.assign(badge, { label: `NanoBanana ${catalog.version}`, url: catalog.documentation });
  },

  nodeCreated(node) {
    attach(node);
    attachPick(node);
    attachRecall(node);
  },
  afterConfigureGraph: restore,

  getNodeMenuItems(node) {
    if (imageOutput(node) < 0) return [];
    return [null, { content: t("edit.menu"), callback: () => editWith(node) }];
  },
});
