"""One optional feature that a host lacks costs that feature alone: the pack loads, and its nodes work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import NODE_IDS, ROOT
from gateway_faults import FaultyGateway
from stand_in import StandIn

pytestmark = pytest.mark.slow

OPTIONAL = [
    "comfy_api.v0_0_2",
    "comfy_api.latest:ComfyAPI",
    "comfy_execution.utils",
    "comfy.cli_args",
    "comfy.model_management:intermediate_dtype",
    "folder_paths:get_system_user_directory",
    "server",
    "server:PromptServer",
    "server:PromptServer.instance",
    "server:PromptServer.instance.routes",
]


@pytest.fixture
def data_folder(clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The pack's data folder; the settings name a simulator that ends with the test."""
    with FaultyGateway(latency=0.05) as simulator:
        monkeypatch.setenv("NANOBANANA_BASE_URL", simulator.base_url)
        yield clean_environment


def generate() -> dict[str, Any]:
    inputs = {"prompt": "a fox", "model": "NanoBanana2-0.5K", "aspect_ratio": "1:1", "output_format": "png"}
    return {
        "1": {"class_type": "NanoBananaGatewayGenerate", "inputs": {**inputs, "count": 1, "seed": 3}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }


@pytest.mark.parametrize("feature", OPTIONAL)
def test_the_pack_works_without(feature: str, data_folder: Path, tmp_path: Path) -> None:
    with StandIn({"nanobanana-gateway": ROOT}, tmp_path / "host", without=[feature]) as host:
        assert set(NODE_IDS) <= set(host.nodes)
        run = host.run(generate())
    assert run.status == "success", run.failure
    assert run.outputs["1"][0][0].shape == (1, 512, 512, 3)


def test_the_pack_works_in_the_oldest_api(data_folder: Path, tmp_path: Path) -> None:
    with StandIn({"nanobanana-gateway": ROOT}, tmp_path / "host", floor=True) as host:
        assert host.run(generate()).status == "success"
        assert any(getattr(route, "path", "") == "/nanobanana/history" for route in host.server.routes)


def test_a_host_too_old_for_edit_says_so_and_has_the_other_nodes(
    data_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lacking = ["comfy_api.latest:io.Autogrow"]
    with StandIn({"nanobanana-gateway": ROOT}, tmp_path / "host", without=lacking) as host:
        assert set(NODE_IDS) - set(host.nodes) == {"NanoBananaGatewayEdit"}
        assert host.run(generate()).status == "success"
    [said] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "Edit needs ComfyUI 0.8 or newer" in said.getMessage()
    assert said.exc_info is None


def test_a_node_that_has_no_schema_here_costs_itself_alone(
    data_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with StandIn({"nanobanana-gateway": ROOT}, tmp_path / "host", without=["comfy_api.latest:io.Mask.Input"]) as host:
        assert "NanoBananaGatewayEdit" not in host.nodes
        assert "NanoBananaGatewayPrompts" in host.nodes
    assert "NanoBananaGatewayEdit could not be loaded" in caplog.text


def test_the_data_folder_is_one_that_no_route_serves(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NANOBANANA_HOME")
    with StandIn({"nanobanana-gateway": ROOT}, tmp_path / "host") as host:
        host.run(generate())
    assert (tmp_path / "host/user/__nanobanana/journal.sqlite3").is_file()
    assert not data_folder.exists()
