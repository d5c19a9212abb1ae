"""Does the pack work in these ComfyUIs? `python scripts/hosts.py [--python PYTHON] [--verbose] FOLDER...`

Starts each one headless on the CPU with this pack only, and asks it for the nodes, the settings and the history; runs
one Generate, one Edit, and a list whose images come from the history, all against the built-in simulator. Prints a
table, and ends with 1 when something failed. A folder without a Python of its own is run with PYTHON.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "demo"))

from comfy_process import HostFailed, Installation, RunningHost, find_installation, running_host  # noqa: E402
from workflow_graph import Graph  # noqa: E402

NODES = ("Generate", "Edit", "Connection", "Prompts", "Recall")
ROUTES = ("/nanobanana/catalog", "/nanobanana/profiles", "/nanobanana/history")
CHECKS = ("nodes", "settings, history", "Generate", "Edit", "list from history")
REQUEST = {"model": "NanoBanana2-0.5K", "aspect_ratio": "1:1", "output_format": "png", "count": 1, "seed": 1}


def node(name: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": f"NanoBananaGateway{name}", "inputs": inputs}


def preview(node_id: str) -> dict[str, Any]:
    return {"class_type": "PreviewImage", "inputs": {"images": [node_id, 0]}}


def nodes(host: RunningHost) -> str:
    info = host.object_info()
    missing = [name for name in NODES if f"NanoBananaGateway{name}" not in info]
    return f"missing: {', '.join(missing)}" if missing else "ok"


def routes(host: RunningHost) -> str:
    opener = build_opener(ProxyHandler({}))
    for path in ROUTES:
        try:
            with opener.open(host.url + path, timeout=10) as response:
                if response.status != 200:
                    return f"{path}: {response.status}"
        except OSError as error:
            return f"{path}: {error}"
    return "ok"


def ran(host: RunningHost, graph: Graph, images: int) -> str:
    outcome = host.run(graph, nothing)
    got = sum(len(found) for found in outcome.images.values())
    good = outcome.status == "success" and got == images
    return "ok" if good else f"{outcome.status}, {got} images: {outcome.message}"


def nothing(_: object) -> None:
    """Nobody is told about these runs."""


def generate(host: RunningHost) -> str:
    return ran(host, {"1": node("Generate", prompt="a cat", **REQUEST), "2": preview("1")}, 1)


def edit(host: RunningHost) -> str:
    image = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}}
    request = {**REQUEST, "aspect_ratio": "auto", "images.image_1": ["1", 0], "images.image_2": ["1", 0]}
    return ran(host, {"1": image, "2": node("Edit", prompt="a hat", **request), "3": preview("2")}, 1)


def list_from_history(host: RunningHost) -> str:
    lines = "\n".join(f"view {number}" for number in range(8))
    for connection in ({}, {"connection": ["4", 0]}):
        graph: Graph = {
            "1": node("Prompts", text=lines),
            "2": node("Generate", prompt=["1", 0], **REQUEST, **connection),
            "3": preview("2"),
            "4": node("Connection", profile="default"),
        }
        said = ran(host, graph, 8)
        if said != "ok":
            return said
    return "ok"


def check(installation: Installation, base: Path, verbose: bool) -> tuple[str, list[str]]:
    """The host's version, and what each of `CHECKS` came to: "ok", or what is wrong."""
    version = (installation.folder / "comfyui_version.py").read_text(encoding="utf-8").split('"')[1]
    environ = {"NANOBANANA_BASE_URL": "simulator", "NANOBANANA_API_KEY": "", "NANOBANANA_HOME": str(base / "data")}
    steps: tuple[Callable[[RunningHost], str], ...] = (nodes, routes, generate, edit, list_from_history)
    try:
        with running_host(installation, base, ROOT, environ) as host:
            said: list[str] = []
            for step in steps:
                try:
                    said.append(step(host))
                except Exception as error:  # noqa: BLE001
                    said.append(f"{type(error).__name__}: {error}")
            if verbose:
                print(host.log_tail(60), file=sys.stderr)
            said += [line for line in host.log_text().splitlines() if line.startswith("NanoBanana")]
            return version, said
    except HostFailed as error:
        return version, [f"did not start: {error}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--python", help="for folders that have none of their own")
    parser.add_argument("--verbose", action="store_true", help="show the end of each log")
    options = parser.parse_args()
    print(f"| ComfyUI | {' | '.join(CHECKS)} |\n| --- | {' | '.join('---' for _ in CHECKS)} |")
    failed = 0
    for folder in options.folders:
        installation = find_installation({"COMFYUI_PATH": str(folder)}) or find_installation(
            {"COMFYUI_PATH": str(folder), "COMFYUI_PYTHON": options.python or os.environ.get("COMFYUI_PYTHON", "")}
        )
        if installation is None:
            parser.error(f"no ComfyUI, or no Python for it, in {folder}")
        with tempfile.TemporaryDirectory() as base:
            version, said = check(installation, Path(base), options.verbose)
        failed += said[: len(CHECKS)] != ["ok"] * len(CHECKS)
        shown = [one.splitlines()[0] for one in said[: len(CHECKS)]]
        print(f"| {version} | {' | '.join(shown)} |", flush=True)
        for line in said:
            if "\n" in line or line not in said[: len(CHECKS)]:
                print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
