"""The example workflows fit the nodes, hold nothing private, and make images; the demo that runs them works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from outcome import Outcome
from PIL import Image
from report import contact_sheet, table, write_images
from schema_of_workflows import assert_fits
from stand_in import StandIn
from stand_in_runner import StandInRunner
from workflow_graph import ON_CANVAS_ONLY, WorkflowError, missing_model, read_workflow, to_api_graph

pytestmark = pytest.mark.slow

WORKFLOWS = sorted((ROOT / "example_workflows").glob("*.json"))
NAMES = [path.stem for path in WORKFLOWS]
EXAMPLES = {
    "text_to_picture",
    "edit_with_references",
    "edit_with_mask",
    "list_of_prompts",
    "variations",
    "upscale_with_a_local_model",
    "local_model_and_back",
}


def test_the_documented_examples_are_there() -> None:
    assert set(NAMES) == EXAMPLES
    assert not (ROOT / "example_workflows" / "index.json").exists(), "it would show as a template"


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_links_agree_from_both_ends(path: Path) -> None:
    workflow = read_workflow(path)
    assert workflow["version"] == 0.4
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert len(nodes) == len(workflow["nodes"])
    assert workflow["last_node_id"] == max(nodes)
    assert workflow["last_link_id"] == max(link[0] for link in workflow["links"])
    for link_id, source, output, target, socket, io_type in workflow["links"]:
        assert link_id in nodes[source]["outputs"][output]["links"]
        assert nodes[source]["outputs"][output]["type"] == io_type
        assert nodes[target]["inputs"][socket]["link"] == link_id
    wired = {socket["link"] for node in nodes.values() for socket in node.get("inputs", []) if socket["link"]}
    assert wired == {link[0] for link in workflow["links"]}


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_nodes_are_tidy_and_explained(path: Path) -> None:
    nodes = read_workflow(path)["nodes"]
    assert any(node["type"] == "MarkdownNote" and node["widgets_values"][0].strip() for node in nodes)
    boxes = [(*node["pos"], *node["size"], node["id"]) for node in nodes]
    for i, (x, y, width, height, one) in enumerate(boxes):
        for other_x, other_y, other_width, other_height, other in boxes[i + 1 :]:
            apart = x + width <= other_x or other_x + other_width <= x
            # A node's title bar stands 30 pixels above its position.
            apart |= y + height <= other_y - 30 or other_y + other_height <= y - 30
            assert apart, f"nodes {one} and {other} overlap"


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_sockets_and_values_are_those_of_the_schema(path: Path, stand_in: StandIn) -> None:
    assert_fits(read_workflow(path), stand_in.object_info())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda node: node["widgets_values"].__setitem__(1, "NoSuchModel"), "model"),
        (lambda node: node["widgets_values"].__setitem__(4, 17), "count"),
        (lambda node: node["widgets_values"].__setitem__(6, "randomize"), "another image on every run"),
        (lambda node: node["outputs"].reverse(), "NanoBananaGatewayGenerate"),
        (lambda node: node["inputs"][0].update(type="INT"), "prompt"),
    ],
    ids=["model", "count", "seed", "outputs", "input"],
)
def test_a_value_or_socket_that_does_not_fit_is_found(
    stand_in: StandIn, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    workflow = read_workflow(ROOT / "example_workflows/text_to_picture.json")
    change(next(node for node in workflow["nodes"] if node["type"] == "NanoBananaGatewayGenerate"))
    with pytest.raises(AssertionError, match=reason):
        assert_fits(workflow, stand_in.object_info())


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_no_key_and_no_address_is_in_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|sk-|AIza|Bearer|api_key|base_url", text)


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_no_note_holds_code_marks(path: Path) -> None:
    """The canvas draws code blue on the note's brown: not to be read."""
    for node in read_workflow(path)["nodes"]:
        if node["type"] in ON_CANVAS_ONLY:
            assert "`" not in node["widgets_values"][0]


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_a_thumbnail_shows_it(path: Path) -> None:
    thumbnail = path.with_suffix(".jpg")
    assert thumbnail.stat().st_size < 60_000
    with Image.open(thumbnail) as image:
        assert image.format == "JPEG"
        assert min(image.size) >= 400
        low, high = image.convert("L").getextrema()
    assert high - low > 64, "a blank image is no image"


