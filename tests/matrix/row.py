"""One row of the fault matrix, and how it is measured: a whole call against a gateway that goes wrong as it says."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engines import Bench, Inputs
from gateway_faults import FaultyGateway
from pack.nanobanana.calls.models import Outcome
from pack.nanobanana.errors import NanoBananaError
from pack.nanobanana.gateway.retry import Backoff
from servers import RawServer, closed_port, silent_port

# The total timeout, and the longest silence, of a call that is meant to hang: short, so that it is a matter of moments.
HANGING_SECONDS = 0.6
# Those of every other call: long enough for a machine under load.
SECONDS = 15.0


@dataclass(frozen=True)
class Row:
    """`faults`: those of every POST, by the simulator's names; or `steps`, one entry for each POST, in its place.

    Expected: `posts` made, `paid` by the gateway's own account, `kept` images on disk, `delivered` ones, `ending`
    (the error's class; empty when there is none), `billed` as the person is told, `says` (a part of the words),
    `journal` (the call's state), `within` seconds. `again`: POSTs and images of a re-run by a person at once, when
    the gateway is well again; `again_says`: a part of its words. `gateway`: another place than the simulator.
    `upload`: bytes of an input image. `hangs`: with a total timeout of 0.6 s; `stays`: the re-run meets
    the same fault.
    """

    section: str
    faults: tuple[str, ...]
    posts: int
    paid: int
    kept: int
    delivered: int
    ending: str
    billed: str
    says: str
    journal: str
    again: tuple[int, int]
    again_says: str = ""
    steps: tuple[tuple[str, ...], ...] = ()
    gateway: str = ""
    upload: int = 0
    hangs: bool = False
    stays: bool = False
    within: float = 3.0
    stream: bool = True

    @property
    def name(self) -> str:
        """Unique in the table."""
        parts = [self.gateway] if self.gateway else []
        parts += [", then ".join(" + ".join(step) or "well" for step in self.steps)] if self.steps else []
        parts += [" + ".join(self.faults)] if any(self.faults) else []
        parts += [f"{self.upload / 1e6:.0f} MB to upload"] if self.upload else []
        parts += ["not streamed"] if not self.stream else []
        return ", ".join(parts)


@dataclass
class Measured:
    """What happened; the fields are those of `Row`. `same_run`: POSTs of a second try within the same run."""

    posts: int = 0
    paid: int = 0
    kept: int = 0
    delivered: int = 0
    ending: str = ""
    billed: str = ""
    words: str = ""
    journal: str = ""
    seconds: float = 0.0
    again: tuple[int, int] = (0, 0)
    again_words: str = ""
    again_ending: str = ""
    same_run: int = 0
    violations: list[str] = field(default_factory=list)


@contextlib.contextmanager
def gateway_of(row: Row, simulator: FaultyGateway) -> Iterator[str]:
    """The base URL that the row's call goes to."""
    if row.gateway == "nobody listens":
        with closed_port() as port:
            yield f"http://127.0.0.1:{port}"
    elif row.gateway == "a black hole":
        with silent_port() as port:
            yield f"http://127.0.0.1:{port}"
    elif row.gateway == "a host that does not exist":
        yield "http://nowhere.invalid"
    elif row.gateway == "https to a plain server":
        yield simulator.base_url.replace("http:", "https:")
    elif row.gateway == "a TLS handshake that hangs":
        with RawServer(lambda peer: peer.pause(5)) as server:
            yield server.url.replace("http:", "https:")
    else:
        yield simulator.base_url


def words_of(outcome: Outcome) -> str:
    parts: list[str] = [str(outcome.error)] if outcome.error else []
    return " ".join([*parts, *outcome.warnings])


def ending_of(outcome: Outcome) -> str:
    return type(outcome.error).__name__ if isinstance(outcome.error, NanoBananaError) else ""


def measure(row: Row, folder: Path) -> Measured:
    """Run the row's call, then the same again within its run, then as a person would: with the gateway well again."""
    changes: dict[str, Any] = {"inputs": Inputs(row.upload)} if row.upload else {}
    found = Measured()
    seconds = HANGING_SECONDS if row.hangs else SECONDS
    backoff = Backoff(random=lambda: 0.0, scale=0.004, idle_seconds=seconds / 2, after_image_seconds=seconds / 2)
    with (
        FaultyGateway(latency=0.0, keep_bodies=False) as simulator,
        gateway_of(row, simulator) as base_url,
        Bench(
            folder, base_url, backoff=backoff, stream=row.stream, total_timeout=seconds, connect_timeout=seconds
        ) as bench,
    ):
        if row.steps:
            simulator.script(row.steps)
        else:
            simulator.set_faults([fault for fault in row.faults if fault])
        began = time.monotonic()
        first = bench.make(**changes)
        found.seconds = time.monotonic() - began
        ledger = simulator.ledger
        found.posts, found.paid = len(ledger.posts), len(ledger.billed)
        found.delivered, found.billed = len(first.images), first.billed
        found.ending, found.words = ending_of(first), words_of(first)
        calls = bench.journal.history(limit=500).calls
        found.journal = calls[0].state if calls else "nothing"
        found.kept = sum(len(call.images) for call in calls)

        if found.billed != "no":
            bench.make(**changes)
            found.same_run = len(ledger.posts) - found.posts

        # Well again, and with the time that a call has in earnest.
        simulator.set_faults(None)
        simulator.script([])
        if not row.stays:
            bench.profile = replace(bench.profile, total_timeout=SECONDS, connect_timeout=SECONDS)
        before = len(ledger.posts)
        second = bench.make(run="run 2", **changes)
        found.again = (len(ledger.posts) - before, len(second.images))
        found.again_words, found.again_ending = words_of(second), ending_of(second)
        found.violations = ledger.violations
    return found
