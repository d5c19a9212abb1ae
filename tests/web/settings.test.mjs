import assert from "node:assert/strict";
import { test } from "node:test";
import { readList, readNumber, toChanges, toForm } from "../../web/settings_form.js";

const profile = {
  name: "default",
  base_url: "https://api.example.com",
  headers: "x-portkey-provider: ********",
  dialect: "documented",
  stream: true,
  connect_timeout: 10,
  total_timeout: 600,
  concurrency: 4,
  picture_limit: 7_000_000,
  body_limit: 20_000_000,
  private_hosts: [],
  extra_models: ["one"],
  prices: { one: 0.04 },
};

const fields = [
  { name: "base_url", kind: "address" },
  { name: "api_key", kind: "secret" },
  { name: "spare_keys", kind: "secrets" },
  { name: "headers", kind: "headers" },
  { name: "dialect", kind: "choice" },
  { name: "stream", kind: "switch" },
  { name: "connect_timeout", kind: "number", unit: "s" },
  { name: "total_timeout", kind: "number", unit: "s" },
  { name: "concurrency", kind: "whole" },
  { name: "picture_limit", kind: "whole", unit: "MB" },
  { name: "body_limit", kind: "whole", unit: "MB" },
  { name: "extra_models", kind: "lines" },
  { name: "private_hosts", kind: "lines" },
  { name: "prices", kind: "prices" },
];

test("a form that nobody touched changes nothing", () => {
  assert.deepEqual(toChanges(toForm(profile, fields), profile, fields), { changes: {}, wrong: [] });
});

test("only what differs is sent, as the server wants it", () => {
  const form = { ...toForm(profile, fields), total_timeout: "90,5", picture_limit: "3.5", private_hosts: "a\nb, a", stream: false };
  form.prices = { one: "", two: "0.5" };
  assert.deepEqual(toChanges(form, profile, fields).changes, {
    total_timeout: 90.5,
    picture_limit: 3_500_000,
    private_hosts: ["a", "b"],
    stream: false,
    prices: { two: 0.5 },
  });
});

test("a key is sent when one was typed, and never otherwise", () => {
  assert.equal("api_key" in toChanges(toForm(profile, fields), profile, fields).changes, false);
  assert.equal(toChanges({ ...toForm(profile, fields), api_key: "  sk-1 " }, profile, fields).changes.api_key, "sk-1");
  assert.equal(toForm({ ...profile, api_key: "never" }, fields).api_key, "");
});

test("spare keys are sent when they were typed, and headers as they stand with their stars", () => {
  const form = toForm(profile, fields);
  assert.equal(form.spare_keys, "");
  assert.equal(form.headers, profile.headers);
  const edited = { ...form, spare_keys: "sk-1\nsk-2", headers: `${form.headers}\nx-more: 1` };
  const { changes } = toChanges(edited, profile, fields);
  assert.deepEqual(changes, { spare_keys: ["sk-1", "sk-2"], headers: "x-portkey-provider: ********\nx-more: 1" });
});

test("fields without a number are named", () => {
  const form = { ...toForm(profile, fields), concurrency: "many", prices: { one: "cheap" } };
  assert.deepEqual(toChanges(form, profile, fields).wrong, ["concurrency", "prices.one"]);
});

test("numbers may have a comma, and nothing else is one", () => {
  assert.equal(readNumber("0,04"), 0.04);
  assert.equal(readNumber(" 12 "), 12);
  assert.equal(readNumber(".5"), 0.5);
  for (const text of ["", "-1", "1e9", "Infinity", "0x10", "1.2.3"]) assert.equal(readNumber(text), null, text);
});

test("lists take lines, commas and semicolons", () => {
  assert.deepEqual(readList(" a, b\n\nc;a "), ["a", "b", "c"]);
});
