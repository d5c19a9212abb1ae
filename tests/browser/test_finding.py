"""Finding and using the nodes: search, right-click, commands, help, languages, templates, the About page."""

from __future__ import annotations

import pytest
from chinese import CHINESE
from frontends import OLDEST
from page_of_comfyui import GENERATE, Comfy

EDIT = "NanoBananaGatewayEdit"
SETTINGS_DIALOG = "[data-testid=settings-dialog], .settings-container"


@pytest.mark.parametrize(
    ("words", "node"),
    [("nano banana", "NanoBananaGateway"), ("gemini edit", EDIT), ("openai compatible", GENERATE)],
)
def test_a_node_is_found_by_other_names(comfy: Comfy, words: str, node: str) -> None:
    if comfy.frontend == OLDEST and words not in ("nano banana",):
        pytest.skip("this frontend looks for nodes by their own names alone")
    comfy.add_by_search(words)
    (found,) = comfy.nodes()
    assert found["type"].startswith(node)


def test_edit_with_nanobanana_is_in_the_menu_of_every_image(comfy: Comfy, renderer: str) -> None:
    source = comfy.add("EmptyImage", (420, 200), width=64, height=64)
    comfy.page.wait_for_timeout(300)
    if renderer == "vue" and comfy.frontend == OLDEST:
        # Its menu has no place for what packs add.
        comfy.page.evaluate("id => app.canvas.selectItems([app.graph.getNodeById(id)])", source)
        comfy.execute("NanoBanana.EditSelected")
    else:
        comfy.right_click(source, renderer)
        entry = comfy.page.get_by_text("Edit with NanoBanana").first
        entry.wait_for()
        comfy.image(f"menu-{renderer}")
        entry.click()
    comfy.page.wait_for_function("() => app.graph.nodes.length === 3")
    edit = next(one for one in comfy.nodes() if one["type"] == EDIT)
    comfy.page.wait_for_function(
        """([from, to]) => {
          const node = app.graph.getNodeById(to);
          return node.inputs.some((one, slot) => node.getInputNode(slot)?.id == from);
        }""",
        arg=[source, edit["id"]],
    )


OVERLAPS = """() => {
  const boxes = app.graph.nodes.map(n => [n.pos[0], n.pos[1] - 30, n.pos[0] + n.size[0], n.pos[1] + n.size[1]]);
  const over = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
  return boxes.filter((a, i) => boxes.some((b, j) => i < j && over(a, b))).length;
}"""


def test_an_edit_finds_a_free_place_gets_the_mask_a_preview_and_the_cursor(comfy: Comfy, renderer: str) -> None:
    source = comfy.add("SplitImageWithAlpha", (300, 200))
    # Where the edit would go, and where its preview would.
    comfy.add("EmptyImage", (640, 200))
    comfy.add("EmptyImage", (1100, 200))
    comfy.page.evaluate("id => app.canvas.selectItems([app.graph.getNodeById(id)])", source)
    comfy.execute("NanoBanana.EditSelected")
    comfy.page.wait_for_function("() => app.graph.nodes.length === 5")
    comfy.page.wait_for_function(
        "() => document.activeElement?.tagName === 'TEXTAREA' && document.activeElement.offsetParent"
    )
    comfy.page.keyboard.type("make it night")
    comfy.page.wait_for_timeout(500)
    edit = next(one for one in comfy.nodes() if one["type"] == EDIT)
    assert edit["widgets"]["prompt"] == "make it night"
    wired = comfy.page.evaluate(
        """id => {
          const node = app.graph.getNodeById(id);
          const slot = name => node.inputs.findIndex(one => one.name === name);
          return ['images.image_1', 'mask'].map(name => node.getInputNode(slot(name))?.id)
            .concat(node.isOutputConnected(0));
        }""",
        edit["id"],
    )
    assert [str(one) for one in wired] == [str(source), str(source), "True"]
    assert comfy.page.evaluate(OVERLAPS) == 0
    comfy.image(f"edit-placed-{renderer}")


