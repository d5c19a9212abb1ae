// Panels on the nodes that call the gateway: made with the node, fed by the server's events, alike in both renderers.
import { api, findNode, isSeen, openHistory, openSettings, queue, request, rootGraph, setting, toast } from "./host.js";
import { addPreview, imageActions, imageOutput } from "./edit_menu.js";
import { estimate, readiness } from "./estimate.js";
import { t } from "./i18n.js";
import { chain, fit, mount } from "./mount.js";
import { askNextRun, guardQueue } from "./next_run.js";
import { Panel } from "./panel.js";
import { restoreTiles, showTiles } from "./pick.js";
import { RunStore, seedFor, viewOf } from "./runs.js";
import { estimateText } from "./status_text.js";

const CALLING = new Set(["NanoBananaGatewayGenerate", "NanoBananaGatewayEdit"]);
const ENDED = new Set(["done", "failed", "stored"]);
const CONNECTION = "NanoBananaGatewayConnection";
const WIDGET = "nanobanana_status";
const WIDTH = 400;
// The height that a prompt of several lines needs beyond the host's minimum.
const ROOM = 70;
const WATCHED = new Set(["model", "aspect_ratio", "output_format", "count", "seed", "profile", "prompt"]);
const ASK_MS = 400;

const store = new RunStore();
const attached = new Map();
let catalog = null;
let asking = 0;
let saidSetup = "";

/** Fetch the catalog again, and update every panel. */
export async function refreshCatalog() {
  try {
    catalog = await request("/catalog");
  } catch (error) {
    console.warn("NanoBanana: the catalog could not be loaded", error);
  }
  refreshAll(true);
  askLater();
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
  api.addEventListener("graphChanged", askLater);
  guardQueue(() => catalog?.profiles.some((profile) => profile.limited) === true);
}

/** Ask the history what the next run will buy, once nothing has changed for a moment. */
function askLater() {
  clearTimeout(asking);
  asking = setTimeout(ask, ASK_MS);
}

async function ask() {
  if (!attached.size || catalog?.multi_user) return;
  const asked = asking;
  const found = await askNextRun().catch(() => null);
  if (asked !== asking) return;
  const byNode = new Map(Object.entries(found?.nodes ?? {}).map(([id, next]) => [findNode(id), next]));
  for (const [node, entry] of attached) {
    entry.next = byNode.get(node) ?? null;
    entry.usual = entry.next?.usual_seconds ?? 0;
  }
  refreshAll();
}

function took(kind, event) {
  const run = store.take(kind, event);
  show(run);
  if (kind === "status" && event.state !== "running") askLater();
  if (kind === "status" && ENDED.has(event.state) && event.failed) tellUnseen(run);
}

/** A failure on a node that can't be seen is told in the corner. */
function tellUnseen(run) {
  const here = String(rootGraph()?.id ?? "");
  const node = findNode(run.node);
  if (!node || (run.workflow && here && run.workflow !== here) || isSeen(node)) return;
  const [error] = run.status.errors;
  // Once a run, however many nodes lack the settings.
  if (error?.kind === "config" && saidSetup === run.run) return;
  const openIt = error?.kind === "config" ? { label: t("setup.open"), run: openSettings } : null;
  if (openIt) saidSetup = run.run;
  const view = viewOf(run, { estimate: "", setup: "", previews: false }, t);
  toast(view.tone === "warning" ? "warn" : "error", `${node.title}: ${view.headline}`, error?.message ?? "", openIt);
}

function show(run) {
  const here = String(rootGraph()?.id ?? "");
  if (run.workflow && here && run.workflow !== here) return;
  const node = findNode(run.node);
  const found = node && attached.get(node);
  if (!found) return;
  found.run = run;
  found.ready = false;
  refresh(node);
}

/** Another graph was loaded or opened: show what is known of its nodes' last runs. */
export async function restore() {
  const workflow = String(rootGraph()?.id ?? "");
  for (const run of store.of(workflow)) show(run);
  restoreTiles();
  refreshAll();
  askLater();
  // A page that was loaded again knows of no run: the server does.
  if (store.of(workflow).length || !attached.size || catalog?.multi_user) return;
  const { events } = await request(`/runs?workflow=${encodeURIComponent(workflow)}`).catch(() => ({ events: [] }));
  if (store.of(workflow).length) return;
  for (const { kind, event } of events) if (kind !== "tiles") show(store.take(kind, event));
  for (const { kind, event } of events) if (kind === "tiles") showTiles(event);
}