def test_no_thumbnail_is_without_its_workflow() -> None:
    assert {path.stem for path in (ROOT / "example_workflows").glob("*.jpg")} == EXAMPLES


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_it_makes_its_images(path: Path, stand_in: StandIn, tmp_path: Path) -> None:
    graph = to_api_graph(read_workflow(path), stand_in.object_info())
    said: list[object] = []
    outcome = StandInRunner(stand_in, tmp_path / "host").run(graph, said.append)
    assert (outcome.status, outcome.message) == ("success", "")
    assert said
    rows = write_images(path.stem, graph, outcome, tmp_path / "output")
    makers = {node_id for node_id, node in graph.items() if node["class_type"] in MAKERS}
    assert {row.node.rsplit("#", 1)[1] for row in rows} >= makers
    for row in rows:
        maker = row.node.rsplit("#", 1)[1]
        if maker in makers and graph[maker]["class_type"] != "NanoBananaGatewayRecall":
            count = graph[maker]["inputs"]["count"] * prompts_of(graph, maker)
            assert len(row.files) == count
        for file in row.files:
            with Image.open(file) as image:
                low, high = image.convert("L").getextrema()
            assert high - low > 64, "a blank image is no image"


MAKERS = {"NanoBananaGatewayGenerate", "NanoBananaGatewayEdit"}


def prompts_of(graph: dict[str, dict[str, Any]], node_id: str) -> int:
    """How many prompts a node gets: those of the list that is wired to it, else one."""
    prompt = graph[node_id]["inputs"]["prompt"]
    if not isinstance(prompt, list):
        return 1
    lines = graph[prompt[0]]["inputs"]["text"].split("\n")
    return len([line for line in lines if line.strip() and not line.startswith("#")])


def test_a_masked_edit_leaves_the_rest_bit_identical(stand_in: StandIn, tmp_path: Path) -> None:
    graph = to_api_graph(read_workflow(ROOT / "example_workflows/edit_with_mask.json"), stand_in.object_info())
    edit = next(key for key, node in graph.items() if node["class_type"] == "NanoBananaGatewayEdit")
    graph_inputs = graph[edit]["inputs"]
    run = stand_in.run({key: {k: v for k, v in node.items() if k != "_meta"} for key, node in graph.items()})
    before = run.outputs[graph_inputs["images.image_1"][0]][0][0]
    mask = run.outputs[graph_inputs["mask"][0]][0][0]
    after = run.outputs[edit][0][0]
    assert before.shape == after.shape
    assert mask.shape[1:] == before.shape[1:3], "the example's mask is as large as its image"
    outside = mask[0] == 0
    assert bool((before[0][outside] == after[0][outside]).all())
    assert bool((before[0][~outside] != after[0][~outside]).any())


def tiny(**changes: Any) -> dict[str, Any]:
    node = {"id": 1, "type": "EmptyImage", "mode": 0, "inputs": [], "widgets_values": [8, 8, 1, 0]}
    return {"nodes": [node | changes], "links": []}


@pytest.mark.parametrize(
    ("workflow", "reason"),
    [
        (tiny(type="Nowhere"), "not known"),
        (tiny(widgets_values=[8, 8]), "2 widget values"),
        (tiny(mode=4), "bypassed"),
        (tiny(inputs=[{"name": "width", "link": 7}]), "from nowhere"),
    ],
)
def test_a_workflow_that_does_not_fit_is_refused(stand_in: StandIn, workflow: dict[str, Any], reason: str) -> None:
    with pytest.raises(WorkflowError, match=reason):
        to_api_graph(workflow, stand_in.object_info())


def test_a_model_file_that_is_not_there_is_named() -> None:
    loader = {"id": 1, "type": "UpscaleModelLoader", "inputs": [], "widgets_values": ["a.pth"]}
    info = {"UpscaleModelLoader": {"input": {"required": {"model_name": [["b.pth", "a.pth"]]}}}}
    assert missing_model({"nodes": [loader]}, {}) == "a.pth"
    assert missing_model({"nodes": [loader]}, info) == ""
    assert missing_model({"nodes": [loader | {"widgets_values": ["c.pth"]}]}, info) == "c.pth"


def edited_images(stand_in: StandIn, name: str, folder: Path) -> tuple[dict[str, dict[str, Any]], Outcome]:
    graph = to_api_graph(read_workflow(ROOT / f"example_workflows/{name}.json"), stand_in.object_info())
    return graph, StandInRunner(stand_in, folder).run(graph, lambda _: None)


def test_the_upscaled_image_is_four_times_as_wide(stand_in: StandIn, tmp_path: Path) -> None:
    graph, outcome = edited_images(stand_in, "upscale_with_a_local_model", tmp_path / "host")
    sizes = {
        graph[graph[output]["inputs"]["images"][0]]["class_type"]: Image.open(BytesIO(files[0])).size
        for output, files in outcome.images.items()
    }
    assert sizes == {"NanoBananaGatewayGenerate": (632, 424), "ImageUpscaleWithModel": (4 * 632, 4 * 424)}


