"""The graph: what a node adds to its gateway's time, what runs side by side, how soon a cancel is one, and loading.

    python bench/graphs.py [--repeats 5] [--host]

Against `fake_gateway`, in a process of its own; in the stand-in for ComfyUI, or with --host in a real one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import fake_gateway
from fake_gateway import RunningGateway, busy_seconds
from images import bare_decode, encoded, sample
from measuring import LEAST_REPEATS, Row, side_by_side
from parties import Party, real, stand_in

Graph = dict[str, dict[str, Any]]
_fresh = count(1)


def generate(prompt: str, images: int = 1, model: str = "NanoBananaPro-1K") -> dict[str, Any]:
    """A Generate node that no journal and no cache has an answer for."""
    inputs = {"prompt": prompt, "model": model, "aspect_ratio": "1:1", "output_format": "png", "count": images}
    return {"class_type": "NanoBananaGatewayGenerate", "inputs": {**inputs, "seed": next(_fresh)}}


def shown(node_id: str, output: int = 3) -> dict[str, Any]:
    return {"class_type": "PreviewAny", "inputs": {"source": [node_id, output]}}


def ran(party: Party, graph: Graph) -> Any:
    outcome = party.host.run(graph, lambda _: None)
    if outcome.status != "success":
        raise RuntimeError(f"{party.name}: {outcome.status}: {outcome.message}")
    return outcome


def spread(values: Sequence[float], unit: str = "s", scale: float = 1.0) -> str:
    """Median, least and most in words."""
    numbers = [f"{scale * value:.{0 if scale > 1 else 3}f}" for value in (min(values), max(values))]
    return f"{scale * statistics.median(values):.{1 if scale > 1 else 3}f} {unit} ({numbers[0]} to {numbers[1]})"


def overhead_row(party: Party, gateway: RunningGateway, image: bytes, repeats: int) -> Row:
    """A node's wall time less the gateway's, for one 1K PNG. The floor under it is Pillow's decoding of `image`."""
    floor = side_by_side({"decode": lambda: bare_decode(image)}, repeats)["decode"]
    extra: list[float] = []
    walls: list[float] = []
    for _ in range(2 * repeats + 2):
        began = time.monotonic()
        outcome = ran(party, {"1": generate("overhead"), "2": shown("1")})
        walls.append(outcome.node_seconds["1"])
        extra.append(walls[-1] - busy_seconds(gateway.served(began)))
    # The first call imports what calls need, once in a process.
    first = extra.pop(0)
    detail = (
        f"wall {spread(walls[1:], 'ms', 1000)}; own {spread(extra, 'ms', 1000)}, of which the bare decode takes "
        f"{spread(floor.seconds, 'ms', 1000)}; the first in a process {first * 1000:.0f} ms"
    )
    return Row(f"node's own overhead at 1K, {party.name}", statistics.median(extra) * 1000, 60, True, detail, "ms")


def concurrency_row(party: Party, repeats: int, latency: float) -> Row:
    """Eight images of one node beside one."""
    one: list[float] = []
    eight: list[float] = []
    # Eight threads on a few cores spread more than one does.
    for _ in range(2 * repeats):
        one.append(ran(party, {"1": generate(f"[latency:{latency}]"), "2": shown("1")}).node_seconds["1"])
        eight.append(ran(party, {"1": generate(f"[latency:{latency}]", 8), "2": shown("1")}).node_seconds["1"])
    detail = f"one {spread(one)}; eight {spread(eight)}"
    value = statistics.median(eight) / statistics.median(one)
    what = f"8 images at {latency:g} s each, concurrency 8, times one call, {party.name}"
    return Row(what, value, 1.15, True, detail)


def overlap_row(party: Party, repeats: int, local: float, remote: float, *, as_ratio: bool) -> Row:
    """A node that blocks the loop beside a call."""
    seconds: list[float] = []
    for _ in range(repeats):
        sleep = {"class_type": "BenchBlockingSleep", "inputs": {"seconds": local, "salt": next(_fresh)}}
        graph = {"1": sleep, "2": generate(f"[latency:{remote}]"), "3": shown("1", 0), "4": shown("2")}
        seconds.append(ran(party, graph).seconds)
    what = f"graph of a {local:g} s blocking node and a {remote:g} s call"
    middle = statistics.median(seconds)
    if as_ratio:
        return Row(f"{what}, times the longer, {party.name}", middle / local, 1.3, True, spread(seconds))
    return Row(f"{what}, {party.name}", middle, local + 0.3, True, spread(seconds), "s")


