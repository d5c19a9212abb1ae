"""Whole calls: cancels in every phase, waits, one refusal for all, cut addresses, full disks, many callers."""

from __future__ import annotations

import base64
import gc
import io
import json
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from engines import Bench, Inputs, finished, no_thread_left_behind, png_of, wait_until
from gateway_faults import FaultyGateway
from pack.nanobanana.calls import deliver, send
from pack.nanobanana.calls.engine import Call, Engine
from pack.nanobanana.calls.models import Outcome
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.errors import (
    ConfigError,
    DownloadFailed,
    GatewayError,
    HistoryError,
    ImageError,
    InputError,
    NanoBananaError,
    RateLimited,
    StreamBroken,
)
from pack.nanobanana.gateway.http.exchange import Exchange
from pack.nanobanana.gateway.retry import MOST_POSTS_WHEN_LIMITED, Backoff
from pack.nanobanana.imaging.parallel import PixelBudget
from pack.nanobanana.imaging.payload import FittedImages, PayloadLimits
from pack.nanobanana.journal import ImageRecord, Journal
from PIL import Image
from servers import Peer, RawServer, silent_port

PNG = base64.b64encode(png_of(100)).decode("ascii")
# Pauses of their real length.
PATIENT = Backoff(random=lambda: 0.0)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def gateway() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.0) as simulator:
        yield simulator


@pytest.fixture
def bench(gateway: FaultyGateway, tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path / "data", gateway.base_url, total_timeout=10.0, connect_timeout=5.0) as opened:
        yield opened


