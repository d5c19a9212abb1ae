from __future__ import annotations

import threading
import time

import pytest
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.imaging.parallel import SingleFlight


def wait_until_pending(results: SingleFlight[str], key: str) -> None:
    while key not in results._pending:
        time.sleep(0.001)


def test_a_value_is_made_once_and_kept(cancel: CancelToken) -> None:
    results: SingleFlight[str] = SingleFlight(100, len)
    made: list[str] = []

    def make() -> str:
        made.append("x")
        return "value"

    assert [results.get("key", make, cancel) for _ in range(3)] == ["value"] * 3
    assert made == ["x"]
    results.clear()
    assert results.get("key", make, cancel) == "value"
    assert len(made) == 2


def test_who_comes_while_it_is_made_waits_for_it(cancel: CancelToken) -> None:
    results: SingleFlight[str] = SingleFlight(100, len)
    go = threading.Event()
    made: list[int] = []
    found: list[str] = []

    def make() -> str:
        made.append(1)
        assert go.wait(5)
        return "value"

    threads = [threading.Thread(target=lambda: found.append(results.get("key", make, cancel))) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_until_pending(results, "key")
    go.set()
    for thread in threads:
        thread.join()
    assert found == ["value"] * 8
    assert made == [1]


def test_an_error_reaches_everyone_who_waited_and_is_not_kept(cancel: CancelToken) -> None:
    results: SingleFlight[str] = SingleFlight(100, len)
    go = threading.Event()
    caught: list[str] = []

    def fail() -> str:
        assert go.wait(5)
        raise ValueError("no")

    def work() -> None:
        try:
            results.get("key", fail, cancel)
        except ValueError as error:
            caught.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until_pending(results, "key")
    go.set()
    for thread in threads:
        thread.join()
    assert caught == ["no"] * 3
    assert results.get("key", lambda: "now", cancel) == "now"


def test_the_makers_cancel_is_its_own(cancel: CancelToken) -> None:
    results: SingleFlight[str] = SingleFlight(100, len)
    go = threading.Event()
    maker_cancelled: list[bool] = []

    def cancelled() -> str:
        assert go.wait(5)
        raise Cancelled

    def maker() -> None:
        with pytest.raises(Cancelled):
            results.get("key", cancelled, cancel)
        maker_cancelled.append(True)

    found: list[str] = []
    first = threading.Thread(target=maker)
    first.start()
    wait_until_pending(results, "key")
    second = threading.Thread(target=lambda: found.append(results.get("key", lambda: "mine", cancel)))
    second.start()
    go.set()
    first.join()
    second.join()
    assert maker_cancelled == [True]
    assert found == ["mine"]


def test_who_waits_can_be_cancelled(cancel: CancelToken) -> None:
    results: SingleFlight[str] = SingleFlight(100, len)
    go = threading.Event()

    def make() -> str:
        assert go.wait(5)
        return "value"

    maker = threading.Thread(target=lambda: results.get("key", make, cancel))
    maker.start()
    wait_until_pending(results, "key")
    impatient = CancelToken()
    threading.Timer(0.05, impatient.cancel).start()
    with pytest.raises(Cancelled):
        results.get("key", make, impatient)
    go.set()
    maker.join()


def test_what_is_kept_is_bounded_by_its_weight(cancel: CancelToken) -> None:
    results: SingleFlight[str] = SingleFlight(10, len)
    made: list[str] = []

    def get(key: str, value: str) -> None:
        results.get(key, lambda: made.append(key) or value, cancel)

    for key in ("a", "b", "a", "c"):
        get(key, "xxxx")
    assert made == ["a", "b", "c"]
    # b was used the longest time ago and had to go; a and c are there.
    get("a", "xxxx")
    get("c", "xxxx")
    assert made == ["a", "b", "c"]
    get("b", "xxxx")
    assert made[-1] == "b"
    # Too heavy to keep at all, and it drives nothing out.
    get("huge", "x" * 11)
    get("huge", "x" * 11)
    assert made[-2:] == ["huge", "huge"]
    get("b", "xxxx")
    assert made[-1] == "huge"
