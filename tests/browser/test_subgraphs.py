"""Nodes of ours become a subgraph and come out of it again, wired."""

from __future__ import annotations

from typing import Any

from engines import wait_until
from page_of_comfyui import GENERATE, Comfy

SELECT = """types => {
  const named = one => types.length ? types.includes(one.type) : one.isSubgraphNode?.();
  const nodes = app.canvas.graph.nodes.filter(named);
  app.canvas.deselectAll();
  app.canvas.selectItems(nodes);
  return nodes.length;
}"""
SUBGRAPH = "() => app.canvas.graph.nodes.some(one => one.isSubgraphNode?.())"
# Each wire as "type.input <- type".
WIRES = """() => app.canvas.graph.nodes.flatMap(node => node.inputs.flatMap((input, slot) =>
  input.link == null ? [] : [`${node.type}.${input.name} <- ${node.getInputNode(slot).type}`]))"""


def test_a_node_that_belongs_to_no_graph_is_left_alone(comfy: Comfy, site: Any) -> None:
    """The host makes such ones when it copies, and older hosts leave them their wires."""
    failed = len(site.said)
    generate = comfy.graph_to_run("a lighthouse")
    prompts = comfy.add("NanoBananaGatewayPrompts", (60, 130), text="one")
    comfy.connect(prompts, 0, generate, "prompt")
    alone = """async id => {
      const wired = app.graph.getNodeById(id);
      const copy = LiteGraph.createNode(wired.type);
      copy.configure(wired.serialize());
      await new Promise(done => setTimeout(done, 100));
      return copy.graph == null;
    }"""
    assert comfy.page.evaluate(alone, generate)
    comfy.panel.locator(".nanobanana-estimate").wait_for()
    assert site.said[failed:] == []


def run(comfy: Comfy, bills: int) -> None:
    """A run that ends well and costs so many calls."""

    def states() -> dict[str, str]:
        history = comfy.page.evaluate("async () => await (await app.api.fetchApi('/history')).json()")
        return {name: entry["status"]["status_str"] for name, entry in history.items()}

    before, posts = states(), len(comfy.gateway_behind.ledger.posts)
    comfy.run()
    assert wait_until(lambda: len(states()) > len(before), 20.0)
    # The other tests' runs are there too.
    assert [state for name, state in states().items() if name not in before] == ["success"]
    assert len(comfy.gateway_behind.ledger.posts) == posts + bills


def test_wired_nodes_become_a_subgraph_run_and_are_unpacked(comfy: Comfy, renderer: str, site: Any) -> None:
    failed = len(site.said)
    ours = [GENERATE]
    generate = comfy.graph_to_run("a lighthouse")
    prompts = comfy.add("NanoBananaGatewayPrompts", (60, 130), text="one\ntwo")
    comfy.connect(prompts, 0, generate, "prompt")
    # The oldest frontend itself drops the wire of a growing input when it unpacks a subgraph.
    if site.frontend != "oldest":
        edit = comfy.add("NanoBananaGatewayEdit", (900, 400), prompt="make it night", seed=7)
        comfy.connect(generate, 0, edit, "images.image_1")
        preview = comfy.add("PreviewImage", (1300, 400))
        comfy.connect(edit, 0, preview, "images")
        ours.append("NanoBananaGatewayEdit")
    before = comfy.page.evaluate(WIRES)
    assert comfy.page.evaluate(SELECT, ours) == len(ours)
    comfy.execute("Comfy.Graph.ConvertToSubgraph")
    comfy.page.wait_for_function(SUBGRAPH)
    comfy.image(f"subgraph-{renderer}")
    run(comfy, 2 * len(ours))
    comfy.page.evaluate("async () => { await app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize()))) }")
    comfy.page.wait_for_function(SUBGRAPH)
    assert comfy.page.evaluate(SELECT, []) == 1
    comfy.execute("Comfy.Graph.UnpackSubgraph")
    comfy.page.wait_for_function("type => app.canvas.graph.nodes.some(one => one.type === type)", arg=GENERATE)
    assert sorted(comfy.page.evaluate(WIRES)) == sorted(before)
    run(comfy, 0)
    for number in range(len(ours)):
        comfy.page.locator(".nanobanana-panel:visible .nanobanana-estimate").nth(number).wait_for()
    comfy.image(f"unpacked-{renderer}")
    assert site.said[failed:] == []
