from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pack.nanobanana.cancel import CancelToken


@pytest.fixture
def cancel() -> CancelToken:
    return CancelToken()


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Whatever a test does, also a failing or cancelled one: our threads have ended when the call has."""
    before = set(threading.enumerate())
    yield
    new = set(threading.enumerate()) - before
    left = [thread.name for thread in new if thread.name.startswith("nanobanana")]
    assert left == []
