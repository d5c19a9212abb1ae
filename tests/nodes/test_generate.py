"""NanoBanana Generate in a graph: images, what they cost, and what is said when something is wrong."""

from __future__ import annotations

import gc
import io
import json
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engines import wait_until
from gateway_faults import FaultyGateway
from graphs import generate, images, loaded, run, shown
from PIL import Image
from stand_in import StandIn

pytestmark = pytest.mark.slow


def test_a_image_arrives_exactly_as_its_file_says(
    host: StandIn, gateway: FaultyGateway, clean_environment: Path
) -> None:
    result = run(host, generate("a cute cat"))
    [image] = images(result)
    [file] = list((clean_environment / "pictures").glob("*.png"))
    expected = np.asarray(Image.open(io.BytesIO(file.read_bytes())).convert("RGB"))
    assert image.shape == (1, 768, 1376, 3)
    assert image.dtype == torch.float32
    assert np.array_equal(image[0].numpy(), expected.astype(np.float32) / np.float32(255))
    [mask] = result.outputs["1"][1]
    assert mask.shape == (1, 768, 1376)
    assert not mask.any()


def test_info_says_what_was_asked_and_what_came(host: StandIn, gateway: FaultyGateway) -> None:
    [text] = run(host, generate("a cute cat", output_format="webp")).outputs["1"][3]
    info = json.loads(text)
    [post] = gateway.ledger.posts
    assert info["model"] == "NanoBananaPro-1K"
    assert info["ratio"] == "16:9"
    assert info["format"] == "webp"
    assert info["pixels"] == "1376x768"
    assert info["url"] == post.image_urls[0]
    assert info["request_id"] == post.request_id
    assert info["bytes"] > 1000
    assert 0 < info["seconds"] < 30
    assert (info["billed"], info["source"], info["warnings"]) == ("yes", "gateway", [])


def test_an_image_leaves_memory_with_the_last_who_looks_at_it(host: StandIn, gateway: FaultyGateway) -> None:
    watched: list[weakref.ref[torch.Tensor]] = []

    def alive() -> int:
        return sum(one() is not None for one in watched)

    gc.collect()
    gc.disable()
    try:
        for prompt in ("a cat", "a dog", "a cow"):
            result = run(host, generate(prompt, count=2))
            watched += [weakref.ref(image) for image in images(result)]
            # The host lets the last prompt's outputs go when the next one begins.
            del result
            assert wait_until(lambda: alive() <= 2)
    finally:
        gc.enable()
    assert len(watched) == 6


def test_raising_the_count_buys_only_what_is_missing(host: StandIn, gateway: FaultyGateway) -> None:
    two = images(run(host, generate("birds", count=2)))
    four = images(run(host, generate("birds", count=4)))
    assert len(gateway.ledger.billed) == 4
    assert [torch.equal(old, new) for old, new in zip(two, four, strict=False)] == [True, True]


def test_the_same_inputs_and_seed_are_free_after_a_restart(
    open_host: Callable[[], StandIn], gateway: FaultyGateway
) -> None:
    with open_host() as first:
        [before] = images(run(first, generate("a house")))
    with open_host() as second:
        result = run(second, generate("a house"))
        assert torch.equal(images(result)[0], before)
        info = json.loads(result.outputs["1"][3][0])
        assert (info["source"], info["billed"]) == ("journal", "no")
        run(second, generate("a house", seed=2))
    assert len(gateway.ledger.posts) == 2


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"prompt": "  \n"}, "The prompt is empty"),
        ({"prompt": "use sk-proj-abcdefghijklmnop1234567890ABCD"}, "looks like a secret key"),
    ],
)
def test_bad_input_is_an_error_before_anything_is_sent(
    host: StandIn, gateway: FaultyGateway, inputs: dict[str, str], words: str
) -> None:
    result = run(host, generate(**inputs))
    assert result.status == "error"
    assert result.failure is not None
    assert words in str(result.failure.exception)
    assert gateway.ledger.posts == []


@pytest.mark.parametrize(
    ("base_url", "words"),
    [("", "No gateway is set"), ("not a url", "base URL"), ("ftp://gateway.test", "base URL")],
)
def test_a_base_url_that_is_missing_or_malformed_is_said(
    host: StandIn, gateway: FaultyGateway, monkeypatch: pytest.MonkeyPatch, base_url: str, words: str
) -> None:
    monkeypatch.setenv("NANOBANANA_BASE_URL", base_url)
    result = run(host, generate("x"))
    assert result.failure is not None
    assert words in str(result.failure.exception)
    assert gateway.ledger.posts == []


