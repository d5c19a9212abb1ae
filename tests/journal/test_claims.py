from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.errors import HistoryError
from pack.nanobanana.journal import CallKey, CallRecord, Claim, Journal
from pack.nanobanana.journal.records import NewImage


def test_a_new_image_is_to_be_asked_for(steps):
    claim = steps.claim("a", variation=3)
    assert claim.what == "ask"
    assert claim.owned
    assert claim.earlier is None
    assert claim.record.state == "asked"
    assert claim.record.key == CallKey("a", 3)
    assert claim.record.billed == "no"


def test_every_step_is_in_the_record(tmp_path, details):
    now = iter(range(100, 200))
    with Journal(tmp_path, clock=lambda: next(now)) as journal:
        claim = journal.claim(CallKey("a", 0), details, cancel=CancelToken(), on_wait=print, run="r")
        call = claim.record.id
        journal.sent(call)
        assert (known(journal, call).state, known(journal, call).billed) == ("sent", "maybe")
        journal.url(call, 1, "https://cdn/2.png")
        journal.url(call, 0, "https://cdn/1.png")
        journal.answered(call, request_id="req", text="words")
        assert known(journal, call).state == "answered"
        image = journal.keep(call, 0, b"bytes", extension="png", url="https://cdn/1.png")
        journal.kept(call, seconds=2.5)
        record = known(journal, call)
    assert record.details == details
    assert record.state == "kept"
    assert record.sent_at is not None
    assert record.asked_at < record.sent_at
    assert (record.request_id, record.text, record.billed, record.seconds) == ("req", "words", "yes", 2.5)
    assert record.urls == ("https://cdn/1.png", "https://cdn/2.png")
    assert record.images == (image,)
    assert (image.width, image.height, image.bytes, image.extension) == (None, None, 5, "png")


def test_kept_images_come_from_disk_and_free(steps, journal):
    steps.make("a", b"the picture")
    claim = steps.claim("a", run="run 2")
    assert claim.what == "kept"
    assert not claim.owned
    assert journal.read(claim.record.images[0]) == b"the picture"


def test_variations_are_separate_images(steps):
    steps.make("a")
    assert steps.claim("a", variation=1).what == "ask"


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_image_missing_on_disk_is_fetched_again_where_there_is_a_url(steps, journal, damage):
    call = steps.make("a", url="https://cdn/1.png")
    path = journal.call(call).images[0].path
    path.unlink() if damage == "gone" else path.write_bytes(b"p")
    claim = steps.claim("a", run="run 2")
    assert claim.what == "answered"
    assert claim.owned
    assert claim.record.id == call
    assert claim.record.urls == ("https://cdn/1.png",)
    assert claim.record.images == ()


def test_a_image_missing_on_disk_without_a_url_is_asked_for_again(steps, journal):
    call = steps.make("a", url="")
    journal.call(call).images[0].path.unlink()
    claim = steps.claim("a", run="run 2")
    assert claim.what == "ask"
    assert claim.record.id != call


def test_an_answered_call_is_taken_up_where_it_was_left(steps, journal):
    call = steps.answer("a", url="https://cdn/1.png")
    journal.release(call)
    claim = steps.claim("a", run="run 2")
    assert (claim.what, claim.record.id, claim.record.urls) == ("answered", call, ("https://cdn/1.png",))
    assert claim.record.request_id == "req-1"
    assert claim.record.billed == "yes"


def test_a_url_that_came_before_the_answer_ended_is_enough(steps, journal):
    call = steps.send("a")
    journal.url(call, 0, "https://cdn/1.png")
    journal.release(call)
    claim = steps.claim("a", run="run 2")
    assert (claim.what, claim.record.id) == ("answered", call)


def test_an_inline_image_kept_before_the_answer_ended_is_enough(steps, journal):
    call = steps.send("a")
    journal.keep(call, 0, b"inline", extension="png")
    journal.release(call)
    claim = steps.claim("a", run="run 2")
    assert claim.what == "answered"
    assert [journal.read(one) for one in claim.record.images] == [b"inline"]


def test_answered_without_a_trace_of_a_image_failed_and_was_billed(steps, journal):
    call = steps.answer("a", url="")
    journal.release(call)
    claim = steps.claim("a", run="run 2")
    assert claim.what == "ask"
    assert claim.earlier is not None
    assert (claim.earlier.id, claim.earlier.state, claim.earlier.billed) == (call, "failed", "yes")


