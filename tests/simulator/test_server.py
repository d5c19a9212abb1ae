from __future__ import annotations

import ast
import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pack.nanobanana.simulator as package
import pytest
import trustme
from gateway_faults import FAULTS, FaultyGateway
from pack.nanobanana.simulator import connection, in_process
from pack.nanobanana.simulator.catalog import MODELS
from simulator.talk import ask, drain, edit, get, open_request, order

pytestmark = pytest.mark.slow

SOURCE = Path(package.__file__).parent
# Nothing can be asked of these by a prompt: they strike before the prompt is read, or another route.
NOT_IN_PROMPTS = {"slow_upload", "http_413_early"} | {
    name for name in FAULTS if name.endswith(("_before_body", "_mid_body")) or name.startswith("models_")
}


def simulator_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("nanobanana-simulator")]


@pytest.fixture(scope="module")
def shared() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.0) as running:
        yield running


@pytest.fixture
def simulator() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.0) as running:
        yield running


def test_it_imports_nothing_of_ours() -> None:
    allowed = set(sys.stdlib_module_names) | {"PIL", "numpy"}
    for file in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 1 or (node.level == 0 and (node.module or "").split(".")[0] in allowed), file
            elif isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, file


def test_stop_ends_every_thread_and_connection() -> None:
    before = set(simulator_threads())
    simulator = FaultyGateway(latency=60).start()
    port = urlsplit(simulator.base_url).port
    hanging = [open_request(simulator.base_url, order(f"x{number}")) for number in range(5)]
    idle = socket.create_connection(("127.0.0.1", port or 0))
    assert simulator.ledger.wait_for(lambda ledger: len(ledger.billed) == 5)
    # One for each connection and one that accepts them.
    assert simulator.ledger.wait_for(lambda _: len(set(simulator_threads()) - before) == 7)
    started = time.monotonic()
    simulator.stop()
    assert time.monotonic() - started < 8
    assert set(simulator_threads()) == before
    for sock in (*hanging, idle):
        sock.settimeout(2)
        assert drain(sock)[1] in ("closed", "reset")
        sock.close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port or 0), timeout=1).close()
    # A server that stops is no client that left.
    assert all(post.closed_early is None for post in simulator.ledger.posts)


def test_a_connection_that_a_stop_ends_is_no_client_that_left(monkeypatch: pytest.MonkeyPatch) -> None:
    simulator = FaultyGateway(latency=60).start()
    stopping = simulator._state.stopping  # pyright: ignore[reportPrivateUsage]

    def ended_by_the_stop(_: socket.socket) -> bool:
        stopping.set()
        return True

    monkeypatch.setattr(connection, "_peer_closed", ended_by_the_stop)
    hanging = open_request(simulator.base_url, order("x"))
    assert simulator.ledger.wait_for(lambda ledger: any(post.finished for post in ledger.posts))
    assert simulator.ledger.posts[0].closed_early is None
    hanging.close()
    simulator.stop()


def test_stop_twice_and_start_again() -> None:
    simulator = FaultyGateway(latency=0.0).start()
    with pytest.raises(RuntimeError):
        simulator.start()
    simulator.stop()
    simulator.stop()
    with simulator:
        assert ask(simulator.base_url, order()).status == 200