def test_an_image_on_a_node_is_edited_without_buying_anything_again(comfy: Comfy, renderer: str) -> None:
    before = len(comfy.gateway_behind.ledger.posts)
    comfy.add(GENERATE, (300, 130), prompt=f"a lighthouse in {renderer}", count=2, seed=77)
    # Nothing gets its images: the host would run nothing, and the node offers what helps.
    comfy.panel.locator(".nanobanana-run-preview").click()
    comfy.run()
    comfy.wait_for_tone("done")
    comfy.pictures(2).nth(1).click(button="right")
    comfy.image(f"image-menu-{renderer}")
    menu = comfy.page.locator(".nanobanana-menu")
    assert menu.get_by_role("menuitem").count() == 6
    comfy.page.keyboard.press("Escape")
    menu.wait_for(state="detached")
    comfy.pictures(2).nth(0).click(button="right")
    menu.get_by_text("Delete from the history").click()
    comfy.page.get_by_text("Delete this image from the history?").wait_for()
    comfy.confirm()
    comfy.toast_text("Cleared: 1 call")
    assert [len(call["pictures"]) for call in comfy.api("GET", "/history")["calls"]] == [1]
    comfy.pictures(2).nth(1).click(button="right")
    menu.get_by_text("Edit this").click()
    comfy.page.wait_for_function("() => app.graph.nodes.length === 5")
    comfy.page.wait_for_function("() => document.activeElement?.tagName === 'TEXTAREA'")
    comfy.page.keyboard.type("make it night")
    comfy.page.wait_for_timeout(500)
    assert comfy.page.evaluate(OVERLAPS) == 0
    comfy.run()
    comfy.page.locator(".nanobanana-panel[data-tone=done]").nth(1).wait_for(timeout=20_000)
    assert len(comfy.gateway_behind.ledger.posts) == before + 3
    recall = next(one for one in comfy.nodes() if one["type"] == "NanoBananaGatewayRecall")
    calls = comfy.api("GET", "/history")["calls"]
    ids = {image["id"] for call in calls for image in call["pictures"] if call["inputs"] == 0}
    assert recall["widgets"]["picture"] in ids


def test_the_last_run_is_shown_again_after_the_page_was_loaded_again(comfy: Comfy) -> None:
    comfy.graph_to_run("a lighthouse", count=2)
    comfy.run()
    comfy.wait_for_tone("done")
    comfy.pictures(2)
    saved = comfy.saved()
    comfy.page.wait_for_timeout(500)
    comfy.reload()
    comfy.page.evaluate("graph => app.loadGraphData(graph)", saved)
    comfy.wait_for_tone("done")
    comfy.pictures(2)
    assert "2 images" in comfy.headline()


def test_a_node_without_a_image_has_no_such_entry(comfy: Comfy, renderer: str) -> None:
    source = comfy.add("EmptyLatentImage", (420, 200))
    comfy.page.wait_for_timeout(300)
    comfy.right_click(source, renderer)
    comfy.page.get_by_text("Clone").or_(comfy.page.get_by_text("Duplicate")).first.wait_for()
    assert comfy.page.get_by_text("Edit with NanoBanana").count() == 0


def test_an_edit_made_so_runs(comfy: Comfy) -> None:
    source = comfy.add("EmptyImage", (300, 200), width=96, height=64)
    comfy.page.evaluate("id => app.canvas.selectItems([app.graph.getNodeById(id)])", source)
    comfy.execute("NanoBanana.EditSelected")
    comfy.page.wait_for_function("() => app.graph.nodes.length === 3")
    edit = next(one["id"] for one in comfy.nodes() if one["type"] == EDIT)
    comfy.page.evaluate(
        "id => { app.graph.getNodeById(id).widgets.find(w => w.name === 'prompt').value = 'make it night' }", edit
    )
    assert "first image" in comfy.panel.inner_text()
    comfy.run()
    comfy.wait_for_tone("done")
    assert "1264 x 848" in comfy.headline()


def test_commands_open_what_they_name(comfy: Comfy) -> None:
    comfy.execute("NanoBanana.OpenHistory")
    comfy.page.wait_for_selector(".nanobanana-history")
    comfy.execute("NanoBanana.EditSelected")
    comfy.toast_text("Select a node")


def test_the_about_page_names_the_pack_and_its_version(comfy: Comfy) -> None:
    comfy.execute("Comfy.ShowSettingsDialog")
    dialog = comfy.page.locator(SETTINGS_DIALOG)
    dialog.wait_for()
    dialog.get_by_text("About", exact=True).first.click()
    dialog.get_by_text("NanoBanana 0.").wait_for()


