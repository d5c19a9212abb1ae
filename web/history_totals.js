// Totals of the history: a line, and a table by day.
import { element } from "./dom.js";
import { fileSize } from "./format.js";
import { costsText } from "./status_text.js";

/** "312 images, 1.20 GB of 2.15 GB; last 30 days: 4.20". `answer`: {days, pictures, bytes, cap_bytes}. */
export function totalsLine(answer, t) {
  const sums = {};
  for (const { costs } of answer.days) for (const [currency, sum] of Object.entries(costs)) sums[currency] = (sums[currency] ?? 0) + sum;
  const cost = costsText(sums, t);
  const size = fileSize(answer.bytes);
  const kept = t("totals.kept", { count: answer.pictures, size, cap: fileSize(answer.cap_bytes) });
  return cost ? `${kept} \u00b7 ${t("totals.month", { cost })}` : kept;
}

export function totalsTable(answer, t) {
  const heads = ["day", "pictures", "billed", "cost"].map((name) => element("th", { text: t(`totals.${name}`) }));
  return element(
    "table",
    { class: "nanobanana-table" },
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...answer.days.map((day) => row(day, t))),
  );
}

function row(day, t) {
  const billed = day.maybe_billed ? t("totals.maybe", { billed: day.billed, maybe: day.maybe_billed }) : String(day.billed);
  const sums = costsText(day.costs, t);
  const cells = [day.day, String(day.pictures), billed, sums && day.unpriced ? `${sums} +` : sums || (day.unpriced ? "-" : "0")];
  const title = day.unpriced ? t("totals.unpriced", { count: day.unpriced }) : undefined;
  return element("tr", { title }, ...cells.map((text) => element("td", { text })));
}
