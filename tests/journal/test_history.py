from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.nanobanana.cancel import CancelToken
from pack.nanobanana.errors import HistoryError
from pack.nanobanana.journal import CallKey, Journal, history


def ask_all(steps, details, prompts: list[str]) -> list[int]:
    return [
        steps.ask(f"call{number}", details=replace(details, request=replace(details.request, prompt=one)))
        for number, one in enumerate(prompts)
    ]


def prompts(journal: Journal, **arguments) -> list[str]:
    return [call.details.request.prompt for call in journal.history(**arguments).calls]


def test_pages_go_from_the_newest_to_the_oldest(steps, journal, details):
    ask_all(steps, details, [str(number) for number in range(7)])
    first = journal.history(limit=3)
    second = journal.history(limit=3, before=first.before)
    third = journal.history(limit=3, before=second.before)
    pages = [[call.details.request.prompt for call in page.calls] for page in (first, second, third)]
    assert pages == [["6", "5", "4"], ["3", "2", "1"], ["0"]]
    assert third.before is None


def test_a_page_that_just_fits_has_no_next_one(steps, journal, details):
    ask_all(steps, details, ["a", "b"])
    assert journal.history(limit=2).before is None


def test_a_cursor_stays_good_while_calls_are_added_and_cleared(steps, journal, details):
    ids = ask_all(steps, details, [str(number) for number in range(6)])
    page = journal.history(limit=2)
    for call in ids:
        journal.failed(call, error="e", billed="no")
    journal.clear(calls=[ids[3]])
    steps.ask("new")
    assert prompts(journal, limit=2, before=page.before) == ["2", "1"]


def test_an_empty_journal_has_an_empty_page(journal):
    assert journal.history() == journal.history(search="cat")
    assert journal.history().calls == ()


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("cat", ["a Cat on a mat", "concatenate"]),
        ("CAT mat", ["a Cat on a mat"]),
        ("mat cat", ["a Cat on a mat"]),
        ("\u732b", ["\u4e00\u53ea\u53ef\u7231\u7684\u732b\u5750\u5728\u7a97\u53f0\u4e0a"]),
        ("\u53ef\u7231", ["\u4e00\u53ea\u53ef\u7231\u7684\u732b\u5750\u5728\u7a97\u53f0\u4e0a"]),
        ("\u732b\u5750\u5728\u7a97\u53f0", ["\u4e00\u53ea\u53ef\u7231\u7684\u732b\u5750\u5728\u7a97\u53f0\u4e0a"]),
        ("100%", ["100% wool"]),
        ("a_b", ["a_b under score"]),
        ("back\\slash", ["back\\slash"]),
        ('say "hi', ['they say "hi" now']),
        ("OR NEAR(", []),
        ("dog", []),
        ("NanoBananaPro", None),
        ("  ", None),
        ("\ud83d", []),
        ("a\0b", ["a_b under score"]),
    ],
)
def test_search_finds_every_word_anywhere_in_prompt_and_model(steps, journal, details, search, found):
    texts = [
        "a Cat on a mat",
        "concatenate",
        "\u4e00\u53ea\u53ef\u7231\u7684\u732b\u5750\u5728\u7a97\u53f0\u4e0a",
        "100% wool",
        "a_b under score",
        "axb",
        "back\\slash",
        'they say "hi" now',
    ]
    ask_all(steps, details, texts)
    if search == "a\0b":
        assert set(found) <= set(prompts(journal, search=search))
    else:
        assert prompts(journal, search=search) == list(reversed(texts if found is None else found))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text(alphabet="ab%_\\\"' *(){}:\u732bx", max_size=12), max_size=8),
    st.text(alphabet="ab%_\\\"' *():\u732b", max_size=6),
)
def test_search_finds_what_a_plain_comparison_finds(tmp_path_factory, details, texts, search):
    with Journal(tmp_path_factory.mktemp("data")) as journal:
        for number, text in enumerate(texts):
            asked = replace(details, request=replace(details.request, prompt=text, model="-"))
            journal.claim(CallKey("f", number), asked, cancel=CancelToken(), on_wait=print, run="r")
        wanted = [text for text in reversed(texts) if all(word in f"{text}\n-" for word in search.split())]
        assert prompts(journal, search=search) == wanted


