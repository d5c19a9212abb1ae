import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { estimate, readiness } from "../../web/estimate.js";
import { RunStore, seedFor, viewOf } from "../../web/runs.js";
import { callText, costText, estimateText, headline } from "../../web/status_text.js";
import { choose, fill, money } from "../../web/format.js";

const main = JSON.parse(readFileSync(new URL("../../locales/en/main.json", import.meta.url), "utf8"));
const t = (key, values = {}) => {
  const words = choose({ en: main.nanobanana }, "en", key);
  assert.notEqual(words, null, key);
  return fill(words, values);
};
t.money = money;

const catalog = {
  multi_user: false,
  models: [{ name: "Pro-1K", tier: "1K", sizes: { "16:9": [1376, 768] } }],
  profiles: [
    { name: "default", ready: true, problem: "", simulated: false, prices: { "Pro-1K": 0.04 }, currency: "USD" },
    { name: "empty", ready: false, problem: "No base URL.", simulated: false, prices: {} },
    { name: "pretend", ready: true, problem: "", simulated: true, prices: { "Pro-1K": 0.04 } },
  ],
};
const call = (phase, more = {}) => ({ phase, done: 0, total: 0, text: "", seconds: 0, left: 0, ...more });
const running = (more) => ({
  state: "running",
  progress: 0.5,
  calls: [],
  total: 1,
  finished: 0,
  delivered: 0,
  failed: 0,
  seed: "7",
  simulated: false,
  sizes: [],
  free: 0,
  cost: 0,
  maybe_cost: 0,
  unpriced: 0,
  billed: 0,
  maybe_billed: 0,
  currency: "USD",
  going_on: 0,
  cancelled: false,
  warnings: [],
  errors: [],
  ...more,
});

test("the last image of a run that comes behind the next run's beginning changes nothing", () => {
  const store = new RunStore();
  const at = { workflow: "w", node: "1" };
  const image = { id: "a", width: 1, height: 1, free: false, image: "data:", place: [0, 0, 0] };
  store.take("status", { ...running(), ...at, run: "r1" });
  store.take("status", { ...running({ state: "done" }), ...at, run: "r1" });
  assert.equal(store.take("picture", { ...at, ...image, run: "r1" }).pictures.length, 1);
  store.take("status", { ...running({ state: "done" }), ...at, run: "r2" });
  const run = store.take("picture", { ...at, ...image, run: "r1" });
  assert.deepEqual([run.run, run.status.state, run.pictures.length], ["r2", "done", 0]);
  // An image may well be the first that is heard of a run.
  assert.equal(store.take("picture", { ...at, ...image, run: "r3" }).pictures.length, 1);
});

test("each phase of one call has its words", () => {
  const said = (phase, more) => callText(call(phase, more), t);
  assert.equal(said("queued", { done: 2, total: 4 }), "queued, number 2 of 4");
  assert.equal(said("queued"), "queued");
  assert.equal(said("uploading", { done: 3_100_000, total: 5_900_000 }), "uploading 3.1 of 5.9 MB");
  assert.equal(said("waiting", { seconds: 12 }), "waiting 12 s");
  assert.equal(said("streaming", { text: "half way" }), "half way");
  assert.equal(said("streaming", { seconds: 4 }), "waiting 4 s");
  assert.equal(said("pausing", { left: 8, text: "too many calls" }), "trying again in 8 s: too many calls");
  assert.equal(said("pausing", { left: 8 }), "trying again in 8 s");
  assert.equal(said("pausing", { text: "the same picture is being made" }), "the same picture is being made");
  assert.equal(said("connecting"), "connecting");
});

test("while a call waits, the usual time of such calls is told", () => {
  const status = running({ calls: [call("waiting", { seconds: 18 })] });
  assert.equal(headline(status, t, 25.4), "waiting 18 s \u00b7 usually about 25 s");
  assert.equal(headline(status, t, 0), "waiting 18 s");
  assert.equal(headline(running({ calls: [call("uploading")] }), t, 25), "uploading");
  const several = running({ total: 2, finished: 0, calls: [call("waiting"), call("queued")] });
  assert.match(headline(several, t, 30), /usually about 30 s$/);
});

test("several calls are counted by phase", () => {
  const status = running({ total: 4, finished: 2, calls: [call("waiting"), call("downloading")] });
  assert.equal(headline(status, t), "2 of 4 done: 1 waiting, 1 downloading");
});

test("the end says images, sizes and seconds", () => {
  const done = running({ state: "done", delivered: 3, sizes: ["1024 x 1024"], seconds: 12.34 });
  assert.equal(headline(done, t), "3 images \u00b7 1024 x 1024 \u00b7 12 s");
  assert.equal(headline(running({ state: "failed" }), t), "No image came.");
  assert.equal(headline(running({ state: "cancelled" }), t), "Cancelled.");
});

