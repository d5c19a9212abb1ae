import assert from "node:assert/strict";
import { test } from "node:test";
import { HistoryStore, rowsOf } from "../../web/history_store.js";
import { visibleRange } from "../../web/virtual_list.js";

const call = (id, pictures = 1) => ({ id, pictures: Array.from({ length: pictures }, (_, n) => ({ id: `${id}-${n}` })) });

/** A server with the calls 1 to `newest`, pages of `size`. */
function server(newest, size = 3) {
  const asked = [];
  const state = { newest, asked };
  state.fetchPage = async ({ before, search }) => {
    asked.push(before);
    await new Promise((done) => setTimeout(done, 5));
    const ids = [];
    for (let id = state.newest; id > 0; id -= 1) if (before === null || id < before) ids.push(id);
    const page = ids.filter((id) => !search || String(id).includes(search)).slice(0, size);
    return { calls: page.map((id) => call(id)), before: page.length === size && page.at(-1) > 1 ? page.at(-1) : null };
  };
  return state;
}

const ids = (store) => store.rows.map((row) => row.call.id);

test("one row an image, and one for a call without any", () => {
  assert.deepEqual(rowsOf(call(7, 2)).map((row) => row.key), ["7/7-0", "7/7-1"]);
  assert.deepEqual(rowsOf(call(7, 0)).map((row) => [row.key, row.picture]), [["7", null]]);
});

test("pages follow one another to the end", async () => {
  const store = new HistoryStore(server(7).fetchPage);
  while (await store.more());
  assert.deepEqual(ids(store), [7, 6, 5, 4, 3, 2, 1]);
  assert.equal(store.complete, true);
});

test("asking twice at once loads once", async () => {
  const host = server(7);
  const store = new HistoryStore(host.fetchPage);
  await Promise.all([store.more(), store.more(), store.refresh()]);
  assert.deepEqual(ids(store), [7, 6, 5]);
  assert.equal(new Set(store.rows.map((row) => row.key)).size, store.rows.length);
});

test("what is new comes on top, and what was loaded stays", async () => {
  const host = server(7);
  const store = new HistoryStore(host.fetchPage);
  await store.more();
  await store.more();
  host.newest = 8;
  await store.refresh();
  assert.deepEqual(ids(store), [8, 7, 6, 5, 4, 3, 2]);
  host.newest = 100;
  await store.refresh();
  assert.deepEqual(ids(store), [100, 99, 98]);
  await store.more();
  assert.deepEqual(ids(store), [100, 99, 98, 97, 96, 95]);
});

test("an answer to an older search is not mixed in", async () => {
  const store = new HistoryStore(server(30).fetchPage);
  const old = store.more();
  store.search = "2";
  store.reset();
  await Promise.all([old, store.more()]);
  assert.deepEqual(ids(store), [29, 28, 27]);
  assert.equal(store.loading, null);
});

test("a failed load can be tried again", async () => {
  let fails = true;
  const store = new HistoryStore(async () => {
    if (fails) throw new Error("no");
    return { calls: [call(1)], before: null };
  });
  await assert.rejects(store.more());
  fails = false;
  assert.equal(await store.more(), true);
});

test("a call that changed takes its rows' place", async () => {
  const store = new HistoryStore(server(3).fetchPage);
  await store.more();
  store.update(call(2, 2));
  assert.deepEqual(store.rows.map((row) => row.key), ["3/3-0", "2/2-0", "2/2-1", "1/1-0"]);
  store.update(call(99));
  assert.equal(store.rows.length, 4);
});

test("only what is seen, and a little around it, is made", () => {
  assert.deepEqual(visibleRange(0, 620, 124, 5000), [0, 11]);
  assert.deepEqual(visibleRange(124_000, 620, 124, 5000), [994, 1011]);
  assert.deepEqual(visibleRange(1e9, 620, 124, 10), [10, 10]);
  assert.deepEqual(visibleRange(0, 620, 124, 0), [0, 0]);
});