def test_search_reaches_new_calls_and_forgets_cleared_ones(steps, journal, details):
    ids = ask_all(steps, details, ["a red fox", "a blue fox"])
    assert len(prompts(journal, search="fox")) == 2
    later = steps.ask("later", details=replace(details, request=replace(details.request, prompt="a green fox")))
    assert prompts(journal, search="fox") == ["a green fox", "a blue fox", "a red fox"]
    for call in (*ids, later):
        journal.failed(call, error="e", billed="no")
    journal.clear(calls=[ids[0]])
    assert prompts(journal, search="fox") == ["a green fox", "a blue fox"]


def test_the_search_index_of_an_earlier_version_is_taken_out(steps, journal, details):
    ask_all(steps, details, ["a red fox", "a dog"])
    journal.close()
    with contextlib.closing(sqlite3.connect(journal.folder / "journal.sqlite3")) as connection:
        connection.execute("CREATE VIRTUAL TABLE prompt_index USING fts5(words, content='', tokenize='trigram')")
        connection.execute("INSERT INTO prompt_index (rowid, words) VALUES (1, 'a red fox')")
        connection.execute("INSERT INTO marks (name, value) VALUES ('indexed', 1)")
        connection.commit()
    assert prompts(journal, search="fox") == ["a red fox"]
    with journal._reading() as connection:
        assert connection.execute("SELECT count(*) FROM marks").fetchone()[0] == 0
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
    assert not [name for name in names if name.startswith("prompt_index")]


def test_an_index_that_this_sqlite_does_not_know_does_no_harm(steps, journal, details):
    for call in ask_all(steps, details, ["a red fox", "a dog"]):
        journal.failed(call, error="e", billed="no")
    journal.close()
    with contextlib.closing(sqlite3.connect(journal.folder / "journal.sqlite3")) as connection:
        connection.execute("PRAGMA writable_schema = 1")
        # What another Python wrote, as one whose SQLite lacks the module sees it.
        connection.execute(
            "INSERT INTO sqlite_master VALUES"
            " ('table', 'prompt_index', 'prompt_index', 0, 'CREATE VIRTUAL TABLE prompt_index USING missing(words)')"
        )
        connection.commit()
    assert prompts(journal, search="fox") == ["a red fox"]
    assert journal.clear().calls == 2
    assert prompts(journal, search="fox") == []


def test_the_statements_of_a_call_and_of_a_page_use_an_index(steps, journal):
    steps.make("a")
    with sqlite3.connect(journal.folder / "journal.sqlite3") as connection:
        for statement in (
            "SELECT id FROM calls WHERE fingerprint = 'f' AND variation = 0 ORDER BY id DESC LIMIT 1",
            "SELECT * FROM calls WHERE id < 9 ORDER BY id DESC LIMIT 51",
            "SELECT * FROM pictures WHERE call_id IN (1, 2) ORDER BY call_id, position",
            "SELECT * FROM pictures WHERE id = 'x'",
            "SELECT 1 FROM pictures WHERE sha256 = 'x'",
            "SELECT * FROM calls WHERE asked_at >= 5",
            "SELECT id FROM calls WHERE owner IS NOT NULL",
        ):
            plan = " ".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))
            assert "SCAN calls" not in plan or "USING INDEX" in plan or "USING COVERING INDEX" in plan, plan
            assert "SCAN images" not in plan, plan
            assert "TEMP B-TREE" not in plan, plan
    connection.close()


def test_totals_count_what_was_billed_day_by_day(tmp_path, details, make_steps):
    now = datetime(2026, 3, 10, 12, 0).timestamp()
    day = 86_400.0
    clock = [now]
    steps = make_steps(tmp_path, clock=lambda: clock[0])

    def at(days_ago: int, name: str, outcome: str, cost: float | None = 0.25) -> None:
        clock[0] = now - days_ago * day
        call = steps.ask(name, details=replace(details, cost=cost))
        if outcome == "kept":
            steps.journal.sent(call)
            steps.journal.keep(call, 0, name.encode(), extension="png")
            steps.journal.kept(call)
        else:
            steps.journal.failed(call, error="e", billed=outcome)

    at(0, "a", "kept")
    at(0, "b", "kept", 0.5)
    at(0, "c", "kept", None)
    at(0, "d", "maybe")
    at(0, "e", "no")
    at(2, "f", "yes")
    at(40, "g", "kept")
    clock[0] = now
    # What is simulated costs nothing, and doesn't count.
    simulated = steps.ask("s", details=replace(details, cost=0.25, base_url="simulator"))
    steps.journal.sent(simulated)
    steps.journal.keep(simulated, 0, b"s", extension="png")
    steps.journal.kept(simulated)
    today, before = steps.journal.totals_by_day(30)
    assert (today.day, before.day) == ("2026-03-10", "2026-03-08")
    assert (today.calls, today.images, today.billed, today.maybe_billed) == (5, 3, 3, 1)
    assert (today.cost, today.maybe_cost, today.unpriced) == (0.75, 0.25, 1)
    assert (before.calls, before.images, before.billed, before.cost) == (1, 0, 1, 0.25)
    assert len(steps.journal.totals_by_day(41)) == 3