test("costs are what was billed, and what may have been", () => {
  assert.equal(costText(running({ free: 2, total: 2 }), t), "$0.00: from the history");
  assert.equal(costText(running({ free: 2, total: 3, billed: 1, cost: 0.04 }), t), "2 from the history: free \u00b7 paid $0.04");
  assert.match(costText(running({ maybe_billed: 1, maybe_cost: 0.04 }), t), /0\.04.*may have been billed/);
  assert.match(costText(running({ maybe_billed: 2, unpriced: 2 }), t), /2 calls may have been billed/);
  assert.equal(costText(running({ billed: 1, unpriced: 1 }), t), "");
});

test("pixels and cost are told before a run", () => {
  const found = estimate(catalog, { model: "Pro-1K", aspect_ratio: "16:9", count: 3 }, "default");
  assert.equal(estimateText(found, t), "1376 x 768 px \u00b7 3 images \u00b7 cost $0.12 (3 x $0.04)");
  const one = estimate(catalog, { model: "Pro-1K", aspect_ratio: "auto", count: 1 }, "pretend");
  assert.equal(estimateText(one, t), "ratio as the first image \u00b7 simulated");
  const wired = estimate(catalog, { model: "other", aspect_ratio: "16:9", count: undefined }, null);
  assert.equal(wired.cost, null);
  assert.equal(estimateText(wired, t), "size as the model gives it");
});

test("the price before a run is what it will cost, once the history was asked", () => {
  const found = estimate(catalog, { model: "Pro-1K", aspect_ratio: "16:9", count: 3 }, "default");
  const said = (next, more = {}) => estimateText({ ...found, ...more, next: { known: "written", price: 0.04, currency: "USD", ...next } }, t);
  assert.equal(said({ calls: 3, buys: 0 }), "1376 x 768 px \u00b7 next run: free, it is in the history");
  assert.equal(said({ calls: 3, buys: 1 }), "1376 x 768 px \u00b7 next run buys 1 of 3: $0.04");
  assert.equal(said({ calls: 4, buys: 4 }), "1376 x 768 px \u00b7 next run buys 4: $0.16");
  assert.equal(said({ calls: 4, buys: 4, price: null }), "1376 x 768 px \u00b7 next run buys 4");
  // Other nodes come first, which may give something else the next time.
  assert.match(said({ calls: 1, buys: 0, known: "seen" }), /free if its inputs stay the same/);
  assert.match(said({ calls: 3, buys: 3, known: "" }, { each: true }), /cost \$0\.12 \(3 x \$0\.04\)/);
  assert.equal(said({ calls: 1, buys: 1 }, { simulated: true }), "1376 x 768 px \u00b7 3 images \u00b7 simulated");
});

test("a cancel says how many calls go on, and what came of them", () => {
  const status = running({ state: "background", cancelled: true, going_on: 3 });
  assert.equal(headline(status, t), "Cancelled. 3 calls that were sent already go on into the history.");
  assert.equal(costText(status, t), "3 calls may have been billed");
  const stored = running({ state: "stored", cancelled: true, delivered: 1, billed: 1, cost: 0.04, seconds: 1 });
  assert.match(headline(stored, t), /^Cancelled\. 1 image that had been paid for came into the history: run again to use it, free\.$/);
  assert.equal(costText(stored, t), "paid $0.04");
});

test("a profile without an address isn't ready, an unknown one is left to the run", () => {
  assert.deepEqual(readiness(catalog, "empty"), { ready: false, problem: "No base URL." });
  assert.equal(readiness(catalog, "default").ready, true);
  assert.equal(readiness(catalog, "unknown").ready, true);
  assert.equal(readiness({ ...catalog, multi_user: true }, "empty").ready, true);
});

test("runs are kept by workflow and node, and a new run forgets the old one's pictures", () => {
  const store = new RunStore();
  const at = { workflow: "w", node: "3", run: "r1" };
  store.take("status", { ...running(), ...at });
  store.take("picture", { ...at, id: "a", width: 1, height: 1, free: false, image: "data:", place: [0, 0, 0] });
  let run = store.take("picture", { ...at, id: "a", width: 1, height: 1, free: false, image: "data:", place: [0, 0, 0] });
  assert.equal(run.pictures.length, 2);
  assert.notEqual(run.pictures[0].key, run.pictures[1].key);
  run = store.take("status", { ...running(), ...at, run: "r2" });
  assert.equal(run.pictures.length, 0);
  assert.equal(store.of("w").length, 1);
  assert.equal(store.of("other").length, 0);
});

