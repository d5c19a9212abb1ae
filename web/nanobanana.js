// NanoBanana in ComfyUI's frontend: settings, status on the nodes, history, commands.
import { editSelected, editWith, imageOutput } from "./edit_menu.js";
import { HistoryTab } from "./history_tab.js";
import { app, execute, openSettings, toast } from "./host.js";
import { loadWords, t } from "./i18n.js";
import { attach, listen, refreshAll, refreshCatalog, restore } from "./nodes.js";
import { SettingsPanel } from "./settings_panel.js";

const HISTORY = "nanobanana-history";
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
      name: "Gateway",
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
      function: () => execute(`Workspace.ToggleSidebarTab.${HISTORY}`),
    },
    {
      id: "NanoBanana.EditSelected",
      label: "NanoBanana: edit the selected node's image",
      icon: "pi pi-pencil",
      function: () => editSelected() ?? toast("info", t("edit.select_first")),
    },
  ],

  aboutPageBadges: [badge],

  async init() {
    await Promise.all([addStyle(), loadWords()]);
  },

  async setup() {
    app.extensionManager.registerSidebarTab({
      id: HISTORY,
      icon: "pi pi-images",
      title: t("history.tab"),
      tooltip: t("history.title"),
      type: "custom",
      render: (container) => (historyTab ??= new HistoryTab()).render(container),
    });
    listen();
    const catalog = await refreshCatalog();
    if (catalog) Object.assign(badge, { label: `NanoBanana ${catalog.version}`, url: catalog.documentation });
  },

  nodeCreated: attach,
  afterConfigureGraph: restore,

  getNodeMenuItems(node) {
    if (imageOutput(node) < 0) return [];
    return [null, { content: t("edit.menu"), callback: () => editWith(node) }];
  },
});