def test_the_variation_that_is_picked_is_the_one_that_is_edited(stand_in: StandIn, tmp_path: Path) -> None:
    graph, outcome = edited_images(stand_in, "variations", tmp_path / "host")
    by_maker = {graph[output]["inputs"]["images"][0]: files for output, files in outcome.images.items()}
    maker = {node["class_type"]: key for key, node in graph.items()}
    four, picked = by_maker[maker["NanoBananaGatewayGenerate"]], by_maker[maker["ImageFromBatch"]]
    index = graph[maker["ImageFromBatch"]]["inputs"]["batch_index"]

    def pixels(data: bytes) -> bytes:
        return Image.open(BytesIO(data)).convert("RGB").tobytes()

    assert [pixels(one) for one in picked] == [pixels(four[index])]
    assert len({pixels(one) for one in four}) == 4
    assert graph[maker["NanoBananaGatewayEdit"]]["inputs"]["images.image_1"] == [maker["ImageFromBatch"], 0]
    assert len(by_maker[maker["NanoBananaGatewayEdit"]]) == 3


def test_muted_nodes_are_left_out_and_wires_win_over_widgets(stand_in: StandIn) -> None:
    workflow = read_workflow(ROOT / "example_workflows/list_of_prompts.json")
    graph = to_api_graph(workflow, stand_in.object_info())
    source = next(key for key, node in graph.items() if node["class_type"] == "NanoBananaGatewayPrompts")
    target = next(key for key, node in graph.items() if node["class_type"] == "NanoBananaGatewayGenerate")
    assert graph[target]["inputs"]["prompt"] == [source, 0]
    for node in workflow["nodes"]:
        if str(node["id"]) == source:
            node["mode"] = 2
    assert to_api_graph(workflow, stand_in.object_info())[target]["inputs"]["prompt"] == ""


def test_the_report_counts_each_nodes_images_once(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    Image.new("RGB", (30, 20), "red").save(file)
    graph = {
        "4": {"class_type": "X", "inputs": {}, "_meta": {"title": "A Node"}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0]}, "_meta": {"title": "Save"}},
        "6": {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}, "_meta": {"title": "Preview"}},
    }
    data = file.read_bytes()
    outcome = Outcome("success", 1.0, "", {"4": 0.5}, {"5": [data, data], "6": [data, data]})
    rows = write_images("flow", graph, outcome, tmp_path / "out")
    assert [(row.node, len(row.files), row.pixels, row.seconds) for row in rows] == [("A Node #4", 2, "30x20", 0.5)]
    assert sorted(path.name for path in (tmp_path / "out/flow").iterdir()) == ["04-a-node-1.png", "04-a-node-2.png"]
    contact_sheet(rows, tmp_path / "sheet.jpg")
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.convert("RGB").getpixel((20, 14 + 150)) != (255, 255, 255)
    assert re.search(r"A Node #4 +2 +30x20 +0\.50", table(rows))


def demo(tmp_path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "demo", "--output", str(tmp_path / "out"), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "HOME": str(tmp_path), "USERPROFILE": str(tmp_path), **environ},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=90,
    )


def test_the_demo_leaves_images_a_sheet_and_nothing_else(tmp_path: Path) -> None:
    done = demo(tmp_path, "--stand-in", str(ROOT / "example_workflows/text_to_picture.json"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"NanoBanana Generate #\d+ +2 +1376x768 +\d+\.\d\d", done.stdout)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["contact_sheet.jpg", "text_to_picture"]
    assert len(list((tmp_path / "out/text_to_picture").iterdir())) == 2


def test_the_demo_fails_aloud(tmp_path: Path) -> None:
    workflow = read_workflow(ROOT / "example_workflows/text_to_picture.json")
    for node in workflow["nodes"]:
        if node["type"] == "NanoBananaGatewayGenerate":
            node["widgets_values"][0] = " "
    broken = tmp_path / "blank.json"
    broken.write_text(json.dumps(workflow), encoding="utf-8")
    done = demo(tmp_path, "--stand-in", str(broken))
    assert done.returncode == 1
    assert "FAILED: blank: error: The prompt is empty." in done.stderr


def test_the_demo_says_when_no_host_is_found(tmp_path: Path) -> None:
    done = demo(tmp_path, "--host", COMFYUI_PATH=str(tmp_path))
    assert done.returncode == 1
    assert "COMFYUI_PATH" in done.stderr