test("at most 16 images and 200 nodes are kept", () => {
  const store = new RunStore();
  for (let n = 0; n < 250; n += 1) store.take("status", { ...running(), workflow: "w", node: String(n), run: "r" });
  assert.equal(store.of("w").length, 200);
  const picture = { workflow: "w", node: "249", run: "r", id: "a", width: 1, height: 1, free: false, image: "", place: [0, 0, 0] };
  let run;
  for (let n = 0; n < 40; n += 1) run = store.take("picture", picture);
  assert.equal(run.pictures.length, 16);
  assert.equal(new Set(run.pictures.map((one) => one.key)).size, 16);
});

test("a run whose end never came is ended by the host's own word", () => {
  const store = new RunStore();
  store.take("status", { ...running(), workflow: "w", node: "1", run: "r" });
  const [run] = store.end("r", "cancelled");
  assert.equal(run.status.state, "cancelled");
  assert.deepEqual(store.end("r", "cancelled"), []);
});

test("a view shows warnings and errors, and asks for the settings where one is about them", () => {
  const error = { kind: "config", message: "No gateway.", hint: "", request_id: "", billed: "", times: 1 };
  const run = { status: running({ state: "failed", errors: [error], warnings: ["small"] }), pictures: [{ key: "1" }] };
  const view = viewOf(run, { estimate: "e", setup: "needed", previews: false }, t);
  assert.equal(view.setup, "wrong");
  assert.equal(view.tone, "failed");
  assert.equal(view.progress, null);
  assert.deepEqual(view.pictures, []);
  assert.deepEqual(view.warnings, ["small"]);
  const nothing = viewOf(null, { estimate: "e", setup: "", previews: true }, t);
  assert.equal(nothing.headline, "");
  assert.equal(nothing.progress, null);
});

test("images stand in the order of the outputs, whatever came first", () => {
  const store = new RunStore();
  const at = { workflow: "w", node: "3", run: "r1", width: 1, height: 1, free: false, image: "" };
  for (const place of [[1, 0, 0], [0, 10, 0], [0, 2, 1], [0, 2, 0]]) store.take("picture", { ...at, id: place.join(), place });
  const [run] = store.of("w");
  assert.deepEqual(run.pictures.map((one) => one.id), ["0,2,0", "0,2,1", "0,10,0", "1,0,0"]);
});

test("a run that brought a part looks like one, and offers to get the rest", () => {
  const error = { kind: "gateway", message: "No.", hint: "", request_id: "", billed: "no", times: 3 };
  const status = running({ state: "done", delivered: 13, failed: 3, seconds: 9, billed: 13, errors: [error] });
  const view = viewOf({ status, pictures: [] }, { estimate: "", setup: "", previews: true }, t);
  assert.equal(view.tone, "warning");
  assert.equal(view.headline, "13 of 16 images, 3 failed \u00b7 9.0 s");
  assert.equal(view.failed, 3);
  assert.deepEqual(view.actions.map((one) => one.text), ["Get the missing 3", "New image", "Open the history"]);
});

test("after a run there is what a person may want next", () => {
  const named = (more) => {
    const status = running({ seconds: 1, ...more });
    return viewOf({ status, pictures: [] }, { estimate: "", setup: "", previews: true }, t).actions.map((one) => one.name);
  };
  assert.deepEqual(named({ state: "running" }), []);
  assert.deepEqual(named({ state: "background", going_on: 1 }), ["stop", "history"]);
  assert.deepEqual(named({ state: "done", delivered: 1, billed: 1 }), ["new", "history"]);
  assert.deepEqual(named({ state: "done", delivered: 1, free: 1 }), ["new"]);
  assert.deepEqual(named({ state: "failed", failed: 1 }), ["retry"]);
  assert.deepEqual(named({ state: "cancelled", maybe_billed: 2 }), ["retry", "history"]);
});

test("what is simulated is never paid", () => {
  assert.equal(costText(running({ state: "done", simulated: true, delivered: 1 }), t), "simulated: costs nothing");
  assert.equal(costText(running({ state: "done", simulated: true, free: 1, total: 1 }), t), "simulated: costs nothing");
});

test("another try has the seed of the run that failed, and leaves it where there was none", () => {
  assert.equal(seedFor("retry", { seed: "7" }), 7);
  assert.equal(seedFor("missing", { seed: "0" }), 0);
  assert.equal(seedFor("retry", { seed: "" }), null);
  assert.equal(seedFor("retry", null), null);
  // Larger than JavaScript's numbers hold exactly: another seed would be bought.
  assert.equal(seedFor("retry", { seed: "18446744073709551615" }), null);
  assert.notEqual(seedFor("new", { seed: "7" }), seedFor("new", { seed: "7" }));
});
