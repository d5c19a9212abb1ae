"""Behind real programs: one click is never billed twice, and what was billed is never said to have been free."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import Bench, Inputs
from pack.nanobanana.errors import TooLarge
from pack.nanobanana.gateway.retry import Backoff

from .programs import KEY, PROGRAMS, Program
from .upstream import BILLED, ENDINGS, PNG, Upstream

pytestmark = [pytest.mark.relays, pytest.mark.slow]


# One worker starts a program once, for all of its tests.
_STARTED_ONCE = [pytest.param(one, marks=pytest.mark.xdist_group(one.name), id=one.name) for one in PROGRAMS]


@pytest.fixture(scope="module", params=_STARTED_ONCE)
def relay(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Upstream, dict[str, Any]]]:
    """A program in front of an upstream: its address, the upstream, and what a profile for it sets."""
    program: Program = request.param
    program.path()
    folder = tmp_path_factory.mktemp(program.name)
    # Some programs give up their rights, and must still reach their folder.
    for one in (folder, *folder.parents):
        if one.owner() == folder.owner() and one.stat().st_mode & 0o005 != 0o005:
            one.chmod(one.stat().st_mode | 0o055)
    with Upstream() as upstream, program.running(folder, upstream.port) as address:
        yield address, upstream, program.profile(upstream.port)
    shutil.rmtree(folder, ignore_errors=True)


def bench(folder: Path, address: str, **profile: Any) -> Bench:
    return Bench(folder / "data", address, total_timeout=20.0, connect_timeout=5.0, api_key=KEY, **profile)


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_click_is_one_bill_and_the_words_are_right(
    ending: str, relay: tuple[str, Upstream, dict[str, Any]], tmp_path: Path
) -> None:
    address, upstream, profile = relay
    upstream.ending, upstream.posts, upstream.bills = ending, 0, 0
    with bench(tmp_path, address, **profile) as opened:
        outcome = opened.make()
        first = upstream.posts
        # The queue may run the same prompt again within one run of a person's.
        again = opened.make()
        assert upstream.bills <= 1, outcome.error
        if ending == "answers":
            assert [one.bytes for one in outcome.images] == [len(PNG)]
            assert len(again.images) == 1
            assert upstream.posts == 1
            return
        assert outcome.images == ()
        assert outcome.error is not None
        if ending in BILLED:
            assert outcome.billed != "no", outcome.error
            assert "not billed" not in str(outcome.error)
            assert upstream.posts == 1
            assert opened.states() == [("failed", outcome.billed)]
        else:
            assert outcome.billed == "no", outcome.error
            assert first == 1 if ending == "refuses" else first <= 40
        # A person runs it again, with the gateway well, and is told of a call that may have been billed.
        upstream.ending, before = "answers", upstream.bills
        second = opened.make(run="run 2")
        assert len(second.images) == 1
        assert upstream.bills == before + 1
        assert any("may have been billed" in one for one in second.warnings) == (ending in BILLED)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[str, Upstream]]:
    program = PROGRAMS[0]
    program.path()
    with Upstream() as upstream, program.running(tmp_path, upstream.port) as address:
        yield address, upstream


def test_a_body_too_large_for_a_proxy_is_told_and_costs_nothing(nginx: tuple[str, Upstream], tmp_path: Path) -> None:
    address, upstream = nginx
    with bench(tmp_path, address) as opened:
        outcome = opened.make(inputs=Inputs(3_000_000))
    assert isinstance(outcome.error, TooLarge)
    assert outcome.billed == "no"
    assert (upstream.posts, upstream.bills) == (0, 0)


def test_a_proxys_own_rate_limit_is_outlived(nginx: tuple[str, Upstream], tmp_path: Path) -> None:
    address, upstream = nginx
    with Bench(tmp_path / "data", f"{address}/limited", backoff=Backoff(scale=0.05), total_timeout=20.0) as opened:
        outcomes = [opened.make(f"cat {number}") for number in range(3)]
    assert [outcome.error for outcome in outcomes] == [None, None, None]
    assert upstream.bills == 3


def test_a_relay_that_loses_the_models_answer_is_not_said_to_have_billed_nothing(tmp_path: Path) -> None:
    """Portkey on Node 20 fails over every streamed answer, with words that name nothing."""
    program = PROGRAMS[-1]
    program.path()
    with Upstream() as upstream, program.running(tmp_path, upstream.port) as address:
        with bench(tmp_path, address, **{**program.profile(upstream.port), "stream": True}) as opened:
            outcome = opened.make()
        assert upstream.bills == upstream.posts == 1
        assert outcome.error is None or outcome.billed == "maybe"
