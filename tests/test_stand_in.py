"""The stand-in host behaves as ComfyUI does where it matters to a node that waits for a network."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from stand_in import InvalidPrompt, StandIn
from stand_in.loading import PackRefused

pytestmark = pytest.mark.slow

TEST_PACK = '''
from __future__ import annotations

import asyncio
import sys
import threading
import time

from comfy_api.v0_0_2 import ComfyAPI, ComfyExtension, io

from . import helper

CALLS = []
CANCELLED = []


class Wait(io.ComfyNode):
    """Waits in a thread of its own, as the pack's nodes do."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="TestWait",
            inputs=[
                io.String.Input("text", default=""),
                io.Float.Input("seconds", default=0.1, min=0, max=9),
                io.Int.Input("seed", default=0, min=0, max=2**64 - 1, control_after_generate=True),
                io.Combo.Input("kind", options=["plain", "fail", "poll"]),
                io.Autogrow.Input(
                    "images",
                    template=io.Autogrow.TemplateNames(
                        io.Image.Input("image"), names=["image_1", "image_2", "image_3"], min=0
                    ),
                ),
                io.Image.Input("after", optional=True),
            ],
            outputs=[io.Image.Output("image", is_output_list=True), io.String.Output("words", display_name="text")],
            hidden=[io.Hidden.unique_id],
            search_aliases=["wait"],
        )

    @classmethod
    async def execute(cls, text, seconds, seed, kind, images, after=None):
        import torch
        from comfy.model_management import InterruptProcessingException, processing_interrupted
        from server import PromptServer

        CALLS.append((text, cls.hidden.unique_id, sorted(images)))
        end = time.monotonic() + seconds
        done = threading.Event()
        threading.Thread(target=lambda: (time.sleep(seconds), done.set()), daemon=True).start()
        try:
            while not done.is_set():
                await asyncio.sleep(0.01)
                if kind == "poll" and processing_interrupted():
                    raise InterruptProcessingException
        except asyncio.CancelledError:
            CANCELLED.append(text)
            raise
        await ComfyAPI().execution.set_progress(1, 2)
        PromptServer.instance.send_sync("test.done", {"text": f"{text} done"}, "page")
        if kind == "fail":
            raise ValueError("no luck")
        images = [torch.zeros(1, 4, 4, 3), torch.ones(1, 6, 4, 3)]
        return io.NodeOutput(images, helper.shout(text))


class Words(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="TestWords",
            inputs=[io.String.Input("text", multiline=True)],
            outputs=[io.String.Output("words", is_output_list=True)],
        )

    @classmethod
    def fingerprint_inputs(cls, text):
        if text.startswith("again"):
            raise ValueError("always")
        return text

    @classmethod
    def execute(cls, text):
        CALLS.append(text)
        return io.NodeOutput(text.split())


class Greedy(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="TestGreedy", outputs=[io.String.Output("words")])

    @classmethod
    def execute(cls):
        cls.count = 1


