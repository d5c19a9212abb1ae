from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

HOUR = 3600.0


def age(folder: Path, hours: float) -> None:
    """Make every image file look as if it was last used so long ago."""
    for path in (folder / "pictures").iterdir():
        os.utime(path, (time.time() - hours * HOUR, time.time() - hours * HOUR))


def kept_names(steps, count: int) -> list[str]:
    """Which of the calls 0..count-1 still have their image."""
    calls = {call.key.fingerprint: call for call in steps.journal.history(limit=500).calls}
    return [str(n) for n in range(count) if calls[str(n)].images and calls[str(n)].images[0].path.exists()]


def filled(make_steps, folder: Path, count: int, **arguments):
    steps = make_steps(folder, **arguments)
    for number in range(count):
        steps.make(str(number), bytes([number]) * 100)
    return steps


def files(steps) -> list[Path]:
    return [path for path in (steps.journal.folder / "pictures").iterdir() if path.is_file()]


def test_the_cap_removes_the_oldest_and_keeps_their_calls(tmp_path, make_steps):
    steps = filled(make_steps, tmp_path, 10, cap_bytes=10_000)
    age(tmp_path, 2)
    assert steps.journal.trim().images == 0
    steps.journal.close()
    steps = make_steps(tmp_path, cap_bytes=450)
    cleared = steps.journal.trim()
    assert (cleared.calls, cleared.images, cleared.bytes) == (0, 6, 600)
    assert kept_names(steps, 10) == ["6", "7", "8", "9"]
    assert steps.journal.stats().bytes == 400
    assert len(steps.journal.history().calls) == 10


def test_keeping_a_image_trims_by_itself(tmp_path, make_steps):
    steps = filled(make_steps, tmp_path, 5, cap_bytes=550)
    age(tmp_path, 2)
    steps.make("5", b"\xaa" * 100)
    assert kept_names(steps, 6) == ["1", "2", "3", "4", "5"]


def test_a_trimmed_image_is_fetched_again_from_its_url(tmp_path, make_steps):
    steps = filled(make_steps, tmp_path, 2, cap_bytes=100)
    age(tmp_path, 2)
    steps.journal.trim()
    assert steps.claim("0", run="run 2").what == "answered"
    assert steps.claim("1", run="run 2").what == "kept"


def test_a_image_used_within_the_hour_stays(tmp_path, make_steps):
    steps = filled(make_steps, tmp_path, 4, cap_bytes=100)
    assert steps.journal.trim().images == 0
    age(tmp_path, 2)
    assert steps.claim("0", run="run 2").what == "kept"
    assert steps.journal.trim().images == 3
    assert kept_names(steps, 4) == ["0"]


def test_an_image_that_is_taken_up_while_others_are_removed_stays(tmp_path, make_steps, monkeypatch):
    steps = filled(make_steps, tmp_path, 3, cap_bytes=0)
    age(tmp_path, 2)
    evictor = steps.journal._evictor
    busy = evictor._busy

    def taken_up_now() -> set[str]:
        # Behind the look at the folder, before the removing.
        assert steps.claim("1", run="run 2").what == "kept"
        return busy()

    monkeypatch.setattr(evictor, "_busy", taken_up_now)
    assert steps.journal.trim().images == 2
    assert kept_names(steps, 3) == ["1"]


def test_a_image_of_a_running_call_stays_however_old(tmp_path, make_steps, worker):
    steps = filled(make_steps, tmp_path / "data", 2, cap_bytes=0)
    held = steps.answer("held")
    steps.journal.keep(held, 0, b"held here", extension="png")
    other = worker("stop", "keep", "a", "run 1")
    assert other.line() == "keep"
    age(tmp_path / "data", 50)
    assert steps.journal.trim().images == 2
    assert len(files(steps)) == 2
    other.kill()
    assert steps.journal.trim().images == 1
    steps.journal.kept(held)
    age(tmp_path / "data", 50)
    assert steps.journal.trim().images == 1
    assert not files(steps)


