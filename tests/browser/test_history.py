"""The sidebar's history: what was paid for, found and used again."""

from __future__ import annotations

from typing import Any

from gateway_faults import FaultyGateway
from journal_rows import fill
from page_of_comfyui import Comfy

ITEM = ".nanobanana-item"
GOOD_KEY = "sk-browser-0123456789abcdefWXYZ"


def make(comfy: Comfy, prompt: str, **values: object) -> None:
    comfy.execute("Comfy.NewBlankWorkflow")
    comfy.page.wait_for_timeout(200)
    comfy.graph_to_run(prompt, **values)
    comfy.run()
    comfy.wait_for_tone("done")


def first(comfy: Comfy) -> Any:
    return comfy.page.locator(ITEM).first


def test_every_paid_image_is_there_with_what_is_known_of_it(comfy: Comfy) -> None:
    comfy.profile(prices={"NanoBananaPro-1K": 0.04})
    comfy.open_history()
    comfy.page.get_by_text("Nothing yet").wait_for()
    make(comfy, "a lighthouse at dusk", count=2, aspect_ratio="16:9")
    # The open tab shows it by itself.
    comfy.page.wait_for_function("() => document.querySelectorAll('.nanobanana-item').length === 2")
    text = first(comfy).inner_text()
    for words in ("a lighthouse at dusk", "NanoBananaPro-1K", "1376 x 768", "0.04", " s", "saved"):
        assert words in text, words
    image = first(comfy).locator("img")
    comfy.page.wait_for_function(
        "() => [...document.querySelectorAll('.nanobanana-thumb img')].every(i => i.naturalWidth > 0)"
    )
    assert image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [320, 179]
    comfy.page.click(".nanobanana-totals summary")
    table = comfy.page.inner_text(".nanobanana-table")
    assert "$0.08" in table
    assert "2 images" in comfy.page.inner_text(".nanobanana-totals-line")
    comfy.image("history")
    comfy.page.click(".nanobanana-totals summary")


def test_a_image_is_loaded_into_the_graph_and_used_offline(comfy: Comfy, renderer: str) -> None:
    make(comfy, f"a lighthouse recalled in {renderer}")
    comfy.open_history()
    comfy.execute("Comfy.NewBlankWorkflow")
    first(comfy).get_by_text(f"recalled in {renderer}").wait_for()
    comfy.delete_profiles()
    first(comfy).locator(".nanobanana-action-load").click()
    comfy.toast_text("NanoBanana Recall")
    (recall,) = comfy.nodes()
    assert recall["type"] == "NanoBananaGatewayRecall"
    assert len(recall["widgets"]["picture"]) >= 12
    preview = comfy.add("PreviewImage", (900, 300))
    comfy.connect(recall["id"], 0, preview, "images")
    comfy.run()
    comfy.page.wait_for_function("id => app.nodeOutputs?.[id]?.images?.length === 1", arg=str(preview))
    comfy.image(f"recalled-{renderer}")


def test_a_recall_node_shows_its_image_and_takes_another_from_the_history(comfy: Comfy, renderer: str) -> None:
    make(comfy, f"the first in {renderer}")
    comfy.execute("Comfy.NewBlankWorkflow")
    make(comfy, f"the second in {renderer}")
    comfy.execute("Comfy.NewBlankWorkflow")
    comfy.page.wait_for_function("() => app.graph.nodes.length === 0")
    recall = comfy.add("NanoBananaGatewayRecall", (620, 160))
    comfy.page.get_by_text("No image is chosen").wait_for()
    comfy.page.locator(".nanobanana-recall-choose").click()
    comfy.page.evaluate("id => app.canvas.selectItems([app.graph.getNodeById(id)])", recall)
    for at, words in enumerate(("second", "first")):
        row = comfy.page.locator(".nanobanana-item", has_text=f"the {words} in {renderer}").first
        row.locator(".nanobanana-action-load").click()
        comfy.page.wait_for_function("() => document.querySelector('.nanobanana-recalled')?.naturalWidth > 0")
        assert len(comfy.nodes()) == 1, at
    ids = {call["prompt"]: call["pictures"][0]["id"] for call in comfy.api("GET", "/history")["calls"]}
    assert comfy.nodes()[0]["widgets"]["picture"] == ids[f"the first in {renderer}"]
    comfy.close_history()
    comfy.image(f"recall-{renderer}")
    comfy.page.evaluate(
        """id => {
          const widget = app.graph.getNodeById(id).widgets.find(one => one.name === 'picture');
          widget.callback((widget.value = 'gone'));
        }""",
        recall,
    )
    comfy.page.get_by_text("This image isn't in the history").wait_for()


def test_the_original_opens_in_a_page_of_its_own(comfy: Comfy) -> None:
    make(comfy, "a lighthouse as webp", output_format="webp")
    comfy.open_history()
    first(comfy).get_by_text("a lighthouse as webp").wait_for()
    with comfy.page.context.expect_page() as opened:
        first(comfy).locator(".nanobanana-action-open").click()
    page = opened.value
    page.wait_for_function("() => document.images[0]?.naturalWidth > 0")
    assert page.evaluate("() => [document.images[0].naturalWidth, document.contentType]") == [1024, "image/webp"]
    page.close()