class BlockingSleep(io.ComfyNode):
    """A synchronous node that holds the host's loop, as a sampler does."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="TestBlockingSleep", inputs=[io.Float.Input("seconds", min=0, max=9)], outputs=[io.Image.Output()]
        )

    @classmethod
    def execute(cls, seconds):
        time.sleep(seconds)
        return io.NodeOutput(None)


class Extension(ComfyExtension):
    async def get_node_list(self):
        return [Wait, Words, Greedy, BlockingSleep]


async def comfy_entrypoint():
    return Extension()
'''


@pytest.fixture
def pack_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "packs.of mine" / "a-test-pack"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(TEST_PACK)
    (folder / "helper.py").write_text("def shout(text):\n    return text.upper()\n")
    return folder


@pytest.fixture
def host(pack_folder: Path, tmp_path: Path):
    with StandIn({"a-test-pack": pack_folder}, tmp_path / "host") as stand_in:
        yield stand_in


def wait(**inputs: Any) -> dict[str, Any]:
    defaults = {"text": "a", "seconds": 0.1, "seed": 1, "kind": "plain"}
    return {"class_type": "TestWait", "inputs": defaults | inputs}


def show(node_id: str, output: int = 1) -> dict[str, Any]:
    return {"class_type": "PreviewAny", "inputs": {"source": [node_id, output]}}


def pack_module() -> Any:
    return next(module for name, module in sys.modules.items() if name.endswith("a-test-pack"))


def test_pack_is_loaded_under_its_path_and_gone_afterwards(pack_folder: Path, tmp_path: Path) -> None:
    before = dict(sys.modules)
    with StandIn({"a-test-pack": pack_folder}, tmp_path / "host") as stand_in:
        name = str(pack_folder.resolve()).replace(".", "_x_")
        assert name in sys.modules
        assert f"{name}.helper" in sys.modules
        assert stand_in.object_info()["TestWait"]["python_module"] == "custom_nodes.a-test-pack"
    left = {name.split(".")[0] for name in sys.modules}
    assert not left & {"comfy", "comfy_api", "comfy_execution", "folder_paths", "server"}
    assert not [name for name in sys.modules if "a-test-pack" in name]
    assert all(sys.modules[name] is module for name, module in before.items())


def test_only_one_is_open_in_a_process(host: StandIn, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="another stand-in"), StandIn({}, tmp_path):
        pass


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("NODE_CLASS_MAPPINGS = {}", "NODE_CLASS_MAPPINGS"),
        ("", "comfy_entrypoint is missing"),
        ("async def comfy_entrypoint():\n    return 3", "did not return a ComfyExtension"),
        ("WEB_DIRECTORY = './nowhere'\nasync def comfy_entrypoint():\n    return 3", "is no folder"),
    ],
)
def test_a_pack_that_the_host_would_not_load_is_refused(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "__init__.py").write_text(source)
    with pytest.raises(PackRefused, match=reason), StandIn({"bad": tmp_path}, tmp_path / "host"):
        pass
    assert "comfy_api" not in sys.modules


def host_io() -> Any:
    """The stand-in's own classes, which go beyond what the pack's stubs name."""
    return importlib.import_module("comfy_api.latest").io


def test_unknown_arguments_are_errors(host: StandIn) -> None:
    io = host_io()

    for make in (
        lambda: io.Schema(node_id="x", colour="red"),
        lambda: io.Int.Input("n", maximum=3),
        lambda: io.Image.Input("i", default=1),
        lambda: io.Image.Output("i", optional=True),
        lambda: io.Combo.Input("c", ["a"], multiselect=True),
        lambda: io.String.Input(),
    ):
        with pytest.raises(TypeError):
            make()


def test_floor_refuses_what_is_newer(tmp_path: Path) -> None:
    with StandIn({}, tmp_path, floor=True) as stand_in:
        import comfy.model_management as management  # pyright: ignore[reportMissingImports]

        io = host_io()

        with pytest.raises(TypeError):
            io.Schema(node_id="x", has_intermediate_output=True)
        with pytest.raises(TypeError):
            io.Float.Input("f", gradient_stops=[])
        assert not hasattr(management, "intermediate_dtype")
        assert issubclass(stand_in.state.interrupt_exception, Exception)
    with StandIn({}, tmp_path) as stand_in:
        assert not issubclass(stand_in.state.interrupt_exception, Exception)


def test_classes_show_their_arguments_to_inspect(host: StandIn) -> None:
    io = host_io()

    assert list(inspect.signature(io.Schema).parameters)[:3] == ["node_id", "display_name", "category"]
    assert "gradient_stops" in inspect.signature(io.Float.Input).parameters
    assert "default" not in inspect.signature(io.Image.Input).parameters


def test_object_info_has_the_hosts_form(host: StandIn) -> None:
    info = host.object_info()["TestWait"]
    assert info["input"]["required"]["text"] == ["STRING", {"default": "", "multiline": False}]
    assert info["input"]["required"]["seed"][1]["control_after_generate"] is True
    assert info["input"]["required"]["kind"] == ["COMBO", {"multiselect": False, "options": ["plain", "fail", "poll"]}]
    assert info["input"]["required"]["images"] == [
        "COMFY_AUTOGROW_V3",
        {
            "template": {
                "input": {"required": {"image": ["IMAGE", {}]}},
                "names": ["image_1", "image_2", "image_3"],
                "min": 0,
            }
        },
    ]
    assert info["input"]["optional"] == {"after": ["IMAGE", {}]}
    assert info["input"]["hidden"] == {"unique_id": ["UNIQUE_ID"]}
    assert info["output_name"] == ["image", "text"]
    assert info["output_is_list"] == [True, False]


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ({"1": wait()}, "prompt_no_outputs"),
        ({"1": wait(), "2": {"class_type": "Nowhere", "inputs": {}}}, "missing_node_type"),
        ({"1": wait(seconds=10), "2": show("1")}, "value_bigger_than_max"),
        ({"1": wait(seconds=-1), "2": show("1")}, "value_smaller_than_min"),
        ({"1": wait(seed="many"), "2": show("1")}, "invalid_input_type"),
        ({"1": wait(kind="other"), "2": show("1")}, "value_not_in_list"),
        ({"1": wait(colour=1), "2": show("1")}, "unknown_input"),
        ({"1": wait(after=["1", 0]), "2": show("1")}, "dependency_cycle"),
        ({"1": wait(after=["1", 1]), "2": show("1")}, "return_type_mismatch"),
        ({"1": wait(after=["1", 7]), "2": show("1")}, "bad_linked_input"),
        ({"1": wait(**{"images.image_9": ["1", 0]}), "2": show("1")}, "unknown_input"),
        ({"1": {"class_type": "TestWait", "inputs": {}}, "2": show("1")}, "required_input_missing"),
    ],
)
def test_a_bad_prompt_is_refused_before_anything_runs(host: StandIn, prompt: dict[str, Any], kind: str) -> None:
    with pytest.raises(InvalidPrompt) as caught:
        host.run(prompt)
    assert kind in {error[1] for error in caught.value.errors}
    assert pack_module().CALLS == []


def test_values_are_converted_and_images_grow_into_a_dict(host: StandIn) -> None:
    empty = {"class_type": "EmptyImage", "inputs": {"width": 4, "height": 4, "batch_size": 1, "color": 0xFF8000}}
    prompt = {
        "1": empty,
        "2": wait(seed="7", **{"images.image_3": ["1", 0], "images.image_1": ["1", 0]}),
        "3": show("2"),
    }
    run = host.run(prompt)
    assert run.status == "success"
    assert run.outputs["1"][0][0][0, 0, 0].tolist() == pytest.approx([1, 128 / 255, 0])
    assert pack_module().CALLS == [("a", "2", ["image_1", "image_3"])]
    assert [tuple(one.shape) for one in run.outputs["2"][0]] == [(1, 4, 4, 3), (1, 6, 4, 3)]
    assert run.ui["3"] == {"text": ["A"]}
    assert run.outputs["2"][1] == ["A"]


def test_siblings_run_side_by_side(host: StandIn) -> None:
    prompt = {"1": wait(seconds=1.0), "2": wait(seconds=1.0, text="b"), "3": show("1"), "4": show("2")}
    run = host.run(prompt)
    assert run.status == "success"
    assert 1.0 <= run.seconds < 1.8


def test_a_list_starts_all_its_calls_at_once_and_results_keep_their_order(host: StandIn) -> None:
    prompt = {
        "1": {"class_type": "TestWords", "inputs": {"text": "one two three"}},
        "2": wait(text=["1", 0], seconds=0.6),
        "3": show("2"),
    }
    run = host.run(prompt)
    assert run.seconds < 1.5
    assert run.outputs["2"][1] == ["ONE", "TWO", "THREE"]
    assert len(run.outputs["2"][0]) == 6
    assert run.ui["3"] == {"text": ["ONE", "TWO", "THREE"]}


@pytest.mark.parametrize("order", ["12", "21"])
def test_a_thread_goes_on_while_a_blocking_neighbour_holds_the_loop(host: StandIn, order: str) -> None:
    nodes = {"1": {"class_type": "TestBlockingSleep", "inputs": {"seconds": 1.2}}, "2": wait(seconds=1.0)}
    run = host.run({node_id: nodes[node_id] for node_id in order} | {"3": show("2"), "4": show("1", 0)})
    assert run.status == "success"
    assert 1.2 <= run.seconds < 2.0


def test_one_failure_cancels_the_siblings_and_ends_the_prompt(host: StandIn) -> None:
    prompt = {
        "1": wait(seconds=0.1, kind="fail", text="bad"),
        "2": wait(seconds=5, text="slow"),
        "3": show("1"),
        "4": show("2"),
    }
    run = host.run(prompt)
    assert run.status == "error"
    assert run.failure is not None
    assert (run.failure.node_id, run.failure.message) == ("1", "no luck")
    assert run.seconds < 1
    assert pack_module().CANCELLED == ["slow"]
    assert host.run({"1": wait(text="next"), "2": show("1")}).status == "success"


def test_interrupt_reaches_only_a_node_that_polls(host: StandIn) -> None:
    threading.Timer(0.2, host.interrupt).start()
    run = host.run({"1": wait(seconds=5, kind="poll"), "2": show("1")})
    assert run.status == "interrupted"
    assert run.seconds < 1
    threading.Timer(0.1, host.interrupt).start()
    run = host.run({"1": wait(seconds=0.4), "2": show("1")})
    # Nobody polled: the flag is found only when the next node is about to start.
    assert run.status == "interrupted"
    assert run.failure is not None
    assert run.failure.node_id == "2"
    assert host.run({"1": wait(text="next"), "2": show("1")}).status == "success"


def test_outputs_are_cached_until_an_input_or_fingerprint_changes(host: StandIn) -> None:
    prompt = {"1": {"class_type": "TestWords", "inputs": {"text": "a b"}}, "2": show("1", 0)}
    host.run(prompt)
    run = host.run(prompt)
    assert run.ui["2"] == {"text": ["a", "b"]}
    assert run.nodes["2"].cached
    assert pack_module().CALLS == ["a b"]
    prompt["1"]["inputs"]["text"] = "again c"
    host.run(prompt)
    host.run(prompt)
    assert pack_module().CALLS == ["a b", "again c", "again c"]


def test_cached_outputs_serve_a_node_of_another_id(host: StandIn) -> None:
    host.run({"1": wait(), "2": show("1")})
    run = host.run({"5": wait(), "2": show("5")})
    assert [call[1] for call in pack_module().CALLS] == ["1"]
    assert run.ui["2"] == {"text": ["A"]}


def test_classes_are_locked_while_they_run(host: StandIn) -> None:
    run = host.run({"1": {"class_type": "TestGreedy", "inputs": {}}, "2": show("1", 0)})
    assert run.failure is not None
    assert isinstance(run.failure.exception, AttributeError)


def test_progress_and_events_are_recorded(host: StandIn) -> None:
    host.run({"1": wait(text="hi"), "2": show("1")})
    kinds = [(event.kind, event.node_id) for event in host.events]
    assert kinds == [
        ("executing", "1"),
        ("progress", "1"),
        ("test.done", "1"),
        ("executed", "1"),
        ("executing", "2"),
        ("executed", "2"),
    ]
    assert host.events[2].data == {"data": {"text": "hi done"}, "client": "page"}
    assert (host.events[1].data["value"], host.events[1].data["max"]) == (1, 2)


def test_load_image_gives_the_hosts_mask(host: StandIn, tmp_path: Path) -> None:
    folder = tmp_path / "host" / "input"
    Image.new("RGB", (6, 5), (255, 0, 51)).save(folder / "plain.png")
    Image.new("RGBA", (6, 5), (0, 0, 0, 51)).save(folder / "alpha.png")
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "plain.png"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": "alpha.png"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "sub/x"}},
        "4": show("2", 1),
    }
    run = host.run(prompt)
    assert run.outputs["1"][0][0].shape == (1, 5, 6, 3)
    assert torch.equal(run.outputs["1"][1][0], torch.zeros(1, 64, 64))
    assert torch.allclose(run.outputs["2"][1][0], torch.full((1, 5, 6), 0.8))
    assert run.ui["3"] == {"images": [{"filename": "x_00001_.png", "subfolder": "sub", "type": "output"}]}
    with Image.open(tmp_path / "host/output/sub/x_00001_.png") as saved:
        assert saved.getpixel((0, 0)) == (255, 0, 51)
        assert '"plain.png"' in saved.text["prompt"]


def test_masks_make_a_rectangle(host: StandIn) -> None:
    prompt = {
        "1": {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 8, "height": 6}},
        "2": {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 3, "height": 9}},
        "3": {
            "class_type": "MaskComposite",
            "inputs": {"destination": ["1", 0], "source": ["2", 0], "x": 4, "y": 2, "operation": "add"},
        },
        "4": show("3", 0),
    }
    mask = host.run(prompt).outputs["3"][0][0]
    assert mask.sum().item() == 3 * 4
    assert mask[0, 2:, 4:7].min().item() == 1


def test_each_prompt_has_a_loop_of_its_own(host: StandIn) -> None:
    async def in_a_loop() -> str:
        return (await asyncio.to_thread(host.run, {"1": wait(), "2": show("1")})).status

    started = time.monotonic()
    assert asyncio.run(in_a_loop()) == "success"
    assert time.monotonic() - started < 1
