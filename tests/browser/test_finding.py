"""Finding and using the nodes: search, right-click, commands, help, languages, templates, the About page."""

from __future__ import annotations

import pytest
from chinese import CHINESE
from page_of_comfyui import GENERATE, Comfy

EDIT = "NanoBananaGatewayEdit"


@pytest.mark.parametrize(
    ("words", "node"),
    [("nano banana", "NanoBananaGateway"), ("gemini edit", EDIT), ("openai compatible", GENERATE)],
)
def test_a_node_is_found_by_other_names(comfy: Comfy, words: str, node: str) -> None:
    comfy.add_by_search(words)
    (found,) = comfy.nodes()
    assert found["type"].startswith(node)


def test_edit_with_nanobanana_is_in_the_menu_of_every_image(comfy: Comfy, renderer: str) -> None:
    source = comfy.add("EmptyImage", (420, 200), width=64, height=64)
    comfy.page.wait_for_timeout(300)
    comfy.right_click(source, renderer)
    entry = comfy.page.get_by_text("Edit with NanoBanana").first
    entry.wait_for()
    comfy.image(f"menu-{renderer}")
    entry.click()
    comfy.page.wait_for_function("() => app.graph.nodes.length === 2")
    edit = next(one for one in comfy.nodes() if one["type"] == EDIT)
    comfy.page.wait_for_function(
        """([from, to]) => {
          const node = app.graph.getNodeById(to);
          return node.inputs.some((one, slot) => node.getInputNode(slot)?.id == from);
        }""",
        arg=[source, edit["id"]],
    )


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
    comfy.page.wait_for_function("() => app.graph.nodes.length === 2")
    edit = next(one["id"] for one in comfy.nodes() if one["type"] == EDIT)
    comfy.page.evaluate(
        "id => { app.graph.getNodeById(id).widgets.find(w => w.name === 'prompt').value = 'make it night' }", edit
    )
    comfy.connect(edit, 0, comfy.add("PreviewImage", (1150, 200)), "images")
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
    dialog = comfy.page.locator("[data-testid=settings-dialog]")
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
        seen.append(comfy.page.inner_text("[data-testid=settings-dialog]"))
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
