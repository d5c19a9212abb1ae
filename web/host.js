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

/** Ask before something that can't be undone. */
export async function confirm(title, message) {
  const dialog = app.extensionManager?.dialog;
  if (dialog?.confirm) return (await dialog.confirm({ title, message, type: "delete" })) === true;
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
  const entry = document.querySelector('[data-nav-id$="NanoBanana"]');
  if (entry) {
    entry.click();
  } else if (tries > 0) {
    setTimeout(() => showSettingsPage(tries - 1), 50);
  }
}

/** Reload the nodes' definitions: their menus hold the profiles and the added models. */
export const refreshDefinitions = () => execute("Comfy.RefreshNodeDefinitions");

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

/** Put a new node into the open graph at `position`, or in the middle of the visible area. */
export function addNode(type, position = null) {
  const node = window.LiteGraph.createNode(type);
  if (!node) return null;
  const canvas = app.canvas;
  const graph = canvas?.graph ?? app.graph;
  const area = canvas?.visible_area ?? canvas?.ds?.visible_area;
  const middle = area ? [area[0] + area[2] / 2 - node.size[0] / 2, area[1] + area[3] / 2 - node.size[1] / 2] : [0, 0];
  node.pos = position ?? middle;
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
