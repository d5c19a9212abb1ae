// Pure: what a run will give and cost, from the node's widgets and the catalog that the server sends.

/**
 * `values`: {model, aspect_ratio, count}, each undefined if another node gives it. `profile`: the profile's name, null
 * if it can't be known before the run.
 *
 * Returns {size, tier, count, price, currency, cost, simulated}: `size` is [width, height], "auto" if it follows the first image,
 * or null; `cost` is null if nothing is paid, no price is set or something isn't known yet.
 */
export function estimate(catalog, values, profile) {
  const known = catalog.models.find((model) => model.name === values.model);
  const size = values.aspect_ratio === "auto" ? "auto" : (known?.sizes?.[values.aspect_ratio] ?? null);
  const used = catalog.profiles.find((one) => one.name === profile) ?? null;
  const simulated = used?.simulated === true;
  const price = simulated ? null : (used?.prices?.[values.model] ?? null);
  const count = Number.isInteger(values.count) ? values.count : null;
  const cost = price === null || count === null ? null : price * count;
  return { size, tier: known?.tier ?? null, count, price, currency: used?.currency ?? "", cost, simulated };
}

/** Whether a run with this profile can start: {ready, problem}. */
export function readiness(catalog, profile) {
  if (catalog.multi_user || profile === null) return { ready: true, problem: "" };
  const used = catalog.profiles.find((one) => one.name === profile);
  if (!used) return { ready: true, problem: "" };
  return { ready: used.ready, problem: used.problem };
}
