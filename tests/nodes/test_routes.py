"""The HTTP routes: who may use them, what they answer, and that no key ever comes out of one."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import stat
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from conftest import NODE_IDS, ROOT
from gateway_faults import FaultyGateway
from hypothesis import given
from hypothesis import strategies as st
from journal_rows import fill
from pack.nanobanana.catalog import MODEL_NAMES
from pack.nanobanana.image_request import ImageRequest
from pack.nanobanana.journal import CallDetails, CallKey, Journal
from PIL import Image
from servers import Peer, RawServer
from stand_in import StandIn

pytestmark = pytest.mark.slow

KEY = "sk-route-0123456789abcdefghWXYZ"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv("NANOBANANA_HOME", str(tmp_path / "data"))
    for name in ("NANOBANANA_BASE_URL", "NANOBANANA_API_KEY", "NANOBANANA_ALLOW_REMOTE_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    with StandIn({"pack": ROOT}, tmp_path / "host") as running:
        yield running


@pytest_asyncio.fixture
async def client(host: StandIn) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application()
    app.add_routes(host.server.routes)
    async with TestClient(TestServer(app)) as running:
        yield running


def pack_module(name: str) -> ModuleType:
    """A module of the pack as the stand-in has loaded it."""
    return next(module for key, module in sys.modules.items() if key.endswith(f".nodes.{name}"))


async def ask(client: Any, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body)
    given = {**(JSON if body is not None else {}), **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with client.request(method, f"/nanobanana{path}", data=data, headers=given) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text else None


# Profiles.


async def test_a_key_goes_in_and_never_comes_out(client: Any, tmp_path: Path) -> None:
    body = {"name": "default", "base_url": "https://api.example.com/v1/", "api_key": f" Bearer {KEY} "}
    status, answer = await ask(client, "PUT", "/profiles", body)
    assert status == 200
    (profile,) = answer["profiles"]
    assert profile["base_url"] == "https://api.example.com"
    assert profile["has_key"] is True
    assert profile["key_tail"] == KEY[-4:]
    for path in ("/profiles", "/catalog", "/history", "/history/totals"):
        assert KEY not in json.dumps(await ask(client, "GET", path))
    assert KEY not in json.dumps(answer)
    file = tmp_path / "data" / "profiles.json"
    assert KEY in file.read_text()
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_all_that_may_be_secret_goes_in_and_never_comes_out(client: Any, tmp_path: Path) -> None:
    body = {
        "name": "default",
        "base_url": "https://api.example.com",
        "spare_keys": [f"{KEY}-two", f"{KEY}-three"],
        "headers": "x-portkey-provider: openai-compatible\nCF-Access-Client-Secret: hush-hush",
        "body_fields": '{"temperature": 0.5, "user": "hush-hush"}',
    }
    (profile,) = (await ask(client, "PUT", "/profiles", body))[1]["profiles"]
    assert profile["spare_key_tails"] == ["-two", "hree"]
    assert profile["headers"].splitlines() == ["x-portkey-provider: ********", "CF-Access-Client-Secret: ********"]
    assert json.loads(profile["body_fields"]) == {"temperature": 0.5, "user": "********"}
    for path in ("/profiles", "/catalog", "/history"):
        said = json.dumps(await ask(client, "GET", path))
        assert not [secret for secret in (KEY, "openai-compatible", "hush-hush") if secret in said]

    def saved() -> dict[str, Any]:
        return json.loads((tmp_path / "data" / "profiles.json").read_text())["profiles"]["default"]

    # What the page sends back changes what was typed and nothing else.
    edited = profile["headers"].replace("x-portkey-provider: ********", "x-portkey-provider: google")
    back = {"name": "default", "headers": edited, "body_fields": profile["body_fields"].replace("0.5", "0.7")}
    assert (await ask(client, "PUT", "/profiles", back))[1]["key_dropped"] is False
    assert saved()["headers"] == "x-portkey-provider: google\nCF-Access-Client-Secret: hush-hush"
    assert json.loads(saved()["body_fields"]) == {"temperature": 0.7, "user": "hush-hush"}
    # Nobody who can change the address gets any of it.
    move = {**back, "base_url": "https://thief.example"}
    answer = (await ask(client, "PUT", "/profiles", move))[1]
    assert answer["key_dropped"] is True
    assert (saved()["spare_keys"], saved()["headers"]) == ([], "x-portkey-provider: google")
    assert json.loads(saved()["body_fields"]) == {"temperature": 0.7}


async def test_profiles_are_added_changed_renamed_and_deleted(client: Any) -> None:
    assert (await ask(client, "POST", "/profiles", {"name": "second"}))[0] == 200
    status, answer = await ask(client, "POST", "/profiles", {"name": "second"})
    assert status == 200
    assert "already" in answer["error"]["message"]
    changes = {"name": "second", "base_url": "simulator", "prices": {"m": 0.5}, "concurrency": 2, "stream": False}
    assert (await ask(client, "PUT", "/profiles", changes))[1]["key_dropped"] is False
    answer = (await ask(client, "POST", "/profiles/rename", {"name": "second", "new_name": "third"}))[1]
    assert [one["name"] for one in answer["profiles"]] == ["default", "third"]
    assert answer["profiles"][1]["prices"] == {"m": 0.5}
    answer = (await ask(client, "DELETE", "/profiles", {"name": "third"}))[1]
    assert [one["name"] for one in answer["profiles"]] == ["default"]


async def test_a_key_does_not_go_to_another_gateway(client: Any) -> None:
    await ask(client, "PUT", "/profiles", {"name": "default", "base_url": "https://a.example", "api_key": KEY})
    same = {"name": "default", "base_url": "https://a.example/prefix/v1"}
    assert (await ask(client, "PUT", "/profiles", same))[1]["profiles"][0]["has_key"] is True
    other = {"name": "default", "base_url": "https://b.example"}
    answer = (await ask(client, "PUT", "/profiles", other))[1]
    assert answer["key_dropped"] is True
    assert answer["profiles"][0]["has_key"] is False


async def test_the_connection_test_sends_no_key_to_another_gateway(client: Any) -> None:
    await ask(client, "PUT", "/profiles", {"name": "default", "base_url": "https://a.example", "api_key": KEY})
    with FaultyGateway(latency=0.0) as thief:
        status, answer = await ask(client, "POST", "/profiles/test", {"name": "default", "base_url": thief.base_url})
        assert status == 200
        assert answer["ok"] is True
        assert "asks for no key" in answer["message"]
        requests = thief.ledger.requests
    assert requests
    assert all(request.header("Authorization") in (None, "") for request in requests)


async def test_the_connection_test_tries_what_was_typed_and_saves_nothing(client: Any) -> None:
    with FaultyGateway(api_key=KEY, latency=0.0) as gateway:
        draft = {"name": "default", "base_url": gateway.base_url, "api_key": KEY}
        assert (await ask(client, "POST", "/profiles/test", draft))[1]["verdict"] == "ok"
        wrong = {**draft, "api_key": "sk-wrong-0123456789abcdef000"}
        answer = (await ask(client, "POST", "/profiles/test", wrong))[1]
        assert answer["verdict"] == "bad_key"
        assert "sk-wrong" not in json.dumps(answer)
        assert gateway.ledger.summary()["billed"] == 0
    assert (await ask(client, "GET", "/profiles"))[1]["profiles"][0]["base_url"] == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base_url": "ftp://a"}, "web address"),
        ({"base_url": "https://u:p@a.example"}, "password"),
        ({"concurrency": 0}, "between 1 and 64"),
        ({"concurrency": 1.5}, "wrong kind"),
        ({"concurrency": True}, "wrong kind"),
        ({"connect_timeout": "10"}, "wrong kind"),
        ({"total_timeout": 1e400}, "wrong kind"),
        ({"prices": {"m": -1}}, "0 or more"),
        ({"prices": [1]}, "wrong kind"),
        ({"extra_models": [1]}, "wrong kind"),
        ({"dialect": "french"}, "unknown"),
        ({"api_key": "two words"}, "space"),
        ({"api_key": 5}, "wrong kind"),
    ],
)
async def test_a_setting_that_cannot_be_is_refused_in_words(client: Any, changes: dict[str, Any], words: str) -> None:
    body = json.dumps({"name": "default", **changes}).replace("Infinity", "1e400")
    async with client.put("/nanobanana/profiles", data=body, headers=JSON) as answer:
        assert answer.status == 200
        error = (await answer.json())["error"]
    assert words in f"{error['message']} {error['hint']}"


async def test_what_the_environment_gives_is_not_written(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NANOBANANA_BASE_URL", "simulator")
    monkeypatch.setenv("NANOBANANA_API_KEY", KEY)
    body = {"name": "default", "base_url": "https://other.example", "api_key": "", "concurrency": 3}
    (profile,) = (await ask(client, "PUT", "/profiles", body))[1]["profiles"]
    assert profile["from_environment"] == ["base_url", "api_key"]
    assert profile["base_url"] == "simulator"
    assert profile["has_key"] is True
    assert KEY not in (tmp_path / "data" / "profiles.json").read_text()


async def test_every_page_is_told_of_a_change(client: Any, host: StandIn) -> None:
    await ask(client, "PUT", "/profiles", {"name": "default", "base_url": "simulator"})
    assert [event for event in host.events if event.kind == "nanobanana.settings"]


# Access.


@pytest.mark.parametrize(("method", "path"), [("PUT", "/profiles"), ("POST", "/history/clear"), ("GET", "/profiles")])
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "https://evil.example"}, "cross_origin"),
        ({"Origin": "null"}, "cross_origin"),
        ({"Sec_Fetch_Site": "cross-site"}, "cross_origin"),
        ({"Sec_Fetch_Site": "same-site"}, "cross_origin"),
        ({"Host": "evil.example"}, "host"),
        ({"Host": "localhost.evil.example"}, "host"),
        ({"Forwarded": "for=10.0.0.9"}, "remote"),
        *[
            ({name: "10.0.0.9"}, "remote")
            for name in (
                *("X_Forwarded_For", "X_Forwarded_Proto", "X_Original_Host", "X_Client_Ip", "X_Real_Ip", "Via"),
                *("True_Client_Ip", "Tailscale_User_Login", "Cf_Connecting_Ip"),
            )
        ],
    ],
)
async def test_other_sites_and_other_computers_are_refused(
    client: Any, method: str, path: str, headers: dict[str, str], code: str
) -> None:
    body = None if method == "GET" else {"name": "default", "all": True}
    status, answer = await ask(client, method, path, body, **headers)
    assert status == 403
    assert answer["error"]["code"] == code


async def test_the_same_page_is_served(client: Any) -> None:
    own = f"{client.host}:{client.port}"
    for headers in ({"Origin": f"http://{own}", "Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "none"}):
        assert (await ask(client, "GET", "/profiles", None, **headers))[0] == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_only_json_is_taken(client: Any, content_type: str) -> None:
    body = b'{"name": "default", "base_url": "simulator"}'
    headers = {"Content-Type": content_type} if content_type else {}
    async with client.put("/nanobanana/profiles", data=body, headers=headers) as answer:
        assert answer.status == 415


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"[" * 100_000, b'{"a":"' + b"x" * 300_000 + b'"}'])
async def test_a_body_that_is_no_small_object_is_refused(client: Any, body: bytes) -> None:
    async with client.put("/nanobanana/profiles", data=body, headers=JSON) as answer:
        assert answer.status in (400, 413)


async def test_everything_but_the_catalog_is_off_with_several_users(client: Any, monkeypatch: Any) -> None:
    await ask(client, "PUT", "/profiles", {"name": "default", "base_url": "simulator", "prices": {"m": 1}})
    monkeypatch.setattr(sys.modules["comfy.cli_args"].args, "multi_user", True)
    for method, path in (("GET", "/profiles"), ("GET", "/history"), ("GET", "/pictures/x/original")):
        status, answer = await ask(client, method, path)
        assert (status, answer["error"]["code"]) == (403, "multi_user")
    status, answer = await ask(client, "GET", "/catalog")
    assert status == 200
    assert answer["profiles"] == []
    assert len(answer["models"]) == len(MODEL_NAMES)


def load_access() -> ModuleType:
    """The checks alone: they need neither host nor pack."""
    spec = importlib.util.spec_from_file_location("web_api_access", ROOT / "nodes" / "web_api" / "access.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


access = load_access()


def refused(**given: Any) -> str:
    headers = {"host": "localhost:8188", **given.get("headers", {})}
    request = access.Request(given.get("method", "GET"), given.get("remote", "127.0.0.1"), headers)
    rules = access.Rules(allowed=given.get("allowed", ""))
    found = access.denial(request, rules, private=given.get("private", True), shared=given.get("shared", False))
    return found.code if found else ""


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, ""),
        ({"remote": "::1"}, ""),
        ({"remote": "::ffff:127.0.0.1"}, ""),
        ({"headers": {"host": "127.0.0.1:8188"}}, ""),
        ({"headers": {"host": "[::1]:8188"}}, ""),
        # A proxy on the same computer: it passes on the Host that another computer asked for.
        ({"headers": {"host": "192.168.1.5:8188"}}, "remote"),
        ({"headers": {"host": "192.168.1.5:8188"}, "private": False}, ""),
        ({"headers": {"host": "192.168.1.5:8188"}, "allowed": "1"}, ""),
        ({"headers": {"host": ""}}, "host"),
        ({"headers": {"host": "mybox:8188"}}, "host"),
        ({"remote": "192.168.1.9", "headers": {"host": "192.168.1.5:8188"}}, "remote"),
        ({"remote": "192.168.1.9", "headers": {"host": "192.168.1.5:8188"}, "allowed": "1"}, ""),
        ({"remote": "192.168.1.9", "headers": {"host": "192.168.1.5:8188"}, "allowed": "0"}, "remote"),
        ({"remote": "192.168.1.9", "headers": {"host": "mybox:8188"}, "allowed": "1"}, ""),
        ({"remote": "192.168.1.9", "headers": {"host": "mybox.local:8188"}, "allowed": "1"}, ""),
        ({"remote": "192.168.1.9", "headers": {"host": "evil.example"}, "allowed": "1"}, "host"),
        ({"remote": "192.168.1.9", "headers": {"host": "comfy.me.example"}, "allowed": "comfy.me.example"}, ""),
        ({"remote": "192.168.1.9", "headers": {"host": "mybox:8188"}, "private": False}, ""),
        ({"headers": {"host": "evil.example"}, "private": False}, "host"),
        ({"headers": {"host": "evil.example"}, "private": False, "shared": True}, "host"),
        ({"remote": "192.168.1.9", "headers": {"host": "comfy.example"}, "private": False, "shared": True}, ""),
        # A page of a browser in the same network, whose name its owner has pointed here.
        ({"remote": "192.168.1.9", "headers": {"host": "evil.example"}, "private": False}, "host"),
        (
            {
                "remote": "192.168.1.9",
                "headers": {"host": "comfy.me.example"},
                "private": False,
                "allowed": "comfy.me.example",
            },
            "",
        ),
        ({"method": "POST", "headers": {"content-type": "application/json; charset=utf-8"}}, ""),
        ({"method": "POST", "headers": {"content-type": "application/json", "sec-fetch-site": "none"}}, "cross_origin"),
    ],
)
def test_who_may(given: dict[str, Any], code: str) -> None:
    assert refused(**given) == code


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_header_breaks_the_check(host_header: str, origin: str) -> None:
    code = refused(headers={"host": host_header, "origin": origin}, private=True)
    assert code in ("", "host", "cross_origin")


# The history.


def keep(
    data: Path,
    prompt: str,
    image: bytes,
    urls: tuple[str, ...] = (),
    profile: str = "default",
    base_url: str = "simulator",
) -> int:
    """A kept call, or with `urls` one whose images are still to be downloaded."""
    from pack.nanobanana.cancel import CancelToken

    details = CallDetails(
        ImageRequest("NanoBananaPro-1K", prompt, "1:1", "png", 2**64 - 1), "documented", profile, base_url, 0, 0.04
    )
    with Journal(data) as journal:
        key = CallKey(prompt, 0)
        with journal.claimed(key, details, cancel=CancelToken(), on_wait=lambda _: None, run="r") as claim:
            journal.sent(claim.record.id)
            for position, url in enumerate(urls):
                journal.url(claim.record.id, position, url)
            journal.answered(claim.record.id, request_id="req-1", text="words")
            if not urls:
                journal.keep(claim.record.id, 0, image, extension="png")
                journal.kept(claim.record.id, seconds=1.5)
            return claim.record.id


def png(width: int = 640, height: int = 480) -> bytes:
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.new("RGBA", (width, height), (200, 30, 30, 128)).save(buffer, "PNG")
    return buffer.getvalue()


async def test_a_page_tells_all_that_is_known(client: Any, tmp_path: Path) -> None:
    data = png()
    keep(tmp_path / "data", "a lighthouse", data)
    status, page = await ask(client, "GET", "/history")
    assert status == 200
    (call,) = page["calls"]
    assert call["prompt"] == "a lighthouse"
    assert call["seed"] == str(2**64 - 1)
    assert call["state"] == "kept"
    assert call["cost"] == 0.04
    (image,) = call["pictures"]
    assert image["bytes"] == len(data)
    async with client.get(f"/nanobanana/pictures/{image['id']}/original") as answer:
        assert await answer.read() == data
        assert answer.content_type == "image/png"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    async with client.get(f"/nanobanana/pictures/{image['id']}/thumbnail") as answer:
        small = await answer.read()
    assert small.startswith(b"\xff\xd8")
    assert len(small) < 20_000
    assert len(list((tmp_path / "data" / "thumbnails").glob("*.jpg"))) == 1


async def test_a_thumbnail_is_made_once(client: Any, tmp_path: Path) -> None:
    keep(tmp_path / "data", "a lighthouse", png())
    image = (await ask(client, "GET", "/history"))[1]["calls"][0]["pictures"][0]["id"]
    async with client.get(f"/nanobanana/pictures/{image}/thumbnail") as answer:
        assert answer.status == 200
    (made,) = (tmp_path / "data" / "thumbnails").glob("*.jpg")
    before = made.stat().st_mtime_ns
    for file in (tmp_path / "data" / "pictures").glob("*.png"):
        file.write_bytes(b"gone")
    async with client.get(f"/nanobanana/pictures/{image}/thumbnail") as answer:
        assert answer.status == 200
    assert made.stat().st_mtime_ns == before


async def test_bytes_that_are_no_image_are_served_as_bytes(client: Any, tmp_path: Path) -> None:
    keep(tmp_path / "data", "odd", b"<script>alert(1)</script>")
    image = (await ask(client, "GET", "/history"))[1]["calls"][0]["pictures"][0]["id"]
    async with client.get(f"/nanobanana/pictures/{image}/original") as answer:
        assert answer.content_type == "application/octet-stream"
    async with client.get(f"/nanobanana/pictures/{image}/thumbnail") as answer:
        assert answer.status == 204


@pytest.mark.parametrize("name", ["nothing", "..%2F..%2Fprofiles.json", "%00", "a" * 500])
async def test_no_name_leads_out_of_the_images(client: Any, name: str) -> None:
    async with client.get(f"/nanobanana/pictures/{name}/original") as answer:
        assert answer.status in (404, 500)
        assert b"api_key" not in await answer.read()


async def test_pages_totals_and_search(client: Any, tmp_path: Path) -> None:
    fill(tmp_path / "data", 120)
    _, first = await ask(client, "GET", "/history?limit=50")
    assert len(first["calls"]) == 50
    _, second = await ask(client, "GET", f"/history?limit=50&before={first['before']}")
    assert second["calls"][0]["id"] < first["calls"][-1]["id"]
    _, found = await ask(client, "GET", "/history?search=number%2077")
    assert [call["prompt"] for call in found["calls"]] == ["image number 77"]
    _, totals = await ask(client, "GET", "/history/totals?days=7")
    assert totals["pictures"] == 120
    assert sum(day["costs"]["USD"] for day in totals["days"]) == pytest.approx(4.8)
    assert (await ask(client, "GET", "/history?before=x"))[0] == 400


async def test_a_first_page_of_a_long_history_is_quick(client: Any, tmp_path: Path) -> None:
    fill(tmp_path / "data", 5000)
    await ask(client, "GET", "/history?limit=1")
    began = time.perf_counter()
    await ask(client, "GET", "/history?limit=200")
    assert time.perf_counter() - began < 1.0


async def test_clearing_needs_to_be_told_what(client: Any, tmp_path: Path) -> None:
    fill(tmp_path / "data", 10)
    assert (await ask(client, "POST", "/history/clear", {}))[0] == 400
    assert (await ask(client, "POST", "/history/clear", {"days": True}))[0] == 400
    calls = [call["id"] for call in (await ask(client, "GET", "/history"))[1]["calls"]]
    assert (await ask(client, "POST", "/history/clear", {"calls": calls[:3]}))[1]["calls"] == 3
    assert (await ask(client, "POST", "/history/clear", {"days": 30}))[1]["calls"] == 0
    assert (await ask(client, "POST", "/history/clear", {"all": True}))[1]["calls"] == 7


async def test_one_image_is_cleared_with_its_call_and_what_was_told_of_it(client: Any, tmp_path: Path) -> None:
    for prompt in ("one", "two"):
        keep(tmp_path / "data", prompt, png(8, 8))
    assert (await ask(client, "GET", "/runs?workflow=w"))[1] == {"events": []}
    told = pack_module("_events").told
    told.note("picture", {"workflow": "w", "node": "1", "run": "r", "image": "data:"})
    told.note("status", {"workflow": "w", "node": "1", "run": "r", "state": "running"})
    told.note("status", {"workflow": "w", "node": "1", "run": "r", "state": "done"})
    told.note("status", {"workflow": "other", "node": "1", "run": "r", "state": "done"})
    events = (await ask(client, "GET", "/runs?workflow=w"))[1]["events"]
    assert [(one["kind"], one["event"].get("state")) for one in events] == [("picture", None), ("status", "done")]
    # Another run of the node takes the place of this one.
    told.note("status", {"workflow": "w", "node": "1", "run": "r2", "state": "running"})
    assert len((await ask(client, "GET", "/runs?workflow=w"))[1]["events"]) == 1
    calls = (await ask(client, "GET", "/history"))[1]["calls"]
    gone = next(call for call in calls if call["prompt"] == "one")["pictures"][0]["id"]
    assert (await ask(client, "POST", "/history/clear", {"pictures": [gone]}))[1]["calls"] == 1
    assert [call["prompt"] for call in (await ask(client, "GET", "/history"))[1]["calls"]] == ["two"]
    assert (await ask(client, "POST", "/history/clear", {"pictures": ["unknown"]}))[0] == 500
    assert (await ask(client, "GET", "/runs?workflow=w"))[1]["events"] == []


async def test_a_download_uses_the_profile_that_its_own_has_become(client: Any, tmp_path: Path) -> None:
    """Renamed or not, only a profile of the same gateway knows what its downloads need."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "navy").save(file, "PNG")

    def serve(peer: Peer) -> None:
        allowed = peer.request()[1].get("authorization") == f"Bearer {KEY}"
        peer.answer("200 OK" if allowed else "401 Unauthorized", file.getvalue() if allowed else b"")

    with RawServer(serve) as server:
        studio = {"name": "studio", "base_url": server.url, "api_key": KEY, "download_with_key": True}
        await ask(client, "POST", "/profiles", studio)
        call = keep(tmp_path / "data", "a lighthouse", b"", (f"{server.url}/1.png",), "gone", server.url)
        _, answer = await ask(client, "POST", "/history/download", {"id": call})
        assert answer["error"] == ""
        assert answer["call"]["state"] == "kept"


