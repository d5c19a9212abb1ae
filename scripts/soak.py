"""Two processes share one folder and ask a gateway that fails at random: is anything lost, paid twice, or left behind?

`python scripts/soak.py [--calls 500] [--kills 4] [--seed 1]` runs for some minutes, prints what it found, and ends
with 1 when a promise was broken. Both processes want the same images within the same run, in different orders, and
are killed and begun again; then, as a person would, everything is run once more.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = 2
PARALLEL = 6
# A call that hangs is given up after so many seconds.
TOTAL_SECONDS = 4.0
# How often each fault strikes, out of the sum of all; each strikes the first call for its image.
FAULTS = {
    "": 40,
    "http_429": 6,
    "http_503": 4,
    "http_500": 5,
    "http_504": 4,
    "http_400": 2,
    "cut_before_headers": 3,
    "cut_after_headers": 4,
    "reset_inside_event": 4,
    "cut_inside_url": 4,
    "cut_after_url": 4,
    "hang_before_headers": 1,
    "refusal": 3,
    "shape_markdown_data": 6,
    "framing_gzip": 3,
    "download_404:2": 4,
    "download_reset_middle": 3,
    "download_short_body": 3,
    "download_500:5": 3,
    "picture_truncated_png": 2,
}


def prompts(count: int, seed: int) -> list[str]:
    """So many images to ask for, with their faults as the simulator reads them."""
    chance = random.Random(seed)
    names = chance.choices(list(FAULTS), weights=list(FAULTS.values()), k=count)
    return [f"image {n}" + (f" [fault:{name}] [times:1]" if name else "") for n, name in enumerate(names)]


@dataclass
class Findings:
    """What the soak found; `broken` promises must be none."""

    images: int = 0
    posts: int = 0
    paid: int = 0
    kills: int = 0
    seconds: float = 0.0
    endings: Counter[str] = field(default_factory=Counter[str])
    rerun_posts: int = 0
    most_threads: int = 0
    most_descriptors: int = 0
    most_growth_mb: float = 0.0
    broken: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        lines = [
            f"{self.images} images, {PROCESSES} processes, {self.kills} kills: {self.seconds:.1f} s",
            f"first run: {self.posts} POSTs, {self.paid} paid; re-run: {self.rerun_posts} POSTs",
            "endings of the first run: " + ", ".join(f"{name} {n}" for name, n in self.endings.most_common()),
            f"left in a process at its end: {self.most_threads} threads, {self.most_descriptors} more open files,"
            f" {self.most_growth_mb:.1f} MB more than after its first quarter",
            *(f"BROKEN: {words}" for words in self.broken),
        ]
        return "\n".join(lines)


def load() -> None:
    """Make the pack known under the alias that the tests use."""
    sys.path[:0] = [str(ROOT / "tests")]
    importlib.import_module("conftest")


def resident_mb() -> float:
    """What this process has in memory at present; 0 where the system doesn't tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def descriptors() -> int:
    """How many files and sockets are open; 0 where the system doesn't tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def our_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("nanobanana-")]


def work(folder: str, base_url: str, run: str, order: int, count: int, seed: int) -> int:
    """One process: ask for everything, and print a JSON line with what came and what is left behind."""
    load()
    bench: Any = importlib.import_module("engines")
    backoff: Any = importlib.import_module("pack.nanobanana.gateway.retry").Backoff(scale=0.02, idle_seconds=2.0)
    wanted = prompts(count, seed)
    random.Random(order).shuffle(wanted)
    endings: dict[str, str] = {}
    times = {"connect_timeout": 5.0, "total_timeout": TOTAL_SECONDS, "concurrency": PARALLEL}
    before, early = 0, 0.0
    with bench.Bench(Path(folder), base_url, backoff=backoff, **times) as engine:
        for start in range(0, count, 2 * PARALLEL):
            calls = [(prompt, engine.start(prompt, run)) for prompt in wanted[start : start + 2 * PARALLEL]]
            for prompt, call in calls:
                outcome = bench.finished(call, 120.0)
                endings[prompt] = type(outcome.error).__name__ if outcome.error else "picture"
            del calls
            if start == 0:
                before = descriptors()
            if start <= count // 4:
                early = resident_mb()
        bench.wait_until(lambda: not our_threads(), 5.0)
        left = {"threads": our_threads(), "descriptors": descriptors() - before, "growth": resident_mb() - early}
    print(json.dumps({"endings": endings, **left}), flush=True)
    return 0


class Soak:
    """The gateway, the folder, and the processes that share them."""

    def __init__(self, count: int, kills: int, seed: int, say: bool = True) -> None:
        self._count = count
        self._kills = kills
        self._seed = seed
        self._say = say
        self._chance = random.Random(seed)
        self.findings = Findings(images=count)

    def run(self) -> Findings:
        """Both runs, and what they showed."""
        simulator_of: Any = importlib.import_module("gateway_faults").FaultyGateway
        found = self.findings
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, simulator_of(latency=0.05, keep_bodies=False) as simulator:
            first = self._both(folder, simulator.base_url, "run 1", self._kills)
            posts = simulator.ledger.posts
            found.posts, found.paid = len(posts), len(simulator.ledger.billed)
            self._check_bills(Counter(post.prompt for post in simulator.ledger.billed))
            endings: dict[str, str] = {}
            for report in first:
                for prompt, ending in report["endings"].items():
                    endings[prompt] = "picture" if endings.get(prompt) == "picture" else ending
            found.endings = Counter(endings.values())

            second = self._both(folder, simulator.base_url, "run 2", 0)
            again = simulator.ledger.posts[len(posts) :]
            found.rerun_posts = len(again)
            self._check_rerun(endings, [post.prompt for post in again], second)
            found.broken += simulator.ledger.violations
            self._check_folder(Path(folder))
        for report in first + second:
            found.most_threads = max(found.most_threads, len(report["threads"]))
            found.most_descriptors = max(found.most_descriptors, report["descriptors"])
            found.most_growth_mb = max(found.most_growth_mb, report["growth"])
        self._check_left_behind()
        found.seconds = time.monotonic() - began
        return found

    def _both(self, folder: str, base_url: str, run: str, kills: int) -> list[dict[str, Any]]:
        """Every process to its end; `kills` times one of them is killed and begun again."""
        running = [self._start(folder, base_url, run, number) for number in range(PROCESSES)]
        for number in range(kills):
            time.sleep(self._chance.uniform(0.5, 2.0) + (1.0 if number == 0 else 0.0))
            victim = self._chance.randrange(PROCESSES)
            if running[victim].poll() is None:
                running[victim].kill()
                running[victim].communicate()
                self.findings.kills += 1
                running[victim] = self._start(folder, base_url, run, PROCESSES + number)
        reports: list[dict[str, Any]] = []
        for process in running:
            try:
                text, _ = process.communicate(timeout=60 + self._count)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                self.findings.broken.append(f"a process of {run} hangs")
                continue
            if process.returncode:
                self.findings.broken.append(f"a process of {run} ended with {process.returncode}")
            else:
                reports.append(json.loads(text.splitlines()[-1]))
        if self._say:
            print(f"{run}: done", flush=True)
        return reports

    def _start(self, folder: str, base_url: str, run: str, order: int) -> subprocess.Popen[str]:
        arguments = [folder, base_url, run, str(order), str(self._count), str(self._seed)]
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        return subprocess.Popen(
            [sys.executable, str(Path(__file__)), "work", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def _check_bills(self, bills: Counter[str]) -> None:
        for prompt, count in bills.items():
            if count > 1:
                self.findings.broken.append(f"{prompt!r} was paid {count} times within one run")

    def _check_rerun(self, first: dict[str, str], again: list[str], second: list[dict[str, Any]]) -> None:
        broken = self.findings.broken
        for prompt, count in Counter(again).items():
            if first.get(prompt) in ("picture", "DownloadFailed", "ImageError"):
                broken.append(f"{prompt!r} had been answered ({first[prompt]}) and was asked again")
            if count > 1:
                broken.append(f"{prompt!r} was asked {count} times in the re-run, by which nothing fails any more")
        for report in second:
            for prompt, ending in report["endings"].items():
                damaged = "truncated" in prompt and first.get(prompt) == "DownloadFailed"
                expected = "DownloadFailed" if damaged else "picture"
                if ending != expected:
                    broken.append(f"{prompt!r} ended as {ending} in the re-run")

    def _check_folder(self, folder: Path) -> None:
        parts = list((folder / "pictures").glob("*.part"))
        # A process that is killed may leave a half-written file; it is removed an hour later.
        if len(parts) > self.findings.kills * PARALLEL:
            self.findings.broken.append(f"{len(parts)} half-written files were left")
        if list(folder.glob("*.damaged*")):
            self.findings.broken.append("the journal was damaged")

    def _check_left_behind(self) -> None:
        found = self.findings
        if found.most_threads:
            found.broken.append(f"{found.most_threads} threads were left")
        if found.most_descriptors > 8:
            found.broken.append(f"{found.most_descriptors} files or sockets were left open")
        if found.most_growth_mb > 60:
            found.broken.append(f"a process grew by {found.most_growth_mb:.0f} MB")


def main() -> int:
    if sys.argv[1:2] == ["work"]:
        folder, base_url, run, order, count, seed = sys.argv[2:]
        return work(folder, base_url, run, int(order), int(count), int(seed))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    load()
    findings = Soak(chosen.calls, chosen.kills, chosen.seed).run()
    print(findings)
    return 1 if findings.broken else 0


if __name__ == "__main__":
    sys.exit(main())