@pytest.fixture
def reopened(gateway: FaultyGateway, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Further processes over the same folder."""
    opened: list[Bench] = []

    def open_one(**changes: object) -> Bench:
        opened.append(Bench(tmp_path / "data", gateway.base_url, **{"total_timeout": 10.0, **changes}))
        return opened[-1]

    yield open_one
    for one in opened:
        one.journal.close()


def phase_is(call: Call, *phases: str) -> bool:
    return wait_until(lambda: call.report.phase in phases)


Reached = Callable[[Call, FaultyGateway, Bench], object]

# phase -> faults of the gateway, what to wait for before the cancel, the call's states in the journal afterwards, and
# the POSTs that the next run makes.
PHASES: dict[str, tuple[tuple[str, ...], Reached, tuple[str, ...], int]] = {
    "uploading": (("slow_upload:300000",), lambda call, gateway, bench: uploading(call), (), 1),
    "waiting": (("hang_before_headers",), lambda call, gateway, bench: gateway.ledger.billed, ("failed",), 1),
    "streaming": (("hang_after_headers",), lambda call, gateway, bench: gateway.ledger.posts[0].status, ("failed",), 1),
    "streaming behind the address": (
        ("hang_before_done",),
        lambda call, gateway, bench: bench.journal.history().calls[0].urls,
        ("answered",),
        0,
    ),
    "downloading": (("download_hang",), lambda call, gateway, bench: gateway.ledger.downloads, ("answered",), 0),
    "downloading half": (("download_hang_middle",), lambda call, gateway, bench: half(call), ("answered",), 0),
    "pausing before a POST": (("http_503",), lambda call, gateway, bench: pausing(call), (), 1),
    "pausing before a download": (("download_404",), lambda call, gateway, bench: pausing(call), ("answered",), 0),
}


def uploading(call: Call) -> bool:
    return call.report.phase == "uploading" and call.report.done > 0


def half(call: Call) -> bool:
    return call.report.phase == "downloading" and call.report.done > 0


def pausing(call: Call) -> bool:
    return call.report.phase == "pausing"


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancel_ends_a_call_in_every_phase(
    phase: str, gateway: FaultyGateway, reopened: Callable[..., Bench], tmp_path: Path
) -> None:
    faults, reached, states, posts_again = PHASES[phase]
    bench = reopened(backoff=PATIENT)
    gateway.set_faults(faults)
    changes: dict[str, Any] = {"inputs": Inputs(12_000_000)} if phase == "uploading" else {}
    with no_thread_left_behind():
        call = bench.start(**changes)
        assert wait_until(lambda: gateway.ledger.posts and reached(call, gateway, bench))
        at = time.monotonic()
        call.cancel.cancel()
        outcome = finished(call)
        assert time.monotonic() - at < 1.0
    assert (outcome.error, outcome.images) == (None, ())
    assert gateway.ledger.wait_for(lambda ledger: all(entry.finished for entry in ledger.requests), 1.0)
    if "pausing" not in phase:
        closed = gateway.ledger.requests[-1].closed_early
        assert closed is not None
        assert closed - at < 1.0
    assert tuple(state for state, _ in bench.states()) == states
    # The next prompt runs normally, in this process and in a new one.
    gateway.set_faults(None)
    before = len(gateway.ledger.posts)
    again = reopened().make(run="run 2", **changes)
    assert len(again.images) == 1
    assert len(gateway.ledger.posts) - before == posts_again
    assert any("may have been billed" in warning for warning in again.warnings) == (states == ("failed",))
    assert bench.make("another cat", run="run 2").images


def test_a_cancel_while_queued_sends_nothing(gateway: FaultyGateway, reopened: Callable[..., Bench]) -> None:
    bench = reopened(concurrency=1)
    gateway.set_faults("hang_before_headers")
    first = bench.start("one")
    assert gateway.ledger.wait_for(lambda ledger: ledger.posts)
    second = bench.start("two")
    assert phase_is(second, "queued")
    assert (second.report.done, second.report.total) == (1, 1)
    at = time.monotonic()
    second.cancel.cancel()
    assert finished(second).error is None
    assert time.monotonic() - at < 1.0
    assert len(gateway.ledger.posts) == 1
    assert [state for state, _ in bench.states()] == ["sent"]
    first.cancel.cancel()
    finished(first)


def test_a_cancel_while_connecting_sends_nothing(tmp_path: Path) -> None:
    with silent_port() as port, Bench(tmp_path, f"http://127.0.0.1:{port}", connect_timeout=20.0) as bench:
        call = bench.start()
        assert phase_is(call, "connecting")
        time.sleep(0.1)
        at = time.monotonic()
        call.cancel.cancel()
        assert finished(call).error is None
        assert time.monotonic() - at < 1.0
        assert bench.states() == []


def test_a_cancel_while_another_makes_the_same_image(gateway: FaultyGateway, bench: Bench) -> None:
    gateway.set_faults("hang_before_headers")
    first = bench.start()
    assert gateway.ledger.wait_for(lambda ledger: ledger.posts)
    second = bench.start()
    assert phase_is(second, "pausing")
    assert "being made already" in second.report.text
    at = time.monotonic()
    second.cancel.cancel()
    finished(second)
    assert time.monotonic() - at < 1.0
    first.cancel.cancel()
    finished(first)
    assert len(gateway.ledger.posts) == 1


def test_one_refusal_slows_all_calls_to_that_gateway(gateway: FaultyGateway, reopened: Callable[..., Bench]) -> None:
    bench = reopened(concurrency=4)
    gateway.script([("http_429", "retry_after:1")])
    began = time.monotonic()
    first = bench.start("one")
    assert phase_is(first, "pausing")
    others = [bench.start(prompt) for prompt in ("two", "three", "four")]
    assert wait_until(lambda: all(one.report.phase == "pausing" for one in others))
    assert "fewer calls" in others[0].report.text
    assert others[0].report.until > began + 0.9
    for call in (first, *others):
        assert finished(call).images
    refused, *later = [post.arrived for post in gateway.ledger.posts]
    assert len(later) == 4
    assert min(later) - refused >= 1.0
    # Half as many at once: the third one waited for an answer.
    third = sorted(post.arrived for post in gateway.ledger.posts[1:])[2]
    assert third > min(post.finished or 0 for post in gateway.ledger.posts[1:])


def test_another_gateway_is_not_slowed(gateway: FaultyGateway, bench: Bench) -> None:
    gateway.script([("http_429", "retry_after:30")])
    refused = bench.start("one")
    assert phase_is(refused, "pausing")
    with FaultyGateway(latency=0.0) as other:
        profile = replace(bench.profile, base_url=other.base_url)
        assert bench.make("one", profile=profile).images
    refused.cancel.cancel()
    finished(refused)


@pytest.mark.parametrize("fault", ["retry_after:1", "retry_after_date:2"])
def test_retry_after_is_waited_for(gateway: FaultyGateway, bench: Bench, fault: str) -> None:
    gateway.script([("http_503", fault)])
    assert bench.make().images
    first, second = gateway.ledger.posts
    assert second.arrived - (first.finished or 0) >= 0.95


def test_retry_after_is_capped_and_the_text_says_what_is_waited_for(gateway: FaultyGateway, bench: Bench) -> None:
    gateway.script([("http_429", "retry_after:86400")])
    call = bench.start()
    assert phase_is(call, "pausing")
    assert 119 < call.report.until - time.monotonic() <= 120
    assert "accepts no more calls for now" in call.report.text
    call.cancel.cancel()
    finished(call)


def test_back_off_doubles(gateway: FaultyGateway, reopened: Callable[..., Bench]) -> None:
    gateway.set_faults("http_503")
    chosen: list[float] = []

    class Noting(Backoff):
        def before_post(self, error: GatewayError, attempt: int) -> float:
            chosen.append(super().before_post(error, attempt))
            return chosen[-1]

    reopened(backoff=Noting(random=PATIENT.random, scale=0.2)).make()
    assert chosen == pytest.approx([0.05, 0.1, 0.2, 0.4])
    times = [post.arrived for post in gateway.ledger.posts]
    for pause, expected in zip((later - earlier for earlier, later in pairwise(times)), chosen, strict=True):
        assert pause >= expected


def test_an_address_at_the_break_counts_when_its_download_works(gateway: FaultyGateway, bench: Bench) -> None:
    # Cut behind the address, inside the event: whether it was whole, nobody can tell but the download.
    gateway.set_faults(["shape_bare_url", "framing_plain_json", "cut_inside_url"])
    cut = bench.make("cut inside")
    assert isinstance(cut.error, StreamBroken)
    assert cut.billed == "maybe"
    assert bench.states() == [("failed", "maybe")]
    # The same prompt within the run is not sent again; by a person it is, and is told of the earlier call.
    assert isinstance(bench.make("cut inside").error, NanoBananaError)
    assert len(gateway.ledger.posts) == 1
    gateway.set_faults(None)
    again = bench.make("cut inside", run="run 2")
    assert again.images
    assert "may have been billed" in again.warnings[0]
    assert gateway.ledger.posts[0].request_id in again.warnings[0]


@pytest.mark.parametrize("tail", [b"", b'"}}]'])
def test_an_address_that_was_whole_at_the_break_brings_its_image(tmp_path: Path, tail: bytes) -> None:
    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        if line.startswith("GET"):
            peer.answer("200 OK", png_of(100))
            return
        url = f"{server.url}/output/1.png".encode()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        peer.send(b'data: {"choices":[{"delta":{"content":"' + url + tail)

    with RawServer(serve) as server, Bench(tmp_path, server.url) as bench:
        outcome = bench.make()
        assert outcome.error is None
        assert len(outcome.images) == 1
        assert "cut off" in outcome.warnings[0]
        assert bench.states() == [("kept", "yes")]
        connections = server.connections
        assert bench.make(run="run 2").source == "journal"
        assert server.connections == connections


def test_a_cut_address_beside_whole_images_is_a_warning(tmp_path: Path) -> None:
    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        if line.startswith("GET /output/1.png "):
            peer.answer("200 OK", png_of(100))
        elif line.startswith("GET"):
            peer.answer("404 Not Found")
        else:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
            text = f"{server.url}/output/1.png\\n{server.url}/output/2".encode()
            peer.send(b'data: {"choices":[{"delta":{"content":"' + text)

    with RawServer(serve) as server, Bench(tmp_path, server.url) as bench:
        outcome = bench.make()
        assert outcome.error is None
        assert len(outcome.images) == 1
        assert any("address of one more image" in warning for warning in outcome.warnings)
        assert bench.states() == [("kept", "yes")]


def test_an_address_that_has_expired_says_the_way_out(gateway: FaultyGateway, bench: Bench) -> None:
    gateway.set_faults("download_410:0")
    first = bench.make()
    assert isinstance(first.error, DownloadFailed)
    assert first.error.request_id == gateway.ledger.posts[0].request_id
    assert "at no cost" in first.error.hint
    second = bench.make(run="run 2")
    assert isinstance(second.error, DownloadFailed)
    assert "change the seed" in second.error.hint
    assert second.error.url in second.error.message
    assert second.billed == "no"
    assert len(gateway.ledger.posts) == 1
    gateway.set_faults(None)
    assert bench.make(run="run 3", seed=2).images
    assert len(gateway.ledger.posts) == 2


def test_an_inline_image_beside_an_address_that_fails_is_kept_and_the_rest_fetched_later(tmp_path: Path) -> None:
    healthy = False

    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        if line.startswith("GET"):
            peer.answer("200 OK", png_of(200)) if healthy else peer.answer("410 Gone")
        else:
            import base64
            import json

            inline = base64.b64encode(png_of(100)).decode()
            answer = {"data": [{"b64_json": inline}, {"url": f"{server.url}/output/2.png"}]}
            peer.answer("200 OK", json.dumps(answer).encode())

    with RawServer(serve) as server, Bench(tmp_path, server.url) as bench:
        first = bench.make()
        assert len(first.images) == 1
        assert isinstance(first.error, DownloadFailed)
        assert bench.states() == [("answered", "yes")]
        healthy = True
        second = bench.make(run="run 2")
        assert [image.bytes for image in second.images] == [len(png_of(100)), len(png_of(200))]
        assert second.error is None
        assert bench.states() == [("kept", "yes")]


@pytest.mark.parametrize("fault", ["content_filter", "http_504"])
def test_what_is_simulated_is_never_billed(gateway: FaultyGateway, tmp_path: Path, fault: str) -> None:
    gateway.set_faults([fault])
    with Bench(tmp_path, "simulator") as bench:
        bench.engine = Engine(bench.journal, resolve_base_url=lambda _: gateway.base_url)
        for run in ("run 1", "run 1", "run 2"):
            outcome = bench.make(run=run)
            assert outcome.error is not None
            assert outcome.billed == "no"
            assert "was not billed" in str(outcome.error)
            assert "brought no image" not in str(outcome.error)
        assert bench.journal.totals_by_day() == ()


def test_a_damaged_image_that_its_process_could_not_forget_is_downloaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the save of a damaged image and the next try: what is on disk would pass for the image."""
    image = png_of(30_000)
    seen: list[str] = []

    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        seen.append(line.split(" ")[0])
        if line.startswith("POST"):
            body = {"choices": [{"message": {"content": f"![a]({server.url}/1.png)"}}]}
            peer.answer("200 OK", json.dumps(body).encode(), content_type="application/json")
        else:
            peer.answer("200 OK", image if len(seen) > 2 else image[: len(image) * 2 // 3])

    def killed(*_: object) -> None:
        raise Cancelled

    with RawServer(serve) as server, Bench(tmp_path / "data", server.url) as bench:
        with monkeypatch.context() as process:
            process.setattr(deliver.Delivery, "_forget", killed)
            assert not bench.make().images
        assert [one.bytes for one in bench.journal.history().calls[0].images] == [len(image) * 2 // 3]
        again = bench.make(run="run 2")
        assert again.error is None
        assert [one.bytes for one in again.images] == [len(image)]
        assert bench.states() == [("kept", "yes")]
        assert seen == ["POST", "GET", "GET"]


@pytest.mark.parametrize("whole", [True, False], ids=["whole answer", "cut behind the address"])
@pytest.mark.parametrize("whole_at", [3, 6])
def test_an_image_that_came_damaged_is_downloaded_again_and_never_bought(
    whole_at: int, whole: bool, tmp_path: Path
) -> None:
    image = png_of(30_000)
    seen: list[str] = []

    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        seen.append(line.split(" ")[0])
        if line.startswith("POST"):
            body = {
                "choices": [{"message": {"content": f"![a]({server.url}/1.png)" if whole else f"{server.url}/1.png"}}]
            }
            text = json.dumps(body)
            text = text if whole else text[: text.index(".png") + 4]
            peer.answer("200 OK", text.encode(), content_type="application/json")
        else:
            # Two thirds of the file, with a length that says that this is all.
            peer.answer("200 OK", image if seen.count("GET") >= whole_at else image[: len(image) * 2 // 3])

    with RawServer(serve) as server, Bench(tmp_path / "data", server.url) as bench:
        first = bench.make()
        if whole_at > 5:
            assert isinstance(first.error, DownloadFailed)
            assert "damaged" in first.error.message
            assert f"{server.url}/1.png" in first.error.message
            assert "seed" not in str(first.error)
            assert bench.states() == [("answered", "yes")]
            first = bench.make(run="run 2")
        assert [one.bytes for one in first.images] == [len(image)]
        assert first.error is None
        assert bench.states() == [("kept", "yes")]
        assert seen == ["POST", *["GET"] * whole_at]


def test_an_inline_image_that_cannot_be_read_is_kept_and_its_file_named(tmp_path: Path) -> None:
    half = base64.b64encode(png_of(3_000)[:2_000]).decode("ascii")

    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer("200 OK", json.dumps({"data": [{"b64_json": half}]}).encode(), content_type="application/json")

    with RawServer(serve) as server, Bench(tmp_path / "data", server.url) as bench:
        outcome = bench.make()
        assert isinstance(outcome.error, ImageError)
        kept = bench.journal.history().calls[0].images[0]
        assert str(kept.path) in outcome.error.message
        assert kept.path.read_bytes() == bench.journal.read(kept)
        again = bench.make(run="run 2")
        assert str(kept.path) in str(again.error)


def test_images_beside_the_one_that_was_asked_for_are_decoded_up_to_a_number_of_pixels(
    gateway: FaultyGateway, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.set_faults("pictures:4")
    # One was asked for; one more of 512 x 512 fits, and the third would not.
    monkeypatch.setattr(deliver, "unasked", PixelBudget(2 * 512 * 512 - 1))
    outcome = bench.make()
    assert len(outcome.images) == 2
    assert [warning for warning in outcome.warnings if "more images than fit into memory" in warning]
    assert len(bench.journal.history().calls[0].images) == 4
    # When those are gone there is room again.
    del outcome
    gc.collect()
    assert len(bench.make("a dog").images) == 2


@pytest.mark.slow
def test_answers_of_huge_images_fill_the_memory_once_and_stay_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of some kilobytes may hold 100 megapixels; each call of a node may bring one."""
    file = io.BytesIO()
    Image.new("RGB", (3000, 3000), "navy").save(file, "PNG")
    body = json.dumps({"data": [{"b64_json": base64.b64encode(file.getvalue()).decode()}]}).encode()

    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer("200 OK", body, content_type="application/json")

    monkeypatch.setattr(deliver, "unasked", PixelBudget(20_000_000))
    with RawServer(serve) as server, Bench(tmp_path, server.url) as bench:
        outcomes = [bench.make(variation=number, want_float=True) for number in range(4)]
        assert [len(outcome.images) for outcome in outcomes] == [1, 1, 0, 0]
        assert "9000000" not in str(outcomes[2].error)
        assert "3000 x 3000" in str(outcomes[2].error)
        assert bench.states() == [("kept", "yes")] * 4
        outcomes.clear()
        gc.collect()
        assert bench.make(run="run 2", variation=3).source == "journal"
        assert server.connections == 4


@pytest.mark.parametrize("error", [MemoryError(), ImageError("broken")])
def test_a_decode_that_fails_gives_its_room_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    file = io.BytesIO()
    Image.new("RGB", (3000, 3000), "navy").save(file, "PNG")
    body = json.dumps({"data": [{"b64_json": base64.b64encode(file.getvalue()).decode()}]}).encode()

    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer("200 OK", body, content_type="application/json")

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(deliver, "unasked", PixelBudget(1))
    with RawServer(serve) as server, Bench(tmp_path, server.url) as bench:
        with monkeypatch.context() as broken:
            broken.setattr(deliver, "decode", fails)
            assert bench.make().error is not None
        assert len(bench.make(run="run 2").images) == 1
        assert server.connections == 1


def test_whatever_the_failures_there_is_a_ceiling_of_posts(
    gateway: FaultyGateway, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.set_faults("http_503")
    assert isinstance(bench.make().error, RateLimited)
    assert len(gateway.ledger.posts) == MOST_POSTS_WHEN_LIMITED
    gateway.set_faults(None)
    gateway.script([["http_500"], ["model_not_found_503"]] * 3)
    monkeypatch.setattr(send, "_MOST_POSTS", 2)
    assert bench.make("another").error is not None
    assert len(gateway.ledger.posts) == MOST_POSTS_WHEN_LIMITED + 2


@pytest.mark.slow
def test_a_minutes_rate_limit_fails_none_of_many_calls(tmp_path: Path) -> None:
    """12 calls a window, refused without a Retry-After; 20 at once, 8 of them beside each other."""
    window, most = 2.0, 6
    taken: list[float] = []
    refused: list[float] = []
    lock = threading.Lock()

    def serve(peer: Peer) -> None:
        peer.request()
        with lock:
            now = time.monotonic()
            full = sum(now - at < window for at in taken) >= most
            (refused if full else taken).append(now)
        if full:
            peer.answer("429 Too Many Requests", b"<html>429</html>", content_type="text/html")
        else:
            peer.answer("200 OK", json.dumps({"data": [{"b64_json": PNG}]}).encode(), content_type="application/json")

    # A window of 2 s is to the budget of 3.6 s what a minute is to 90 s, and more.
    backoff = Backoff(scale=0.04)
    with RawServer(serve) as server, Bench(tmp_path / "data", server.url, backoff=backoff, concurrency=8) as bench:
        calls = [bench.start(f"cat {number}") for number in range(20)]
        outcomes = [finished(call, 60.0) for call in calls]
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    assert len(taken) == 20
    assert len(refused) < 80


def test_size_and_ratio_are_compared_with_what_was_asked(gateway: FaultyGateway, bench: Bench) -> None:
    gateway.set_faults("picture_other_ratio")
    outcome = bench.make()
    assert outcome.error is None
    assert "Asked for 1:1" in outcome.warnings[0]
    assert bench.make(run="run 2").warnings == outcome.warnings


def test_calls_with_several_variations_are_calls_of_their_own(gateway: FaultyGateway, bench: Bench) -> None:
    gateway.script([(), "http_400", (), "http_400"])
    calls = [bench.start(variation=number) for number in range(4)]
    outcomes = [finished(call) for call in calls]
    assert sum(len(outcome.images) for outcome in outcomes) == 2
    gateway.script([])
    again = [finished(bench.start(run="run 2", variation=number)) for number in range(5)]
    assert all(outcome.images for outcome in again)
    # Two failed and one is new.
    assert len(gateway.ledger.posts) == 4 + 3


def test_floats_come_where_they_are_asked_for_also_from_disk(bench: Bench) -> None:
    for source in ("gateway", "journal"):
        asked, plain = bench.make(want_float=True), bench.make(variation=1)
        assert asked.images[0].image.as_float is not None
        assert plain.images[0].image.as_float is None
        assert asked.source == source


def test_the_same_image_wanted_by_many_is_paid_once(gateway: FaultyGateway, bench: Bench) -> None:
    gateway.set_faults("latency:0.2")
    outcomes = [finished(call) for call in [bench.start() for _ in range(12)]]
    assert all(outcome.images for outcome in outcomes)
    assert sorted(outcome.source for outcome in outcomes) == ["gateway"] + ["journal"] * 11
    assert len(gateway.ledger.posts) == 1


def test_callers_of_the_same_image_that_fails_are_not_asked_in_turn(gateway: FaultyGateway, bench: Bench) -> None:
    gateway.set_faults(["latency:0.2", "http_504"])
    outcomes = [finished(call) for call in [bench.start() for _ in range(6)]]
    assert all(outcome.billed == "maybe" for outcome in outcomes)
    assert len(gateway.ledger.posts) == 1


def test_no_base_url_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with Bench(tmp_path, "") as bench:
        outcome = bench.make()
        assert isinstance(outcome.error, ConfigError)
        assert bench.states() == []


def test_input_that_cannot_be_sent_leaves_nothing_behind(gateway: FaultyGateway, bench: Bench) -> None:
    class NotANumber(Inputs):
        def fitted(self, limits: PayloadLimits, cancel: CancelToken) -> FittedImages:
            raise InputError("Image 1 holds NaN.")

    outcome = bench.make(inputs=NotANumber())
    assert isinstance(outcome.error, InputError)
    assert bench.states() == []
    assert gateway.ledger.posts == []


def test_what_nobody_foresaw_still_ends_the_call(gateway: FaultyGateway, bench: Bench) -> None:
    def convert(outcome: Outcome) -> None:
        raise ZeroDivisionError("sk-planted-key-0123456789abcdef")

    call = bench.engine.start(bench.order(), 0, CancelToken(), convert=convert)
    outcome = finished(call)
    assert "ZeroDivisionError" in str(outcome.error)
    assert "planted" not in str(outcome.error)
    assert bench.states() == [("kept", "yes")]
    assert bench.make(run="run 2").images


def test_the_built_in_simulator_is_a_base_url(tmp_path: Path) -> None:
    with Bench(tmp_path, "simulator", total_timeout=10.0) as bench:
        assert bench.make().images


def test_calls_leave_no_thread_behind(gateway: FaultyGateway, bench: Bench) -> None:
    with no_thread_left_behind():
        for number in range(5):
            assert bench.make(f"cat {number}").images


class FullDisk(Journal):
    """A journal whose disk is full at the steps in `full`."""

    full: frozenset[str] = frozenset()

    def _step_to_disk(self, step: str) -> None:
        if step in self.full:
            raise HistoryError("The disk is full.")

    def sent(self, *arguments: Any, **named: Any) -> None:
        self._step_to_disk("sent")
        super().sent(*arguments, **named)

    def url(self, *arguments: Any, **named: Any) -> None:
        self._step_to_disk("url")
        super().url(*arguments, **named)

    def answered(self, *arguments: Any, **named: Any) -> None:
        self._step_to_disk("answered")
        super().answered(*arguments, **named)

    def keep(self, *arguments: Any, **named: Any) -> ImageRecord:
        self._step_to_disk("keep")
        return super().keep(*arguments, **named)

    def set_size(self, *arguments: Any, **named: Any) -> None:
        self._step_to_disk("set_size")
        super().set_size(*arguments, **named)

    def kept(self, *arguments: Any, **named: Any) -> None:
        self._step_to_disk("kept")
        super().kept(*arguments, **named)


class TestFullDisk:
    """The disk fills up at a step: what is paid is delivered, and what can be had again is."""

    @pytest.fixture
    def disk(self, tmp_path: Path) -> FullDisk:
        return FullDisk(tmp_path / "data")

    @pytest.fixture
    def bench(self, gateway: FaultyGateway, disk: FullDisk, tmp_path: Path) -> Iterator[Bench]:
        with Bench(tmp_path / "data", gateway.base_url, journal=disk, total_timeout=10.0) as opened:
            yield opened

    def test_before_sending_nothing_is_sent(self, gateway: FaultyGateway, bench: Bench, disk: FullDisk) -> None:
        disk.full = frozenset({"sent"})
        with no_thread_left_behind():
            outcome = bench.make()
        assert isinstance(outcome.error, HistoryError)
        assert gateway.ledger.billed == []
        assert bench.states() == []
        disk.full = frozenset()
        assert bench.make().images

    @pytest.mark.parametrize("step", ["url", "answered", "keep", "kept", "set_size"])
    @pytest.mark.parametrize("shape", ["shape_documented", "shape_markdown_data"])
    def test_behind_sending_the_image_is_delivered(
        self, gateway: FaultyGateway, bench: Bench, disk: FullDisk, step: str, shape: str
    ) -> None:
        gateway.set_faults(shape)
        disk.full = frozenset({step})
        outcome = bench.make()
        assert outcome.error is None
        assert len(outcome.images) == 1
        if step == "keep":
            assert "could not be saved on disk" in outcome.warnings[0]
        disk.full = frozenset()
        again = bench.make(run="run 2")
        assert len(again.images) == 1
        # Only an inline image that never reached the disk can't be had again.
        asked_again = step == "keep" and shape == "shape_markdown_data"
        assert len(gateway.ledger.posts) == (2 if asked_again else 1)

    def test_at_every_step_at_once(self, gateway: FaultyGateway, bench: Bench, disk: FullDisk) -> None:
        disk.full = frozenset({"url", "answered", "keep", "kept"})
        outcome = bench.make()
        assert len(outcome.images) == 1
        disk.full = frozenset()
        # The call was sent and nothing of it is on disk: a person may ask again, and is told.
        again = bench.make(run="run 2")
        assert len(again.images) == 1
        assert "may have been billed" in again.warnings[0]


@pytest.mark.parametrize("kind", ["404", "a page", "silence"])
@pytest.mark.parametrize(
    "text",
    [
        "![image]({base}/good.png)\n\nMore: [one]({base}/extra.png) and [also]({base}/extra.jpg)",
        "Look at [this]({base}/extra.png) or [that]({base}/extra.jpg) first: ![image]({base}/good.png)",
    ],
)
def test_what_only_looks_like_an_image_is_let_go_once_one_is_there(
    text: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "silence":
        monkeypatch.setattr(deliver, "_EXTRA_SECONDS", 1.0)
    seen: list[str] = []

    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        path = line.split(" ")[1]
        seen.append(path)
        if line.startswith("POST"):
            words = {"choices": [{"message": {"content": text.replace("{base}", server.url)}}]}
            peer.answer("200 OK", json.dumps(words).encode(), content_type="application/json")
        elif path == "/good.png":
            peer.answer("200 OK", png_of(100))
        elif kind == "silence":
            peer.pause(5)
        elif kind == "404":
            peer.answer("404 Not Found", b"no")
        else:
            peer.answer("200 OK", b"<html>a page</html>")

    with RawServer(serve) as server, Bench(tmp_path / "data", server.url, total_timeout=20.0) as bench:
        outcome = bench.make()
        assert (outcome.error, len(outcome.images)) == (None, 1)
        assert not any("download" in warning for warning in outcome.warnings)
        assert bench.states() == [("kept", "yes")]
        assert wait_until(lambda: sorted(seen[1:]) == ["/extra.jpg", "/extra.png", "/good.png"])
        bench.make(run="run 2")
        assert len(seen) == 4


def test_an_extra_image_that_can_be_fetched_comes_too(tmp_path: Path) -> None:
    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        if line.startswith("POST"):
            text = f"![image]({server.url}/a.png) and [more]({server.url}/b.png)"
            peer.answer("200 OK", json.dumps({"choices": [{"message": {"content": text}}]}).encode())
        else:
            peer.answer("200 OK", png_of(100 if "a.png" in line else 200))

    with RawServer(serve) as server, Bench(tmp_path / "data", server.url) as bench:
        assert [one.bytes for one in bench.make().images] == [len(png_of(100)), len(png_of(200))]


@pytest.mark.parametrize("fault", ["", "shape_markdown_data", "http_500", "cut_after_bytes:200"])
def test_a_call_leaves_nothing_in_memory(tmp_path: Path, fault: str) -> None:
    """A node's images would stay with it, run after run."""
    faults = [fault] if fault else []
    with FaultyGateway(latency=0.01, faults=faults) as gateway, Bench(tmp_path, gateway.base_url) as bench:

        def made(number: int) -> weakref.ref[Call]:
            call = bench.start(f"cat {number}", want_float=True)
            finished(call)
            return weakref.ref(call)

        calls = [made(number) for number in range(3)]

        def gone() -> bool:
            gc.collect()
            # Nor does the connection itself stay, with its session and pools.
            return not any(one() for one in calls) and not any(type(one) is Exchange for one in gc.get_objects())

        assert wait_until(gone)


def test_one_click_that_queues_the_same_prompt_several_times_is_one_decision(
    gateway: FaultyGateway, bench: Bench
) -> None:
    """Batch count 5 with a fixed seed: what may have been billed is not asked again before the person could know."""
    gateway.set_faults("http_504")
    clicked = time.time()
    outcomes = [bench.make(run=f"run {number}", queued_at=clicked) for number in range(5)]
    assert len(gateway.ledger.posts) == 1
    assert [outcome.billed for outcome in outcomes] == ["maybe"] * 5
    assert all("may have been billed" in str(outcome.error) for outcome in outcomes)
    # The next click is another decision; when it fails too, the first one is named.
    again = bench.make(run="run 6", queued_at=time.time() + 0.001)
    assert len(gateway.ledger.posts) == 2
    assert "An earlier call for this image" in str(again.error)
    assert "may have been billed" in str(again.error)
    gateway.set_faults(None)
    assert bench.make(run="run 7", queued_at=time.time() + 0.001).error is None


def test_what_trimming_has_removed_is_said_when_it_is_bought_anew(gateway: FaultyGateway, bench: Bench) -> None:
    gateway.set_faults("shape_markdown_data")
    first = bench.make()
    assert not [warning for warning in first.warnings if "no longer on disk" in warning]
    for path in (bench.journal.folder / "pictures").iterdir():
        path.unlink()
    again = bench.make(run="run 2")
    assert (again.error, again.source) == (None, "gateway")
    assert [warning for warning in again.warnings if "no longer on disk" in warning]


def test_a_data_folder_that_was_deleted_is_made_again(gateway: FaultyGateway, bench: Bench) -> None:
    assert bench.make().error is None
    shutil.rmtree(bench.journal.folder)
    # The run that finds it buys nothing; the next one goes on, and keeps what it buys.
    for run in ("run 2", "run 3", "run 4"):
        outcome = bench.make("a dog", run=run)
    assert outcome.error is None
    assert outcome.source in ("gateway", "journal")
    assert len(bench.journal.history().calls[0].images) == 1
    assert len(gateway.ledger.posts) == 2
