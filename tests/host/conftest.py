"""A real ComfyUI, started once for all tests of this folder, anew for one that failed; without one they skip."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from comfy_process import Installation, RunningHost, find_installation, running_host
from gateway_faults import FaultyGateway
from tiny_models import place_tiny_models

ROOT = Path(__file__).resolve().parent.parent.parent
NO_HOST = "no ComfyUI found: set COMFYUI_PATH"

# Nodes that hold the host's loop as a sampler does, for the tests of what runs beside them. The second one looks for an
# interruption as every operation of the host's own models does, and takes it.
BLOCKING_PACK = """
import time

import comfy.model_management
import torch


class BlockingSleep:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "sleep"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"seconds": ("FLOAT", {"min": 0, "max": 60}), "salt": ("INT", {"default": 0})}}

    def sleep(self, seconds, salt):
        time.sleep(seconds)
        return (torch.zeros(1, 8, 8, 3),)


class InterruptedWork:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "work"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls):
        every = ("FLOAT", {"min": 0, "max": 60, "step": 0.001})
        return {"required": {"seconds": ("FLOAT", {"min": 0, "max": 60}), "every": every, "salt": ("INT", {})}}

    def work(self, seconds, every, salt):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            comfy.model_management.throw_exception_if_processing_interrupted()
            time.sleep(every)
        return (torch.zeros(1, 8, 8, 3),)


NODE_CLASS_MAPPINGS = {"TestBlockingSleep": BlockingSleep, "TestInterruptedWork": InterruptedWork}
"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs all of these, so that they share one host. Before xdist, which looks for the group's mark."""
    here = Path(__file__).parent
    found = find_installation(os.environ)
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.host)
            item.add_marker(pytest.mark.xdist_group("host"))
            # The first of them starts the host, which alone may take three minutes.
            item.add_marker(pytest.mark.timeout(300))
            item.add_marker(pytest.mark.flaky(reruns=1))
            if found is None:
                item.add_marker(pytest.mark.skip(NO_HOST))


@pytest.fixture(scope="session")
def installation() -> Installation:
    found = find_installation(os.environ)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def gateway() -> Iterator[FaultyGateway]:
    """A gateway that does as a prompt says."""
    with FaultyGateway(latency=0.05) as running:
        yield running


def prepare(base: Path) -> None:
    """The nodes and models that the tests need besides the pack."""
    blocking = base / "custom_nodes" / "test-blocking"
    blocking.mkdir(parents=True)
    (blocking / "__init__.py").write_text(BLOCKING_PACK, encoding="utf-8")
    place_tiny_models(base / "models")


@pytest.fixture(scope="session")
def open_host(
    installation: Installation, gateway: FaultyGateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[bool], RunningHost]]:
    """The host with this pack and blocking nodes: the running one, or a fresh process in a fresh folder."""
    running: list[RunningHost] = []
    with ExitStack() as process:

        def open_one(fresh: bool) -> RunningHost:
            if fresh:
                process.close()
                running.clear()
            if not running:
                base = tmp_path_factory.mktemp("comfyui")
                prepare(base)
                environ = {"NANOBANANA_BASE_URL": gateway.base_url, "NANOBANANA_API_KEY": ""}
                environ["NANOBANANA_HOME"] = str(base / "data")
                running.append(process.enter_context(running_host(installation, base, ROOT, environ)))
            return running[0]

        yield open_one


@pytest.fixture
def host(open_host: Callable[[bool], RunningHost], request: pytest.FixtureRequest) -> RunningHost:
    """The host of all tests; a process of its own for a test that failed before."""
    return open_host(getattr(request.node, "execution_count", 1) > 1)
