"""A planted key is looked for in everything that runs leave behind, serve, say or log."""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from engines import png_of
from gateway_faults import FaultyGateway
from graphs import edit, generate, loaded, shown
from pack.nanobanana.settings.profile import Profile
from pack.nanobanana.settings.store import ProfileStore
from servers import Peer, RawServer
from stand_in import StandIn
from stand_in.execution import Run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
# Two forms: one that any pattern knows, and one that only the settings tell apart from a word; from two places.
KEYS = {"sk, profiles.json": "sk-Planted7f3a9c2e5b8d1f4a6c0e2b7d9", "word, environment": "planted+word/with=signs"}
SAVE = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "cat"}}


class Traces:
    """Everything that can be looked through: texts by where they were found."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, bytes]] = []

    def add(self, where: str, what: object) -> None:
        data = what if isinstance(what, bytes) else str(what).encode("utf-8", "surrogatepass")
        self.texts.append((where, data))

    def add_files(self, folder: Path) -> None:
        for path in folder.rglob("*"):
            self.add(f"name of {path}", path)
            if path.is_file() and path.name != "profiles.json":
                self.add(str(path), path.read_bytes())
            if path.name == "journal.sqlite3":
                with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                    self.add(f"rows of {path}", "\n".join(connection.iterdump()))

    def add_run(self, run: Run) -> None:
        """What the host keeps in its history and sends to every client."""
        self.add("outputs", repr(run.outputs))
        self.add("ui", repr(run.ui))
        if run.failure is not None:
            failure = run.failure
            self.add("failure", repr((failure.message, failure.traceback, failure.exception)))
            error: BaseException | None = failure.exception
            self.add("traceback", "".join(traceback.format_exception(error)))
            while error is not None:
                self.add("exception", repr((error, error.args, getattr(error, "__dict__", {}))))
                error = error.__cause__ or error.__context__

    def leaks(self, key: str) -> list[str]:
        forms = {key.encode(), quote(key, safe="").encode(), base64.b64encode(key.encode()).rstrip(b"=")}
        # All but the last four characters, which may be shown of a long key.
        forms.add(key[:-4].encode())
        found: list[str] = []
        for where, data in self.texts:
            for form in forms:
                at = data.find(form)
                if at >= 0:
                    found.append(f"{where}: ...{data[max(0, at - 60) : at]!r}")
                    break
        return found


@pytest.fixture
def traces(caplog: pytest.LogCaptureFixture) -> Traces:
    caplog.set_level(logging.DEBUG)
    return Traces()


@pytest.fixture(params=KEYS)
def key(request: pytest.FixtureRequest) -> str:
    return KEYS[request.param]


@pytest.fixture
def set_key(key: str, clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the key, and the given base URL, for the default profile."""

    def by_environment(base_url: str) -> None:
        monkeypatch.setenv("NANOBANANA_API_KEY", key)
        monkeypatch.setenv("NANOBANANA_BASE_URL", base_url)

    def by_file(base_url: str) -> None:
        ProfileStore(clean_environment, {}).save(Profile(base_url=base_url, api_key=key))

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return by_environment if key == KEYS["word, environment"] else by_file


@pytest.fixture
def open_host(tmp_path: Path, set_key: Callable[[str], None]) -> Callable[[str], StandIn]:
    def opened(base_url: str) -> StandIn:
        set_key(base_url)
        return StandIn({"nanobanana-gateway": ROOT}, tmp_path / "host")

    return opened