def test_the_addresses_of_the_whole_answer_take_the_place_of_those_noted_on_the_way(steps, journal):
    call = steps.send("a")
    journal.url(call, 0, "https://cdn/hal")
    journal.url(call, 1, "https://cdn/2.png")
    journal.answered(call, urls={0: "https://cdn/half.png", 3: "https://cdn/4.png"})
    assert journal.call(call).urls == ("https://cdn/half.png", "https://cdn/4.png")
    journal.answered(call)
    assert journal.call(call).urls == ("https://cdn/half.png", "https://cdn/4.png")


def test_released_before_it_was_sent_leaves_nothing(steps, journal):
    call = steps.ask("a")
    journal.release(call)
    assert journal.call(call) is None
    assert steps.claim("a").what == "ask"


def test_unsent_goes_back_to_asked(steps, journal):
    call = steps.send("a")
    journal.revert_to_asked(call)
    assert (journal.call(call).state, journal.call(call).billed) == ("asked", "no")
    journal.release(call)
    assert journal.call(call) is None


def test_released_after_it_was_sent_in_vain_may_have_been_billed(steps, journal):
    call = steps.send("a")
    journal.release(call)
    record = journal.call(call)
    assert (record.state, record.billed) == ("failed", "maybe")
    assert record.error == "The call was stopped before its answer came."


@pytest.mark.parametrize("billed", ["maybe", "yes"])
def test_what_may_have_been_billed_is_not_asked_again_in_the_same_run(steps, journal, billed):
    call = steps.send("a")
    journal.failed(call, error="It timed out.", billed=billed, request_id="req-9")
    claim = steps.claim("a", run="run 1")
    assert (claim.what, claim.owned) == ("failed", False)
    assert (claim.record.error, claim.record.billed, claim.record.request_id) == ("It timed out.", billed, "req-9")


def test_another_run_asks_again_and_says_what_happened_before(steps, journal):
    call = steps.send("a")
    journal.failed(call, error="It timed out.", billed="maybe", request_id="req-9")
    claim = steps.claim("a", run="run 2")
    assert claim.what == "ask"
    assert claim.earlier is not None
    assert (claim.earlier.id, claim.earlier.request_id, claim.earlier.billed) == (call, "req-9", "maybe")
    assert claim.earlier.sent_at is not None


@pytest.mark.parametrize("left", ["failed unbilled", "asked by a dead process"])
def test_another_runs_calls_in_between_do_not_make_a_run_send_twice(steps, journal, left):
    first = steps.send("a", run="run 1")
    journal.failed(first, error="It timed out.", billed="maybe")
    second = steps.ask("a", run="run 2")
    if left == "failed unbilled":
        journal.failed(second, error="No route.", billed="no")
    else:
        journal.close()
    claim = steps.claim("a", run="run 1")
    assert (claim.what, claim.record.id) == ("failed", first)
    assert steps.claim("a", run="run 3").what == "ask"


def test_an_empty_run_is_never_the_same_run(steps, journal):
    journal.failed(steps.send("a", run=""), error="e", billed="maybe")
    assert steps.claim("a", run="").what == "ask"


def test_what_was_not_billed_may_be_asked_again_at_once(steps, journal):
    journal.failed(steps.ask("a"), error="No route.", billed="no")
    claim = steps.claim("a")
    assert (claim.what, claim.earlier) == ("ask", None)


def test_an_earlier_billed_failure_is_told_behind_unbilled_ones_until_a_image_comes(steps, journal):
    first = steps.send("a")
    journal.failed(first, error="e", billed="maybe")
    for number in range(3):
        journal.failed(steps.ask("a", run=f"run {number + 2}"), error="e", billed="no")
    claim = steps.claim("a", run="run 9")
    assert claim.earlier is not None
    assert claim.earlier.id == first
    journal.sent(claim.record.id)
    kept = journal.keep(claim.record.id, 0, b"x", extension="png")
    journal.kept(claim.record.id)
    kept.path.unlink()
    # From here on only that this one was made, and is gone.
    later = steps.claim("a", run="run 10").earlier
    assert (later.id, later.state) == (claim.record.id, "kept")


