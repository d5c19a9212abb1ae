"""Several keys of one profile: on a refusal that is never billed the next one is tried, and the history says so."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from engines import Bench, png_of
from servers import Peer, RawServer

KEYS = ("sk-first-0123456789-aaaa", "sk-second-0123456789-bbbb", "sk-third-0123456789-cccc")
REFUSALS = {
    "401": ("401 Unauthorized", {"error": {"message": "Invalid token", "code": "invalid_api_key"}}),
    "402": ("402 Payment Required", {"error": {"message": "Insufficient credits"}}),
    "403 quota": (
        "403 Forbidden",
        {"error": {"message": "user quota is not enough", "code": "insufficient_user_quota"}},
    ),
    "429": ("429 Too Many Requests", {"error": {"message": "Rate limit reached"}}),
    "500": ("500 Internal Server Error", {"error": {"message": "no"}}),
    "400": ("400 Bad Request", {"error": {"message": "no such size"}}),
}


@contextmanager
def gateway(answers: dict[str, list[str]]) -> Iterator[tuple[str, list[str]]]:
    """A gateway that answers each key with the refusals named, one after the other, then with an image."""
    seen: list[str] = []
    left = {key: list(names) for key, names in answers.items()}
    data = base64.b64encode(png_of(300)).decode()
    image = {"choices": [{"message": {"content": f"![](data:image/png;base64,{data})"}, "finish_reason": "stop"}]}

    def serve(peer: Peer) -> None:
        _, headers, _ = peer.request()
        key = headers["authorization"].removeprefix("Bearer ")
        seen.append(key[-4:])
        status, body = REFUSALS[left[key].pop(0)] if left.get(key) else ("200 OK", image)
        peer.answer(status, json.dumps(body).encode(), Content_Type="application/json")

    with RawServer(serve) as server:
        yield server.url, seen


@pytest.mark.parametrize("refusal", ["401", "402", "403 quota", "429"])
def test_the_next_key_is_tried_and_the_history_names_the_one_that_failed(tmp_path: Path, refusal: str) -> None:
    with (
        gateway({KEYS[0]: [refusal] * 9}) as (url, seen),
        Bench(tmp_path, url, api_key=KEYS[0], spare_keys=KEYS[1:]) as bench,
    ):
        outcome = bench.make()
        assert outcome.error is None
        assert len(outcome.images) == 1
        assert seen == ["aaaa", "bbbb"]
        (call,) = bench.journal.history().calls
        assert (call.state, call.billed) == ("kept", "yes")
        assert "aaaa" in call.notes
        assert "bbbb" not in call.notes
        assert KEYS[0] not in call.notes
        # The next call begins with the key that was taken.
        assert bench.make("a dog").error is None
        assert seen == ["aaaa", "bbbb", "bbbb"]


@pytest.mark.parametrize("failure", ["500", "400"])
def test_a_failure_that_is_not_about_the_key_uses_up_no_other_key(tmp_path: Path, failure: str) -> None:
    with (
        gateway({KEYS[0]: [failure] * 9}) as (url, seen),
        Bench(tmp_path, url, api_key=KEYS[0], spare_keys=KEYS[1:]) as bench,
    ):
        assert bench.make().error is not None
        assert set(seen) == {"aaaa"}


def test_when_every_key_is_refused_all_of_them_are_named(tmp_path: Path) -> None:
    answers = {KEYS[0]: ["401"] * 9, KEYS[1]: ["402"] * 9, KEYS[2]: ["403 quota"] * 9}
    with gateway(answers) as (url, seen), Bench(tmp_path, url, api_key=KEYS[0], spare_keys=KEYS[1:]) as bench:
        outcome = bench.make()
        assert seen == ["aaaa", "bbbb", "cccc"]
        assert outcome.error is not None
        assert "Key 3 (...cccc)" in outcome.error.message
        (call,) = bench.journal.history().calls
        assert (call.state, call.billed) == ("failed", "no")
        assert ["aaaa" in call.notes, "bbbb" in call.notes, "cccc" in call.error] == [True] * 3
        assert not [key for key in KEYS if key in call.notes + call.error]


def test_a_busy_key_is_waited_for_when_the_others_are_no_good(tmp_path: Path) -> None:
    answers = {KEYS[0]: ["401"] * 9, KEYS[1]: ["429"], KEYS[2]: ["402"] * 9}
    with gateway(answers) as (url, seen), Bench(tmp_path, url, api_key=KEYS[0], spare_keys=KEYS[1:]) as bench:
        assert bench.make().error is None
        assert seen == ["aaaa", "bbbb", "cccc", "bbbb"]
        # Each refusal is in the history, the one before the pause too.
        notes = bench.journal.history().calls[0].notes
        assert [tail in notes for tail in ("aaaa", "bbbb", "cccc")] == [True] * 3


def test_busy_keys_take_turns_before_anybody_waits(tmp_path: Path) -> None:
    answers = {key: ["429"] * 2 for key in KEYS}
    with gateway(answers) as (url, seen), Bench(tmp_path, url, api_key=KEYS[0], spare_keys=KEYS[1:]) as bench:
        assert bench.make().error is None
        assert seen == ["aaaa", "bbbb", "cccc"] * 2 + ["aaaa"]
