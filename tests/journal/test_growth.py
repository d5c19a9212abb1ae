"""A journal of years is as quick as one of a day."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from pack.nanobanana.cancel import CancelToken
from pack.nanobanana.journal import CallKey, Journal


def fill(journal: Journal, count: int) -> None:
    """Years of use, written at once: `count` kept calls with a URL and an image's row each."""
    with journal._writing() as connection:
        connection.executemany(
            "INSERT INTO calls (fingerprint, variation, state, run, asked_at, billed, cost, model, aspect_ratio,"
            " output_format, dialect, profile, base_url, seed, inputs, prompt)"
            " VALUES (?, 0, 'kept', 'r', ?, 'yes', 0.2, 'NanoBananaPro-1K', '1:1', 'png', 'documented', 'default',"
            " 'https://gateway.example', '5', 1, ?)",
            [
                (f"{one:064x}", time.time() - one * 60, f"a lighthouse in fog, number {one}, " * 6)
                for one in range(count)
            ],
        )
        connection.execute("INSERT INTO urls SELECT id, 0, 'https://cdn.example/' || id FROM calls")
        connection.execute(
            "INSERT INTO pictures (id, call_id, position, url, sha256, extension, bytes, kept_at)"
            " SELECT 'id' || id, id, 0, '', fingerprint, 'png', 2000000, asked_at FROM calls"
        )


def milliseconds(action: Callable[[], object], times: int = 40) -> float:
    """The best of many, since other tests run beside this one; once before, so that files are open and in the cache."""
    action()
    taken: list[float] = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        taken.append((time.perf_counter() - start) * 1000)
    return min(taken)


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Journal:
    with Journal(tmp_path_factory.mktemp("large")) as journal:
        fill(journal, 30_000)
        yield journal


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Journal:
    with Journal(tmp_path_factory.mktemp("small")) as journal:
        fill(journal, 300)
        yield journal


def test_the_first_page_stays_quick(small: Journal, large: Journal):
    assert len(large.history().calls) == 50
    assert milliseconds(large.history) < 50
    assert milliseconds(large.history) < 4 * milliseconds(small.history) + 2


def test_a_page_far_back_stays_quick(small: Journal, large: Journal):
    assert milliseconds(lambda: large.history(before=15_000)) < 4 * milliseconds(lambda: small.history(before=150)) + 2


def test_a_claim_stays_quick(small: Journal, large: Journal, details):
    def claim(journal: Journal) -> Callable[[], object]:
        # The row is there and its file isn't, so the claim looks everything up and then fetches: released at once.
        def work() -> None:
            key = CallKey(f"{77:064x}", 0)
            found = journal.claim(key, details, cancel=CancelToken(), on_wait=print, run="r")
            assert found.what == "answered"
            journal.release(found.record.id)

        return work

    assert milliseconds(claim(large)) < 3 * milliseconds(claim(small)) + 3


def test_one_calls_images_are_looked_up_within_a_millisecond(large: Journal):
    assert milliseconds(lambda: large.call(20_000)) < 1
    assert milliseconds(lambda: large.image("id20000")) < 1
    assert large.image("id20000").call_id == 20_000
