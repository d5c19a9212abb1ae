"""Any order of steps, crashes and lost files, held against a few lines that say what must be true."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pack.nanobanana.cancel import CancelToken
from pack.nanobanana.errors import Billed
from pack.nanobanana.image_request import ImageRequest
from pack.nanobanana.journal import CallDetails, CallKey, Claim, Journal

pytestmark = pytest.mark.slow

BILLED: tuple[Billed, ...] = ("no", "maybe", "yes")
KEYS = st.sampled_from(["a", "a", "a", "b"])


@dataclass
class Expected:
    """What an image's next claim must find. `unrewarded`: an earlier call was or may have been billed, and its image
    isn't here."""

    posted: bool = False
    urls: set[int] = field(default_factory=set)
    images: dict[int, bytes] = field(default_factory=dict)
    state: str = "none"
    run: str = ""
    failed_run: str = ""
    unrewarded: bool = False


class JournalMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.journal = Journal(self.folder)
        self.run = 0
        self.held: dict[str, Claim] = {}
        self.expected = {"a": Expected(), "b": Expected()}

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.folder)

    @rule(key=KEYS)
    def claim(self, key: str) -> None:
        if key in self.held:
            return
        expected = self.expected[key]
        details = CallDetails(ImageRequest("m", key, "1:1", "png", 1), "documented", "default", "https://g")
        claim = self.journal.claim(
            CallKey(key, 0), details, cancel=CancelToken(), on_wait=self.unexpected, run=str(self.run)
        )
        found = claim.record.images if claim.what in ("kept", "answered") else ()
        kept = {one.position: self.journal.read(one) for one in found}
        if expected.state == "kept" and expected.images:
            assert claim.what == "kept"
            assert kept == expected.images
        elif expected.urls or expected.images:
            assert claim.what == "answered"
            assert kept == expected.images
            assert {int(url) for url in claim.record.urls} == expected.urls
            expected.state = "answered"
        elif expected.state == "failed" and expected.unrewarded and expected.failed_run == str(self.run):
            assert claim.what == "failed"
        else:
            assert claim.what == "ask"
            assert (claim.earlier is not None) == (expected.unrewarded or expected.posted)
            self.expected[key] = Expected(state="asked", unrewarded=expected.unrewarded or expected.posted)
        if claim.owned:
            self.held[key] = claim
            self.expected[key].run = str(self.run)

    def unexpected(self, words: str) -> None:
        raise AssertionError("waited for nobody")

    def hold(self, key: str) -> bool:
        """Have the call, if it isn't done: a rule that does nothing finds nothing."""
        self.claim(key)
        return key in self.held

    def sending(self, key: str) -> bool:
        """Have the call, and have it sent."""
        if self.hold(key) and self.expected[key].state == "asked":
            self.journal.sent(self.held[key].record.id)
            self.expected[key].state = "sent"
            self.expected[key].posted = True
        return key in self.held

    @rule(key=KEYS)
    def sent(self, key: str) -> None:
        self.sending(key)

    @rule(key=KEYS, position=st.integers(0, 2))
    def url(self, key: str, position: int) -> None:
        if self.sending(key):
            self.journal.url(self.held[key].record.id, position, str(position))
            self.expected[key].urls.add(position)

    @rule(key=KEYS)
    def answered(self, key: str) -> None:
        if self.sending(key):
            self.journal.answered(self.held[key].record.id)
            self.expected[key].state = "answered"

    @rule(key=KEYS, position=st.integers(0, 2), data=st.binary(max_size=3))
    def keep(self, key: str, position: int, data: bytes) -> None:
        if self.sending(key):
            self.journal.keep(self.held[key].record.id, position, data, extension="png")
            self.expected[key].images[position] = data

    @rule(key=KEYS)
    def kept(self, key: str) -> None:
        expected = self.expected[key]
        if key in self.held and expected.state in ("sent", "answered") and expected.images:
            self.journal.kept(self.held.pop(key).record.id)
            expected.state = "kept"
            expected.unrewarded = expected.posted = False

    @rule(key=KEYS, billed=st.sampled_from(BILLED))
    def failed(self, key: str, billed: Billed) -> None:
        if self.hold(key):
            self.journal.failed(self.held.pop(key).record.id, error="e", billed=billed)
            before = self.expected[key].unrewarded
            same = self.expected[key].failed_run if billed == "no" else self.expected[key].run
            self.expected[key] = Expected(
                state="failed" if billed != "no" else "none", failed_run=same, unrewarded=before or billed != "no"
            )

    @rule(key=KEYS)
    def release(self, key: str) -> None:
        if self.hold(key):
            self.journal.release(self.held.pop(key).record.id)
            self._after_release(key, self.expected[key].run)

    def _after_release(self, key: str, run: str) -> None:
        expected = self.expected[key]
        if expected.state == "asked":
            self.expected[key] = Expected(unrewarded=expected.unrewarded)
        elif not (expected.urls or expected.images):
            self.expected[key] = Expected(state="failed", failed_run=run, unrewarded=True)

    @rule()
    def crash(self) -> None:
        """The process ends, and a person begins another."""
        self.journal.close()
        self.journal = Journal(self.folder)
        self.run += 1
        for key in list(self.held):
            del self.held[key]
            self._after_release(key, "dead")

    @rule()
    def another_run(self) -> None:
        self.run += 1

    @rule()
    @precondition(lambda self: not self.held)
    def lose_the_files(self) -> None:
        for path in (self.folder / "pictures").glob("*"):
            path.unlink()
        for key, expected in self.expected.items():
            lost = bool(expected.images) and not expected.urls
            expected.images.clear()
            if lost and expected.state == "kept":
                # That it was made once is told.
                self.expected[key] = Expected(unrewarded=True)
            elif lost:
                self.expected[key] = Expected(state="failed", failed_run=expected.run, unrewarded=True)

    @invariant()
    def what_is_held_is_known(self) -> None:
        assert all(self.journal.holds(claim.record.id) for claim in self.held.values())


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    derandomize=True,
)