def test_what_the_host_logs_of_an_error_holds_no_words_that_its_console_lacks(
    host: StandIn, clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "cp1252"))
    # Both the pack's error and the system's, from which it was made, name the file.
    home = clean_environment.with_name("\u4f59\u989d")
    home.write_bytes(b"a file where a folder belongs")
    monkeypatch.setenv("NANOBANANA_HOME", str(home))
    result = run(host, generate("x"))
    assert result.failure is not None
    logged = "".join(traceback.format_exception(result.failure.exception))
    assert "\\u4f59\\u989d" in logged
    logged.encode("cp1252")


def test_k_of_n_are_delivered_and_the_rest_is_asked_again_by_the_next_run(
    host: StandIn, gateway: FaultyGateway
) -> None:
    graph = generate("[fault:http_400][times:1] three", count=3)
    result = run(host, graph)
    assert len(images(result)) == 2
    info = json.loads(result.outputs["1"][3][0])
    [failure] = info["failures"]
    assert "400" in failure["error"]
    assert failure["billed"] == "no"
    (last,) = [event.data["data"] for event in host.events if event.kind == "nanobanana.status"][-1:]
    assert (last["delivered"], last["total"], last["errors"][0]["times"]) == (2, 3, 1)
    assert len(images(run(host, graph))) == 3
    assert len(gateway.ledger.billed) == 3


def test_the_node_fails_only_when_nothing_came(host: StandIn) -> None:
    result = run(host, generate("[fault:http_400] none", count=3))
    assert result.status == "error"
    assert result.failure is not None
    assert "All 3 calls failed" in str(result.failure.exception)
    assert str(result.failure.exception).count("HTTP 400") == 1


def test_a_list_of_prompts_goes_on_without_those_that_fail(host: StandIn) -> None:
    lines = [("[fault:http_400] " if number in (0, 5, 9) else "") + f"prompt {number}" for number in range(12)]
    text = {"class_type": "NanoBananaGatewayPrompts", "inputs": {"text": "\n".join(lines)}}
    result = host.run({"0": text, "1": generate(["0", 0]), "out": shown("1")})
    assert len(images(result)) == 9
    infos = [json.loads(info) for info in result.outputs["1"][3]]
    assert [number for number, info in enumerate(infos) if info["failures"]] == [0, 5, 9]


def test_a_list_whose_first_item_fails_at_once_still_delivers_the_others(host: StandIn, gateway: FaultyGateway) -> None:
    # What looks like a key is refused before anything is sent, hence before the others have begun.
    lines = ["sk-live-0123456789abcdef0123", "a lighthouse", "a harbour"]
    text = {"class_type": "NanoBananaGatewayPrompts", "inputs": {"text": "\n".join(lines)}}
    result = host.run({"0": text, "1": generate(["0", 0]), "out": shown("1")})
    assert len(images(result)) == 2
    assert len(gateway.ledger.posts) == 2
    assert "secret key" in json.loads(result.outputs["1"][3][0])["failures"][0]["error"]


