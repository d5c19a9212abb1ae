"""Answers without an image that a person can use: saved whole, read again later; and work that a gateway queues."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from engines import Bench, finished, png_of, wait_until
from pack.nanobanana.calls import engine
from pack.nanobanana.cancel import CancelToken
from pack.nanobanana.errors import BadAnswer, GatewayError, HistoryError, StatusError, TimedOut
from pack.nanobanana.journal import CallKey, Journal
from servers import Peer, RawServer

PNG = png_of(3000)
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode("ascii")
STRANGE: dict[str, Any] = {"id": "abc", "verdict": {"shape": "of tomorrow"}, "note": "sk-0123456789abcdef0123456789"}


@contextmanager
def gateway(answer: Callable[[str, int], tuple[str, bytes]]) -> Iterator[tuple[str, list[str]]]:
    """Its base URL, and the request lines it has seen. `answer` gets the line and how often it came before."""
    seen: list[str] = []
    lock = threading.Lock()

    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        line = line.rpartition(" ")[0]
        with lock:
            before = seen.count(line)
            seen.append(line)
        status, body = answer(line, before)
        peer.answer(status, body, content_type="application/json")

    with RawServer(serve) as server:
        yield server.url, seen


def always(body: object, status: str = "200 OK") -> Callable[[str, int], tuple[str, bytes]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _, __: (status, data)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (STRANGE, "200 OK"),
        (STRANGE, "201 Created"),
        ({"choices": [{"message": {"content": "I'd rather not."}}]}, "200 OK"),
        (b"<html><title>Welcome</title></html>", "200 OK"),
        (b'data: {"choices":[{"delta":{"content":"no"}}]}\n\ndata: [DONE]\n\n', "200 OK"),
        (b'{"choices":[{"message":{"content":"half', "200 OK"),
    ],
)
def test_an_answer_without_an_image_is_saved_whole_and_named(body: object, status: str, tmp_path: Path) -> None:
    with gateway(always(body, status)) as (url, seen), Bench(tmp_path / "data", url) as bench:
        outcome = bench.make()
        call = bench.journal.history().calls[0]
        assert isinstance(outcome.error, GatewayError)
        assert call.answer is not None
        assert str(call.answer.path) in str(outcome.error)
        assert str(call.answer.path) in call.error
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        saved = bench.journal.read(call.answer)
        assert saved == data.replace(b"sk-0123456789abcdef0123456789", b"[key removed]")
        assert call.images == ()
        assert bench.journal.stats().images == 0
        assert [day.images for day in bench.journal.totals_by_day()] == [0]
        assert len(seen) == 1


def test_nothing_is_saved_where_nothing_came_or_an_image_did(tmp_path: Path) -> None:
    with gateway(always(b"")) as (url, _), Bench(tmp_path / "empty", url) as bench:
        bench.make()
        assert bench.journal.history().calls[0].answer is None
    good = {"choices": [{"message": {"content": PNG_URL}}]}
    with gateway(always(good)) as (url, _), Bench(tmp_path / "good", url) as bench:
        assert len(bench.make().images) == 1
        assert bench.journal.history().calls[0].answer is None


def test_the_profiles_own_key_is_taken_out(tmp_path: Path) -> None:
    key = "a-key-without-a-prefix-7"
    with gateway(always({"echo": key})) as (url, _), Bench(tmp_path / "data", url, api_key=key) as bench:
        bench.make()
        record = bench.journal.history().calls[0].answer
        assert record is not None
        assert key.encode() not in bench.journal.read(record)


def test_what_a_later_version_understands_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = {"verdict": {"shape": "of tomorrow"}, "picture_in_a_new_place": PNG_URL}
    with gateway(always(hidden)) as (url, seen), Bench(tmp_path / "data", url) as bench:
        with monkeypatch.context() as today:
            # A version that knows no such place.
            today.setattr("pack.nanobanana.gateway.answer.collector.walk", lambda *_: None)
            first = bench.make()
            again = bench.make(run="run 2")
        assert (first.images, again.images) == ((), ())
        assert len(seen) == 2
        later = bench.make(run="run 3")
        assert [one.bytes for one in later.images] == [len(PNG)]
        assert later.billed == "no"
        assert later.source == "journal"
        assert len(seen) == 2
        # And from then on it is an image like any other.
        assert len(bench.make(run="run 4").images) == 1
        assert len(seen) == 2
        assert bench.states() == [("failed", "yes"), ("kept", "yes")]


def test_a_kill_while_a_saved_answer_is_read_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with gateway(always({"picture": PNG_URL})) as (url, seen), Bench(tmp_path / "data", url) as bench:
        with monkeypatch.context() as today:
            today.setattr("pack.nanobanana.gateway.answer.collector.walk", lambda *_: None)
            bench.make()

        order = bench.order(run="run 2")
        call = bench.journal.history().calls[0]
        claim = bench.journal.claim(
            call.key,
            call.details,
            cancel=CancelToken(),
            on_wait=lambda _: None,
            run="2",
            holds_image=engine.holds_image,
        )
        assert claim.what == "answered"
        bench.journal.close()
        with Bench(tmp_path / "data", url, journal=Journal(tmp_path / "data")) as after:
            assert finished(after.engine.start(order, 0, CancelToken())).images
            assert len(seen) == 1


def queued(then: list[tuple[str, object]], path: str = "/v1/images/tasks/task%2F7") -> Callable[..., tuple[str, bytes]]:
    """A gateway that queues, and whose task answers one after the other, the last one for ever."""

    def answer(line: str, before: int) -> tuple[str, bytes]:
        if line.startswith("POST"):
            return "200 OK", json.dumps({"code": 200, "data": [{"status": "submitted", "task_id": "task/7"}]}).encode()
        if line != f"GET {path}":
            return "404 Not Found", b'{"error":{"message":"no such route"}}'
        status, body = then[min(before, len(then) - 1)]
        return status, json.dumps(body).encode()

    return answer


RUNNING = ("200 OK", {"task_id": "task/7", "status": "processing", "progress": "40%", "url": "https://a.example/t/7"})
READY = ("200 OK", {"code": "success", "data": {"task_id": "task/7", "status": "SUCCESS", "data": {"url": PNG_URL}}})


@pytest.mark.parametrize("path", ["/v1/images/tasks/task%2F7", "/v1/tasks/task%2F7"])
def test_queued_work_is_waited_for(path: str, tmp_path: Path) -> None:
    steps = [RUNNING, ("502 Bad Gateway", {}), RUNNING, READY]
    with gateway(queued(steps, path)) as (url, seen), Bench(tmp_path / "data", url) as bench:
        outcome = bench.make()
        assert outcome.error is None
        assert len(outcome.images) == 1
        assert outcome.billed == "yes"
        assert sum(line.startswith("POST") for line in seen) == 1
        assert bench.states() == [("kept", "yes")]


def test_a_task_is_in_the_history_before_it_is_asked_about_and_outlives_cancels_and_restarts(tmp_path: Path) -> None:
    steps: list[tuple[str, object]] = [RUNNING]
    with gateway(queued(steps)) as (url, seen):
        with Bench(tmp_path / "data", url, total_timeout=60.0) as bench:
            cancel = CancelToken()
            call = bench.start(cancel=cancel)
            assert wait_until(lambda: any(line.startswith("GET") for line in seen))
            assert bench.journal.history().calls[0].urls == ("task:task/7",)
            cancel.cancel()
            finished(call)
            assert bench.states() == [("sent", "maybe")]
        with Bench(tmp_path / "data", url, total_timeout=1.0) as bench:
            late = bench.make(run="run 2")
            assert isinstance(late.error, TimedOut)
            assert "at no cost" in str(late.error)
            assert bench.states() == [("answered", "maybe")]
            steps.append(READY)
            assert len(bench.make(run="run 3").images) == 1
            assert bench.states() == [("kept", "yes")]
        assert sum(line.startswith("POST") for line in seen) == 1


def test_a_task_that_failed_says_why_and_is_asked_anew_by_the_next_run(tmp_path: Path) -> None:
    failed = ("200 OK", {"task_id": "task/7", "status": "failed", "fail_reason": "the artist is ill"})
    with gateway(queued([RUNNING, failed])) as (url, seen), Bench(tmp_path / "data", url) as bench:
        outcome = bench.make()
        assert isinstance(outcome.error, StatusError)
        assert "the artist is ill" in str(outcome.error)
        bench.make(run="run 2")
        assert sum(line.startswith("POST") for line in seen) == 2


@pytest.mark.parametrize("status", ["401 Unauthorized", "402 Payment Required", "403 Forbidden", "400 Bad Request"])
def test_a_refused_question_about_a_task_is_not_the_tasks_failure(status: str, tmp_path: Path) -> None:
    refused = (status, {"error": {"message": "not now"}})
    with gateway(queued([refused, READY])) as (url, seen), Bench(tmp_path / "data", url) as bench:
        first = bench.make()
        assert isinstance(first.error, StatusError)
        assert bench.states() == [("sent", "maybe")]
        assert len(bench.make(run="run 2").images) == 1
        assert sum(line.startswith("POST") for line in seen) == 1


def test_a_task_that_can_not_be_asked_about_is_told_and_never_bought_again(tmp_path: Path) -> None:
    with gateway(queued([RUNNING], path="/elsewhere")) as (url, seen), Bench(tmp_path / "data", url) as bench:
        for run in ("run 1", "run 2"):
            outcome = bench.make(run=run)
            assert isinstance(outcome.error, BadAnswer)
            assert "task/7" in str(outcome.error)
            assert outcome.billed == "maybe"
        assert sum(line.startswith("POST") for line in seen) == 1


def streaming(*values: object, then: float = 30.0) -> Callable[[Peer], None]:
    """A stream that says `values` and stays open."""

    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for value in values:
            peer.chunk(b"data: %s\n\n" % json.dumps(value).encode())
        peer.pause(then)

    return serve


INLINE = {"choices": [{"delta": {"content": f"![image]({PNG_URL})\n"}}]}


@pytest.mark.parametrize("ending", ["cancel", "kill"])
def test_an_inline_image_is_saved_when_it_has_come_though_its_stream_stays_open(ending: str, tmp_path: Path) -> None:
    posts: list[int] = []

    def serve(peer: Peer) -> None:
        posts.append(1)
        streaming(INLINE)(peer)

    with RawServer(serve) as server:
        with Bench(tmp_path / "data", server.url, total_timeout=30.0) as bench:
            cancel = CancelToken()
            call = bench.start(cancel=cancel)
            assert wait_until(lambda: bench.journal.history().calls and bench.journal.history().calls[0].images)
            if ending == "kill":
                # As after a kill: the sign of life is gone, whatever the thread still does.
                bench.journal.close()
                with Bench(tmp_path / "data", server.url, journal=Journal(tmp_path / "data")) as after:
                    outcome = after.make(run="run 2")
                cancel.cancel()
            else:
                cancel.cancel()
                finished(call)
                outcome = bench.make(run="run 2")
        assert [one.bytes for one in outcome.images] == [len(PNG)]
        assert len(posts) == 1


def test_a_preview_of_the_same_number_is_not_saved_for_the_result(tmp_path: Path) -> None:
    preview = base64.b64encode(png_of(500)).decode("ascii")

    def part(data: str) -> dict[str, Any]:
        image = {"index": 0, "image_url": {"url": f"data:image/png;base64,{data}"}}
        return {"choices": [{"delta": {"images": [image]}}]}

    values = [part(preview), part(base64.b64encode(PNG).decode("ascii"))]
    body = b"".join(b"data: %s\n\n" % json.dumps(value).encode() for value in values) + b"data: [DONE]\n\n"
    with gateway(always(body)) as (url, _), Bench(tmp_path / "data", url) as bench:
        assert [one.bytes for one in bench.make().images] == [len(PNG)]
        assert [one.bytes for one in bench.journal.history().calls[0].images] == [len(PNG)]


def test_drafts_saved_on_the_way_are_forgotten_when_the_answer_names_its_images(tmp_path: Path) -> None:
    draft = f"data:image/png;base64,{base64.b64encode(png_of(500)).decode('ascii')}"
    values = [
        {
            "choices": [
                {"delta": {"content": f"![a](data:image/png;base64,{draft}) ![b](data:image/png;base64,{draft}AAAA)"}}
            ]
        },
        {"choices": [{"delta": {}}], "media": {"outputs": [PNG_URL]}},
    ]
    body = b"".join(b"data: %s\n\n" % json.dumps(value).encode() for value in values) + b"data: [DONE]\n\n"
    with gateway(always(body)) as (url, _), Bench(tmp_path / "data", url) as bench:
        assert [one.bytes for one in bench.make().images] == [len(PNG)]
        assert [one.bytes for one in bench.journal.history().calls[0].images] == [len(PNG)]


def test_addresses_of_many_calls_are_written_together_and_none_is_lost(tmp_path: Path) -> None:
    with Journal(tmp_path / "data") as journal, Bench(tmp_path / "data", "http://a.example", journal=journal) as bench:
        details = engine._details(bench.order())
        claims = [
            journal.claim(CallKey("f", number), details, cancel=CancelToken(), on_wait=lambda _: None, run="r")
            for number in range(40)
        ]
        errors: list[BaseException] = []

        def note(call_id: int, number: int) -> None:
            try:
                journal.url(call_id, 0, f"https://a.example/{number}")
            except HistoryError as error:
                errors.append(error)

        threads = [threading.Thread(target=note, args=(one.record.id, number)) for number, one in enumerate(claims)]
        threads.append(threading.Thread(target=note, args=(99_999, 0)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(errors) == 1
        found = {call.key.variation: call.urls for call in journal.history(limit=100).calls}
        assert found == {number: (f"https://a.example/{number}",) for number in range(40)}


def test_a_profile_may_say_where_tasks_are_asked_about(tmp_path: Path) -> None:
    with (
        gateway(queued([RUNNING, READY], "/v1/jobs/task%2F7/state")) as (url, seen),
        Bench(tmp_path / "data", url, task_path="/v1/jobs/{id}/state") as bench,
    ):
        assert len(bench.make().images) == 1
        assert seen[1] == "GET /v1/jobs/task%2F7/state"
