import assert from "node:assert/strict";
import { test } from "node:test";
import { choose, duration, fileSize, fill, megabytes, money } from "../../web/format.js";

test("a word is found in the language, its base language, or English", () => {
  const languages = { en: { a: { b: "English", c: "only English" } }, zh: { a: { b: "Chinese" } } };
  assert.equal(choose(languages, "zh", "a.b"), "Chinese");
  assert.equal(choose(languages, "zh-TW", "a.b"), "Chinese");
  assert.equal(choose(languages, "zh", "a.c"), "only English");
  assert.equal(choose(languages, "fr", "a.b"), "English");
  assert.equal(choose(languages, "en", "a.d"), null);
  assert.equal(choose(languages, "en", "a"), null);
});

test("values are filled in, with the number's plural", () => {
  assert.equal(fill("{count} {count|image|images}", { count: 1 }), "1 image");
  assert.equal(fill("{count} {count|image|images}", { count: 3 }), "3 images");
  assert.equal(fill("{count} {count|image|images}", { count: 0 }), "0 images");
  assert.equal(fill("{a} and {unknown}", { a: "<b>" }), "<b> and {unknown}");
});

test("figures are short and exact enough", () => {
  assert.equal(megabytes(3_100_000), "3.1");
  assert.equal(megabytes(50_000), "0.05");
  assert.equal(fileSize(640_000), "640 kB");
  assert.equal(fileSize(3_140_000), "3.1 MB");
  assert.equal(fileSize(1_200_000_000), "1.20 GB");
  assert.equal(fileSize(3), "1 kB");
  assert.equal(money(0.12, "USD"), "$0.12");
  assert.equal(money(0.0395, "EUR", "de"), "0,0395\u00a0\u20ac");
  assert.equal(money(0.1 + 0.2, "CNY", "zh"), "\u00a50.30");
  assert.equal(money(1234, "JPY"), "\u00a51,234.00");
  assert.equal(money(4, "credits"), "4.00 credits");
  assert.equal(money(4, "credits", "zh"), "4.00 \u70b9\u6570");
  assert.equal(duration(0.83), "0.8");
  assert.equal(duration(12.4), "12");
});
