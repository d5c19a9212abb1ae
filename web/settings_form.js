// Pure: a profile as the form's texts, and back again as what has changed. `fields` is the server's table of settings:
// [{name, kind, unit, choices, first}], the one place that lists them.

/** A profile from the server as texts and switches; `prices` by model. The key's field starts empty. */
export function toForm(profile, fields) {
  return Object.fromEntries(fields.map((field) => [field.name, FORMS[field.kind]?.(profile[field.name], field) ?? profile[field.name]]));
}

const FORMS = {
  secret: () => "",
  secrets: () => "",
  number: (value, field) => String(value / factor(field)),
  whole: (value, field) => String(value / factor(field)),
  lines: (value) => value.join("\n"),
  prices: (value) => Object.fromEntries(Object.entries(value).map(([model, price]) => [model, String(price)])),
};

/** What removes a secret, by kind of field; the server never tells its value. */
export const NOTHING = { secret: "", secrets: [] };

const factor = (field) => (field.unit === "MB" ? 1e6 : 1);

/** Lines or words between commas. */
export function readList(text) {
  return [...new Set(text.split(/[\n,;]/).map((word) => word.trim()).filter(Boolean))];
}

/** A number, with a decimal point or comma; null if it isn't one. */
export function readNumber(text) {
  const plain = String(text).trim().replace(",", ".");
  return /^\d*\.?\d+$|^\d+\.$/.test(plain) ? Number(plain) : null;
}

/**
 * What differs from `profile`: {changes, wrong}. `wrong` names the fields whose text is no number. A key is among the
 * changes if one was typed in.
 */
export function toChanges(form, profile, fields) {
  const changes = {};
  const wrong = [];
  for (const field of fields) {
    const value = readField(field, form[field.name], wrong);
    const before = NOTHING[field.kind] ?? profile[field.name];
    if (value !== null && !same(value, before)) changes[field.name] = value;
  }
  return { changes, wrong };
}

function readField(field, value, wrong) {
  switch (field.kind) {
    case "address":
    case "secret":
      return value.trim();
    case "number":
    case "whole": {
      const number = readNumber(value);
      if (number === null) wrong.push(field.name);
      else if (factor(field) !== 1) return Math.round(number * factor(field));
      return number;
    }
    case "lines":
    case "secrets":
      return readList(value);
    case "prices":
      return readPrices(field.name, value, wrong);
    default:
      return value;
  }
}

function readPrices(name, texts, wrong) {
  const prices = {};
  for (const [model, text] of Object.entries(texts)) {
    if (!text.trim()) continue;
    const price = readNumber(text);
    if (price === null) wrong.push(`${name}.${model}`);
    else prices[model] = price;
  }
  return prices;
}

function same(one, other) {
  if (typeof one !== "object" || Array.isArray(one)) return JSON.stringify(one) === JSON.stringify(other);
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}