def test_a_list_from_the_history_succeeds_however_soon_its_calls_end(
    host: StandIn, gateway: FaultyGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = {"class_type": "NanoBananaGatewayPrompts", "inputs": {"text": "\n".join(f"view {n}" for n in range(6))}}
    assert len(images(run(host, generate(["2", 0]), **{"2": text}))) == 6
    execution = loaded("nodes._runs").Execution
    start, started = execution.start, list[object]()

    def start_and_wait(self: Any, *arguments: Any) -> None:
        """The first execution goes on as always; the calls of the others have ended before the loop turns."""
        start(self, *arguments)
        started.append(self)
        while len(started) > 1 and not self.done:
            time.sleep(0.001)

    monkeypatch.setattr(execution, "start", start_and_wait)
    # With a connection it is another node for the host's cache, and the same request for the history.
    connection = {"class_type": "NanoBananaGatewayConnection", "inputs": {"profile": "default"}}
    result = run(host, generate(["2", 0], connection=["4", 0]), **{"2": text, "4": connection})
    assert len(started) == 6
    assert len(images(result)) == 6
    assert len(gateway.ledger.posts) == 6


def test_a_list_of_which_everything_fails_is_an_error_with_the_reason_once(host: StandIn) -> None:
    lines = "\n".join(f"[fault:http_400] {number}" for number in range(4))
    text = {"class_type": "NanoBananaGatewayPrompts", "inputs": {"text": lines}}
    result = host.run({"0": text, "1": generate(["0", 0]), "out": shown("1")})
    assert result.failure is not None
    assert "All 4 calls failed" in str(result.failure.exception)


def test_two_nodes_that_want_the_same_image_pay_once(host: StandIn, gateway: FaultyGateway) -> None:
    result = run(host, generate("twins"), **{"2": generate("twins"), "out2": shown("2")})
    assert torch.equal(images(result)[0], images(result, "2")[0])
    assert len(gateway.ledger.posts) == 1


def interrupted(host: StandIn, after: float, **nodes: dict) -> tuple[float, str]:
    """Run, press cancel after `after` seconds: (seconds from cancel to the prompt's end, its status)."""
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        host.interrupt()

    timer = threading.Timer(after, press)
    timer.start()
    result = host.run(nodes)
    ended = time.monotonic()
    timer.join()
    return ended - pressed[0], result.status


def services() -> Any:
    return loaded("nodes._services")


def cut_off_at_a_cancel() -> None:
    """As a person chooses it who wants no call to go on after a cancel."""
    profiles = services().profiles()
    profiles.save(profiles.stored().changed({"finish_after_cancel": False}))


@pytest.mark.parametrize("marker", ["[latency:4]", "[fault:download_slow:300000]"])
def test_after_a_cancel_what_was_sent_goes_on_into_the_history_and_nothing_else_is_sent(
    host: StandIn, gateway: FaultyGateway, marker: str
) -> None:
    ended_as: list[str] = []
    graph = {"1": generate(f"{marker} x", count=6), "out": shown("1")}
    running = threading.Thread(target=lambda: ended_as.append(host.run(graph).status))
    running.start()
    assert gateway.ledger.wait_for(lambda ledger: len(ledger.posts) >= 4, 10.0)
    time.sleep(0.3)  # until the calls know, too, that they have gone out whole
    host.interrupt()
    pressed = time.monotonic()
    running.join(10)
    assert ended_as == ["interrupted"]
    # The next graph doesn't wait for their places.
    assert len(images(run(host, generate("afterwards", seed=5)))) == 1
    assert time.monotonic() - pressed < 3.0
    assert wait_until(lambda: any(one.get("cancelled") and one["state"] == "background" for one in statuses(host)), 20)
    assert wait_until(lambda: any(one.get("cancelled") and one["state"] == "stored" for one in statuses(host)), 20)
    sent = [post for post in gateway.ledger.posts if marker in post.prompt]
    # A call that downloads has given its place to another.
    assert len(sent) in (4, 5, 6)
    assert not any(post.closed_early for post in sent)
    # The same again buys only what was never sent.
    assert len(images(run(host, generate(f"{marker} x", count=6)))) == 6
    assert len([post for post in gateway.ledger.posts if marker in post.prompt]) == 6


@pytest.mark.parametrize(
    "marker", ["[latency:20]", "[fault:hang_after_headers]", "[fault:download_slow:1000]", "[fault:http_429]"]
)
def test_cancel_ends_the_prompt_and_closes_the_connection(host: StandIn, gateway: FaultyGateway, marker: str) -> None:
    cut_off_at_a_cancel()
    seconds, status = interrupted(host, 0.6, **{"1": generate(f"{marker} x", count=6), "out": shown("1")})
    closed_by = time.monotonic() + 1.0
    assert status == "interrupted"
    assert seconds < 1.0
    while time.monotonic() < closed_by and any(
        request.finished is None and request.closed_early is None for request in gateway.ledger.requests
    ):
        time.sleep(0.02)
    assert all(request.finished is not None or request.closed_early is not None for request in gateway.ledger.requests)
    assert len(images(run(host, generate("afterwards")))) == 1


def test_cancel_reaches_the_gateway_while_a_local_node_blocks_the_loop(host: StandIn, gateway: FaultyGateway) -> None:
    cut_off_at_a_cancel()
    sleep = {"class_type": "TestSleep", "inputs": {"seconds": 1.5, "fail": 0, "tag": 1}}
    nodes = {"1": generate("[latency:20] x"), "out": shown("1"), "2": sleep, "out2": shown("2")}
    pressed = time.monotonic() + 0.4
    _, status = interrupted(host, 0.4, **nodes)
    assert status == "interrupted"
    [post] = gateway.ledger.posts
    assert post.closed_early is not None
    assert post.closed_early - pressed < 1.0


def test_a_neighbours_failure_lets_the_paid_call_finish_for_the_next_run(host: StandIn, gateway: FaultyGateway) -> None:
    sleep = {"class_type": "TestSleep", "inputs": {"seconds": 0.5, "fail": 1, "tag": 2}}
    failed = run(host, generate("[latency:1] worth keeping"), **{"2": sleep, "out2": shown("2")})
    assert failed.status == "error"
    result = run(host, generate("[latency:1] worth keeping"))
    assert len(images(result)) == 1
    assert json.loads(result.outputs["1"][3][0])["source"] == "journal"
    assert len(gateway.ledger.posts) == 1


def test_gateway_calls_overlap_a_blocking_local_node(host: StandIn) -> None:
    sleep = {"class_type": "TestSleep", "inputs": {"seconds": 1.5, "fail": 0, "tag": 3}}
    result = run(host, generate("[latency:1.2] beside"), **{"2": sleep, "out2": shown("2")})
    assert len(images(result)) == 1
    assert result.seconds < 2.2


def test_the_limit_of_parallel_calls_holds_for_the_process(host: StandIn, gateway: FaultyGateway) -> None:
    run(
        host, generate("[latency:0.3] many", count=6), **{"2": generate("[latency:0.3] more", count=6), "o": shown("2")}
    )
    events = sorted(
        [(post.arrived, 1) for post in gateway.ledger.posts]
        + [(post.finished, -1) for post in gateway.ledger.posts if post.finished]
    )
    running = most = 0
    for _, step in events:
        running += step
        most = max(most, running)
    assert len(gateway.ledger.posts) == 12
    assert 2 <= most <= 4


@pytest.mark.parametrize("every", [0.0, 0.001, 0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("after", [0.3, 0.45])
def test_a_cancel_that_a_sampler_takes_stops_the_calls_too(
    every: float, after: float, host: StandIn, gateway: FaultyGateway
) -> None:
    cut_off_at_a_cancel()
    sampler = {"class_type": "TestSampler", "inputs": {"seconds": 3.0, "every": every, "tag": 4}}
    nodes = {"1": generate("[latency:20] x", count=12), "out": shown("1"), "2": sampler, "out2": shown("2")}
    pressed = time.monotonic() + after
    _, status = interrupted(host, after, **nodes)
    assert status == "interrupted"
    last = ended(host)
    assert last["state"] == "cancelled"
    assert last["maybe_billed"] == len(gateway.ledger.posts)
    assert gateway.ledger.wait_for(lambda ledger: all(post.closed_early for post in ledger.posts), 2.0)
    assert all(post.closed_early - pressed < 1.5 for post in gateway.ledger.posts if post.closed_early)
    # As many as run beside each other, and none that had not been sent.
    time.sleep(0.3)
    assert len(gateway.ledger.posts) <= 4
    assert len(images(run(host, generate("afterwards")))) == 1


def test_nothing_unsent_is_bought_after_another_node_failed(host: StandIn, gateway: FaultyGateway) -> None:
    sleep = {"class_type": "TestSleep", "inputs": {"seconds": 0.5, "fail": 1, "tag": 5}}
    failed = run(host, generate("[latency:1] many", count=16), **{"2": sleep, "out2": shown("2")})
    assert failed.status == "error"
    assert ended(host)["state"] == "background"
    sent = len(gateway.ledger.posts)
    assert 1 <= sent <= 4
    assert gateway.ledger.wait_for(lambda ledger: all(post.finished for post in ledger.posts), 5.0)
    time.sleep(0.3)
    assert len(gateway.ledger.posts) == sent
    assert wait_until(lambda: ended(host)["state"] == "stored")
    assert (ended(host)["delivered"], ended(host)["billed"]) == (sent, sent)
    # What was sent has come into the history, and only the rest is bought.
    result = run(host, generate("[latency:0.1] many", count=16))
    assert result.status == "success"


@pytest.mark.parametrize("fail", [0, 1])
def test_stop_ends_whatever_runs_also_after_its_graph(host: StandIn, gateway: FaultyGateway, fail: int) -> None:
    sleep = {"class_type": "TestSleep", "inputs": {"seconds": 0.5 if fail else 20.0, "fail": fail, "tag": 6 + fail}}
    nodes = {"1": generate("[latency:20] long", count=6), "out": shown("1")}
    nodes |= {"2": sleep, "out2": shown("2")} if fail else {}
    running = threading.Thread(target=run, args=(host, nodes.pop("1")), kwargs=nodes)
    running.start()
    assert gateway.ledger.wait_for(lambda ledger: len(ledger.posts) == 4, 5.0)
    time.sleep(0.3)  # until the calls know, too, that they have gone out whole
    if fail:
        running.join(10)
        assert ended(host)["state"] == "background"
    stopped, sent = services().runs().stop()
    assert (stopped, sent) == (4 if fail else 6, 4)
    assert wait_until(lambda: ended(host)["state"] == "cancelled")
    assert ended(host)["maybe_billed"] == 4
    assert gateway.ledger.wait_for(lambda ledger: all(post.closed_early for post in ledger.posts), 2.0)
    running.join(10)
    assert services().runs().stop() == (0, 0)
    assert len(gateway.ledger.posts) == 4


def statuses(host: StandIn) -> list[dict[str, Any]]:
    return [event.data["data"] for event in host.events if event.kind == "nanobanana.status"]


def ended(host: StandIn) -> dict[str, Any]:
    """The last event of the last run: after a failure elsewhere it comes when the host has told how the graph ended."""

    def last() -> dict[str, Any]:
        return [{}, *statuses(host)][-1]

    assert wait_until(lambda: last().get("state") not in (None, "running"), 5.0)
    return last()
