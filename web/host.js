// The only module that imports ComfyUI's frontend: everything else asks here. Optional features are looked up when
// they are used, so a version that lacks one loses that feature alone.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

export { api, app };

const TOAST_SECONDS = { success: 4, info: 6, warn: 10, error: 20 };

/** An error from the pack's server. `message` and `hint` are for the person. */
export class RouteError extends Error {
  constructor(status, { code = "unknown", message = "", hint = "" } = {}) {
    super(message || `HTTP ${status}`);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

/** JSON from one of the pack's own routes; throws a RouteError. */
export async function request(path, { method = "GET", body, signal } = {}) {
  const options = { method, signal, cache: "no-store" };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  const response = await api.fetchApi(`/nanobanana${path}`, options);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok || answer.error?.message) throw new RouteError(response.status, answer.error);
  return answer;
}

export const routeUrl = (path) => api.apiURL(`/nanobanana${path}`);

export const setting = (id, fallback) => app.extensionManager?.setting?.get?.(id) ?? fallback;

export const locale = () => String(setting("Comfy.Locale", "en") ?? "en");

/** Run one of the host's commands; false if this version can't run commands. */
export function execute(command) {
  const manager = app.extensionManager?.command;
  if (!manager?.execute) return false;
  // Not awaited: a command that opens a dialog may last as long as the dialog.
  Promise.resolve(manager.execute(command)).catch((error) => console.warn("NanoBanana:", command, error));
  return true;
}

/** A short message in the corner. `action`: {label, run}, a button in it. */
export function toast(severity, summary, detail = "", action = null) {
  const toasts = app.extensionManager?.toast;
  const modern = severity === "warn" ? "warning" : severity;
  const duration = (action ? 30 : TOAST_SECONDS[severity]) * 1000;
  if (typeof toasts?.[modern] === "function") {
    const button = action ? { action: { label: action.label, onClick: action.run } } : {};
    toasts[modern](summary, { description: detail || undefined, duration, ...button });
    return;
  }
  toasts?.add?.({ severity, summary, detail, life: duration });
  if (action) addToastButton(summary, action);
}

// The old toasts take no button: it is added to the message once that is on the page.
function addToastButton(summary, action, tries = 20) {
  const message = [...document.querySelectorAll(".p-toast-message")].find((one) => one.textContent.includes(summary));
  const place = message?.querySelector(".p-toast-detail, .p-toast-message-text");
  if (!place) {
    if (tries > 0) setTimeout(() => addToastButton(summary, action, tries - 1), 50);
    return;
  }
  const button = document.createElement("button");
  button.type = "button";
  button.className = "nanobanana-button nanobanana-toast-button";
  button.textContent = action.label;
  button.addEventListener("click", () => {
    message.querySelector(".p-toast-close-button")?.click();
    action.run();
  });
  place.append(button);
}

/** Ask before something that can't be undone; `type`: "delete" or "default". */
export async function confirm(title, message, type = "delete") {
  const dialog = app.extensionManager?.dialog;
  if (dialog?.confirm) return (await dialog.confirm({ title, message, type })) === true;
  return window.confirm(`${title}\n\n${message}`);
}

/** Ask for a line of text; null if it is empty or the person cancels. */
export async function prompt(title, message, value = "") {
  const dialog = app.extensionManager?.dialog;
  const answer = dialog?.prompt
    ? await dialog.prompt({ title, message, defaultValue: value })
    : window.prompt(`${title}\n${message}`, value);
  return answer?.trim() || null;
}

/** Open the settings at the pack's own page. */
export function openSettings() {
  execute("Comfy.ShowSettingsDialog");
  showSettingsPage();
}

function showSettingsPage(tries = 40) {
  // The second is how frontends before 1.40 list the pages.
  const entry = document.querySelector('[data-nav-id$="NanoBanana"], .settings-sidebar [aria-label="NanoBanana"]');
  if (entry) {
    entry.click();
  } else if (tries > 0) {
    setTimeout(() => showSettingsPage(tries - 1), 50);
  }
}

/** Reload the nodes' definitions: their menus hold the profiles and the added models. */
export const refreshDefinitions = () => execute("Comfy.RefreshNodeDefinitions");

export const HISTORY_TAB = "nanobanana-history";

export const openHistory = () => execute(`Workspace.ToggleSidebarTab.${HISTORY_TAB}`);

/** Run the open workflow once. */
export const queue = () => execute("Comfy.QueuePrompt");

/**
 * The open graph as the host would queue it, by execution id; null where asking for it would have effects: some nodes
 * upload what they hold when they are asked.
 */
export async function currentPrompt() {
  const root = rootGraph();
  if (!root || hasEffects(root)) return null;
  return (await app.graphToPrompt()).output;
}

const hasEffects = (graph) =>
  (graph.nodes ?? graph._nodes ?? []).some(
    (node) =>
      (node.widgets ?? []).some((widget) => widget.serializeValue?.constructor?.name === "AsyncFunction") ||
      (node.subgraph && hasEffects(node.subgraph)),
  );

/** Whether this node has the same seed in every run. */
export function keepsSeed(node) {
  const control = node?.widgets?.find((widget) => widget.name === "control_after_generate");
  return !control || control.value === "fixed";
}

/** Whether the host gives this node a new seed just before it is queued. */
export const controlsBefore = (node) => !keepsSeed(node) && setting("Comfy.WidgetControlMode", "after") === "before";

/** Whether a person sees this node: in the graph that is open, not collapsed, and not off the screen. */
export function isSeen(node) {
  const canvas = app.canvas;
  if (!canvas || node.flags?.collapsed || canvas.graph !== node.graph) return false;
  const [x, y, width, height] = canvas.ds?.visible_area ?? canvas.visible_area ?? [];
  if (width === undefined) return true;
  const [left, top] = node.pos;
  return left < x + width && left + node.size[0] > x && top < y + height && top + node.size[1] > y;
}

export const rootGraph = () => app.rootGraph ?? app.graph;

/** The node an execution id ("7", or "3:7" inside a subgraph) names in the open workflow. */
export function findNode(executionId) {
  let graph = rootGraph();
  let node = null;
  for (const part of String(executionId).split(":")) {
    node = graph?.getNodeById?.(Number(part)) ?? graph?.getNodeById?.(part) ?? null;
    if (!node) return null;
    graph = node.subgraph;
  }
  return node;
}

const GAP = 40;
const TITLE = 34;

/** The first place from `start` on, downwards and then to the right, where a node of this size covers no other. */
function freePlace(graph, [width, height], [left, top]) {
  const others = (graph.nodes ?? graph._nodes ?? []).map(({ pos, size }) => [pos[0], pos[1] - TITLE, pos[0] + size[0], pos[1] + size[1]]);
  const hit = (x, y) =>
    others.find((other) => x < other[2] + GAP && x + width + GAP > other[0] && y - TITLE < other[3] + GAP && y + height + GAP > other[1]);
  for (let column = 0, x = left; column < 20; column += 1, x += width + GAP) {
    for (let y = top, tries = 0; tries < 50; tries += 1) {
      const other = hit(x, y);
      if (!other) return [x, y];
      y = other[3] + GAP + TITLE + 1;
      if (y > top + 2000) break;
    }
  }
  return [left, top];
}

/** Put the cursor into a node's text, once the node is drawn. */
export function focusText(node, name, tries = 20) {
  const widget = node.widgets?.find((one) => one.name === name);
  const field = document.querySelector(`[data-node-id="${node.id}"] textarea`) ?? widget?.element ?? widget?.inputEl;
  if (field?.isConnected && field.offsetParent) field.focus();
  else if (tries > 0) setTimeout(() => focusText(node, name, tries - 1), 50);
}

/**
 * Put a new node into the open graph where it covers no other, at or near `position` or the visible middle. `size`: the
 * least that it needs once it shows something.
 */
export function addNode(type, position = null, size = [0, 0]) {
  const node = window.LiteGraph.createNode(type);
  if (!node) return null;
  const canvas = app.canvas;
  const graph = canvas?.graph ?? app.graph;
  const area = canvas?.visible_area ?? canvas?.ds?.visible_area;
  const middle = area ? [area[0] + area[2] / 2 - node.size[0] / 2, area[1] + area[3] / 2 - node.size[1] / 2] : [0, 0];
  node.setSize([Math.max(size[0], node.size[0]), Math.max(size[1], node.size[1])]);
  node.pos = freePlace(graph, node.size, position ?? middle);
  graph.add(node);
  canvas?.selectItems ? canvas.selectItems([node]) : canvas?.selectNode?.(node);
  graph.setDirtyCanvas?.(true, true);
  return node;
}

/** Copy text to the clipboard; on pages without a secure context by way of a field inside `place`. */
export async function copyText(text, place) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const field = document.createElement("textarea");
  field.className = "nanobanana-offscreen";
  field.value = text;
  place.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

/** Save what an address serves as a file. */
export function saveAs(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}

/** Copy an image to the clipboard, as PNG, which every browser takes; false where the page may not. */
export async function copyImage(address) {
  if (!navigator.clipboard?.write || !window.isSecureContext) return false;
  const bitmap = await createImageBitmap(await (await fetch(address)).blob());
  const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  const png = await new Promise((done) => canvas.toBlob(done, "image/png"));
  await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
  return true;
}