def test_failed_keeps_the_request_id_it_knows(steps, journal):
    call = steps.answer("a", url="")
    journal.failed(call, error="no image", billed="yes")
    assert journal.call(call).request_id == "req-1"


def test_a_call_without_a_image_is_not_kept(steps, journal):
    call = steps.answer("a")
    with pytest.raises(HistoryError):
        journal.kept(call)
    assert known(journal, call).state == "answered"
    assert not journal.holds(call)


@pytest.mark.parametrize("step", ["sent", "revert_to_asked", "url", "answered", "keep", "kept", "failed"])
def test_a_step_of_a_call_that_is_not_there_is_an_error(journal, step):
    arguments = {
        "url": (99, 0, "https://x"),
        "keep": (99, 0, b"x"),
    }.get(step, (99,))
    named = {"keep": {"extension": "png"}, "failed": {"error": "e", "billed": "no"}}
    with pytest.raises(HistoryError, match="call 99"):
        getattr(journal, step)(*arguments, **named.get(step, {}))


def test_releasing_what_is_let_go_of_changes_nothing(steps, journal):
    call = steps.make("a")
    journal.release(call)
    assert journal.call(call).state == "kept"


def test_the_context_lets_go_of_what_its_block_did_not(steps, journal, details):
    def claimed(run: str = "r"):
        return journal.claimed(CallKey("a", 0), details, cancel=CancelToken(), on_wait=print, run=run)

    with contextlib.suppress(ZeroDivisionError), claimed() as claim:
        journal.sent(claim.record.id)
        raise ZeroDivisionError
    assert journal.call(claim.record.id).billed == "maybe"
    with claimed("r 2") as claim:
        journal.sent(claim.record.id)
        journal.failed(claim.record.id, error="its own words", billed="no")
    assert journal.call(claim.record.id).error == "its own words"


def test_any_text_can_be_stored(steps, journal, details):
    text = "half \ud83d of one, \0, \u732b " + "x" * 50_000
    odd = replace(details, request=replace(details.request, prompt=text, seed=2**64 - 1))
    call = steps.ask("a", details=odd)
    journal.sent(call)
    journal.url(call, 0, "https://x/\udc80")
    journal.answered(call, request_id="\ud800", text="\udfff")
    record = journal.call(call)
    assert record.details.request.seed == 2**64 - 1
    assert record.details.request.prompt == odd.request.prompt.replace("\ud83d", "?")
    assert record.text == "?"


def known(journal: Journal, call: int) -> CallRecord:
    record = journal.call(call)
    assert record is not None
    return record


def in_thread(claim) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def work() -> None:
        try:
            results.append(claim())
        except BaseException as error:  # noqa: BLE001
            results.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, results


def test_a_second_thread_waits_and_takes_the_first_ones_image(steps, journal):
    call = steps.answer("a")
    words: list[str] = []
    thread, results = in_thread(lambda: steps.claim("a", on_wait=words.append))
    time.sleep(0.3)
    assert results == []
    assert words == ["Waiting for the same image, which is being made already."]
    journal.keep(call, 0, b"x", extension="png")
    journal.kept(call)
    thread.join(5)
    assert (results[0].what, results[0].record.id) == ("kept", call)
    assert len(words) == 1


def test_a_second_thread_gets_the_firsts_failure(steps, journal):
    call = steps.send("a")
    thread, results = in_thread(lambda: steps.claim("a"))
    time.sleep(0.15)
    journal.failed(call, error="It timed out.", billed="maybe")
    thread.join(5)
    assert (results[0].what, results[0].record.error) == ("failed", "It timed out.")


def test_a_second_thread_asks_when_the_first_gave_up_before_sending(steps, journal):
    call = steps.ask("a")
    thread, results = in_thread(lambda: steps.claim("a"))
    time.sleep(0.15)
    journal.release(call)
    thread.join(5)
    assert results[0].what == "ask"


def test_waiting_ends_with_a_cancel(steps):
    steps.send("a")
    token = CancelToken()
    thread, results = in_thread(lambda: steps.claim("a", cancel=token))
    time.sleep(0.15)
    start = time.monotonic()
    token.cancel()
    thread.join(5)
    assert isinstance(results[0], Cancelled)
    assert time.monotonic() - start < 1.5


def test_a_cancelled_claim_writes_nothing(steps, journal):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        steps.claim("a", cancel=token)
    assert journal.history().calls == ()


