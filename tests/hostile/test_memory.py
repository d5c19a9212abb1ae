"""What a hostile gateway can make the client hold in memory: what the caps say, and not more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gateway_faults import FaultyGateway

pytestmark = pytest.mark.slow

WORKER = Path(__file__).with_name("worker.py")
MIB = 1 << 20

# fault -> the most that may be held (MiB), words of the error. The caps are 192 MB of answer, 160 MB a line, 128 MiB of
# image. What has come is held in pieces and whole, and looked through for an image before it is given up.
HELD = {
    "hostile_endless_line": (4 * 160 + 40, "a line of more than"),
    "hostile_endless_json": (4 * 192 + 40, "192 MB"),
    "hostile_gzip_bomb": (20, "192 MB"),
    "hostile_deep_json": (20, "nested"),
    "hostile_many_urls": (20, "no host named"),
    "hostile_huge_numbers": (20, "without an image"),
    "hostile_long_header": (20, "did not send an HTTP"),
    "body_huge": (20, "HTTP 400"),
    "download_endless": (128 + 20, "134 MB"),
    "download_gzip_bomb": (128 + 20, "134 MB"),
    "picture_bomb": (20, "can't be read"),
}


def reports(folder: Path) -> dict[str, dict[str, object]]:
    """What each fault came to, all of them in one process of their own."""
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    faults = [f"{fault}] [fault:http_400" if fault == "body_huge" else fault for fault in HELD]
    with FaultyGateway(latency=0.0, keep_bodies=False) as simulator:
        done = subprocess.run(
            [sys.executable, str(WORKER), str(folder), simulator.base_url, *faults],
            capture_output=True,
            text=True,
            env=environment,
            timeout=110,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(zip(HELD, found, strict=True))


def test_memory_is_bounded_by_the_caps(tmp_path: Path) -> None:
    for fault, report in reports(tmp_path).items():
        most, words = HELD[fault]
        assert words in str(report["error"]), fault
        assert int(str(report["bytes"])) < most * MIB, fault
