// Pure: the events of a run in words. `t(key, values)` gives the words of a key in the reader's language.
import { duration, megabytes } from "./format.js";

/** One call's report: {phase, done, total, text, seconds, left}. */
export function callText(call, t) {
  const { phase, done, total, text, seconds, left } = call;
  switch (phase) {
    case "queued":
      return total > 1 ? t("status.queued_place", { place: done, total }) : t("status.queued");
    case "uploading":
    case "downloading":
      if (!total) return t(`status.${phase}`);
      return t(`status.${phase}_of`, { done: megabytes(done), total: megabytes(total) });
    case "waiting":
      return t("status.waiting", { seconds });
    case "streaming":
      return text || t("status.waiting", { seconds });
    case "pausing":
      if (!left) return text || t("status.pausing");
      return text ? t("status.again_because", { left, text }) : t("status.again", { left });
    default:
      return t(`status.${phase}`);
  }
}

/** The one line that says where a run stands. `usual`: how many seconds such a call takes, 0 if that isn't known. */
export function headline(status, t, usual = 0) {
  switch (status.state) {
    case "running":
      return runningLine(status, t) + usually(status, t, usual);
    case "done":
      return doneLine(status, t);
    case "failed":
      return status.skipped ? `${t("status.run_failed")} ${t("status.skipped")}` : t("status.run_failed");
    case "background":
      return status.cancelled ? t("status.cancelled_background", { count: status.going_on }) : t("status.background");
    case "stored":
      return status.cancelled ? t("status.cancelled_stored", { count: status.delivered }) : t("status.stored");
    default:
      return t("status.cancelled");
  }
}

/** What a screen reader says of it: once for each phase, and no seconds. */
export function spoken(status, t) {
  if (status.state !== "running") return headline(status, t);
  if (status.total === 1 && status.calls.length === 1) return t(`phase.${status.calls[0].phase}`);
  return t("status.progress", { finished: status.finished, total: status.total });
}

function usually({ calls }, t, usual) {
  const waits = calls.some((call) => call.phase === "waiting" || call.phase === "streaming");
  return waits && usual >= 1 ? ` \u00b7 ${t("status.usually", { seconds: Math.round(usual) })}` : "";
}

function runningLine(status, t) {
  if (status.total === 1 && status.calls.length === 1) return callText(status.calls[0], t);
  const first = t("status.progress", { finished: status.finished, total: status.total });
  const counts = new Map();
  for (const call of status.calls) counts.set(call.phase, (counts.get(call.phase) ?? 0) + 1);
  const rest = [...counts].map(([phase, count]) => t("status.counted", { count, phase: t(`phase.${phase}`) }));
  return rest.length ? `${first}: ${rest.join(", ")}` : first;
}

function doneLine(status, t) {
  const wanted = status.delivered + status.failed;
  const parts = [
    status.failed
      ? t("status.partly", { count: status.delivered, wanted, failed: status.failed })
      : t("status.pictures", { count: status.delivered }),
  ];
  if (status.sizes.length) parts.push(status.sizes.join(", "));
  parts.push(t("status.seconds", { seconds: duration(status.seconds) }));
  return parts.join(" \u00b7 ");
}

/** What the run cost, in words; empty if nothing is known of it. */
export function costText(status, t) {
  if (status.simulated) return t("cost.simulated");
  const words = [];
  const sum = (cost) => ({ cost: t.money(cost, status.currency) });
  if (status.free) {
    words.push(status.free === status.total ? t("cost.all_free", sum(0)) : t("cost.some_free", { count: status.free }));
  }
  const priced = status.billed + status.maybe_billed - status.unpriced;
  const open = status.maybe_billed + (status.going_on ?? 0);
  if (priced > 0 && status.cost > 0) words.push(t("cost.paid", sum(status.cost)));
  if (status.maybe_cost > 0) words.push(t("cost.maybe", sum(status.maybe_cost)));
  else if (open > 0) words.push(t("cost.maybe_unpriced", { count: open }));
  return words.join(" \u00b7 ");
}

/** Sums by currency: "$4.20 + 30 credits"; empty for none. */
export function costsText(costs, t) {
  return Object.entries(costs)
    .map(([currency, sum]) => t.money(sum, currency))
    .join(" + ");
}

/**
 * What the next run will give and cost, in one line. `found`: as `estimate` gives it, with `each`, whether the node
 * runs for each item of a list, and `next`, what the server found in the history, or null.
 */
export function estimateText(found, t) {
  const parts = [];
  if (found.size === "auto") parts.push(t("estimate.auto"));
  else if (found.size) parts.push(t("estimate.pixels", { width: found.size[0], height: found.size[1] }));
  else parts.push(t("estimate.unknown_size"));
  if (found.simulated) parts.push(...times(found, t), t("estimate.simulated"));
  else if (found.next?.known) parts.push(nextText(found.next, t));
  else parts.push(...times(found, t), ...costs(found, t));
  return parts.join(" \u00b7 ");
}

const times = ({ count, each }, t) => [
  ...(count > 1 ? [t("estimate.times", { count })] : []),
  ...(each ? [t("estimate.each")] : []),
];

function costs({ cost, count, price, currency }, t) {
  if (cost === null) return [];
  const values = { cost: t.money(cost, currency), count, price: t.money(price, currency) };
  return [count > 1 ? t("estimate.cost_of", values) : t("estimate.cost", values)];
}

/** What a run buys of the images that it wants, once the history was asked. */
function nextText({ calls, buys, known, price, currency }, t) {
  if (!buys) return known === "seen" ? t("next_run.free_if_same") : t("next_run.free");
  const cost = price === null ? "" : `: ${t.money(buys * price, currency)}`;
  return (buys < calls ? t("next_run.buys_of", { buys, calls }) : t("next_run.buys", { buys, calls })) + cost;
}
