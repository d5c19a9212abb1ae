"""The example workflows, opened from ComfyUI's template browser as a person opens them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from page_of_comfyui import TOAST, Comfy

EXAMPLES = sorted((Path(__file__).resolve().parent.parent.parent / "example_workflows").glob("*.json"))
PACK = "nanobanana-gateway"
# How high the title bar stands above a node's position.
TITLE = 30


class Templates:
    """The template browser."""

    def __init__(self, comfy: Comfy) -> None:
        self.comfy = comfy

    def browse(self) -> None:
        self.comfy.page.locator(".templates-tab-button").first.click()
        self.comfy.page.wait_for_selector("[data-testid=template-workflows-content]")
        self.comfy.page.get_by_role("button", name=PACK, exact=True).click()

    def card(self, name: str) -> Any:
        return self.comfy.page.locator(f'[data-testid="template-workflow-{name}"]')

    def open(self, name: str) -> None:
        """Pick the template, and wait until the graph is its."""
        self.card(name).click()
        self.comfy.page.wait_for_selector("[data-testid=template-workflows-content]", state="detached")
        self.comfy.page.wait_for_function(
            "name => app.extensionManager.workflow.activeWorkflow?.filename === name && app.graph.nodes.length > 1",
            arg=name,
        )


@pytest.fixture
def templates(comfy: Comfy) -> Templates:
    return Templates(comfy)


def complaints(comfy: Comfy) -> list[str]:
    """All that the page holds against the open workflow: dialogs, toasts, its error panel, unknown nodes."""
    # What a workflow lacks is looked for when it is open already.
    comfy.page.wait_for_timeout(1000)
    shown = comfy.page.locator(f"[role=dialog]:visible, [data-testid=error-overlay]:visible, {TOAST}")
    unknown = "() => app.graph.nodes.map(n => n.type).filter(type => !LiteGraph.registered_node_types[type])"
    return [one.inner_text() for one in shown.all()] + comfy.page.evaluate(unknown)


def nodes_on_the_canvas(comfy: Comfy) -> list[dict[str, Any]]:
    """As they would be saved now."""
    nodes: list[dict[str, Any]] = comfy.page.evaluate("() => app.graph.serialize().nodes")
    return nodes


def wired(node: dict[str, Any]) -> list[str]:
    return [one["name"] for one in node["inputs"] if one["link"] is not None]


def overlaps(boxes: dict[int, list[float]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for one, (x, y, width, height) in boxes.items():
        for other, (other_x, other_y, other_width, other_height) in boxes.items():
            beside = x + width <= other_x or other_x + other_width <= x
            below = y + height <= other_y - TITLE or other_y + other_height <= y - TITLE
            if one < other and not beside and not below:
                found.append((one, other))
    return found


def test_every_example_is_in_the_template_browser_with_its_thumbnail(comfy: Comfy, templates: Templates) -> None:
    templates.browse()
    for path in EXAMPLES:
        image = templates.card(path.stem).locator("img").first
        image.scroll_into_view_if_needed()
        image.wait_for()
        comfy.page.wait_for_function(
            'name => document.querySelector(`[data-testid="template-workflow-${name}"] img`)?.naturalWidth >= 400',
            arg=path.stem,
        )
    comfy.image("templates")
    comfy.page.keyboard.press("Escape")


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_it_opens_as_it_was_saved_and_the_page_has_nothing_against_it(
    comfy: Comfy, templates: Templates, site: Any, path: Path
) -> None:
    before = len(site.said)
    templates.browse()
    templates.open(path.stem)
    assert complaints(comfy) == []
    saved = {node["id"]: node for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]}
    for renderer in ("canvas", "vue"):
        comfy.use_vue_nodes(renderer == "vue")
        comfy.execute("Comfy.Canvas.FitView")
        comfy.page.wait_for_timeout(500)
        comfy.image(f"template-{path.stem}-{renderer}")
        shown = nodes_on_the_canvas(comfy)
        assert {node["id"]: node["type"] for node in shown} == {key: node["type"] for key, node in saved.items()}
        for node in shown:
            file = saved[node["id"]]
            assert wired(node) == wired(file)
            values = file["widgets_values"]
            assert node.get("widgets_values", [])[: len(values)] == values
        assert overlaps({node["id"]: [*node["pos"], *node["size"]] for node in shown}) == []
    assert complaints(comfy) == []
    assert site.said[before:] == []


def test_a_model_that_is_not_there_would_be_seen(comfy: Comfy) -> None:
    """So that the test above can fail."""
    workflow = json.loads(
        next(path for path in EXAMPLES if path.stem == "upscale_with_a_local_model").read_text(encoding="utf-8")
    )
    for node in workflow["nodes"]:
        if node["type"] == "UpscaleModelLoader":
            node["widgets_values"] = ["absent.safetensors"]
    comfy.page.evaluate("async workflow => { await app.loadGraphData(workflow) }", workflow)
    comfy.page.wait_for_selector("[data-testid=error-overlay]")
    assert complaints(comfy)
