"""The pack in the stand-in host, against a simulator whose ledger a test can read."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from gateway_faults import FaultyGateway
from graphs import GivenImage, Sampler, Sleep, loaded
from stand_in import StandIn

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def gateway() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.05) as simulator:
        yield simulator


@pytest.fixture
def open_host(
    gateway: FaultyGateway, clean_environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[], StandIn]:
    """A new host over the same data folder each time, as after a restart."""
    monkeypatch.setenv("NANOBANANA_BASE_URL", gateway.base_url)
    return lambda: StandIn({"nanobanana-gateway": ROOT}, tmp_path / "host", extra_nodes=[Sleep, Sampler, GivenImage])


@pytest.fixture
def host(open_host: Callable[[], StandIn]) -> Iterator[StandIn]:
    with open_host() as opened:
        # What a first run imports, so that the times of these tests are those of any run.
        importlib.import_module("requests")
        loaded("nodes._runs")
        yield opened


@pytest.fixture
def hand_over() -> Iterator[Callable[[torch.Tensor], dict[str, Any]]]:
    """Makes a graph node that gives the tensor."""

    def node(tensor: torch.Tensor) -> dict[str, Any]:
        number = len(GivenImage.given)
        GivenImage.given[number] = tensor
        return {"class_type": "TestGivenImage", "inputs": {"which": number}}

    yield node
    GivenImage.given.clear()
