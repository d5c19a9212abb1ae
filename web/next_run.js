// What the next run of the open graph will buy, as the server finds it in the history; and the limits of spending.
import { app, confirm, controlsBefore, currentPrompt, findNode, keepsSeed, request, toast } from "./host.js";
import { t } from "./i18n.js";
import { costsText } from "./status_text.js";

const CALLING = new Set(["NanoBananaGatewayGenerate", "NanoBananaGatewayEdit"]);

/** {nodes, profiles} as the server gives it, or null if it can't be known. Has no effect on the graph. */
export async function askNextRun() {
  const prompt = await currentPrompt();
  const graph = prompt && behindCalls(prompt);
  if (!graph || !Object.keys(graph).length) return null;
  return await request("/estimate", { method: "POST", body: { graph } });
}

/** The nodes that call the gateway, with all that they depend on. */
function behindCalls(prompt) {
  const graph = {};
  const take = (id) => {
    const node = prompt[id];
    if (!node || graph[id]) return;
    const inputs = { ...node.inputs };
    // The host will choose another seed when the graph is queued.
    if (CALLING.has(node.class_type) && controlsBefore(findNode(id))) inputs.seed = null;
    graph[id] = { class_type: node.class_type, inputs };
    for (const value of Object.values(inputs)) if (Array.isArray(value)) take(String(value[0]));
  };
  for (const [id, node] of Object.entries(prompt)) if (CALLING.has(node.class_type)) take(id);
  return graph;
}

/** {buys, costs, unpriced}: images that a run buys, what they cost by currency, and how many have no price. */
export function totalOf(found) {
  const total = { buys: 0, costs: {}, unpriced: 0 };
  for (const node of Object.values(found.nodes)) {
    if (node.simulated) continue;
    total.buys += node.buys;
    if (node.price === null) total.unpriced += node.buys;
    else if (node.buys) total.costs[node.currency] = (total.costs[node.currency] ?? 0) + node.buys * node.price;
  }
  return total;
}

/** Say what a run of the whole graph buys. */
export async function tellTotal() {
  try {
    const found = await askNextRun();
    if (!found) return toast("info", t("next_run.none"));
    const { buys, costs, unpriced } = totalOf(found);
    const lines = Object.entries(found.nodes).map(([id, node]) => `${findNode(id)?.title ?? id}: ${nodeText(node)}`);
    if (unpriced) lines.push(t("next_run.unpriced", { count: unpriced }));
    toast("info", buys ? t("next_run.total", { count: buys, cost: costsText(costs, t) || "?" }) : t("next_run.free"), lines.join("\n"));
  } catch (error) {
    toast("error", error.message, error.hint);
  }
}

function nodeText({ buys, calls, price, currency, simulated }) {
  if (simulated) return t("cost.simulated");
  const cost = price === null ? "" : ` \u00b7 ${t.money(buys * price, currency)}`;
  return t("next_run.buys", { buys, calls }) + cost;
}

/** Ask before a limit is passed. `isLimited()`: whether any profile has one. */
export function guardQueue(isLimited) {
  const queuePrompt = app.queuePrompt;
  app.queuePrompt = async function (number, batchCount = 1, ...rest) {
    if (isLimited() && !(await mayPass(Math.max(1, Number(batchCount) || 1)))) return false;
    return queuePrompt.call(this, number, batchCount, ...rest);
  };
}

/** What `times` runs cost: the same run again is free, unless each has a seed of its own. */
export const costOf = ({ buys, calls, price }, times, same) => (buys + (same ? 0 : (times - 1) * calls)) * price;

async function mayPass(times) {
  let found;
  try {
    found = await askNextRun();
  } catch (error) {
    // What can't be asked must not keep anybody from running.
    console.warn("NanoBanana: the limits could not be looked at", error);
    return true;
  }
  for (const [name, profile] of Object.entries(found?.profiles ?? {})) {
    const nodes = Object.entries(found.nodes).filter(([, node]) => node.profile === name && node.price !== null);
    const cost = nodes.reduce((sum, [id, node]) => sum + costOf(node, times, keepsSeed(findNode(id))), 0);
    for (const period of ["daily", "monthly"]) {
      const { limit, spent } = profile[period] ?? {};
      if (!limit || !cost || spent + cost <= limit) continue;
      const said = (sum) => t.money(sum, profile.currency);
      const values = { limit: said(limit), spent: said(spent), cost: said(cost) };
      if (!(await confirm(t(`limit.${period}`, values), t("limit.ask", values), "default"))) return false;
    }
  }
  return true;
}
