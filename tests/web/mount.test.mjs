import assert from "node:assert/strict";
import { test } from "node:test";

import { chain } from "../../web/mount.js";

test("what is called behind the host's own callback can't stop it, and is told", (context) => {
  const told = context.mock.method(console, "error", () => {});
  const calls = [];
  const node = {
    onConfigure(...given) {
      calls.push(["host", this === node, ...given]);
      return "the host's";
    },
  };
  chain(node, "onConfigure", (...given) => calls.push(["ours", ...given]));
  chain(node, "onConfigure", () => {
    throw new Error("no graph");
  });
  assert.equal(node.onConfigure(1, 2), "the host's");
  assert.deepEqual(calls, [["host", true, 1, 2], ["ours", 1, 2]]);
  assert.equal(told.mock.callCount(), 1);
  assert.match(told.mock.calls[0].arguments.join(" "), /NanoBanana: onConfigure.*no graph/);
});

test("a callback that the host doesn't have is made", () => {
  const node = {};
  let count = 0;
  chain(node, "onRemoved", () => (count += 1));
  assert.equal(node.onRemoved(), undefined);
  assert.equal(count, 1);
});
