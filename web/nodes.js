// Panels on the nodes that call the gateway: made with the node, fed by the server's events, alike in both renderers.
import { api, findNode, openSettings, request, rootGraph, routeUrl, setting, toast } from "./host.js";
import { estimate, readiness } from "./estimate.js";
import { t } from "./i18n.js";
import { Panel } from "./panel.js";
import { RunStore, viewOf } from "./runs.js";
import { estimateText } from "./status_text.js";

const CALLING = new Set(["NanoBananaGatewayGenerate", "NanoBananaGatewayEdit"]);
const CONNECTION = "NanoBananaGatewayConnection";
const WIDGET = "nanobanana_status";
const WIDTH = 400;
// The height that a prompt of several lines needs beyond the host's minimum.
const ROOM = 70;
const MOST_HEIGHT = 340;
// The panel's height while it shows the estimate alone: the one that saved workflows are written with.
const REST = 34;
const WATCHED = new Set(["model", "aspect_ratio", "count", "profile"]);

const store = new RunStore();
const attached = new Map();
let catalog = null;
let saidSetup = "";

/** Fetch the catalog again, and update every panel. */
export async function refreshCatalog() {
  try {
    catalog = await request("/catalog");
  } catch (error) {
    console.warn("NanoBanana: the catalog could not be loaded", error);
  }
  refreshAll();
  return catalog;
}

/** Listen to the server's events. To be called once. */
export function listen() {
  api.addEventListener("nanobanana.status", ({ detail }) => took("status", detail));
  api.addEventListener("nanobanana.picture", ({ detail }) => took("picture", detail));
  for (const [name, state] of [["execution_error", "background"], ["execution_interrupted", "cancelled"]]) {
    api.addEventListener(name, ({ detail }) => setTimeout(() => store.end(detail?.prompt_id, state).forEach(show), 2000));
  }
  api.addEventListener("nanobanana.settings", refreshCatalog);
}

function took(kind, event) {
  show(store.take(kind, event));
  const setup = kind === "status" && event.state === "failed" && event.errors.find((error) => error.kind === "config");
  // Once a run, however many nodes say so.
  if (setup && saidSetup !== event.run) {
    saidSetup = event.run;
    toast("error", setup.message, setup.hint, { label: t("setup.open"), run: openSettings });
  }
}

function show(run) {
  const here = String(rootGraph()?.id ?? "");
  if (run.workflow && here && run.workflow !== here) return;
  const node = findNode(run.node);
  const found = node && attached.get(node);
  if (!found) return;
  found.run = run;
  refresh(node);
}

/** Another graph was loaded or opened: show what is known of its nodes' last runs. */
export function restore() {
  for (const run of store.of(String(rootGraph()?.id ?? ""))) show(run);
  refreshAll();
}

export function refreshAll() {
  for (const node of attached.keys()) refresh(node);
}

/** Give a node of ours its panel. Called by the host for every node it makes. */
export function attach(node) {
  if (node.comfyClass === CONNECTION) watch(node);
  if (!CALLING.has(node.comfyClass) || attached.has(node)) return;
  const panel = new Panel(t, { openSettings, openPicture });
  const entry = { panel, run: null, height: REST, frame: 0 };
  const widget = node.addDOMWidget(WIDGET, "NANOBANANA_STATUS", panel.root, {
    serialize: false,
    hideOnZoom: false,
    hideInPanel: true,
    margin: 6,
    getMinHeight: () => entry.height,
    getMaxHeight: () => entry.height,
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false;
  entry.widget = widget;
  attached.set(node, entry);
  chain(node, "onRemoved", () => forget(node));
  chain(node, "onConfigure", () => {
    entry.height = REST;
    refresh(node);
  });
  // A run changes the node's height for as long as it is shown, not in the workflow.
  chain(node, "onSerialize", (saved) => {
    if (saved?.size) saved.size = [saved.size[0], saved.size[1] - (entry.height - REST)];
  });
  chain(node, "onConnectionsChange", () => setTimeout(() => refresh(node)));
  watch(node);
  node.setSize([Math.max(WIDTH, node.size[0]), node.computeSize()[1] + ROOM]);
  entry.observer = new ResizeObserver(() => fit(node));
  entry.observer.observe(panel.content);
  refresh(node);
}

function forget(node) {
  attached.get(node)?.observer.disconnect();
  attached.delete(node);
}

function openPicture(picture) {
  if (picture.id) window.open(routeUrl(`/pictures/${picture.id}/original`), "_blank", "noopener");
}

function watch(node) {
  for (const widget of node.widgets ?? []) {
    // The value is set once the widget's own callback has run.
    if (WATCHED.has(widget.name)) chain(widget, "callback", () => setTimeout(refreshAll));
  }
}

function chain(object, name, after) {
  const before = object[name];
  object[name] = function (...given) {
    const result = before?.apply(this, given);
    after(...given);
    return result;
  };
}

function refresh(node) {
  const entry = attached.get(node);
  if (!entry) return;
  const profile = profileOf(node);
  const found = catalog && { ...estimate(catalog, valuesOf(node), profile), each: getsList(node) };
  const { ready } = catalog ? readiness(catalog, profile) : { ready: true };
  const previews = setting("NanoBanana.Status.Previews", true) !== false;
  entry.panel.show(viewOf(entry.run, { estimate: found ? estimateText(found, t) : "", setup: !ready, previews }, t));
  fit(node);
}

// Vue nodes lay the panel out by themselves; on the canvas a node must be told to grow.
function fit(node) {
  const entry = attached.get(node);
  if (!entry) return;
  cancelAnimationFrame(entry.frame);
  entry.frame = requestAnimationFrame(() => {
    const height = entry.panel.height;
    if (height === null) return;
    const wanted = Math.max(REST, Math.min(MOST_HEIGHT, height) + 12);
    if (Math.abs(wanted - entry.height) < 2) return;
    // The prompt keeps its height: what the panel needs is added, and taken away again when no longer needed.
    const grown = node.size[1] + wanted - entry.height;
    entry.height = wanted;
    node.setSize([node.size[0], Math.max(node.computeSize()[1], grown)]);
    node.graph?.setDirtyCanvas?.(true, true);
  });
}

function valuesOf(node) {
  const values = {};
  for (const name of ["model", "aspect_ratio", "count"]) {
    if (inputNode(node, name) === undefined) values[name] = node.widgets?.find((one) => one.name === name)?.value;
  }
  return values;
}

function profileOf(node) {
  const source = inputNode(node, "connection");
  if (source === undefined) return "default";
  if (source?.comfyClass !== CONNECTION || inputNode(source, "profile") !== undefined) return null;
  return source.widgets?.find((one) => one.name === "profile")?.value ?? null;
}

/** Whether an input comes as a list: then the node runs once for each of its items. */
function getsList(node) {
  return (node.inputs ?? []).some((input, slot) => {
    const link = node.isInputConnected(slot) ? node.getInputLink?.(slot) : null;
    return link && node.getInputNode(slot)?.outputs?.[link.origin_slot]?.shape === window.LiteGraph.GRID_SHAPE;
  });
}

/** The node wired to an input; null if it can't be found, undefined if nothing is wired. */
function inputNode(node, name) {
  const slot = (node.inputs ?? []).findIndex((input) => input.name === name);
  if (slot < 0 || !node.isInputConnected(slot)) return undefined;
  return node.getInputNode?.(slot) ?? null;
}
