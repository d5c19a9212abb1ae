// Pure: finding and filling in translated words, and writing figures as text.

/** The words of `key` ("history.title") in the best language that has them, or null. */
export function choose(languages, locale, key) {
  for (const name of [locale, locale.split(/[-_]/)[0], "en"]) {
    let found = languages[name];
    for (const part of key.split(".")) found = found?.[part];
    if (typeof found === "string") return found;
  }
  return null;
}

/** Put `values` into "{name}". "{count|image|images}" gives the number's singular or plural. */
export function fill(words, values, locale = "en") {
  return words.replace(/\{(\w+)(?:\|([^|}]*)\|([^|}]*))?\}/g, (whole, name, one, many) => {
    if (!(name in values)) return whole;
    const value = values[name];
    if (one === undefined) return String(value);
    return new Intl.PluralRules(locale.replace("_", "-")).select(Number(value)) === "one" ? one : many;
  });
}

export function megabytes(bytes) {
  return (bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1);
}

/** A file's or folder's size: "640 kB", "3.1 MB", "1.20 GB". */
export function fileSize(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

/** A sum of money with two to four decimals; `currency`: as in ISO 4217, or "credits". */
export function money(sum, currency, locale = "en") {
  const language = locale.replace("_", "-");
  const decimals = { minimumFractionDigits: 2, maximumFractionDigits: 4 };
  if (/^[A-Z]{3}$/.test(currency)) return new Intl.NumberFormat(language, { style: "currency", currency, ...decimals }).format(sum);
  const unit = currency === "credits" && language.startsWith("zh") ? "\u70b9\u6570" : currency;
  return `${new Intl.NumberFormat(language, decimals).format(sum)} ${unit}`.trim();
}

/** Seconds as "0.8", "12", "125". */
export function duration(seconds) {
  return seconds < 10 ? seconds.toFixed(1) : String(Math.round(seconds));
}

/** A moment (Unix seconds) as the reader's date and time. */
export function moment(seconds, locale = "en") {
  const format = { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
  return new Intl.DateTimeFormat(locale.replace("_", "-"), format).format(new Date(seconds * 1000));
}
