"""What a node shows while it works, and what stays: in both renderers."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from engines import wait_until
from gateway_faults import FaultyGateway
from page_of_comfyui import GENERATE, Comfy


def test_before_a_run_pixels_and_cost_are_shown_and_follow_the_widgets(comfy: Comfy, renderer: str) -> None:
    comfy.profile(prices={"NanoBananaPro-1K": 0.04, "NanoBananaPro-4K": 0.24})
    comfy.page.wait_for_timeout(300)
    comfy.graph_to_run("a lighthouse", aspect_ratio="16:9", count=3)
    estimate = comfy.panel.locator(".nanobanana-estimate")
    estimate.get_by_text("1376 x 768").wait_for()
    estimate.get_by_text("next run buys 3: $0.12").wait_for()
    comfy.choose("model", "NanoBananaPro-4K", renderer)
    estimate.get_by_text("5504 x 3072").wait_for()
    estimate.get_by_text("next run buys 3: $0.72").wait_for()


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
    comfy.panel.get_by_text("next run buys 3: $0.12").wait_for()
    comfy.run()
    comfy.wait_for_tone("done")
    assert "3 images" in comfy.headline()
    assert "paid $0.12" in comfy.panel.inner_text()


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
    assert "paid $0.12" in comfy.panel.inner_text()
    images = comfy.pictures(3).locator("img")
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
    comfy.panel.get_by_text("paid $0.04").wait_for()
    comfy.pictures(3)


def test_the_next_run_says_what_it_will_cost(comfy: Comfy, renderer: str) -> None:
    comfy.profile(prices={"NanoBananaPro-1K": 0.04})
    generate = comfy.graph_to_run("a lighthouse", count=2)
    estimate = comfy.panel.locator(".nanobanana-estimate")
    estimate.get_by_text("next run buys 2: $0.08").wait_for()
    comfy.run()
    comfy.wait_for_tone("done")
    estimate.get_by_text("next run: free, it is in the history").wait_for()
    comfy.image(f"status-next-run-free-{renderer}")
    comfy.page.evaluate(
        "id => app.graph.getNodeById(id).widgets.filter(w => w.name === 'count').map(w => w.callback((w.value = 3)))",
        generate,
    )
    estimate.get_by_text("next run buys 1 of 3: $0.04").wait_for()
    # An edit of that image is known once it ran.
    edit = comfy.add("NanoBananaGatewayEdit", (900, 400), prompt="make it night")
    comfy.connect(generate, 0, edit, "images.image_1")
    preview = comfy.add("PreviewImage", (1300, 400))
    comfy.connect(edit, 0, preview, "images")
    posts = len(comfy.gateway_behind.ledger.posts)
    comfy.execute("NanoBanana.Total")
    said = comfy.toast_text("The next run buys")
    assert "NanoBanana Generate" in said
    comfy.run()
    comfy.page.locator(".nanobanana-estimate", has_text="free if its inputs stay the same").wait_for(timeout=20_000)
    # The third image, and an edit of each of the three.
    assert len(comfy.gateway_behind.ledger.posts) == posts + 4
    comfy.page.evaluate("() => { const t = app.extensionManager.toast; (t.dismissAll ?? t.removeAll)?.(); }")
    comfy.execute("NanoBanana.Total")
    comfy.toast_text("next run: free")


def test_a_seed_that_will_change_is_bought_and_a_batch_counts_each(comfy: Comfy) -> None:
    comfy.profile(prices={"NanoBananaPro-1K": 0.04}, daily_limit=0.10)
    generate = comfy.graph_to_run("a lighthouse")
    estimate = comfy.panel.locator(".nanobanana-estimate")
    comfy.run()
    estimate.get_by_text("next run: free").wait_for(timeout=20_000)
    comfy.page.evaluate(
        """id => {
          const control = one => one.name === 'control_after_generate';
          app.graph.getNodeById(id).widgets.find(control).value = 'randomize';
        }""",
        generate,
    )
    before = len(comfy.gateway_behind.ledger.posts)
    # The next one is free, and the two behind it have seeds of their own: 0.04 are spent, 0.08 come.
    comfy.page.evaluate("() => { app.queuePrompt(0, 3) }")
    dialog = comfy.page.locator("[role=dialog]", has_text="daily limit of $0.10").last
    dialog.wait_for()
    assert "buys for $0.08" in dialog.inner_text()
    comfy.page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    comfy.set("Comfy.WidgetControlMode", "before")
    try:
        comfy.page.evaluate("() => { app.api.dispatchCustomEvent('graphChanged', {}) }")
        # The seed is chosen when the graph is queued: nobody knows it yet.
        estimate.get_by_text("cost $0.04").wait_for()
        assert "free" not in estimate.inner_text()
    finally:
        comfy.set("Comfy.WidgetControlMode", "after")
    assert len(comfy.gateway_behind.ledger.posts) == before


def test_no_node_is_asked_for_what_it_would_upload(comfy: Comfy) -> None:
    comfy.profile(prices={"NanoBananaPro-1K": 0.04})
    comfy.graph_to_run("a lighthouse")
    estimate = comfy.panel.locator(".nanobanana-estimate")
    estimate.get_by_text("next run buys 1").wait_for()
    comfy.page.evaluate(
        """() => {
          window.uploads = 0;
          const widget = app.graph.nodes[1].addWidget("text", "drawing", "", () => {});
          widget.serializeValue = async () => { window.uploads += 1; return "x"; };
          app.api.dispatchCustomEvent('graphChanged', {});
        }"""
    )
    estimate.get_by_text("cost $0.04").wait_for()
    comfy.page.wait_for_timeout(800)
    assert comfy.page.evaluate("() => window.uploads") == 0


def test_a_limit_asks_before_it_is_passed(comfy: Comfy, renderer: str) -> None:
    before = len(comfy.gateway_behind.ledger.posts)
    comfy.profile(prices={"NanoBananaPro-1K": 0.04}, daily_limit=0.10)
    comfy.graph_to_run("a lighthouse", count=2)
    comfy.panel.get_by_text("next run buys 2: $0.08").wait_for()
    comfy.run()
    comfy.wait_for_tone("done")
    comfy.panel.locator(".nanobanana-run-new").click()
    dialog = comfy.page.locator("[role=dialog]", has_text="daily limit of $0.10").last
    dialog.wait_for()
    assert "$0.08 is spent" in dialog.inner_text()
    comfy.image(f"status-limit-{renderer}")
    comfy.page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    comfy.page.wait_for_timeout(500)
    assert len(comfy.gateway_behind.ledger.posts) == before + 2
    # What is free passes no limit, and who says yes may go on.
    comfy.panel.locator(".nanobanana-run-new").click()
    dialog.wait_for()
    comfy.confirm()
    comfy.panel.get_by_text("next run: free").wait_for(timeout=20_000)
    assert len(comfy.gateway_behind.ledger.posts) == before + 4


def test_what_came_goes_on_and_what_failed_stays_with_its_words(comfy: Comfy, renderer: str) -> None:
    # The first two calls with this prompt are refused for good, the third brings its image.
    comfy.graph_to_run(f"a lighthouse in the {renderer} [fault:http_400] [times:2]", count=3)
    comfy.run()
    comfy.wait_for_tone("warning", timeout=30_000)
    text = comfy.panel.inner_text()
    assert "1 of 3 images, 2 failed" in text
    assert "400" in text
    assert "2 times" in text
    assert "was not billed" in text
    assert comfy.page.locator(".nanobanana-picture-failed").count() == 2
    # Reasons stand above the images.
    reason = comfy.panel.locator(".nanobanana-note-error").first.bounding_box()
    assert reason["y"] < comfy.panel.locator(".nanobanana-pictures").bounding_box()["y"]
    comfy.image(f"some-failed-{renderer}")
    comfy.panel.get_by_role("button", name="Get the missing 2").click()
    comfy.wait_for_tone("done")
    assert "3 images" in comfy.headline()
    assert "1 from the history: free" in comfy.panel.inner_text()
    assert [one.get_attribute("data-number") for one in comfy.pictures(3).all()] == ["1", "2", "3"]


def test_a_new_nodes_same_run_again_is_free_and_a_new_image_is_one_click(
    comfy: Comfy, renderer: str, gateway: FaultyGateway
) -> None:
    generate = comfy.add(GENERATE, (420, 130), prompt=f"a lighthouse by hand in {renderer}")
    preview = comfy.add("PreviewImage", (900, 130))
    comfy.connect(generate, 0, preview, "images")

    def widget(name: str) -> Any:
        return next(one["widgets"][name] for one in comfy.nodes() if one["type"] == GENERATE)

    assert widget("control_after_generate") == "fixed"
    seed = widget("seed")
    before = len(gateway.ledger.posts)
    for _ in range(2):
        comfy.run()
        comfy.wait_for_tone("done")
        comfy.page.wait_for_timeout(500)
    assert len(gateway.ledger.posts) == before + 1
    assert widget("seed") == seed
    comfy.panel.get_by_role("button", name="New image").click()
    assert widget("seed") != seed
    assert wait_until(lambda: len(gateway.ledger.posts) == before + 2)
    comfy.wait_for_tone("done")
    comfy.image(f"actions-{renderer}")
    # A saved workflow keeps its own choice.
    saved = comfy.saved()
    values = next(one for one in saved["nodes"] if one["type"] == GENERATE)["widgets_values"]
    values[values.index("fixed")] = "increment"
    comfy.page.evaluate("saved => app.loadGraphData(saved)", saved)
    comfy.page.wait_for_timeout(500)
    assert widget("control_after_generate") == "increment"


def test_a_failure_that_nobody_sees_on_the_node_is_told_in_the_corner(comfy: Comfy) -> None:
    comfy.graph_to_run("a lighthouse [fault:http_400]")
    comfy.page.evaluate("() => app.graph.nodes[0].collapse()")
    comfy.run()
    comfy.toast_text("No image came.")
    comfy.image("unseen")


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
    comfy.panel.get_by_text("next run buys 1").wait_for()
    comfy.page.wait_for_timeout(500)
    later = comfy.panel.inner_text()
    assert words in later.lower() or words in later
    assert billed in later


def test_after_a_cancel_the_node_says_what_goes_on_and_what_came(comfy: Comfy, renderer: str) -> None:
    comfy.profile(prices={"NanoBananaPro-1K": 0.04})
    comfy.graph_to_run("a lighthouse [latency:4]", count=2)
    comfy.run()
    comfy.wait_for_tone("running")
    comfy.panel.get_by_text(re.compile("2 (waiting|under way)")).wait_for()
    comfy.execute("Comfy.Interrupt")
    comfy.panel.get_by_text("Cancelled. 2 calls that were sent already go on into the history.").wait_for()
    comfy.panel.get_by_text("2 calls may have been billed").wait_for()
    assert comfy.panel.locator(".nanobanana-run-stop").is_visible()
    comfy.image(f"cancelled-{renderer}")
    comfy.panel.get_by_text("Cancelled. 2 images that had been paid for came into the history").wait_for()
    comfy.panel.get_by_text("paid $0.08").wait_for()
    comfy.panel.get_by_text("next run: free, it is in the history").wait_for()
    comfy.panel.locator(".nanobanana-run-retry").click()
    comfy.panel.get_by_text("$0.00: from the history").wait_for()
    comfy.pictures(2)


def test_a_cancel_is_shown_as_one(comfy: Comfy, renderer: str) -> None:
    comfy.profile(finish_after_cancel=False)
    comfy.graph_to_run("a lighthouse [latency:20]")
    comfy.run()
    comfy.panel.get_by_text(re.compile("waiting|%|\u6392\u961f")).first.wait_for()
    comfy.execute("Comfy.Interrupt")
    comfy.page.wait_for_selector(".nanobanana-panel[data-tone=quiet] .nanobanana-headline")
    assert comfy.headline() == "Cancelled."
    # The simulator had taken the request: a gateway would perhaps ask for its money.
    comfy.panel.get_by_text("1 call may have been billed").wait_for()


def test_a_command_stops_whatever_still_runs(comfy: Comfy, renderer: str) -> None:
    comfy.execute("NanoBanana.Stop")
    comfy.toast_text("No call is running")
    comfy.graph_to_run("a lighthouse [latency:20]", count=2)
    comfy.run()
    comfy.wait_for_tone("running")
    comfy.panel.get_by_text(re.compile("2 (waiting|under way)")).wait_for()
    comfy.execute("NanoBanana.Stop")
    comfy.toast_text("2 calls stopped")
    comfy.page.wait_for_selector(".nanobanana-panel[data-tone=quiet] .nanobanana-headline")
    comfy.panel.get_by_text("2 calls may have been billed").wait_for()
    comfy.image("stopped")


def test_nothing_of_the_panel_gets_into_workflow_or_prompt(comfy: Comfy, renderer: str) -> None:
    comfy.graph_to_run("a lighthouse")
    before = comfy.saved()
    comfy.run()
    comfy.wait_for_tone("done")
    saved: Any = comfy.saved()
    assert "data:image" not in json.dumps(saved)
    node = next(one for one in saved["nodes"] if one["type"] == GENERATE)
    assert len(node["widgets_values"]) == 8
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
    comfy.pictures(1)


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


def test_a_click_on_a_image_shows_it_large_with_its_neighbours_and_the_original(comfy: Comfy, renderer: str) -> None:
    comfy.graph_to_run("a lighthouse", count=2)
    comfy.run()
    comfy.wait_for_tone("done")
    comfy.pictures(2).nth(1).click()
    box = comfy.page.get_by_role("dialog", name="Image")
    box.get_by_text("2 of 2, 1024 x 1024").wait_for()
    comfy.page.wait_for_function("() => document.querySelector('.nanobanana-lightbox > img')?.naturalWidth === 1024")
    comfy.image(f"lightbox-{renderer}")
    comfy.page.keyboard.press("ArrowRight")
    box.get_by_text("1 of 2, 1024 x 1024").wait_for()
    comfy.page.keyboard.press("ArrowLeft")
    box.get_by_text("2 of 2, 1024 x 1024").wait_for()
    comfy.page.keyboard.press("Escape")
    box.wait_for(state="detached")
    assert comfy.page.evaluate("() => document.activeElement.className") == "nanobanana-picture"
    comfy.page.keyboard.press("Enter")
    with comfy.page.context.expect_page() as opened:
        box.locator(".nanobanana-lightbox-open").click()
    page = opened.value
    page.wait_for_function("() => document.images[0]?.naturalWidth > 0")
    assert page.evaluate("() => [document.images[0].naturalWidth, document.contentType]") == [1024, "image/png"]
    page.close()
    comfy.page.bring_to_front()
    comfy.page.keyboard.press("Escape")


def test_a_new_node_has_room_for_its_prompt(comfy: Comfy, renderer: str) -> None:
    comfy.add(GENERATE)
    comfy.page.wait_for_timeout(300)
    width, height = comfy.nodes()[0]["size"]
    assert width >= 400
    assert 330 <= height <= 520
    box = comfy.page.locator("textarea").last.bounding_box()
    assert box["height"] >= 50
