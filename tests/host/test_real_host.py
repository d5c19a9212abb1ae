"""The pack in a real ComfyUI: it loads, serves what the stand-in derives, runs, overlaps, and stops when told to."""

from __future__ import annotations

import asyncio
import io
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from comfy_client import ComfyClient
from comfy_process import Installation, RunningHost, running_host
from conftest import NODE_IDS, ROOT
from gateway_faults import FaultyGateway
from outcome import Outcome
from PIL import Image
from report import write_images
from schema_of_workflows import assert_fits
from servers import Peer, RawServer
from stand_in import StandIn
from workflow_graph import Graph, missing_model, read_workflow, to_api_graph

WORKFLOWS = sorted((ROOT / "example_workflows").glob("*.json"))


# What ComfyUI 0.11 doesn't serve about a node yet.
SERVED_BY_NEWER_HOSTS = {"dev_only", "has_intermediate_output", "is_input_list"}


def nothing(_: Mapping[str, Any]) -> None:
    """For runs of which nobody is told anything."""


def generate(prompt: str, seed: int = 1, **inputs: Any) -> dict[str, Any]:
    defaults = {"model": "NanoBanana2-0.5K", "aspect_ratio": "1:1", "output_format": "png", "count": 1, "seed": seed}
    return {"class_type": "NanoBananaGatewayGenerate", "inputs": {"prompt": prompt, **defaults, **inputs}}


def preview(node_id: str) -> dict[str, Any]:
    return {"class_type": "PreviewImage", "inputs": {"images": [node_id, 0]}}


def sleep(seconds: float, salt: int) -> dict[str, Any]:
    return {"class_type": "TestBlockingSleep", "inputs": {"seconds": seconds, "salt": salt}}


def test_the_pack_loads_without_a_complaint(host: RunningHost) -> None:
    log = host.log_text()
    assert re.search(r"\d seconds: .*nanobanana-gateway", log)
    ours = [line for line in log.splitlines() if "nanobanana" in line.lower()]
    complaint = re.compile(r"error|warning|traceback|exception|import failed", re.IGNORECASE)
    assert not list(filter(complaint.search, ours))


def test_object_info_equals_what_the_stand_in_derives(host: RunningHost, stand_in: StandIn) -> None:
    real, derived = host.object_info(), stand_in.object_info()
    names = {name for name, info in real.items() if info["python_module"] == "custom_nodes.nanobanana-gateway"}
    assert names == set(NODE_IDS)
    for name in names:
        assert {key: derived[name][key] for key in real[name]} == real[name]
        assert set(derived[name]) - set(real[name]) <= SERVED_BY_NEWER_HOSTS


def test_the_stand_ins_core_nodes_take_the_hosts_inputs(host: RunningHost, stand_in: StandIn) -> None:
    real = host.object_info()
    core = {name: info for name, info in stand_in.object_info().items() if info["python_module"] == "nodes"}
    assert len(core) >= 9
    for name, info in core.items():
        assert info["input_order"]["required"] == real[name]["input_order"]["required"], name
        assert info["output"] == real[name]["output"] or name == "PreviewImage", name
        for key, (io_type, _) in info["input"]["required"].items():
            real_type = real[name]["input"]["required"][key][0]
            assert io_type == ("COMBO" if isinstance(real_type, list) else real_type), f"{name}.{key}"


# A local model on two busy processor cores takes its time.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_an_example_runs_through_the_real_queue(host: RunningHost, path: Path, tmp_path: Path) -> None:
    info = host.object_info()
    workflow = read_workflow(path)
    assert missing_model(workflow, info) == ""
    assert_fits(workflow, info)
    graph = to_api_graph(workflow, info)
    said: list[object] = []
    outcome = host.run(graph, said.append)
    assert (outcome.status, outcome.message) == ("success", "")
    assert said
    assert write_images(path.stem, graph, outcome, tmp_path)


def test_gateway_nodes_overlap_each_other(host: RunningHost) -> None:
    graph: Graph = {str(n): generate(f"[latency:1] sibling {n}", seed=60) for n in range(1, 4)}
    graph |= {str(n + 10): preview(str(n)) for n in range(1, 4)}
    outcome = host.run(graph, nothing)
    assert outcome.status == "success"
    assert len(outcome.images) == 3
    # One after the other it would be 3 s of the gateway's time alone.
    assert 1 < outcome.seconds < 2.5