def cancel_rows(party: Party, gateway: RunningGateway, repeats: int) -> list[Row]:
    """From the click to the prompt's end, and to the gateway's seeing the connection close."""
    ended: list[float] = []
    closed: list[float] = []
    for _ in range(repeats):
        began = time.monotonic()
        waiting = threading.Event()
        statuses: list[str] = []

        def run(waiting: threading.Event = waiting, statuses: list[str] = statuses) -> None:
            def said(status: Mapping[str, Any]) -> None:
                if any(call["phase"] == "waiting" for call in status["calls"]):
                    waiting.set()

            statuses.append(party.host.run({"1": generate("[latency:30]"), "2": shown("1")}, said).status)

        running = threading.Thread(target=run)
        running.start()
        if not waiting.wait(20):
            raise RuntimeError(f"{party.name}: the call never waited")
        clicked = time.monotonic()
        party.interrupt()
        running.join()
        ended.append(time.monotonic() - clicked)
        if statuses != ["interrupted"]:
            raise RuntimeError(f"{party.name}: a cancelled prompt ended as {statuses}")
        end = time.monotonic() + 5
        while not (hung_up := [one.closed for one in gateway.served(began) if one.closed]) and time.monotonic() < end:
            time.sleep(0.02)
        closed.append((hung_up[0] or end) - clicked if hung_up else 5.0)
    return [
        Row(f"cancel to the prompt's end, {party.name}", statistics.median(ended), 0.5, True, spread(ended), "s"),
        Row(
            f"cancel to the closed connection, {party.name}", statistics.median(closed), 1.0, True, spread(closed), "s"
        ),
    ]


def load_rows(party: Party) -> list[Row]:
    """How long the host waits for the pack at its start, beside a pack without nodes."""
    loads = party.loads.get("pack", [])
    if not loads:
        return []
    if not all(one["loaded"] for one in loads):
        raise RuntimeError("the pack did not load")
    walls, floor = [one["seconds"] for one in loads], [one["seconds"] for one in party.loads["nothing"]]
    busy = statistics.median(one["busy"] for one in loads)
    new = loads[0]["modules"]
    foreign = [name for name in new if "/" not in name and "\\" not in name]
    detail = (
        f"{spread(walls, 'ms', 1000)}, {busy * 1000:.1f} ms of a core; a pack without nodes "
        f"{spread(floor, 'ms', 1000)}; {len(new)} modules, not ours: {', '.join(foreign) or 'none'}"
    )
    heavy = sum(name.split(".")[0] in ("requests", "urllib3", "sqlite3") for name in new)
    return [
        Row(f"import of the pack, {party.name}", statistics.median(walls) * 1000, 30, True, detail, "ms"),
        Row(f"modules of requests, urllib3 or sqlite3 loaded by it, {party.name}", heavy, 0, True, "", "modules"),
    ]


def rows(party: Party, gateway: RunningGateway, image: bytes, repeats: int, *, short: bool) -> list[Row]:
    """Every row of one host, each told as it comes."""
    steps: list[Callable[[], list[Row]]] = [
        lambda: [overhead_row(party, gateway, image, repeats)],
        lambda: [concurrency_row(party, repeats, 1.0 if short else 2.0)],
        lambda: [overlap_row(party, repeats, *((1.0, 0.9) if short else (5.0, 4.0)), as_ratio=short)],
        lambda: cancel_rows(party, gateway, repeats),
        lambda: load_rows(party),
    ]
    found: list[Row] = []
    for step in steps:
        for row in step():
            print(row, file=sys.stderr, flush=True)
            found.append(row)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=LEAST_REPEATS)
    parser.add_argument("--host", action="store_true")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for tier, side in (("1K", 1024), ("0.5K", 512)):
            (folder / f"{tier}.png").write_bytes(encoded(sample(side).pillow, format="PNG", compress_level=4))
        with fake_gateway.running(folder) as gateway, (real if options.host else stand_in)(folder, gateway) as party:
            image = (folder / "1K.png").read_bytes()
            found = rows(party, gateway, image, options.repeats, short=options.short) if party else []
    print(json.dumps([asdict(row) for row in found]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