def test_an_answer_without_an_image_is_opened_as_it_came(comfy: Comfy) -> None:
    comfy.graph_to_run("a lighthouse [fault:refusal]")
    comfy.run()
    comfy.wait_for_tone("failed")
    comfy.open_history()
    first(comfy).locator(".nanobanana-action-answer").wait_for()
    comfy.image("history-saved-answer")
    with comfy.page.context.expect_page() as opened:
        first(comfy).locator(".nanobanana-action-answer").click()
    page = opened.value
    page.wait_for_load_state()
    assert "data: {" in page.inner_text("body")
    assert page.evaluate("() => document.contentType") == "text/plain"
    page.close()


def test_a_refused_key_is_named_in_the_history(comfy: Comfy) -> None:
    with FaultyGateway(api_key=GOOD_KEY, latency=0.05) as gateway:
        comfy.profile(base_url=gateway.base_url, api_key="sk-used-up-0123456789abcdef-wxyz", spare_keys=[GOOD_KEY])
        make(comfy, "a lighthouse with the second key")
    comfy.open_history()
    first(comfy).get_by_text("Key 1 (...wxyz) was refused").wait_for()
    comfy.image("history-refused-key")


def test_a_prompt_is_copied(comfy: Comfy) -> None:
    make(comfy, "a lighthouse\nwith two lines")
    comfy.open_history()
    first(comfy).get_by_text("with two lines").wait_for()
    first(comfy).locator(".nanobanana-action-copy").click()
    comfy.toast_text("clipboard")
    assert comfy.page.evaluate("() => navigator.clipboard.readText()") == "a lighthouse\nwith two lines"


def test_a_failed_download_is_fetched_again_at_no_cost(comfy: Comfy) -> None:
    # The first download is sent to an address that is refused at once; the second one finds the image.
    comfy.graph_to_run("a lighthouse [fault:download_redirect_to:1]")
    comfy.run()
    comfy.wait_for_tone("failed", timeout=60_000)
    comfy.open_history()
    first(comfy).get_by_text("paid for, not downloaded yet").wait_for()
    comfy.image("history-to-download")
    first(comfy).locator(".nanobanana-action-download").click()
    comfy.page.wait_for_selector(".nanobanana-item[data-state=kept]")
    comfy.toast_text("Downloaded")
    assert first(comfy).locator("img").count() == 1
    (call,) = comfy.api("GET", "/history")["calls"]
    assert call["state"] == "kept"
    assert len(call["pictures"]) == 1


def test_searching_finds_words_of_prompts_and_models(comfy: Comfy) -> None:
    fill(comfy.data, 300)
    comfy.open_history()
    first(comfy).get_by_text("image number 299").wait_for()
    comfy.page.fill(".nanobanana-search", "number 137")
    first(comfy).get_by_text("image number 137").wait_for()
    assert comfy.page.locator(ITEM).count() == 1
    comfy.page.fill(".nanobanana-search", "nothing like it")
    comfy.page.get_by_text("Nothing found").wait_for()
    comfy.page.fill(".nanobanana-search", "")
    comfy.page.wait_for_function("() => document.querySelectorAll('.nanobanana-item').length > 5")


def test_thousands_of_rows_stay_smooth(comfy: Comfy) -> None:
    fill(comfy.data, 5000)
    comfy.close_history()
    comfy.open_history()
    comfy.page.wait_for_selector(ITEM)
    found = comfy.page.evaluate(
        """async () => {
          const list = document.querySelector('.nanobanana-list');
          const frame = () => new Promise(requestAnimationFrame);
          const rows = () => list.scrollHeight / 124;
          const end = performance.now() + 40000;
          while (rows() < 3000 && performance.now() < end) {
            list.scrollTop = list.scrollHeight;
            await frame();
          }
          list.scrollTop = 0;
          let most = 0;
          let last = performance.now();
          const frames = [];
          while (frames.length < 120) {
            list.scrollTop += 700;
            await frame();
            const now = performance.now();
            frames.push(now - last);
            last = now;
            most = Math.max(most, document.querySelectorAll('.nanobanana-item').length);
          }
          frames.sort((a, b) => a - b);
          return { most, median: frames[frames.length >> 1], rows: rows() };
        }"""
    )
    # Only what is seen is in the page, whatever was scrolled through.
    assert found["rows"] >= 3000
    assert found["most"] <= 30
    # Frames of a machine whose few cores also run the host and the browser; 16.7 ms is a frame of its own.
    assert found["median"] < 100, found
    comfy.image("history-thousands")


def test_clearing_asks_first(comfy: Comfy) -> None:
    fill(comfy.data, 20)
    comfy.open_history()
    comfy.page.wait_for_selector(ITEM)
    comfy.page.click(".nanobanana-clear")
    comfy.page.click(".nanobanana-clear-all")
    comfy.page.get_by_text("is paid for again").wait_for()
    comfy.page.keyboard.press("Escape")
    assert comfy.api("GET", "/history/totals")["pictures"] == 20
    comfy.page.click(".nanobanana-clear")
    comfy.page.click(".nanobanana-clear-all")
    comfy.confirm()
    comfy.page.get_by_text("Nothing yet").wait_for()
    assert comfy.api("GET", "/history/totals")["pictures"] == 0
    assert not list((comfy.data / "thumbnails").glob("*.jpg"))
