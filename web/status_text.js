// Pure: the events of a run in words. `t(key, values)` gives the words of a key in the reader's language.
import { duration, megabytes, money } from "./format.js";

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

/** The one line that says where a run stands. */
export function headline(status, t) {
  switch (status.state) {
    case "running":
      return runningLine(status, t);
    case "done":
      return doneLine(status, t);
    case "failed":
      return t("status.run_failed");
    case "background":
      return t("status.background");
    default:
      return t("status.cancelled");
  }
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
  const parts = [t("status.pictures", { count: status.delivered })];
  if (status.sizes.length) parts.push(status.sizes.join(", "));
  parts.push(t("status.seconds", { seconds: duration(status.seconds) }));
  return parts.join(" \u00b7 ");
}

/** What the run cost, in words; empty if nothing is known of it. */
export function costText(status, t) {
  const words = [];
  if (status.free) {
    words.push(status.free === status.total ? t("cost.all_free") : t("cost.some_free", { count: status.free }));
  }
  const priced = status.billed + status.maybe_billed - status.unpriced;
  if (priced > 0 && status.cost > 0) words.push(t("cost.paid", { cost: money(status.cost) }));
  if (status.maybe_cost > 0) words.push(t("cost.maybe", { cost: money(status.maybe_cost) }));
  else if (status.maybe_billed > 0) words.push(t("cost.maybe_unpriced", { count: status.maybe_billed }));
  return words.join(" \u00b7 ");
}

/** What the next run will give and cost, in one line. */
export function estimateText(found, t) {
  const parts = [];
  if (found.size === "auto") parts.push(t("estimate.auto"));
  else if (found.size) parts.push(t("estimate.pixels", { width: found.size[0], height: found.size[1] }));
  else parts.push(t("estimate.unknown_size"));
  if (found.count !== null && found.count > 1) parts.push(t("estimate.times", { count: found.count }));
  if (found.cost !== null) {
    const values = { cost: money(found.cost), count: found.count, price: money(found.price) };
    parts.push(found.count > 1 ? t("estimate.cost_of", values) : t("estimate.cost", values));
  }
  if (found.each) parts.push(t("estimate.each"));
  if (found.simulated) parts.push(t("estimate.simulated"));
  return parts.join(" \u00b7 ");
}
