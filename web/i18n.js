// The pack's own words, in the host's language. They are in locales/<language>/main.json under "nanobanana", which the
// host serves at /i18n with everything else in `locales`.
import { api, locale } from "./host.js";
import { choose, fill, money } from "./format.js";

let languages = {};

/** Fetch the words; to be awaited once before anything is shown. */
export async function loadWords() {
  try {
    const response = await api.fetchApi("/i18n");
    const all = await response.json();
    languages = Object.fromEntries(Object.entries(all).map(([name, words]) => [name, words.nanobanana ?? {}]));
  } catch (error) {
    console.warn("NanoBanana: the translations could not be loaded", error);
  }
}

/** The words for `key` in the host's language, else in English, with {name} filled in. */
export function t(key, values = {}) {
  const words = choose(languages, locale(), key);
  return words === null ? key : fill(words, values, locale());
}

/** A sum of money as the reader writes it. */
t.money = (sum, currency) => money(sum, currency, locale());