def test_help_is_beside_the_node(comfy: Comfy) -> None:
    node = comfy.add(GENERATE)
    comfy.page.evaluate("id => app.canvas.selectItems([app.graph.getNodeById(id)])", node)
    comfy.page.click("[data-testid=info-button]")
    comfy.page.locator(".node-help-content").get_by_text("Makes images from a prompt").first.wait_for()
    comfy.image("help")
    comfy.page.click("[data-testid=info-button]")


def test_everything_speaks_chinese_when_the_host_does(comfy: Comfy) -> None:
    comfy.set("Comfy.Locale", "zh")
    comfy.reload()
    try:
        comfy.profile(prices={"NanoBananaPro-1K": 0.04})
        node = comfy.graph_to_run("\u706f\u5854", count=2)
        comfy.run()
        comfy.wait_for_tone("done")
        seen = [
            comfy.page.evaluate("() => LiteGraph.registered_node_types.NanoBananaGatewayGenerate.title"),
            comfy.panel.inner_text(),
        ]
        comfy.open_history()
        comfy.page.wait_for_selector(".nanobanana-item")
        seen.append(comfy.page.inner_text(".nanobanana-history"))
        comfy.image("chinese-history")
        comfy.close_history()
        comfy.page.evaluate("id => app.canvas.selectItems([app.graph.getNodeById(id)])", node)
        comfy.page.click("[data-testid=info-button]")
        comfy.page.wait_for_selector(".node-help-content h1")
        seen.append(comfy.page.inner_text(".node-help-content"))
        comfy.open_settings()
        seen.append(comfy.page.inner_text(SETTINGS_DIALOG))
        comfy.image("chinese-settings")
        for text, words in zip(seen, CHINESE, strict=True):
            assert all(word in text for word in words), (text, words)
    finally:
        comfy.set("Comfy.Locale", "en")
        comfy.reload()


def test_a_template_leads_to_the_first_image_in_four_clicks(comfy: Comfy) -> None:
    """Templates, the pack, the template, Run: with the simulator as gateway nothing else is needed."""
    comfy.execute("Comfy.BrowseTemplates")
    comfy.page.wait_for_selector("[data-testid=template-workflows-content]")
    comfy.page.get_by_text("nanobanana-gateway", exact=True).first.click()
    card = comfy.page.locator("[data-testid='template-workflow-text_to_picture']")
    card.wait_for()
    assert card.locator("img").first.evaluate("image => image.complete && image.naturalWidth > 100")
    comfy.image("templates")
    card.click()
    comfy.page.wait_for_selector(".nanobanana-panel")
    comfy.run()
    comfy.wait_for_tone("done", timeout=60_000)
    comfy.image("first-picture")


def test_one_of_four_is_picked_by_a_click_and_nothing_is_bought_again(comfy: Comfy, renderer: str) -> None:
    before = len(comfy.gateway_behind.ledger.posts)
    generate = comfy.add(GENERATE, (60, 130), prompt=f"four in {renderer}", count=4, seed=88)
    pick = comfy.add("NanoBananaGatewayPick", (520, 130))
    comfy.connect(generate, 0, pick, "images")
    preview = comfy.add("PreviewImage", (940, 130))
    comfy.connect(pick, 0, preview, "images")
    comfy.run()
    tiles = comfy.page.locator(".nanobanana-tile")
    tiles.nth(3).wait_for(timeout=20_000)
    comfy.page.get_by_text("Click the images that are to go on.").wait_for()
    tiles.nth(2).click()
    tiles.nth(0).click()
    assert [tiles.nth(at).get_attribute("aria-pressed") for at in range(4)] == ["true", "false", "true", "false"]
    tiles.nth(0).click()
    assert next(one for one in comfy.nodes() if str(one["id"]) == str(pick))["widgets"]["chosen"] == "3"
    comfy.page.locator(".nanobanana-pick-go").click()
    comfy.page.wait_for_function("id => app.nodeOutputs?.[id]?.images?.length === 1", arg=str(preview))
    comfy.image(f"picked-{renderer}")
    comfy.page.wait_for_timeout(300)
    assert len(comfy.gateway_behind.ledger.posts) == before + 4
    # It comes back with its workflow, tiles and choice.
    saved = comfy.saved()
    comfy.reload()
    comfy.page.evaluate("graph => app.loadGraphData(graph)", saved)
    tiles.nth(3).wait_for()
    assert tiles.nth(2).get_attribute("aria-pressed") == "true"