def test_of_many_threads_one_asks(steps, journal):
    asked: list[int] = []
    barrier = threading.Barrier(16)

    def work() -> Claim:
        barrier.wait()
        claim = steps.claim("a")
        if claim.what == "ask":
            asked.append(claim.record.id)
            journal.sent(claim.record.id)
            journal.keep(claim.record.id, 0, b"x", extension="png")
            journal.kept(claim.record.id)
        return claim

    workers = [in_thread(work) for _ in range(16)]
    for thread, _ in workers:
        thread.join(20)
    assert len(asked) == 1
    assert sorted(results[0].what for _, results in workers) == ["ask"] + ["kept"] * 15


def test_two_journals_of_one_process_wait_for_each_other(steps, journal, details):
    call = steps.send("a")
    with Journal(journal.folder) as other:
        token = CancelToken()
        thread, results = in_thread(
            lambda: other.claim(CallKey("a", 0), details, cancel=token, on_wait=lambda words: None, run="r")
        )
        time.sleep(0.3)
        assert results == []
        journal.keep(call, 0, b"x", extension="png")
        journal.kept(call)
        thread.join(5)
        assert results[0].what == "kept"


def test_a_closed_journal_holds_nothing_and_opens_again(steps, journal):
    call = steps.answer("a")
    journal.close()
    with Journal(journal.folder) as other:
        assert known(other, call).state == "answered"
    claim = steps.claim("a")
    assert (claim.what, claim.record.id) == ("answered", call)


def test_no_file_is_made_before_the_first_use(tmp_path: Path):
    with Journal(tmp_path / "data"):
        pass
    assert not (tmp_path / "data").exists()


def test_an_image_whose_transaction_failed_and_whose_call_is_gone_is_not_said_to_be_saved(steps, journal):
    call = steps.send("a")
    row = NewImage((call, 0, "", "0" * 64, "png", 1, 1.0), lambda *_: journal.folder)
    with contextlib.suppress(ZeroDivisionError), journal._database.writing() as connection:
        row.write(connection)
        assert row.record is not None
        raise ZeroDivisionError
    with journal._database.writing() as connection:
        connection.execute("DELETE FROM calls")
        row.write(connection)
    assert row.record is None


def _without_file(steps, journal, url):
    journal.call(steps.make("a", url=url)).images[0].path.unlink()


def _let_go(call, journal, *, url="", data=b""):
    if url:
        journal.url(call, 0, url)
    if data:
        journal.keep(call, 0, data, extension="png")
    journal.release(call)


@pytest.mark.parametrize(
    ("prepare", "free"),
    [
        (lambda steps, journal: None, False),
        (lambda steps, journal: steps.make("a"), True),
        (lambda steps, journal: steps.make("a", run="b") and steps.claim("a", variation=1), True),
        (lambda steps, journal: steps.make("b"), False),
        (lambda steps, journal: _without_file(steps, journal, ""), False),
        (lambda steps, journal: _without_file(steps, journal, "https://cdn/1.png"), True),
        (lambda steps, journal: _let_go(steps.answer("a", url=""), journal), False),
        (lambda steps, journal: _let_go(steps.answer("a"), journal), True),
        (lambda steps, journal: _let_go(steps.send("a"), journal), False),
        (lambda steps, journal: _let_go(steps.send("a"), journal, url="https://cdn/1.png"), True),
        (lambda steps, journal: _let_go(steps.send("a"), journal, data=b"inline"), True),
        (lambda steps, journal: _let_go(steps.ask("a"), journal), False),
        (lambda steps, journal: journal.failed(steps.send("a"), error="no", billed="no"), False),
        # A task that the gateway says has failed: its address stays.
        (lambda steps, journal: journal.failed(steps.answer("a"), error="no", billed="maybe"), False),
        (lambda steps, journal: journal.failed(steps.send("a"), error="no", billed="maybe"), False),
    ],
)
def test_what_is_said_to_be_free_is_what_the_next_run_does_not_ask_for(steps, journal, prepare, free):
    prepare(steps, journal)
    assert journal.count_free([CallKey("a", 0)]) == int(free)
    assert (steps.claim("a", run="another").what != "ask") == free


def test_what_another_one_is_at_work_on_is_free(steps, journal):
    steps.send("a")
    assert journal.count_free([CallKey("a", 0), CallKey("a", 1)]) == 1
