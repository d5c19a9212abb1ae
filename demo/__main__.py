"""The main job in one command: every example workflow, run as an API graph against the built-in simulator.

No key, no network. Runs in a real ComfyUI where one is found, else in the stand-in host.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from comfy_process import PACK_NAME, HostFailed, find_installation, running_host
from outcome import Host
from report import Row, contact_sheet, table, write_images
from tiny_models import place_tiny_models
from workflow_graph import Graph, WorkflowError, missing_model, read_workflow, to_api_graph

ROOT = Path(__file__).resolve().parent.parent


def _environment(folder: Path) -> dict[str, str]:
    return {"NANOBANANA_BASE_URL": "simulator", "NANOBANANA_API_KEY": "", "NANOBANANA_HOME": str(folder / "data")}


@contextmanager
def open_host(choice: str, folder: Path) -> Generator[Host, None, None]:
    """The host to run in: `choice` is `host`, `stand-in` or `auto`. Everything it writes is below `folder`."""
    installation = None if choice == "stand-in" else find_installation(os.environ)
    if installation is not None:
        print(f"Starting ComfyUI from {installation.folder} ...", flush=True)
        place_tiny_models(folder / "comfyui" / "models")
        with running_host(installation, folder / "comfyui", ROOT, _environment(folder)) as host:
            if "NanoBananaGatewayGenerate" not in host.object_info():
                raise HostFailed(f"The pack did not load in this ComfyUI.\n{host.log_tail()}")
            yield host
        return
    if choice == "host":
        raise HostFailed("No ComfyUI found: set COMFYUI_PATH to its folder, and COMFYUI_PYTHON to its Python.")
    # PyTorch takes a second to import, and a real host needs none in this process.
    from stand_in import StandIn
    from stand_in_runner import StandInRunner

    os.environ.update(_environment(folder))
    with StandIn({PACK_NAME: ROOT}, folder / "stand-in") as stand_in:
        yield StandInRunner(stand_in, folder / "stand-in")


class _Teller:
    """Prints where each node stands whenever that changes; progress within a phase doesn't count."""

    def __init__(self, graph: Graph, started: float) -> None:
        self._graph = graph
        self._started = started
        self._last: dict[str, str] = {}

    def __call__(self, status: Mapping[str, Any]) -> None:
        node_id = str(status["node"])
        phases = ", ".join(sorted({str(call["phase"]) for call in status["calls"]}))
        line = f"{phases or status['state']}, {status['delivered']} of {status['total']} images"
        if self._last.get(node_id) != line:
            self._last[node_id] = line
            title = self._graph[node_id]["_meta"]["title"] if node_id in self._graph else node_id
            print(f"  {time.perf_counter() - self._started:5.1f} s  {title} #{node_id}: {line}", flush=True)
            for text in [*status["warnings"], *(error["message"] for error in status["errors"])]:
                print(f"          {text}", flush=True)


def run_workflows(host: Host, paths: list[Path], output: Path) -> tuple[list[Row], list[str]]:
    """Run each workflow; returns a row for each node that made images, and a line for each failure."""
    rows: list[Row] = []
    failures: list[str] = []
    info = host.object_info()
    for number, path in enumerate(paths, 1):
        print(f"[{number}/{len(paths)}] {path.stem}", flush=True)
        workflow = read_workflow(path)
        model = missing_model(workflow, info)
        if model:
            print(f"  not run: it loads the model file {model}, which this host doesn't have", flush=True)
            continue
        try:
            graph = to_api_graph(workflow, info)
        except WorkflowError as error:
            failures.append(f"{path.stem}: {error}")
            continue
        outcome = host.run(graph, _Teller(graph, time.perf_counter()))
        made = write_images(path.stem, graph, outcome, output)
        rows += made
        if outcome.status != "success":
            failures.append(f"{path.stem}: {outcome.status}: {outcome.message}")
        elif not made:
            failures.append(f"{path.stem}: no image was written")
        print(f"  {outcome.status}, {sum(len(row.files) for row in made)} images, {outcome.seconds:.1f} s", flush=True)
    return rows, failures


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--host", dest="choice", action="store_const", const="host", help="a real ComfyUI or none")
    group.add_argument("--stand-in", dest="choice", action="store_const", const="stand-in", help="no real ComfyUI")
    parser.add_argument("--output", type=Path, default=ROOT / "output", help="where images go (default: output/)")
    parser.add_argument("workflows", nargs="*", type=Path, help="workflow files (default: all of example_workflows/)")
    parser.set_defaults(choice="auto")
    options = parser.parse_args(arguments)
    console: Any = sys.stdout
    # Models speak any language; a console that can't show a character shows a question mark.
    console.reconfigure(errors="replace")
    output: Path = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = options.workflows or sorted((ROOT / "example_workflows").glob("*.json"))
    started = time.perf_counter()
    # On Windows a process that was just ended may still hold a file for a moment.
    with tempfile.TemporaryDirectory(dir=output, prefix="run-", ignore_cleanup_errors=True) as folder:
        try:
            with open_host(options.choice, Path(folder)) as host:
                print(f"Running {len(paths)} workflows in {host.name}, against the simulator.", flush=True)
                rows, failures = run_workflows(host, paths, output)
        except HostFailed as error:
            print(error, file=sys.stderr)
            return 1
    if rows:
        contact_sheet(rows, output / "contact_sheet.jpg")
        print(f"\n{table(rows)}\n")
    images = sum(len(row.files) for row in rows)
    print(f"{images} images in {output}, all on contact_sheet.jpg, {time.perf_counter() - started:.1f} s.")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures or not rows else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
