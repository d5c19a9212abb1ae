"""A real ComfyUI with a real Chromium before it: its own frontend, then the newest. Without them the tests skip."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from comfy_process import Installation, find_installation, running_host
from frontends import OLDEST, frontend
from gateway_faults import FaultyGateway
from page_of_comfyui import Comfy
from tiny_models import place_tiny_models

ROOT = Path(__file__).resolve().parent.parent.parent
ARTEFACTS = ROOT / "artefacts" / "browser"
FAILED = pytest.StashKey[bool]()

# What names the pack without being its fault: requests that a reload ended, and workflows that were never saved.
HOST_NOISE = (r"net::ERR_ABORTED", r"/api/userdata")


def chromium() -> str | None:
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def missing() -> str:
    """What these tests need and is not there, in a line; empty when all is."""
    if find_spec("playwright") is None:
        return "no playwright installed"
    if chromium() is None:
        return "no Chromium found: set CHROMIUM"
    if find_installation(os.environ) is None:
        return "no ComfyUI found: set COMFYUI_PATH"
    return ""


@pytest.hookimpl(tryfirst=True)  # before xdist, which looks for the group's mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here, why = Path(__file__).parent, missing()
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            # One worker runs all of these, so that there is one host and one browser at a time.
            item.add_marker(pytest.mark.xdist_group("browser"))
            # The first of them starts the host, which alone may take three minutes.
            item.add_marker(pytest.mark.timeout(300))
            item.add_marker(pytest.mark.flaky(reruns=1))
            if why:
                item.add_marker(pytest.mark.skip(why))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: Any = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@dataclass
class Site:
    """A running host and where its data lie. `said`: errors and warnings in the page's console that name this pack.

    The rest is the host's own affair: each of its frontends has some of its own.
    """

    url: str
    data: Path
    frontend: str
    log: Callable[[], str]
    said: list[str] = field(default_factory=list)


# "own" is the one that came with the ComfyUI; "oldest" can be asked for.
FRONTENDS = os.environ.get("FRONTENDS", "own,newest").split(",")


@pytest.fixture(scope="package", params=FRONTENDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    installation = find_installation(os.environ)
    assert installation is not None
    flags: tuple[str, ...] = ()
    if request.param != "own":
        version = OLDEST if request.param == "oldest" else ""
        static = frontend(ROOT / ".venv" / "frontends", installation.python, version)
        if static is None:
            pytest.skip(f"the {request.param} frontend can't be had from the package index")
        flags = ("--front-end-root", str(static))
    base = tmp_path_factory.mktemp("comfyui-browser")
    prepare(base)
    place_tiny_models(base / "models")
    environ = {"NANOBANANA_HOME": str(base / "data"), "NANOBANANA_BASE_URL": "", "NANOBANANA_API_KEY": ""}
    with running_host(installation, base, ROOT, environ, flags) as host:
        yield Site(host.url, base / "data", str(request.param), host.log_text)


def prepare(base: Path) -> None:
    """No tutorial, and none of the files whose absence the page reports."""
    user = base / "user" / "default"
    for name in ("workflows", "subgraphs"):
        (user / name).mkdir(parents=True)
    (user / "user.css").touch()
    (user / "comfy.templates.json").write_text("[]")
    settings = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False, "Comfy.Queue.QPOV2": False}
    (user / "comfy.settings.json").write_text(json.dumps(settings))


# Not for the session: while Playwright is open its loop counts as running in this thread, and the stand-in host's
# tests, which may follow in the same worker, need loops of their own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), headless=True, args=options)
        yield running
        running.close()


@pytest.fixture(scope="package")
def opened(site: Site, browser: Any) -> Iterator[Comfy]:
    """One page for all tests of a frontend: to load it takes some seconds."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()

    def heard(kind: str, text: str) -> None:
        if "nanobanana" in text.lower() and not any(re.search(pattern, text) for pattern in HOST_NOISE):
            site.said.append(f"{kind}: {text}")

    page.on("pageerror", lambda error: heard("pageerror", f"{error} {error.stack or ''}"))
    page.on(
        "console",
        lambda message: (
            heard(message.type, f"{message.text} {message.location.get('url', '')}")
            if message.type in ("error", "warning")
            else None
        ),
    )
    with FaultyGateway(latency=0.05, progress=True) as gateway:
        comfy = Comfy(page, site.url, site.data, ARTEFACTS / site.frontend, gateway.base_url)
        comfy.gateway_behind = gateway
        comfy.open()
        yield comfy
        context.close()


@pytest.fixture
def gateway(opened: Comfy) -> FaultyGateway:
    """What each test's page begins with."""
    return opened.gateway_behind


@pytest.fixture
def comfy(opened: Comfy, request: pytest.FixtureRequest) -> Iterator[Comfy]:
    """The page with an empty graph, a gateway that does as a prompt says, and no history.

    A failed test leaves a screenshot, and is run once more in a fresh page.
    """
    if getattr(request.node, "execution_count", 1) > 1:
        opened.open()
    opened.begin()
    yield opened
    if request.node.stash.get(FAILED, True):
        opened.image(re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-"))


@pytest.fixture(params=["canvas", "vue"])
def renderer(request: pytest.FixtureRequest, comfy: Comfy) -> str:
    """Both ways in which the frontend draws nodes."""
    comfy.use_vue_nodes(request.param == "vue")
    return str(request.param)


@pytest.fixture
def installation() -> Installation:
    found = find_installation(os.environ)
    assert found is not None
    return found
