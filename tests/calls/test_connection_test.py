"""What the connection test says, against the simulator and small servers; and that it never costs anything."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from gateway_faults import FaultyGateway
from pack.nanobanana.calls.connection_test import Diagnosis, diagnose
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.catalog import MODEL_NAMES
from pack.nanobanana.settings.profile import Profile

KEY = "sk-test-0123456789abcdef0123456789"


def ask(simulator: FaultyGateway, key: str = KEY, **fields: Any) -> Diagnosis:
    profile = Profile(base_url=simulator.base_url, api_key=key, **fields)
    return diagnose(profile, cancel=CancelToken())


def assert_free(simulator: FaultyGateway) -> None:
    assert simulator.ledger.summary()["billed"] == 0
    assert all(post.body in (b"", b"{}", None) for post in simulator.ledger.posts)


@pytest.fixture
def simulator() -> Iterator[FaultyGateway]:
    with FaultyGateway(api_key=KEY, latency=0.0) as running:
        yield running


def test_a_good_profile_is_found_good_and_lists_every_model(simulator: FaultyGateway) -> None:
    found = ask(simulator)
    assert found.ok
    assert "takes the key" in found.message
    assert found.models == MODEL_NAMES
    assert found.missing == ()
    assert_free(simulator)


@pytest.mark.parametrize("fault", ["models_404", "models_html", "models_500"])
def test_a_gateway_without_a_model_list_is_asked_otherwise(simulator: FaultyGateway, fault: str) -> None:
    simulator.set_faults([fault])
    found = ask(simulator)
    assert found.ok, found
    assert found.models == ()
    assert "takes the key" in found.message
    assert_free(simulator)


def test_every_key_is_tried(simulator: FaultyGateway) -> None:
    found = ask(simulator, spare_keys=("sk-wrong-0123456789-abcd",))
    assert found.verdict == "bad_key"
    assert "key 2 (...abcd)" in found.message
    assert ask(simulator, spare_keys=(KEY,)).message.endswith("All 2 keys are taken.")
    assert_free(simulator)


def error(message: str, code: str = "") -> str:
    return json.dumps({"error": {"message": message, "type": "new_api_error", "code": code}})


LIST = json.dumps({"data": [{"id": "NanoBanana"}, {"id": "another"}]})
FINE = (400, error("model is required", "invalid_request"))


@pytest.mark.parametrize(
    ("models", "post", "verdict", "words"),
    [
        ((200, LIST), FINE, "ok", "NanoBananaPro-1K"),
        ((200, LIST), (422, error("model is required")), "ok", "lists 2 models"),
        ((200, LIST), (503, error("no channel", "model_not_found")), "ok", "lists 2 models"),
        ((200, LIST), (401, error("Invalid token")), "bad_key", "Invalid token"),
        ((200, LIST), (404, error("Invalid URL")), "wrong_path", "404"),
        ((401, error("Invalid token")), FINE, "bad_key", "Invalid token"),
        ((403, error("used up", "insufficient_user_quota")), FINE, "no_credit", "used up"),
        ((404, ""), (402, error("pay first")), "no_credit", "pay first"),
        ((404, ""), (403, error("used up", "insufficient_user_quota")), "no_credit", "used up"),
        ((404, ""), (500, error("used up", "insufficient_user_quota")), "no_credit", "used up"),
        ((404, ""), (403, error("your country")), "not_allowed", "your country"),
        ((404, ""), (404, "<html><title>404 Not Found</title></html>"), "wrong_path", "404 Not Found"),
        ((404, ""), (405, ""), "wrong_path", "405"),
        ((200, "<html><title>Shop</title>"), (200, "<html><title>Shop</title>"), "wrong_path", "web page"),
        ((200, "{}"), (200, error("Invalid token", "invalid_api_key")), "bad_key", "Invalid token"),
        ((404, ""), (302, ""), "wrong_path", "302"),
        ((404, ""), (429, error("slow down")), "busy", "slow down"),
        ((404, ""), (503, error("overloaded")), "busy", "overloaded"),
        ((404, ""), (500, error("oops")), "failed", "oops"),
    ],
)
def test_each_answer_has_its_verdict(models: tuple[int, str], post: tuple[int, str], verdict: str, words: str) -> None:
    with scripted(models, post) as base_url:
        found = diagnose(Profile(base_url=base_url, api_key=KEY), cancel=CancelToken())
    assert found.verdict == verdict, found
    assert words in found.message
    assert verdict == "ok" or found.hint


@contextmanager
def scripted(models: tuple[int, str], post: tuple[int, str]) -> Iterator[str]:
    """The base URL of a server that answers `GET /v1/models` and the POST so; another path is a 404."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(*models if self.path == "/v1/models" else (404, ""))

        def do_POST(self) -> None:
            assert self.rfile.read(int(self.headers["Content-Length"])) == b"{}"
            self.answer(*post if self.path == "/v1/chat/completions" else (404, ""))

        def answer(self, status: int, body: str) -> None:
            data = body.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_wrong_key_is_said_and_never_repeated(simulator: FaultyGateway) -> None:
    wrong = "sk-wrong-abcdefghijklmnop123456"
    found = ask(simulator, wrong)
    assert found.verdict == "bad_key"
    assert wrong not in found.message + found.hint


def test_a_missing_key_is_told_from_a_wrong_one(simulator: FaultyGateway) -> None:
    found = ask(simulator, "")
    assert found.verdict == "bad_key"
    assert "no key is set" in f"{found.message} {found.hint}".lower()