async def test_what_was_paid_for_is_downloaded_again_and_never_asked_for(client: Any, tmp_path: Path) -> None:
    with FaultyGateway(latency=0.0) as gateway:
        await ask(client, "PUT", "/profiles", {"name": "default", "base_url": gateway.base_url})
        body = {
            "model": "NanoBananaPro-1K",
            "--aspect_ratio": "1:1",
            "--output_format": "png",
            "messages": [{"role": "user", "content": "a lighthouse"}],
            "stream": False,
        }
        async with ClientSession() as session:
            url = f"{gateway.base_url}/v1/chat/completions"
            async with session.post(url, json=body) as answer:
                image = (await answer.json())["media"]["outputs"][0]
        address = image if isinstance(image, str) else image["url"]
        call = keep(tmp_path / "data", "a lighthouse", b"", (address,), "gone", gateway.base_url)
        assert (await ask(client, "GET", "/history"))[1]["calls"][0]["can_download"] is True
        billed = gateway.ledger.summary()["billed"]
        # Its profile has another name by now.
        _, answer = await ask(client, "POST", "/history/download", {"id": call})
        assert answer["error"] == "", answer
        assert answer["call"]["state"] == "kept"
        assert len(answer["call"]["pictures"]) == 1
        assert gateway.ledger.summary()["billed"] == billed
        _, again = await ask(client, "POST", "/history/download", {"id": call})
        assert "nothing to download" in again["error"]["message"]
        assert (
            "isn't in the history"
            in (await ask(client, "POST", "/history/download", {"id": 999}))[1]["error"]["message"]
        )