@pytest.mark.parametrize("sleeper_first", [True, False], ids=["sleeper_first", "gateway_first"])
def test_a_gateway_node_overlaps_a_blocking_local_node(host: RunningHost, sleeper_first: bool) -> None:
    blocking = {"1": sleep(2.5, sleeper_first)}
    call = {"5": generate("[latency:2] beside", seed=80 + sleeper_first)}
    graph: Graph = {**blocking, **call} if sleeper_first else {**call, **blocking}
    outcome = host.run(graph | {"6": preview("5"), "7": preview("1")}, nothing)
    assert outcome.status == "success"
    assert outcome.images["6"]
    # One after the other it would be 4.5 s.
    assert 2.5 < outcome.seconds < 3.6


def test_the_same_request_costs_nothing_the_second_time(host: RunningHost) -> None:
    graph: Graph = {"1": generate("twice", seed=90), "2": preview("1"), "3": info_of("1")}
    first = host.run(graph, nothing)
    # A connection to the profile that is used anyway: the same request, and the host's own cache doesn't answer.
    connection = {"class_type": "NanoBananaGatewayConnection", "inputs": {"profile": "default"}}
    graph = {"10": connection, "11": generate("twice", seed=90, connection=["10", 0])}
    second = host.run(graph | {"12": preview("11"), "13": info_of("11")}, nothing)
    assert '"source": "gateway"' in first.texts["3"][0]
    assert '"source": "journal"' in second.texts["13"][0]


def info_of(node_id: str) -> dict[str, Any]:
    return {"class_type": "PreviewAny", "inputs": {"source": [node_id, 3]}}


def test_interrupt_ends_the_prompt_as_a_cancel_and_the_next_one_runs(host: RunningHost) -> None:
    async def cancelled() -> tuple[Outcome, float]:
        async with ComfyClient(host.url) as client:
            said = asyncio.Event()
            graph: Graph = {
                "1": generate("[latency:20] to be cancelled", seed=100, count=8),
                "2": generate("[latency:20] its sibling", seed=101, count=8),
                "3": preview("1"),
                "4": preview("2"),
            }
            running = asyncio.create_task(client.run(graph, lambda *_: said.set()))
            await asyncio.wait_for(said.wait(), 10)
            clicked = time.perf_counter()
            await client.interrupt()
            return await running, time.perf_counter() - clicked

    outcome, seconds = asyncio.run(cancelled())
    assert outcome.status == "interrupted"
    assert seconds < 1.0
    after = host.run({"1": generate("after the cancel", seed=102), "2": preview("1")}, nothing)
    assert after.status == "success"


def test_one_click_that_queues_a_prompt_five_times_is_billed_once(host: RunningHost, gateway: FaultyGateway) -> None:
    prompt = "[latency:1][fault:http_504] five at a click"
    graph: Graph = {"1": generate(prompt, seed=200), "2": preview("1")}

    async def clicked() -> list[str]:
        async with ComfyClient(host.url) as client:
            ids = [await client.queue(graph) for _ in range(5)]
            for _ in range(200):
                history = [(await client.get(f"/history/{one}")).get(one) for one in ids]
                if all(history):
                    return [json.dumps(one) for one in history]
                await asyncio.sleep(0.1)
            raise AssertionError("the prompts hang")

    said = asyncio.run(clicked())
    assert len([post for post in gateway.ledger.posts if post.prompt == prompt]) == 1
    assert all("may have been billed" in one for one in said)


@pytest.mark.parametrize("every", [0.0, 0.02, 0.1])
def test_a_cancel_that_local_work_takes_stops_what_was_not_sent(
    host: RunningHost, gateway: FaultyGateway, every: float
) -> None:
    prompt = f"[latency:2] beside work that looks every {every} s"
    work = {"class_type": "TestInterruptedWork", "inputs": {"seconds": 20, "every": every, "salt": int(every * 1000)}}
    graph: Graph = {"1": generate(prompt, seed=300, count=12), "2": preview("1"), "3": work, "4": preview("3")}

    def posts() -> int:
        return len([post for post in gateway.ledger.posts if post.prompt == prompt])

    async def cancelled() -> Outcome:
        async with ComfyClient(host.url) as client:
            running = asyncio.create_task(client.run(graph, nothing))
            while posts() < 4:
                await asyncio.sleep(0.02)
            await client.interrupt()
            return await running

    assert asyncio.run(cancelled()).status == "interrupted"
    sent = posts()
    time.sleep(3)
    assert posts() == sent == 4