def test_an_echoed_key_is_redacted() -> None:
    with scripted((404, ""), (401, error(f"Invalid token {KEY}"))) as base_url:
        found = diagnose(Profile(base_url=base_url, api_key=KEY), cancel=CancelToken())
    assert found.verdict == "bad_key"
    assert KEY not in repr(found)


def test_no_base_url() -> None:
    assert diagnose(Profile(), cancel=CancelToken()).verdict == "not_set"


def test_the_simulator_is_resolved() -> None:
    with FaultyGateway(latency=0.0) as running:
        found = diagnose(
            Profile(base_url="simulator"), cancel=CancelToken(), resolve_base_url=lambda _: running.base_url
        )
    assert found.ok
    assert "asks for no key" in found.message


def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = diagnose(Profile(base_url=f"http://127.0.0.1:{port}"), cancel=CancelToken())
    assert found.verdict == "unreachable"
    assert "refused the connection" in found.message


def test_a_name_that_does_not_exist() -> None:
    found = diagnose(Profile(base_url="http://nothing.invalid"), cancel=CancelToken())
    assert found.verdict in ("unreachable", "timed_out")
    assert "nothing.invalid" in found.message


def test_a_plain_server_behind_https(simulator: FaultyGateway) -> None:
    profile = Profile(base_url=simulator.base_url.replace("http:", "https:"), api_key=KEY)
    found = diagnose(profile, cancel=CancelToken())
    assert found.verdict == "unreachable"
    assert "secure connection" in found.message
    assert "http://" in found.hint


def test_a_certificate_that_is_not_accepted(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with FaultyGateway(ssl_context=context, latency=0.0) as running:
        found = ask(running)
    assert found.verdict == "unreachable"
    assert "certificate" in found.message.lower()


def test_a_proxy_that_is_not_there(simulator: FaultyGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", "")
    found = diagnose(Profile(base_url="http://gateway.example.com"), cancel=CancelToken())
    assert found.verdict == "unreachable"
    assert "proxy" in found.message.lower()


def test_a_silent_server_is_given_up_on(simulator: FaultyGateway) -> None:
    simulator.set_faults(["models_hang"])
    found = ask(simulator, total_timeout=1.0)
    assert found.verdict == "timed_out"
    assert 0.9 < found.seconds < 3


def test_a_cancel_ends_it(simulator: FaultyGateway) -> None:
    simulator.set_faults(["models_hang"])
    cancel = CancelToken()
    timer = threading.Timer(0.2, cancel.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        diagnose(Profile(base_url=simulator.base_url), cancel=cancel)
    timer.join()


def self_signed(folder: Path) -> Path:
    """A certificate and its key in one file, made by openssl's command line."""
    import subprocess

    path = folder / "self-signed.pem"
    key = folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(path)], check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    return path


def api(message: str, **more: object) -> str:
    return json.dumps({"error": {"message": message, **more}})


NO_DATABASE = api("No connected db.", type="no_db_connection", code="400")
NO_HEADERS = json.dumps({"status": "failure", "message": "Either x-portkey-config or x-portkey-provider is required"})
TO_TLS = "<html><h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port</html>"
LIST = json.dumps({"data": [{"id": "NanoBanana2-1K"}]})


@pytest.mark.parametrize(
    ("models", "post", "verdict", "words"),
    [
        ((200, LIST), (422, api("Budget has been exceeded", code="budget_exceeded")), "no_credit", "balance"),
        ((400, NO_DATABASE), (400, NO_DATABASE), "failed", "No connected db"),
        ((400, NO_HEADERS), (400, NO_HEADERS), "failed", "x-portkey-provider"),
        ((407, "<html>proxy</html>"), (407, "<html>proxy</html>"), "bad_key", "proxy"),
        ((400, TO_TLS), (400, TO_TLS), "wrong_path", "https://"),
        ((404, "nothing here"), (400, "<html>Bad Request</html>"), "failed", "400"),
        # And what is well stays well: other words for the list, or none.
        ((404, api("no route")), (400, api("model is required")), "ok", "takes the key"),
        ((200, LIST), (422, json.dumps({"detail": [{"msg": "field required"}]})), "ok", "lists 1"),
        ((401, api("admins only")), (400, api("model is required")), "bad_key", "key"),
    ],
)
def test_well_means_that_a_call_can_work(
    models: tuple[int, str], post: tuple[int, str], verdict: str, words: str
) -> None:
    with scripted(models, post) as url:
        found = diagnose(Profile(base_url=url, api_key=KEY), cancel=CancelToken())
    assert found.verdict == verdict, found
    assert words in f"{found.message} {found.hint}"


@pytest.mark.parametrize(
    ("post", "dialect", "relay", "advice"),
    [
        (api("portkey: model missing"), "documented", "Portkey", "prompt_flags"),
        (api("portkey: model missing"), "prompt_flags", "Portkey", ""),
        (api("litellm.BadRequestError: model missing"), "prompt_flags", "LiteLLM", "documented or openrouter"),
        (api("litellm.BadRequestError: model missing"), "openrouter", "LiteLLM", ""),
        (api("model missing", type="new_api_error"), "openrouter", "new-api", "documented"),
        (api("model missing"), "openrouter", "", ""),
    ],
)
def test_the_relay_is_named_with_a_dialect_that_fits(post: str, dialect: str, relay: str, advice: str) -> None:
    with scripted((404, ""), (400, post)) as url:
        found = diagnose(Profile(base_url=url, api_key=KEY, dialect=dialect), cancel=CancelToken())
    assert found.ok
    assert found.relay == relay
    assert (f"It is {relay}." in found.message) == bool(relay)
    assert advice in found.hint if advice else "dialect" not in found.hint
