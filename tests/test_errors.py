"""The error tree: what a person reads, and that errors survive copying and pickling."""

from __future__ import annotations

import copy
import pickle

import pytest
from pack.nanobanana.errors import (
    BadRequest,
    ConfigError,
    DownloadFailed,
    GatewayError,
    NanoBananaError,
    RateLimited,
    TimedOut,
    Unreachable,
    merged,
)

ERRORS: list[NanoBananaError] = [
    ConfigError("No base URL is set.", "Set it."),
    Unreachable("No host.", "Check it.", attempts=3),
    TimedOut("Too slow.", phase="waiting", request_id="r1"),
    RateLimited("Too many.", status=429, retry_after=2.5),
    DownloadFailed("Gone.", url="https://x.test/a.png"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "twin_of", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"]
)
def test_a_copy_says_and_holds_the_same(error: NanoBananaError, twin_of) -> None:
    twin = twin_of(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


def test_a_gateway_error_says_request_id_tries_money_and_hint_in_this_order() -> None:
    error = GatewayError("It failed.", "Do this.", request_id="abc", attempts=2, billed="maybe")
    assert str(error) == "It failed. Request id: abc. Tried 2 times. This call may have been billed. Do this."


def test_errors_that_say_the_same_are_one_with_all_request_ids_and_the_dearest_bill() -> None:
    first = BadRequest("Bad.", status=400, request_id="a", billed="no")
    second = BadRequest("Bad.", status=400, request_id="b", billed="maybe")
    other = BadRequest("Worse.", status=400, request_id="c")
    together = merged([first, second, other])
    assert [str(error) for error in together] == [
        "Bad. Request id: a, b. This call may have been billed.",
        "Worse. Request id: c. This call was not billed.",
    ]
    assert first.request_id == "a"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_hosts_report_names_it_without_a_path(error: NanoBananaError) -> None:
    kind = type(error)
    assert f"{kind.__module__}.{kind.__qualname__}" == f"nanobanana.{kind.__name__}"