def test_many_at_once() -> None:
    with FaultyGateway(latency=0.5) as simulator:
        started = time.monotonic()
        threads = [threading.Thread(target=ask, args=(simulator.base_url, order(f"x{n}"))) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - started < 5
        assert simulator.ledger.wait_for(lambda ledger: all(post.finished for post in ledger.posts))
        posts = simulator.ledger.posts
    assert len(posts) == len(simulator.ledger.billed) == 12
    assert max(post.arrived for post in posts) < min(post.finished or 0 for post in posts)
    assert len({post.request_id for post in posts}) == 12


def test_connections_are_kept_alive(simulator: FaultyGateway) -> None:
    connection = http.client.HTTPConnection(urlsplit(simulator.base_url).netloc, timeout=10)
    with contextlib.closing(connection):
        for prompt in ("one", "two", "three [fault:http_500]", "four"):
            connection.request("POST", "/v1/chat/completions", json.dumps(order(prompt)))
            connection.getresponse().read()
    assert len({post.connection for post in simulator.ledger.posts}) == 1
    assert [post.status for post in simulator.ledger.posts] == [200, 200, 500, 200]


def test_the_ledger_tells_what_came(simulator: FaultyGateway) -> None:
    body = order("a [fault:shape_markdown] cat")
    before = time.monotonic()
    ask(simulator.base_url, body, {"Authorization": "Bearer sk-1234", "X-Own": "yes"})
    assert simulator.ledger.wait_for(lambda ledger: ledger.posts[0].finished)
    (post,) = simulator.ledger.posts
    assert post.body == body
    assert post.body_length == len(json.dumps(body))
    assert (post.header("authorization"), post.header("X-OWN")) == ("Bearer sk-1234", "yes")
    assert (post.model, post.status, post.billed, post.closed_early) == ("NanoBanana2-0.5K", 200, True, None)
    assert before < post.arrived <= (post.body_received or 0) <= (post.finished or 0)
    assert post.image_urls[0].startswith(simulator.base_url)
    assert not simulator.ledger.wait_for(lambda ledger: ledger.downloads, timeout=0.05)
    simulator.ledger.clear()
    assert simulator.ledger.requests == []


def test_the_ledger_can_leave_bodies_out() -> None:
    with FaultyGateway(latency=0.0, keep_bodies=False) as simulator:
        ask(simulator.base_url, order())
        assert simulator.ledger.posts[0].body is None


def test_the_ledger_is_bounded() -> None:
    ledger = package.Ledger()
    for _ in range(20_001):
        ledger.other("GET", "/", {}, 1)
    assert len(ledger.requests) == 18_001
    assert ledger.requests[-1].number == 20_001


def test_other_routes(simulator: FaultyGateway) -> None:
    models = get(f"{simulator.base_url}/v1/models").json
    assert [model["id"] for model in models["data"]] == list(MODELS)
    assert get(f"{simulator.base_url}/health").json == {"status": "ok", "simulator": True}
    assert get(f"{simulator.base_url}/v1/nothing").status == 404
    assert get(f"{simulator.base_url}/v1/chat/completions").status == 404
    ask(simulator.base_url, order("a cat"), {"Authorization": "Bearer sk-1234"})
    summary = get(f"{simulator.base_url}/ledger")
    assert (summary.json["posts"], summary.json["billed"]) == (1, 1)
    assert b"sk-1234" not in summary.body


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/v1/chat/completions", "/v1/chat/completions/"])
def test_a_wrong_path_is_not_the_endpoint(simulator: FaultyGateway, path: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(simulator.base_url).netloc, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps(order("x" * 3_000_000)))
        answer = connection.getresponse()
        assert answer.status == 404
        assert f"Invalid URL (POST {path})" in json.loads(answer.read())["error"]["message"]
    assert simulator.ledger.posts == []


def test_the_list_of_models_needs_the_key_too() -> None:
    with FaultyGateway(api_key="sk-right") as simulator:
        url = f"{simulator.base_url}/v1/models"
        assert get(url).status == get(url, {"Authorization": "Bearer sk-wrong"}).status == 401
        assert get(url, {"Authorization": "Bearer sk-right"}).status == 200


def test_faults_of_the_list_of_models(simulator: FaultyGateway) -> None:
    url = f"{simulator.base_url}/v1/models"
    for name, status in (("models_404", 404), ("models_500", 500), ("models_html", 200)):
        simulator.set_faults(name)
        answer = get(url)
        assert answer.status == status
        assert (b"<html>" in answer.body) is (name == "models_html")
        assert ask(simulator.base_url, order()).status == 200
    simulator.set_faults("models_hang")
    with pytest.raises(TimeoutError):
        get(url, timeout=0.2)


@pytest.mark.parametrize("name", sorted(set(FAULTS) - NOT_IN_PROMPTS))
def test_every_fault_works_by_its_name_alone(shared: FaultyGateway, name: str) -> None:
    # With an image, so that an edit goes the same way; pytest turns an exception in a server's thread into an error.
    shared.ledger.clear()
    body = edit(f"x [fault:{name}]", "https://example.com/cat.jpg")
    with contextlib.closing(open_request(shared.base_url, body)) as connection:
        connection.settimeout(0.05)
        drain(connection, 1 << 16)
    assert shared.ledger.wait_for(lambda ledger: ledger.posts and ledger.posts[0].finished)
    (post,) = shared.ledger.posts
    assert name in (fault.partition(":")[0] for fault in post.faults)
    assert post.rejected is None or not post.rejected.startswith("In the prompt")


def test_every_fault_says_what_it_is() -> None:
    assert len(FAULTS) > 250
    for kind in FAULTS.values():
        assert 2 < len(kind.description) < 100, kind
        assert kind.description[-1] != "."


def test_one_simulator_for_the_process() -> None:
    threads = set(simulator_threads())
    urls = {in_process() for _ in range(3)}
    (url,) = urls
    answer = ask(url, order("x [fault:http_400]"))
    assert answer.status == 200, "a marker is mere text"
    assert b"\xe6\x8e\x92\xe9\x98\x9f" in answer.body
    assert all(thread.daemon for thread in set(simulator_threads()) - threads)


def test_https() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    with FaultyGateway(latency=0.0, ssl_context=server) as simulator:
        assert simulator.base_url.startswith("https://")
        connection = http.client.HTTPSConnection(urlsplit(simulator.base_url).netloc, timeout=10, context=client)
        with contextlib.closing(connection):
            connection.request("POST", "/v1/chat/completions", json.dumps(order()))
            assert simulator.base_url.encode() in connection.getresponse().read()
            connection.request("POST", "/v1/chat/completions", json.dumps(order("x [fault:hang_before_headers]")))
            assert simulator.ledger.wait_for(lambda ledger: len(ledger.billed) == 2)
        assert simulator.ledger.wait_for(lambda ledger: ledger.posts[1].closed_early)


def _take_interrupts() -> None:
    # What runs in the background of a shell has SIGINT ignored, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run_cli(*arguments: str) -> subprocess.Popen[str]:
    # As a script's package, from the folder above: the pack itself is loaded under an alias here.
    command = [sys.executable, "-m", "simulator", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent), "PYTHONIOENCODING": "utf-8"}
    pipe = subprocess.PIPE
    first = None if os.name == "nt" else _take_interrupts
    return subprocess.Popen(command, env=environment, cwd=SOURCE, stdout=pipe, stderr=pipe, text=True, preexec_fn=first)


def test_the_command_serves_until_it_is_interrupted() -> None:
    with run_cli("--port", "0", "--latency", "0") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split()[3]
        assert b'"media":{"outputs":["http' in ask(url, order()).body
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")
    assert output == "Ended.\n"


def test_the_command_says_what_is_wrong() -> None:
    with run_cli("--host", "203.0.113.1") as process:
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 2
    assert errors.startswith("The simulator cannot start: ")


def test_the_packs_own_command_passes_the_options_on() -> None:
    command = [sys.executable, "-m", "nanobanana", "simulate", "--help"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=60)
    assert done.returncode == 0
    assert "--latency" in done.stdout
