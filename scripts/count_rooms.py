"""Which of the pack's files one Generate enters, counted at run time with a profile hook.

    python scripts/count_rooms.py

Run it with the project's own Python (.venv): the node runs in the stand-in host, against the simulator. Files of the
simulator itself don't count.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MOST = 46


def rooms() -> list[str]:
    """The files below `nanobanana/` and `nodes/` with a function that ran during one successful Generate."""
    sys.path[:0] = [str(ROOT / "demo"), str(ROOT / "tests")]
    # Loads the pack under its name.
    importlib.import_module("conftest")
    simulator_of: Any = importlib.import_module("pack.nanobanana.simulator").Simulator
    stand_in: Any = importlib.import_module("stand_in").StandIn
    entered: set[str] = set()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        # Class bodies and modules run when they are imported: that is no visit.
        if event != "call" or frame.f_code.co_name == "<module>" or "__qualname__" in frame.f_locals:
            return
        entered.add(frame.f_code.co_filename)
        # The constructor that a dataclass generates has no file of its own: its class has.
        if frame.f_code.co_filename == "<string>" and "self" in frame.f_locals:
            module = sys.modules.get(type(frame.f_locals["self"]).__module__)
            entered.add(str(getattr(module, "__file__", "")))

    node = {"prompt": "a lighthouse", "model": "NanoBanana2-0.5K", "aspect_ratio": "1:1", "output_format": "png"}

    def graph(seed: int) -> dict[str, Any]:
        return {
            "1": {"class_type": "NanoBananaGatewayGenerate", "inputs": {**node, "count": 1, "seed": seed}},
            "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        }

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, simulator_of(latency=0.3) as simulator:
        os.environ.update(NANOBANANA_HOME=f"{name}/data", NANOBANANA_BASE_URL=simulator.base_url)
        with stand_in({"nanobanana-gateway": ROOT}, Path(name) / "host") as host:
            # What a first run imports and opens is not the way of an image.
            host.run(graph(0))
            threading.setprofile(profile)
            sys.setprofile(profile)
            try:
                run = host.run(graph(1))
            finally:
                sys.setprofile(None)
                threading.setprofile(None)
    if run.status != "success":
        raise RuntimeError(f"the run ended with {run.status}: {run.failure}")
    paths = {Path(one) for one in entered if Path(one).is_file()}
    ours = sorted(path.relative_to(ROOT).as_posix() for path in paths if ROOT in path.parents)
    return [one for one in ours if one.startswith(("nanobanana/", "nodes/")) and "/simulator/" not in one]


def main() -> int:
    found = rooms()
    print("\n".join(found))
    print(f"{len(found)} files, at most {MOST}")
    return 0 if len(found) <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