# The host.


async def test_slow_work_does_not_hold_up_the_hosts_loop(client: Any) -> None:
    with FaultyGateway(latency=0.0, faults=["models_hang"]) as gateway:
        body = {"name": "default", "base_url": gateway.base_url, "total_timeout": 3.0}
        test = asyncio.ensure_future(ask(client, "POST", "/profiles/test", body))
        await asyncio.sleep(0.3)
        began = time.perf_counter()
        assert (await ask(client, "GET", "/catalog"))[0] == 200
        assert time.perf_counter() - began < 1.5
        assert (await test)[1]["verdict"] == "timed_out"


async def test_threads_end_with_their_work(client: Any) -> None:
    for _ in range(5):
        await ask(client, "GET", "/catalog")
    await asyncio.sleep(0.1)
    assert not [thread for thread in threading.enumerate() if thread.name == "nanobanana-route"]


def test_a_host_without_a_server_still_gets_the_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANOBANANA_HOME", str(tmp_path / "data"))
    with StandIn({}, tmp_path / "host") as running:
        del sys.modules["server"].PromptServer.instance
        from stand_in.loading import load_pack

        assert set(asyncio.run(load_pack(ROOT, "pack"))) == set(NODE_IDS)
        del running


def test_a_second_copy_of_the_pack_adds_no_second_routes(host: StandIn) -> None:
    def ours() -> list[tuple[str, str]]:
        found = [route for route in host.server.routes if "/nanobanana/" in str(getattr(route, "path", ""))]
        return [(route.method, route.path) for route in found]

    before = ours()
    assert before
    assert len(set(before)) == len(before)
    assert pack_module("web_api.routes").register() is False
    assert ours() == before


async def test_a_failure_nobody_foresaw_is_words_and_no_traceback(
    client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await ask(client, "GET", "/history/totals")
    history = pack_module("web_api.history")
    monkeypatch.setattr(history, "journal", lambda: None)
    status, answer = await ask(client, "GET", "/history/totals")
    assert status == 500
    assert answer["error"]["code"] == "unexpected"
    assert "Traceback" not in json.dumps(answer)


async def test_a_saved_answer_is_opened_as_text_and_is_no_image(client: Any, tmp_path: Path) -> None:
    call = keep(tmp_path / "data", "a lighthouse", b"", urls=("https://a.example/1.png",))
    markup = "<script>alert(1)</script> caf\u00e9".encode()
    with Journal(tmp_path / "data") as journal:
        journal.keep_answer(call, markup)
    (found,) = (await ask(client, "GET", "/history"))[1]["calls"]
    assert found["pictures"] == []
    async with client.get(f"/nanobanana/pictures/{found['answer']}/original") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert await answer.read() == markup