def test_a_bad_input_is_said_in_the_hosts_own_error(host: RunningHost) -> None:
    outcome = host.run({"1": generate("  "), "2": preview("1")}, nothing)
    assert outcome.status == "error"
    assert outcome.message.startswith("The prompt is empty.")


def test_what_lies_behind_a_failure_is_skipped_and_the_rest_runs(host: RunningHost, gateway: FaultyGateway) -> None:
    statuses: list[Mapping[str, Any]] = []
    graph: Graph = {
        "1": generate("[fault:http_400] refused", seed=400, on_failure="skip what lies behind"),
        "2": preview("1"),
        "3": generate("[latency:0.1] fine", seed=401),
        "4": preview("3"),
    }
    outcome = host.run(graph, statuses.append)
    assert outcome.status == "success"
    assert len(outcome.images) == 1
    last = {str(status["node"]): status for status in statuses}
    assert (last["1"]["state"], last["1"]["skipped"]) == ("failed", True)
    # The host doesn't keep that: the next run asks again.
    again = host.run(graph, nothing)
    assert again.status == "success"
    assert len([post for post in gateway.ledger.posts if post.prompt == "[fault:http_400] refused"]) == 2


def test_the_hosts_report_of_an_error_begins_with_words(host: RunningHost) -> None:
    host.run({"1": generate("  ", seed=410), "2": preview("1")}, nothing)
    assert "nanobanana.InputError: The prompt is empty." in host.log_text()


def pixels(data: bytes) -> bytes:
    """Without the file's text, in which the host writes the graph."""
    return Image.open(io.BytesIO(data)).tobytes()


def test_pick_gives_on_what_is_chosen_and_buys_nothing_anew(host: RunningHost, gateway: FaultyGateway) -> None:
    def graph(chosen: str) -> Graph:
        return {
            "1": generate("to be picked", seed=420, count=3),
            "2": {"class_type": "NanoBananaGatewayPick", "inputs": {"images": ["1", 0], "chosen": chosen}},
            "3": preview("2"),
        }

    # Nothing is chosen: what lies behind waits, and that is no error.
    waiting = host.run(graph(""), nothing)
    assert (waiting.status, waiting.images) == ("success", {})
    assert [len(host.run(graph(chosen), nothing).images["3"]) for chosen in ("2", "3, 1", "2,9")] == [1, 2, 1]
    first, both = (host.run(graph(chosen), nothing).images["3"] for chosen in ("1", "3 1 1"))
    assert len(both) == 2
    assert pixels(both[1]) == pixels(first[0]) != pixels(both[0])
    assert host.run(graph("the second"), nothing).status == "error"
    assert len([post for post in gateway.ledger.posts if post.prompt == "to be picked"]) == 3


@pytest.mark.parametrize("encoding", ["cp1252:strict", "gbk:strict"])
def test_words_that_the_console_cannot_write_do_not_stop_the_host(
    encoding: str, installation: Installation, tmp_path: Path
) -> None:
    """Its log goes to that console in the thread that runs the graphs."""
    # Chinese, Thai, and half of a pair.
    words = "\u4f59\u989d\u4e0d\u8db3 \u0e22\u0e2d\u0e14"
    body = json.dumps({"error": {"message": f"{words} \ud83d", "code": "invalid_request"}}).encode()

    def refuse(client: Peer) -> None:
        client.request()
        client.answer("400 Bad Request", body, content_type="application/json")

    statuses: list[Mapping[str, Any]] = []
    with RawServer(refuse) as server:
        environ = {
            "NANOBANANA_BASE_URL": f"http://127.0.0.1:{server.port}",
            "NANOBANANA_API_KEY": "",
            "NANOBANANA_HOME": str(tmp_path / "data"),
            "PYTHONIOENCODING": encoding,
        }
        with running_host(installation, tmp_path, ROOT, environ) as host:
            # A host that died of the first would never answer the second.
            for seed in (420, 421):
                refused = host.run({"1": generate("a lighthouse", seed=seed), "2": preview("1")}, statuses.append)
                assert refused.status == "error"
                assert "400" in refused.message
    # The page has the words themselves.
    assert words in json.dumps(statuses[-1], ensure_ascii=False)
