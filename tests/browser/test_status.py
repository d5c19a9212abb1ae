"""What a node shows while it works, and what stays: in both renderers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from page_of_comfyui import GENERATE, Comfy


def test_before_a_run_pixels_and_cost_are_shown_and_follow_the_widgets(comfy: Comfy, renderer: str) -> None:
    comfy.profile(prices={"NanoBananaPro-1K": 0.04, "NanoBananaPro-4K": 0.24})
    comfy.page.wait_for_timeout(300)
    comfy.graph_to_run("a lighthouse", aspect_ratio="16:9", count=3)
    estimate = comfy.panel.locator(".nanobanana-estimate")
    estimate.get_by_text("1376 x 768").wait_for()
    assert "0.12 (3 x 0.04)" in estimate.inner_text()
    comfy.choose("model", "NanoBananaPro-4K", renderer)
    estimate.get_by_text("5504 x 3072").wait_for()
    assert "0.72 (3 x 0.24)" in estimate.inner_text()


def test_a_list_of_prompts_is_estimated_for_each_of_them(comfy: Comfy, renderer: str) -> None:
    comfy.profile(prices={"NanoBananaPro-1K": 0.04})
    generate = comfy.graph_to_run("", count=1)
    prompts = comfy.add("NanoBananaGatewayPrompts", (60, 130), text="one\ntwo\nthree")
    comfy.page.evaluate(
        """([a, b]) => {
          const to = app.graph.getNodeById(b);
          app.graph.getNodeById(a).connect(0, to, to.inputs.findIndex(slot => slot.name === 'prompt'));
        }""",
        [prompts, generate],
    )
    comfy.panel.get_by_text("for each item of the list").wait_for()
    comfy.run()
    comfy.wait_for_tone("done")
    assert "3 images" in comfy.headline()
    assert "paid 0.12" in comfy.panel.inner_text()


def test_a_run_is_followed_to_its_images_and_its_cost_stays(comfy: Comfy, renderer: str) -> None:
    # The third waits for a place, so that there is a moment with two of three.
    comfy.profile(prices={"NanoBananaPro-1K": 0.04}, concurrency=2)
    comfy.graph_to_run("a lighthouse [latency:1.5]", count=3)
    comfy.run()
    comfy.wait_for_tone("running")
    seen: set[str] = set()
    widths: list[float] = []
    while (now := comfy.snapshot())["tone"] == "running":
        seen.add(now["headline"])
        if now["bar"] is not None:
            widths.append(now["bar"])
        if len(seen) == 3:
            comfy.image(f"status-running-{renderer}")
        comfy.page.wait_for_timeout(60)
    comfy.wait_for_tone("done")
    assert any("of 3 done" in words for words in seen), seen
    assert widths == sorted(widths)
    assert widths[-1] > 40
    assert "3 images" in comfy.headline()
    assert "1024 x 1024" in comfy.headline()
    assert "paid 0.12" in comfy.panel.inner_text()
    images = comfy.panel.locator(".nanobanana-picture img")
    assert images.count() == 3
    assert images.first.evaluate("image => image.naturalWidth") == 192
    # The host's own text is not there a second time, and the panel stays within its node.
    assert not [name for name in comfy.nodes()[0]["widgets"] if "text-preview" in name]
    assert comfy.panel_is_inside(renderer)


def test_waiting_is_told_in_seconds_and_the_models_words_are_shown(comfy: Comfy, renderer: str) -> None:
    comfy.graph_to_run("a lighthouse [latency:3]", count=1)
    comfy.run()
    seen: set[str] = set()
    comfy.wait_for_tone("running")
    while (now := comfy.snapshot())["tone"] == "running":
        seen.add(now["headline"])
        comfy.page.wait_for_timeout(50)
    # The gateway says how far it is, in Chinese too: those words come through as they are.
    assert any("%" in words or "\u6392\u961f" in words for words in seen), seen


def test_the_same_again_comes_from_the_journal_free(comfy: Comfy, renderer: str) -> None:
    comfy.profile(prices={"NanoBananaPro-1K": 0.04})
    comfy.graph_to_run("a lighthouse", count=2, **{"control_after_generate": "fixed"})
    comfy.run()
    comfy.wait_for_tone("done")
    # Another prompt id, the same inputs: the host would take it from its own cache, but for the changed count.
    comfy.page.evaluate("() => { app.graph.nodes[0].widgets.find(w => w.name === 'count').value = 3 }")
    comfy.run()
    comfy.panel.get_by_text("2 from the history: free").wait_for()
    comfy.panel.get_by_text("paid 0.04").wait_for()
    assert comfy.panel.locator(".nanobanana-picture").count() == 3


def test_what_came_goes_on_and_what_failed_stays_with_its_words(comfy: Comfy, renderer: str) -> None:
    # The first two calls with this prompt are refused for good, the third brings its image.
    comfy.graph_to_run(f"a lighthouse in the {renderer} [fault:http_400] [times:2]", count=3)
    comfy.run()
    comfy.wait_for_tone("done", timeout=30_000)
    text = comfy.panel.inner_text()
    assert "1 image" in text
    assert "400" in text
    assert "2 times" in text
    assert "was not billed" in text
    comfy.image(f"some-failed-{renderer}")


def test_a_image_of_the_wrong_size_is_a_warning_that_stays(comfy: Comfy, renderer: str) -> None:
    comfy.graph_to_run("a lighthouse [fault:picture_smaller]", aspect_ratio="16:9")
    comfy.run()
    comfy.wait_for_tone("done", timeout=30_000)
    comfy.panel.locator(".nanobanana-note-warning").wait_for()
    assert "Asked for" in comfy.panel.inner_text()


@pytest.mark.parametrize(
    ("fault", "words", "billed"),
    [
        ("http_401", "401", "was not billed"),
        ("quota_403", "quota", "was not billed"),
        ("content_filter", "refused", "was billed"),
        ("http_504", "504", "may have been billed"),
    ],
)
def test_a_failure_says_why_and_whether_it_was_billed(comfy: Comfy, fault: str, words: str, billed: str) -> None:
    comfy.graph_to_run(f"a lighthouse [fault:{fault}]")
    comfy.run()
    comfy.wait_for_tone("failed", timeout=30_000)
    text = comfy.panel.inner_text()
    assert words in text.lower() or words in text
    assert billed in text
    comfy.image(f"failed-{fault}")
    # It stays when the host's own words are gone.
    comfy.page.wait_for_timeout(1000)
    assert comfy.panel.inner_text() == text


def test_a_cancel_is_shown_as_one(comfy: Comfy, renderer: str) -> None:
    comfy.graph_to_run("a lighthouse [latency:20]")
    comfy.run()
    comfy.wait_for_tone("running")
    comfy.execute("Comfy.Interrupt")
    comfy.page.wait_for_selector(".nanobanana-panel[data-tone=quiet] .nanobanana-headline")
    assert comfy.headline() == "Cancelled."


def test_nothing_of_the_panel_gets_into_workflow_or_prompt(comfy: Comfy, renderer: str) -> None:
    comfy.graph_to_run("a lighthouse")
    before = comfy.saved()
    comfy.run()
    comfy.wait_for_tone("done")
    saved: Any = comfy.saved()
    assert "data:image" not in json.dumps(saved)
    node = next(one for one in saved["nodes"] if one["type"] == GENERATE)
    assert len(node["widgets_values"]) == 7
    earlier = next(one for one in before["nodes"] if one["type"] == GENERATE)
    if renderer == "canvas":
        assert abs(node["size"][1] - earlier["size"][1]) < 2
    prompt = comfy.page.evaluate("async () => (await app.graphToPrompt()).output")
    assert all("nanobanana_status" not in one["inputs"] for one in prompt.values())


def test_a_runs_state_comes_back_with_its_workflow(comfy: Comfy) -> None:
    comfy.graph_to_run("a lighthouse")
    comfy.run()
    comfy.wait_for_tone("done")
    saved = comfy.saved()
    comfy.execute("Comfy.NewBlankWorkflow")
    comfy.page.wait_for_selector(".nanobanana-panel", state="detached")
    comfy.page.evaluate("async saved => { await app.loadGraphData(saved) }", saved)
    comfy.wait_for_tone("done")
    assert comfy.panel.locator(".nanobanana-picture").count() == 1


def test_images_can_be_switched_off(comfy: Comfy) -> None:
    comfy.graph_to_run("a lighthouse")
    comfy.run()
    comfy.wait_for_tone("done")
    comfy.open_settings()
    switch = comfy.page.locator('[id="NanoBanana.Status.Previews"]')
    switch.click()
    comfy.page.keyboard.press("Escape")
    comfy.panel.locator(".nanobanana-picture").wait_for(state="detached")
    comfy.set("NanoBanana.Status.Previews", True)
    comfy.panel.locator(".nanobanana-picture").wait_for()


def test_a_click_on_a_image_opens_the_original(comfy: Comfy, renderer: str) -> None:
    comfy.graph_to_run("a lighthouse")
    comfy.run()
    comfy.wait_for_tone("done")
    with comfy.page.context.expect_page() as opened:
        comfy.panel.locator(".nanobanana-picture").click()
    page = opened.value
    page.wait_for_function("() => document.images[0]?.naturalWidth > 0")
    assert page.evaluate("() => [document.images[0].naturalWidth, document.contentType]") == [1024, "image/png"]
    page.close()


def test_a_new_node_has_room_for_its_prompt(comfy: Comfy, renderer: str) -> None:
    comfy.add(GENERATE)
    comfy.page.wait_for_timeout(300)
    width, height = comfy.nodes()[0]["size"]
    assert width >= 400
    assert 330 <= height <= 520
    box = comfy.page.locator("textarea").last.bounding_box()
    assert box["height"] >= 50
