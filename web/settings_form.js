// Pure: a profile as the form's texts, and back again as what has changed.

const NUMBERS = ["connect_timeout", "total_timeout", "concurrency"];
const MEGABYTES = ["picture_limit", "body_limit"];
const LISTS = ["private_hosts", "extra_models"];

/** A profile of the server's as texts and switches; `prices` by model. The key's field starts empty. */
export function toForm(profile) {
  const form = { base_url: profile.base_url, api_key: "", dialect: profile.dialect, stream: profile.stream, prices: {} };
  for (const name of NUMBERS) form[name] = String(profile[name]);
  for (const name of MEGABYTES) form[name] = String(profile[name] / 1e6);
  for (const name of LISTS) form[name] = profile[name].join("\n");
  for (const [model, price] of Object.entries(profile.prices)) form.prices[model] = String(price);
  return form;
}

/** Lines or words between commas. */
export function readList(text) {
  return [...new Set(text.split(/[\n,;]/).map((word) => word.trim()).filter(Boolean))];
}

/** A number, with a point or a comma in it; null when it is none. */
export function readNumber(text) {
  const plain = String(text).trim().replace(",", ".");
  return /^\d*\.?\d+$|^\d+\.$/.test(plain) ? Number(plain) : null;
}

/**
 * What differs from `profile`: {changes, wrong}. `wrong` names the fields whose text is no number. A key is among the
 * changes when one was typed in.
 */
export function toChanges(form, profile) {
  const changes = {};
  const wrong = [];
  const differs = (name, value) => {
    if (JSON.stringify(value) !== JSON.stringify(profile[name])) changes[name] = value;
  };
  differs("base_url", form.base_url.trim());
  differs("dialect", form.dialect);
  differs("stream", form.stream);
  for (const name of NUMBERS) takeNumber(name, form[name], 1);
  for (const name of MEGABYTES) takeNumber(name, form[name], 1e6);
  for (const name of LISTS) differs(name, readList(form[name]));
  const prices = {};
  for (const [model, text] of Object.entries(form.prices)) {
    if (!text.trim()) continue;
    const price = readNumber(text);
    if (price === null) wrong.push(`prices.${model}`);
    else prices[model] = price;
  }
  if (!sameEntries(prices, profile.prices)) changes.prices = prices;
  if (form.api_key.trim()) changes.api_key = form.api_key.trim();
  return { changes, wrong };

  function takeNumber(name, text, factor) {
    const value = readNumber(text);
    if (value === null) wrong.push(name);
    else differs(name, factor === 1 ? value : Math.round(value * factor));
  }
}

function sameEntries(one, other) {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}
