"""Kill a process at random moments under load: is an answer that the gateway had sent whole bought again?

    python scripts/kill_storm.py [--kills 60] [--seed 1] [--idle]

Each round asks for 16 images at once, while two other processes keep two cores busy (not with `--idle`), kills the
process with SIGKILL, and lets a new one ask for the same images. An image whose answer had left the gateway whole more
than 50 ms before the kill must not be asked for again. Prints how long before the kill those had been sent that were,
and ends with 1 if one of them breaks the promise, or an image that was saved is lost. POSIX only.
"""

from __future__ import annotations

import argparse
import importlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
CALLS: Final = 16
PROMISE: Final = 0.050
# An address, an inline image in a stream, an inline image in plain JSON.
SHAPES: Final = ("", " [fault:shape_markdown_data]", " [fault:shape_images_data]")


def work(folder: str, base_url: str, prefix: str, run: str) -> int:
    """Ask for the round's images; says READY before the first call, ends when all are there."""
    sys.path[:0] = [str(ROOT / "tests")]
    importlib.import_module("conftest")
    bench_of: Any = importlib.import_module("engines").Bench
    with bench_of(Path(folder), base_url, total_timeout=60.0, connect_timeout=20.0, concurrency=64) as bench:
        calls = [bench.start(f"{prefix} {n}{SHAPES[n % len(SHAPES)]}", run, want_float=True) for n in range(CALLS)]
        print("READY", flush=True)
        while not all(call.done for call in calls):
            time.sleep(0.01)
        print(sum(bool(call.outcome.images) for call in calls), flush=True)
    return 0


def start(folder: str, base_url: str, prefix: str, run: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "work", folder, base_url, prefix, run]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def storm(kills: int, seed: int, *, idle: bool) -> int:
    sys.path[:0] = [str(ROOT / "tests")]
    importlib.import_module("conftest")
    gateway_of: Any = importlib.import_module("gateway_faults").FaultyGateway
    chance = random.Random(seed)
    late: list[float] = []
    whole = lost = 0
    busy = [] if idle else [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        with tempfile.TemporaryDirectory() as folder, gateway_of(latency=0.6, keep_bodies=False) as gateway:
            for number in range(kills):
                prefix = f"round {number}:"
                victim = start(folder, gateway.base_url, prefix, "run 1")
                assert victim.stdout is not None
                victim.stdout.readline()
                time.sleep(chance.uniform(0.2, 2.5))
                victim.kill()
                killed = time.monotonic()
                victim.communicate()
                # Posts that are under way end at the gateway too.
                time.sleep(0.2)
                sent = {
                    post.prompt: killed - post.finished
                    for post in gateway.ledger.posts
                    if post.prompt.startswith(prefix)
                    and post.finished is not None
                    and post.closed_early is None
                    and post.finished <= killed
                }
                whole += len(sent)
                before = len(gateway.ledger.posts)
                # A person runs it again.
                heir = start(folder, gateway.base_url, prefix, "run 2")
                said, _ = heir.communicate(timeout=120)
                lost += CALLS - int(said.split()[-1])
                late += [sent[post.prompt] for post in gateway.ledger.posts[before:] if post.prompt in sent]
    finally:
        for process in busy:
            process.kill()
    broken = [seconds for seconds in late if seconds > PROMISE]
    shown = ", ".join(f"{seconds * 1000:.0f}" for seconds in sorted(late))
    print(
        f"{kills} kills; {whole} answers had been sent whole; bought again: {len(late)}, sent {shown or '-'} ms before"
    )
    print(f"sent more than {PROMISE * 1000:.0f} ms before and bought again: {len(broken)}; images missing: {lost}")
    return 1 if broken or lost else 0


def main() -> int:
    if sys.argv[1:2] == ["work"]:
        return work(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--idle", action="store_true", help="leave the cores alone")
    chosen = parser.parse_args()
    return storm(chosen.kills, chosen.seed, idle=chosen.idle)


if __name__ == "__main__":
    sys.exit(main())