def look_everywhere(host: StandIn, traces: Traces, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    traces.add("object_info", json.dumps(host.object_info()))
    for event in host.events:
        traces.add(f"event {event.kind}", repr(event.data))
    for record in caplog.records:
        if record.name == "urllib3.connectionpool" and "/output/" in record.getMessage():
            # The gateway's own address, to which it added the key itself: written by a library, for who asks for DEBUG.
            continue
        traces.add(f"log of {record.name}", record.getMessage())
        if record.exc_info:
            traces.add("log's traceback", "".join(traceback.format_exception(*record.exc_info)))
        traces.add("log's arguments", repr(record.args))
    traces.add_files(tmp_path)


FAULTS = (
    "", "[fault:echo_key]", "[fault:http_400]", "[fault:http_504]", "[fault:refusal]", "[fault:error_event]",
    "[fault:redirect_307]", "[fault:cut_after_headers]", "[fault:download_410:0]", "[fault:hostile_url_private]",
    "[fault:picture_truncated_png]", "[fault:hostile_html]", "[fault:hostile_not_http]",
)  # fmt: skip


def test_runs_against_a_gateway_leave_no_key(
    open_host: Callable[[str], StandIn],
    key: str,
    traces: Traces,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FaultyGateway(latency=0.0) as gateway, open_host(gateway.base_url) as host:
        monkeypatch.setattr(loaded("nanobanana.gateway.retry"), "_FIRST_DOWNLOAD_DELAY", 0.01)
        for number, fault in enumerate(FAULTS):
            node = generate(f"a cat {fault}", model="NanoBanana2-0.5K", seed=number)
            graph = {"1": node, "2": SAVE, "3": shown("1", 3)}
            traces.add_run(host.run(graph))
        again = edit("on a sofa", ["1", 0], model="NanoBanana2-0.5K")
        first = generate("a cat ", model="NanoBanana2-0.5K", seed=0)
        traces.add_run(host.run({"1": first, "4": again, "5": shown("4"), "6": shown("4", 3)}))
        look_everywhere(host, traces, tmp_path, caplog)
        # It did go where it belongs, and nowhere else.
        assert {post.header("Authorization") for post in gateway.ledger.posts} == {f"Bearer {key}"}
        assert gateway.ledger.violations == []
        assert len(gateway.ledger.posts) >= len(FAULTS)
    assert len(traces.texts) > 100
    assert traces.leaks(key) == []


def echoing(key: str, server: Callable[[], RawServer]) -> Callable[[Peer], None]:
    """A gateway that repeats the key wherever it can, call by call."""
    count = 0
    odd: list[tuple[str, dict[str, Any], dict[str, str]]] = [
        ("401 No", {"error": {"message": f"Incorrect key {key}", "code": f"bad {key}", "type": key}}, {}),
        ("500 No", {"error": {"message": f"The key is {key}"}}, {"X-Request-Id": key}),
        ("429 No", {"message": f"too fast, {key}"}, {"Retry-After": key}),
        (f"400 {key}", {"msg": f"{key} (request id: {key})"}, {"Content-Type": key}),
        ("307 Moved", {}, {"Location": f"https://evil.example/?key={key}"}),
        ("200 OK", {"error": {"message": f"upstream refused {key}", "code": key}}, {}),
        (
            "200 OK",
            {"id": key, "model": key, "choices": [{"message": {"content": f"No: {key}"}, "finish_reason": key}]},
            {},
        ),
        ("200 OK", {"choices": [{"message": {"content": f"{key} is your key", "refusal": f"no {key}"}}]}, {}),
    ]

    def serve(peer: Peer) -> None:
        nonlocal count
        line, _, _ = peer.request()
        if line.startswith("GET"):
            peer.answer("200 OK", png_of(500)) if "good" in line else peer.answer("410 Gone", key.encode())
            return
        count += 1
        if count <= len(odd):
            status, body, headers = odd[count - 1]
            peer.answer(status, json.dumps(body).encode(), **{name.replace("-", "_"): v for name, v in headers.items()})
            return
        name = "good" if count % 2 else "bad"
        place = "https://elsewhere.example" if count % 5 == 0 else server().url
        url = f"{place}/output/{name}.png?token={quote(key, safe='')}"
        answer = {
            "id": key,
            "model": key,
            "usage": {"note": key},
            "choices": [{"message": {"content": f"Made with {key}"}, "finish_reason": key}],
            "media": {"outputs": [url]},
        }
        peer.answer("200 OK", json.dumps(answer).encode(), X_Oneapi_Request_Id=key)

    return serve


def test_a_gateway_that_repeats_the_key_everywhere_is_not_believed_to_be_harmless(
    open_host: Callable[[str], StandIn],
    key: str,
    traces: Traces,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    servers: list[RawServer] = []
    with RawServer(echoing(key, lambda: servers[0])) as server:
        servers.append(server)
        delivered = 0
        with open_host(server.url) as host:
            for number in range(14):
                graph = {"1": generate("a cat", seed=number), "2": shown("1", 2), "3": shown("1", 3), "4": SAVE}
                run = host.run(graph)
                delivered += run.status == "success"
                traces.add_run(run)
            look_everywhere(host, traces, tmp_path, caplog)
        assert server.errors == []
    assert delivered >= 2
    assert traces.leaks(key) == []


def test_the_search_finds_what_it_looks_for(tmp_path: Path, traces: Traces, key: str) -> None:
    (tmp_path / "leaked.txt").write_text(f"x{key}x")
    (tmp_path / "profiles.json").write_text(key)
    traces.add_files(tmp_path)
    traces.add("words", "nothing")
    assert traces.leaks(key) == [f"{tmp_path / 'leaked.txt'}: ...b'x'"]