def test_what_is_spent_counts_what_may_be_billed_and_what_is_under_way(tmp_path, make_steps, details):
    clock = [1000.0]
    steps = make_steps(tmp_path, clock=lambda: clock[0])
    steps.make("before")
    clock[0] = 2000.0
    steps.make("kept")
    steps.journal.failed(steps.send("maybe"), error="no", billed="maybe")
    steps.journal.failed(steps.send("no"), error="no", billed="no")
    steps.send("sent")
    steps.ask("asked")
    steps.make("other", details=replace(details, profile="studio"))
    steps.make("simulated", details=replace(details, base_url="simulator"))
    steps.make("unpriced", details=replace(details, cost=None))
    assert steps.journal.look(history.spent("default", 1500.0)) == 4 * 0.25
    assert steps.journal.look(history.spent("default", 0.0)) == 5 * 0.25
    assert steps.journal.look(history.spent("studio", 0.0)) == 0.25


def test_the_usual_time_is_that_of_calls_like_these(steps, details):
    assert steps.journal.look(history.usual_seconds(details.request.model, details.base_url)) == 0
    for name in ("one", "two"):
        steps.make(name)
    steps.journal.kept(steps.make("long"), seconds=60.0)
    other = replace(details, base_url="https://other.example")
    steps.journal.kept(steps.make("elsewhere", details=other), seconds=500.0)
    steps.journal.failed(steps.send("failed"), error="no", billed="no")
    look = steps.journal.look
    assert look(history.usual_seconds(details.request.model, details.base_url)) == 1.5
    assert look(history.usual_seconds(details.request.model, other.base_url)) == 500.0
    assert look(history.usual_seconds("another", details.base_url)) == 0


def test_a_day_begins_at_local_midnight(tmp_path, make_steps):
    midnight = datetime(2026, 3, 10).timestamp()
    clock = [midnight - 1]
    steps = make_steps(tmp_path, clock=lambda: clock[0])
    steps.ask("yesterday")
    clock[0] = midnight
    steps.ask("today")
    assert [one.day for one in steps.journal.totals_by_day(1)] == ["2026-03-10"]
    assert [one.day for one in steps.journal.totals_by_day(2)] == ["2026-03-10", "2026-03-09"]


def test_a_image_is_found_by_its_id_and_takes_its_size(steps, journal):
    call = steps.answer("a")
    kept = journal.keep(call, 0, b"x", extension="png")
    assert journal.image(kept.id) == kept
    assert (kept.width, kept.height) == (None, None)
    journal.set_size(kept.id, 640, 480)
    assert (journal.image(kept.id).width, journal.image(kept.id).height) == (640, 480)


@pytest.mark.parametrize("unknown", ["", "nothing", "../x", "\ud800", "a" * 10_000])
def test_an_unknown_image_says_what_may_have_happened(journal, unknown):
    with pytest.raises(HistoryError, match="isn't in the history"):
        journal.image(unknown)


def test_ids_of_images_are_safe_in_a_url_and_not_guessable(steps, journal):
    call = steps.answer("a")
    ids = [journal.keep(call, number, b"%d" % number, extension="png").id for number in range(30)]
    assert len(set(ids)) == 30
    assert all(len(one) == 16 and one.replace("-", "").replace("_", "").isalnum() for one in ids)


def test_stats_count_calls_files_and_bytes(steps, journal):
    steps.make("a", b"12345")
    steps.make("b", b"12345")
    steps.make("c", b"123")
    steps.ask("d")
    (journal.folder / "pictures" / "stray.png").write_bytes(b"12")
    stats = journal.stats()
    assert stats.calls == {"kept": 3, "asked": 1}
    assert (stats.images, stats.bytes) == (3, 10)


def test_a_long_look_does_not_hold_up_a_call(steps, journal):
    steps.make("a")
    with journal._reading() as connection:
        connection.execute("SELECT * FROM calls").fetchone()
        start = time.monotonic()
        steps.make("b")
        assert time.monotonic() - start < 1.0
        assert connection.execute("SELECT count(*) FROM calls").fetchone()[0] == 1