export function refreshAll(settingsChanged = false) {
  for (const node of attached.keys()) refresh(node, settingsChanged);
}

/** Give a node of ours its panel. Called by the host for every node it makes. */
export function attach(node) {
  if (node.comfyClass === CONNECTION) watch(node);
  if (!CALLING.has(node.comfyClass) || attached.has(node)) return;
  fixSeed(node);
  const panel = new Panel(t, { openSettings, tryWithout, imageActions: (picture) => imageActions(node, picture), run: (name) => runAgain(node, name) });
  const entry = mount(node, panel, WIDGET);
  Object.assign(entry, { run: null, next: null, usual: 0, ready: false, lacked: false });
  attached.set(node, entry);
  chain(node, "onRemoved", () => attached.delete(node));
  // The host configures a node before it belongs to a graph, when it loads, copies, or makes a subgraph of it.
  for (const name of ["onAdded", "onConfigure"]) chain(node, name, () => setTimeout(() => refresh(node)));
  chain(node, "onConnectionsChange", () => setTimeout(changed));
  watch(node);
  node.setSize([Math.max(WIDTH, node.size[0]), node.computeSize()[1] + ROOM]);
}

// The host lets a new node's seed change after each run, so that the same run again would be paid for again. A saved
// workflow brings its own choice, which is set after this.
function fixSeed(node) {
  const control = node.widgets?.find((widget) => widget.name === "control_after_generate");
  if (control) control.value = "fixed";
}

function runAgain(node, name) {
  if (name === "history") return openHistory();
  if (name === "stop") return stopAll();
  if (name === "preview") return addPreview(node);
  const widget = node.widgets?.find((one) => one.name === "seed");
  const seed = seedFor(name, attached.get(node)?.run?.status);
  if (widget && seed !== null) widget.value = seed;
  queue();
}

/** Everything works at once, with drawn images, until a gateway is set up. */
async function tryWithout() {
  try {
    await request("/profiles", { method: "PUT", body: { name: "default", base_url: "simulator" } });
    await refreshCatalog();
  } catch (error) {
    toast("error", error.message, error.hint);
  }
}

/** Stop every call that still runs, also those of a graph that has ended. */
export async function stopAll() {
  try {
    const { stopped, sent } = await request("/stop", { method: "POST", body: {} });
    const summary = stopped ? t("stop.stopped", { count: stopped }) : t("stop.nothing");
    toast(sent ? "warn" : "info", summary, sent ? t("cost.maybe_unpriced", { count: sent }) : "");
  } catch (error) {
    toast("error", error.message, error.hint);
  }
}

function watch(node) {
  for (const widget of node.widgets ?? []) {
    // The value is set once the widget's own callback has run.
    if (WATCHED.has(widget.name)) chain(widget, "callback", () => setTimeout(changed));
  }
}

// What was found in the history is about the graph as it was.
function changed() {
  for (const entry of attached.values()) entry.next = null;
  refreshAll();
  askLater();
}

function refresh(node, settingsChanged = false) {
  const entry = attached.get(node);
  // Without its graph a node can't be asked what it is wired to: newer hosts throw.
  if (!entry || !node.graph) return;
  const profile = profileOf(node);
  const found = catalog && { ...estimate(catalog, valuesOf(node), profile), each: getsList(node), next: entry.next };
  const { ready } = catalog ? readiness(catalog, profile) : { ready: true };
  const previews = setting("NanoBanana.Status.Previews", true) !== false;
  const lacks = entry.run?.status?.errors.some((error) => error.kind === "config") ?? false;
  // An error about settings that have changed since is no longer true.
  if (ready && (entry.lacked || (lacks && settingsChanged))) Object.assign(entry, { run: null, ready: true });
  entry.lacked = !ready;
  const setup = ready ? "" : catalog.may_set ? "needed" : "remote";
  const wired = node.isOutputConnected?.(imageOutput(node)) ?? true;
  const shown = { wired, usual: entry.usual, estimate: found ? estimateText(found, t) : "", setup, ready: entry.ready, previews };
  entry.panel.show(viewOf(entry.run, shown, t));
  fit(node, entry);
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
