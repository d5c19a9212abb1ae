"""Growth: images a run, 1 to 64, in the stand-in; the journal from 10 to 100,000 calls.

python bench/growth.py [--repeats 5] [--short]
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fake_gateway
from graphs import generate, ran, shown, spread
from images import encoded, sample
from loading import load_pack
from measuring import LEAST_REPEATS, Row, Timing, peak_memory, side_by_side
from parties import Party, stand_in

load_pack()
from pack.nanobanana.cancel import CancelToken  # noqa: E402
from pack.nanobanana.image_request import ImageRequest  # noqa: E402
from pack.nanobanana.journal import CallDetails, CallKey, Journal  # noqa: E402

# (prompts in the list, count of each).
_BY_LIST = ((1, 1), (4, 1), (16, 1), (64, 1))
_BY_COUNT = ((1, 1), (1, 4), (1, 16), (4, 16))
_CALLS = (10, 100, 1_000, 10_000, 100_000)
_LATENCY = 0.2
_CONCURRENCY = 8
_MODEL = "NanoBanana2-0.5K"
_LOOK_UPS = 20
# A page and a look-up go down a tree that is a few levels deeper; a search reads more.
GROWN = {"first page": 10.0, "look-up": 5.0, "search": 1000.0}
_DETAILS = CallDetails(
    ImageRequest(_MODEL, "a cat", "1:1", "png", 1), "documented", "default", "https://gateway.example", 0, 0.04
)
# Prompts of some 200 characters, every one different, of which one in a thousand holds a rare word.
_FILL = """
WITH RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)
INSERT INTO calls (id, fingerprint, variation, state, run, asked_at, sent_at, answered_at, finished_at, billed,
  request_id, seconds, cost, model, aspect_ratio, output_format, dialect, profile, base_url, seed, inputs, prompt)
SELECT n, printf('fingerprint-%064d', n), 0, 'kept', 'run', 1.7e9 + n * 60, 1.7e9 + n * 60, 1.7e9 + n * 60,
  1.7e9 + n * 60, 'yes', printf('req-%d', n), 21.5, 0.04, 'NanoBanana2-0.5K', '1:1', 'png', 'documented', 'default',
  'https://gateway.example', n, 0,
  printf('a lighthouse number %d in fog, %s, oil on canvas, soft light from the left, muted colours, a path of stones '
    || 'leading to the door, gulls over the water, in the style of old travel posters', n,
    CASE WHEN n % 1000 = 7 THEN 'with a zeppelin' ELSE 'with a rowing boat' END)
FROM numbers
"""
_FILL_IMAGES = """
WITH RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)
INSERT INTO pictures (id, call_id, position, url, sha256, extension, width, height, bytes, kept_at)
SELECT printf('picture-%d', n), n, 0, '', :sha256, :extension, 512, 512, :bytes, 1.7e9 + n * 60 FROM numbers
"""


@dataclass(frozen=True)
class Curve:
    """Seconds (or bytes) against a number of things."""

    what: str
    counts: tuple[int, ...]
    values: tuple[float, ...]
    unit: str = "s"


def tell(rows: Sequence[Row], curves: Sequence[Curve]) -> None:
    """The rows for people, then all as JSON for whoever started this."""
    for row in rows:
        print(row, file=sys.stderr, flush=True)
    print(json.dumps({"rows": [asdict(row) for row in rows], "curves": [asdict(curve) for curve in curves]}))


def images_a_run(
    party: Party, shapes: Sequence[tuple[int, int]], how: str, repeats: int, *, memory: bool
) -> tuple[list[Row], list[Curve]]:
    """One node, over a list of prompts with a count of each, against a gateway of 0.2 s with a concurrency of 8.

    `memory`: whether the peak of the first run of each is measured too.
    """
    ran(party, {"1": generate("warm", 1, _MODEL), "2": shown("1")})
    counts = [prompts * count for prompts, count in shapes]
    seconds: list[list[float]] = []
    peaks: list[float] = []
    for prompts, count in shapes:
        walls: list[float] = []
        seconds.append(walls)

        def run(prompts: int = prompts, count: int = count, walls: list[float] = walls) -> None:
            lines = "\n".join(f"[latency:{_LATENCY}] {how} {count} {number}" for number in range(prompts))
            node: dict[str, Any] = generate("", count, _MODEL)
            node["inputs"]["prompt"] = ["9", 0]
            listed = {"class_type": "NanoBananaGatewayPrompts", "inputs": {"text": lines}}
            walls.append(ran(party, {"9": listed, "1": node, "2": shown("1")}).node_seconds["1"])

        peaks.append(float(peak_memory(run) or 0))
        for _ in range(repeats - 1):
            run()
    middle = [statistics.median(walls) for walls in seconds]
    rounds = [-(-count // _CONCURRENCY) * _LATENCY for count in counts]
    words = "; ".join(f"{count}: {spread(walls)}" for count, walls in zip(counts, seconds, strict=True))
    rows = [
        Row(
            f"{counts[-1]} images {how}, concurrency {_CONCURRENCY}, times the gateway's rounds",
            middle[-1] / rounds[-1],
            2.0,
            True,
            words,
        )
    ]
    curves = [
        Curve(f"a run's time, {how}", tuple(counts), tuple(middle)),
        Curve("the gateway's own time", tuple(counts), tuple(rounds)),
    ]
    if memory and all(peaks):
        curves.append(Curve("a run's memory", tuple(counts), tuple(peaks), "bytes"))
        # An image of 512x512 is 3.1 MB as IMAGE, 1 MB as MASK, 0.8 MB of bytes and 0.5 MB as a file.
        each = (peaks[-1] - peaks[1]) / (counts[-1] - counts[1])
        rows.append(
            Row(
                f"memory for each image more, {counts[1]} to {counts[-1]}, times its tensors",
                each / (512 * 512 * 16),
                2.0,
                True,
                "; ".join(f"{count}: {peak / 1e6:.0f} MB" for count, peak in zip(counts, peaks, strict=True)),
            )
        )
    return rows, curves


def filled(folder: Path, calls: int) -> None:
    """A journal of `calls` kept calls; their one image is the same file, so that the disk doesn't fill."""
    with Journal(folder) as journal:
        claim = journal.claim(CallKey("first", 0), _DETAILS, cancel=CancelToken(), on_wait=lambda _: None, run="run")
        journal.sent(claim.record.id)
        journal.answered(claim.record.id, request_id="r", text="", urls={})
        kept = journal.keep(claim.record.id, 0, b"\x89PNG" + bytes(1000), extension="png")
        journal.kept(claim.record.id, seconds=1.0)
    span = {"first": claim.record.id + 1, "last": claim.record.id + calls - 1}
    with closing(sqlite3.connect(folder / "journal.sqlite3")) as connection, connection:
        connection.execute(_FILL, span)
        connection.execute(
            _FILL_IMAGES, {**span, "sha256": kept.sha256, "extension": kept.extension, "bytes": kept.bytes}
        )