def test_files_without_a_row_count_and_go_by_their_age(tmp_path, make_steps):
    steps = filled(make_steps, tmp_path, 1, cap_bytes=150)
    age(tmp_path, 2)
    stray = tmp_path / "pictures" / f"{'0' * 64}.png"
    stray.write_bytes(b"x" * 100)
    os.utime(stray, (time.time() - 50 * HOUR, time.time() - 50 * HOUR))
    steps.journal.trim()
    assert not stray.exists()
    assert kept_names(steps, 1) == ["0"]


def test_a_shared_file_is_as_young_as_its_youngest_call(tmp_path, make_steps):
    steps = filled(make_steps, tmp_path, 3, cap_bytes=200)
    steps.make("shared", bytes([0]) * 100)
    age(tmp_path, 2)
    steps.journal.trim()
    assert kept_names(steps, 3) == ["0", "2"]


def test_clearing_a_call_keeps_a_file_that_another_refers_to(tmp_path, make_steps):
    steps = make_steps(tmp_path)
    first, second = steps.make("a", b"same"), steps.make("b", b"same")
    path = steps.journal.call(first).images[0].path
    cleared = steps.journal.clear(calls=[first])
    assert (cleared.calls, cleared.images, cleared.bytes) == (1, 1, 0)
    assert path.exists()
    assert steps.journal.clear(calls=[second, 12345]).bytes == 4
    assert not path.exists()


def test_clearing_all_leaves_nothing_but_what_is_under_way(tmp_path, make_steps, worker, details):
    steps = filled(make_steps, tmp_path / "data", 3)
    steps.journal.history(search="lighthouse")
    stray = tmp_path / "data" / "pictures" / f"{'0' * 64}.png"
    stray.write_bytes(b"x")
    os.utime(stray, (time.time() - 50 * HOUR, time.time() - 50 * HOUR))
    held = steps.answer("held")
    kept = steps.journal.keep(held, 0, b"held", extension="png")
    other = worker("stop", "keep", "a", "run 1")
    assert other.line() == "keep"
    assert steps.journal.clear().calls == 3
    assert steps.journal.stats().calls == {"answered": 2}
    assert kept.path.exists()
    assert len(files(steps)) == 2
    steps.journal.kept(held)
    other.go_on()
    assert other.wait() == 0
    assert steps.journal.clear().calls == 2
    assert not files(steps)
    steps.journal.close()
    everything = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("journal.sqlite3*"))
    assert details.request.prompt.encode() not in everything


def test_clearing_by_age(tmp_path, make_steps):
    clock = [1000.0]
    steps = make_steps(tmp_path, clock=lambda: clock[0])
    steps.make("old", b"old")
    clock[0] = 2000.0
    steps.make("new", b"new")
    assert steps.journal.clear(older_than=1500.0).calls == 1
    assert [call.key.fingerprint for call in steps.journal.history().calls] == ["new"]


def test_an_id_is_never_used_again(tmp_path, make_steps):
    steps = make_steps(tmp_path)
    first = steps.make("a")
    steps.journal.clear()
    assert steps.make("a") > first


def test_clearing_gives_the_space_back_and_forgets_the_search_index(tmp_path, make_steps, details):
    steps = make_steps(tmp_path)
    for number in range(20):
        steps.make(
            str(number),
            details=replace(details, request=replace(details.request, prompt=f"secret{number} words " * 1000)),
        )
    assert len(steps.journal.history(search="secret7 words").calls) == 1
    steps.journal.clear()
    steps.journal.close()
    path = tmp_path / "journal.sqlite3"
    assert path.stat().st_size < 100_000
    with closing(sqlite3.connect(path)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
        assert [name for name in names if name.startswith("prompt_index")] == []
        assert connection.execute("SELECT count(*) FROM marks").fetchone() == (0,)


def test_trimming_a_damaged_copy_forgets_no_good_image(tmp_path, make_steps):
    steps = filled(make_steps, tmp_path, 3, cap_bytes=10_000)
    good = steps.journal.history().calls[0].images[0].path
    good.with_name(f"{good.name}.damaged").write_bytes(b"x" * 400)
    age(tmp_path, 2)
    os.utime(good)
    steps.journal.close()
    steps = make_steps(tmp_path, cap_bytes=350)
    steps.journal.trim()
    assert good.exists()
    assert len(steps.journal.history().calls[0].images) == 1
