"""The events that the page's panel lives on: what they hold, what they cost, and what is not sent twice."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from engines import wait_until
from gateway_faults import FaultyGateway
from graphs import generate, run, shown
from stand_in import StandIn
from stand_in.state import Event

pytestmark = pytest.mark.slow

STATUS = "nanobanana.status"
IMAGE = "nanobanana.picture"


def events(host: StandIn, kind: str) -> list[dict[str, Any]]:
    return [event.data["data"] for event in host.events if event.kind == kind]


def calls_running() -> list[str]:
    """Calls' threads: the thumbnails are their last work, and follow the end of the run."""
    return [one.name for one in threading.enumerate() if one.name.startswith("nanobanana-call")]


def images_of(host: StandIn, count: int) -> list[dict[str, Any]]:
    """The images that were told, all `count` of them."""
    assert wait_until(lambda: not calls_running())
    found = events(host, IMAGE)
    assert len(found) == count
    return found


def test_a_run_is_told_from_its_first_phase_to_its_end(host: StandIn, gateway: FaultyGateway) -> None:
    gateway.set_faults(["latency:0.6"])
    run(host, generate("a lighthouse", count=2))
    told = events(host, STATUS)
    assert {one["node"] for one in told} == {"1"}
    assert len({one["run"] for one in told}) == 1
    assert told[0]["state"] == "running"
    phases = {call["phase"] for one in told for call in one["calls"]}
    assert phases >= {"waiting"}
    assert phases <= {"queued", "preparing", "connecting", "uploading", "waiting", "streaming", "downloading"}
    progress = [one["progress"] for one in told if one["state"] == "running"]
    assert progress == sorted(progress)
    last = told[-1]
    assert last["state"] == "done"
    assert last["calls"] == []
    assert (last["total"], last["finished"], last["delivered"], last["billed"]) == (2, 2, 2, 2)
    assert last["sizes"] == ["1376 x 768"]
    assert last["errors"] == last["warnings"] == []


def test_each_image_is_sent_once_and_small(host: StandIn) -> None:
    run(host, generate("a lighthouse", count=3))
    images = images_of(host, 3)
    assert len({one["id"] for one in images}) == 3
    for one in images:
        assert (one["width"], one["height"], one["free"]) == (1376, 768, False)
        data = base64.b64decode(one["image"].removeprefix("data:image/jpeg;base64,"))
        assert data.startswith(b"\xff\xd8")
        assert len(data) < 30_000


def test_from_the_journal_is_said_to_be_free(host: StandIn) -> None:
    run(host, generate("a lighthouse", count=1))
    run(host, generate("a lighthouse", count=2))
    last = events(host, STATUS)[-1]
    assert (last["free"], last["billed"], last["delivered"]) == (1, 1, 2)
    assert [one["free"] for one in images_of(host, 3)][-2:].count(True) == 1


@pytest.mark.parametrize(
    ("fault", "billed", "maybe"), [("http_400", 0, 0), ("content_filter", 1, 0), ("http_504", 0, 1)]
)
def test_a_failure_holds_its_words_and_what_it_cost(
    host: StandIn, gateway: FaultyGateway, fault: str, billed: int, maybe: int
) -> None:
    gateway.set_faults([fault])
    run(host, generate("a lighthouse", count=2))
    last = events(host, STATUS)[-1]
    assert last["state"] == "failed"
    assert (last["billed"], last["maybe_billed"]) == (2 * billed, 2 * maybe)
    (error,) = last["errors"]
    assert error["times"] == 2
    assert error["kind"] == "gateway"
    assert error["message"]
    assert error["billed"] == ("yes" if billed else "maybe" if maybe else "no")


def test_what_is_simulated_costs_nothing_whatever_its_price(
    host: StandIn, clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NANOBANANA_BASE_URL", "simulator")
    clean_environment.mkdir(parents=True, exist_ok=True)
    (clean_environment / "profiles.json").write_text(
        json.dumps({"version": 1, "profiles": {"default": {"prices": {"NanoBananaPro-1K": 0.04}}}})
    )
    for _ in range(2):
        run(host, generate("a lighthouse"))
    for last in [one for one in events(host, STATUS) if one["state"] != "running"]:
        assert last["simulated"]
        assert (last["billed"], last["maybe_billed"], last["cost"], last["maybe_cost"]) == (0, 0, 0, 0)
        assert last["delivered"] == 1


def test_images_say_their_place_among_the_outputs(host: StandIn, gateway: FaultyGateway) -> None:
    run(host, generate("a lighthouse", count=3))
    assert sorted(one["place"] for one in images_of(host, 3)) == [[0, 0, 0], [0, 1, 0], [0, 2, 0]]


def test_a_missing_gateway_is_an_error_of_the_settings(host: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANOBANANA_BASE_URL", "")
    run(host, generate("a lighthouse"))
    last = events(host, STATUS)[-1]
    assert last["state"] == "failed"
    assert [error["kind"] for error in last["errors"]] == ["config"]


def test_no_key_is_in_an_event(host: StandIn, gateway: FaultyGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-live-0123456789abcdef0123"
    monkeypatch.setenv("NANOBANANA_API_KEY", key)
    gateway.set_faults(["echo_key"])
    run(host, generate("a lighthouse"))
    assert key not in json.dumps([event.data for event in host.events], default=str)


def test_events_go_only_to_the_page_that_queued_the_run(host: StandIn, gateway: FaultyGateway) -> None:
    gateway.set_faults(["latency:0.6"])
    host.server.client_id = "the first page"

    def another_page_queues(event: Event) -> None:
        if event.kind == STATUS:
            host.server.client_id = "another page"

    host.state.on_event = another_page_queues
    run(host, generate("a lighthouse", count=2))
    images_of(host, 2)
    told = [event for event in host.events if event.kind in (STATUS, IMAGE)]
    assert len(told) >= 4
    assert {event.data["client"] for event in told} == {"the first page"}


def test_a_run_that_no_page_queued_tells_no_page(host: StandIn) -> None:
    host.server.client_id = None
    run(host, generate("a lighthouse"))
    assert wait_until(lambda: not calls_running())
    assert not [event for event in host.events if event.kind in (STATUS, IMAGE)]


def test_what_is_still_on_its_way_when_the_graph_ended_is_said(host: StandIn, gateway: FaultyGateway) -> None:
    gateway.set_faults(["latency:3"])
    fails = {"class_type": "TestSleep", "inputs": {"seconds": 0.5, "fail": 1, "tag": 0}}
    assert run(host, generate("a lighthouse"), two=fails, other=shown("two")).status == "error"
    # The host tells how a graph ended once it has put it away.
    assert wait_until(lambda: [one["state"] for one in events(host, STATUS)][-1:] == ["background"])
    last = events(host, STATUS)[-1]
    assert (last["finished"], last["total"]) == (0, 1)