def journal_times(calls: int, repeats: int) -> dict[str, Timing]:
    """Seconds for what the history and a run ask of a journal of that many calls."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        filled(folder, calls)
        with Journal(folder) as journal:
            middle = calls // 2

            def look_up() -> None:
                """A request that was paid for already, as each run asks it."""
                for number in range(_LOOK_UPS):
                    key = CallKey(f"fingerprint-{2 + number * (calls - 2) // _LOOK_UPS:064d}", 0)
                    claim = journal.claim(key, _DETAILS, cancel=CancelToken(), on_wait=lambda _: None, run="run 2")
                    if claim.what != "kept":
                        raise RuntimeError(f"the journal of {calls} calls lost one: {claim.what}")

            times = side_by_side(
                {
                    "first page": journal.history,
                    "page in the middle": lambda: journal.history(before=middle),
                    "search": lambda: journal.history(search="zeppelin"),
                    "look-ups": look_up,
                },
                repeats,
            )
    one = times.pop("look-ups")
    times["look-up"] = Timing(
        tuple(value / _LOOK_UPS for value in one.seconds), tuple(value / _LOOK_UPS for value in one.busy)
    )
    return times


def journal_growth(counts: Sequence[int], repeats: int) -> tuple[list[Row], list[Curve]]:
    """The journal's answers against how much it holds."""
    found = {calls: journal_times(calls, repeats) for calls in counts}
    last = found[counts[-1]]
    rows: list[Row] = []
    for what, limit in (("first page", 50.0), ("look-up", 1.0), ("search", 200.0)):
        words = "; ".join(f"{calls:,}: {found[calls][what].median * 1000:.2f} ms" for calls in counts)
        spread = f"{min(last[what].seconds) * 1000:.2f} to {max(last[what].seconds) * 1000:.2f}"
        rows.append(
            Row(
                f"the journal's {what} at {counts[-1]:,} calls",
                last[what].median * 1000,
                limit,
                True,
                f"{words} ({spread})",
                "ms",
            )
        )
        grown = last[what].median / found[counts[0]][what].median
        rows.append(
            Row(
                f"the journal's {what}, {counts[0]:,} to {counts[-1]:,} calls, times as long",
                grown,
                GROWN[what],
                True,
                words,
            )
        )
    curves = [
        Curve(f"the journal's {what}", tuple(counts), tuple(found[calls][what].median for calls in counts))
        for what in last
    ]
    return rows, curves


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=LEAST_REPEATS)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    rows, curves = journal_growth((10, 10_000) if options.short else _CALLS, options.repeats)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for tier, side in (("1K", 1024), ("0.5K", 512)):
            (folder / f"{tier}.png").write_bytes(encoded(sample(side).pillow, format="PNG", compress_level=4))
        with fake_gateway.running(folder) as gateway, stand_in(folder, gateway) as party:
            for how, shapes in (("in a list", _BY_LIST), ("by count", _BY_COUNT)):
                # What the first kind of run has freed, the allocator may give to the second.
                more = images_a_run(
                    party, shapes[:3] if options.short else shapes, how, options.repeats, memory=how == "in a list"
                )
                rows += more[0]
                curves += [curve for curve in more[1] if curve not in curves]
    tell(rows, curves)
    return 0


if __name__ == "__main__":
    sys.exit(main())
