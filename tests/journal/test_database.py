from __future__ import annotations

import contextlib
import logging
import resource
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from pack.nanobanana.errors import HistoryError
from pack.nanobanana.journal.database import MIGRATIONS, Database, migrate, version_of
from pack.nanobanana.journal.records import NewImage


def database_of(folder: Path) -> Path:
    return folder / "journal.sqlite3"


def aside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.damaged*"))


def test_a_commit_is_synced_and_the_log_is_moved_by_us_only(tmp_path):
    database = Database(tmp_path / "x.sqlite3", tmp_path / "x.lock")
    with database.writing() as connection:
        settings = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "fullfsync")
        }
    database.close()
    assert settings == {"journal_mode": "wal", "synchronous": 2, "wal_autocheckpoint": 0, "fullfsync": 1}


def test_the_reading_connection_can_not_write(tmp_path):
    database = Database(tmp_path / "x.sqlite3", tmp_path / "x.lock")
    with pytest.raises(HistoryError), database.reading() as connection:
        connection.execute("DELETE FROM calls")
    database.close()


def test_what_raises_is_undone(tmp_path):
    database = Database(tmp_path / "x.sqlite3", tmp_path / "x.lock")
    with contextlib.suppress(ZeroDivisionError), database.writing() as connection:
        connection.execute("INSERT INTO marks VALUES ('a', 1)")
        raise ZeroDivisionError
    with database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM marks").fetchone()[0] == 0
    database.close()


@pytest.mark.parametrize("damage", ["garbage", "cut", "middle", "not ours at all"])
def test_a_damaged_database_is_put_aside_and_rebuilt(tmp_path, make_steps, caplog, damage):
    first = make_steps(tmp_path)
    for number in range(60):
        first.make(f"call{number}", b"bytes %d" % number)
    record = first.journal.history(limit=1).calls[0].images[0]
    first.journal.close()
    path = database_of(tmp_path)
    whole = path.read_bytes()
    broken = {
        "garbage": b"\x07" * len(whole),
        "cut": whole[: len(whole) // 2],
        "middle": whole[:4096] + b"\xff" * 8192 + whole[12288:],
        "not ours at all": b"just some words",
    }[damage]
    path.write_bytes(broken)
    second = make_steps(tmp_path)
    with caplog.at_level(logging.WARNING):
        claim = second.claim("call0", run="run 2")
    # It is rebuilt from its copy, see test_backup.
    assert claim.what == "kept"
    assert [name for name in aside(tmp_path) if not name.endswith(("-wal", "-shm"))]
    kept_aside = next(name for name in aside(tmp_path) if not name.endswith(("-wal", "-shm")))
    assert (tmp_path / kept_aside).read_bytes() == broken
    assert "was damaged" in caplog.text
    assert kept_aside in caplog.text
    assert record.path.exists()


def test_a_damage_met_while_running_begins_anew_for_both_processes(tmp_path, make_steps):
    first, second = make_steps(tmp_path), make_steps(tmp_path)
    first.make("a")
    second.make("b")
    path = database_of(tmp_path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(b"\xff" * path.stat().st_size)
    for steps in (first, second):
        # Whatever a connection still remembers of the old file, within two uses it works on the new one.
        for _ in range(3):
            try:
                steps.journal.history()
            except HistoryError:
                continue
    for steps in (first, second):
        with contextlib.suppress(HistoryError):
            steps.make("c")
    call = first.make("d", run="run 2")
    assert second.journal.call(call).state == "kept"
    assert len([name for name in aside(tmp_path) if not name.endswith(("-wal", "-shm"))]) == 1


def test_an_empty_file_is_a_new_journal(tmp_path, make_steps):
    database_of(tmp_path).write_bytes(b"")
    assert make_steps(tmp_path).claim("a").what == "ask"
    assert aside(tmp_path) == []


def test_a_newer_journal_is_left_alone(tmp_path, make_steps):
    with contextlib.closing(sqlite3.connect(database_of(tmp_path))) as connection:
        connection.execute("CREATE TABLE future (x)")
        connection.execute("PRAGMA user_version = 99")
    before = database_of(tmp_path).read_bytes()
    with pytest.raises(HistoryError, match="newer version") as caught:
        make_steps(tmp_path).claim("a")
    assert "Update the pack" in caught.value.hint
    assert database_of(tmp_path).read_bytes() == before


def test_an_older_journal_is_brought_up_to_date_in_one_transaction(tmp_path):
    later = (*MIGRATIONS, ("ALTER TABLE calls ADD COLUMN stars INTEGER",), ("UPDATE calls SET stars = 5",))
    with contextlib.closing(sqlite3.connect(tmp_path / "x", isolation_level=None)) as connection:
        migrate(connection, tmp_path / "x")
        assert version_of(connection) == len(MIGRATIONS)
        connection.execute(
            "INSERT INTO calls (fingerprint, variation, state, run, asked_at, model, aspect_ratio, output_format,"
            " dialect, profile, base_url, seed, inputs, prompt)"
            " VALUES ('f', 0, 'kept', 'r', 1, 'm', 'a', 'o', 'd', 'p', 'b', '1', 0, 'x')"
        )
        broken = (*later, ("CREATE TABLE calls (x)",))
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, tmp_path / "x", broken)
        assert version_of(connection) == len(MIGRATIONS)
        assert "stars" not in [row[1] for row in connection.execute("PRAGMA table_info(calls)")]
        migrate(connection, tmp_path / "x", later)
        assert version_of(connection) == len(later)
        assert connection.execute("SELECT stars FROM calls").fetchone() == (5,)


def test_a_full_database_says_what_to_do(tmp_path):
    database = Database(tmp_path / "x.sqlite3", tmp_path / "x.lock")
    with database.writing() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(HistoryError, match="is full") as caught, database.writing() as connection:
        connection.executemany("INSERT INTO marks VALUES (?, 1)", [("x" * 500 + str(one),) for one in range(500)])
    assert "Free some space" in caught.value.hint
    database.close()


def test_a_locked_database_says_who_may_hold_it(tmp_path):
    database = Database(tmp_path / "x.sqlite3", tmp_path / "x.lock", busy_seconds=0.05)
    with database.writing():
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "x.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(HistoryError, match="locked by another program"), database.writing():
            pass
        other.execute("ROLLBACK")
    with database.writing():
        pass
    database.close()


def test_the_data_folder_may_be_a_file_by_mistake(tmp_path, make_steps):
    (tmp_path / "data").write_text("")
    with pytest.raises(HistoryError, match="data"):
        make_steps(tmp_path / "data").claim("a")


def test_many_threads_write_and_read(steps, journal):
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                steps.make(f"{number} {turn}", b"%d %d" % (number, turn))
                journal.history(limit=5)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert journal.stats().calls == {"kept": 40}


def test_the_log_is_moved_into_the_database_between_calls_only(tmp_path):
    path, log = tmp_path / "x.sqlite3", tmp_path / "x.sqlite3-wal"
    database = Database(path, tmp_path / "x.lock", idle_log_bytes=100_000)

    def write(name: str) -> None:
        with database.writing() as connection:
            connection.execute("INSERT INTO marks VALUES (?, 1)", (name + "x" * 200_000,))

    write("a")
    size = path.stat().st_size
    database.tidy(idle=False)
    assert path.stat().st_size == size
    database.tidy(idle=True)
    assert path.stat().st_size > size + 190_000
    write("b")
    # The log is begun anew, and small again: not every later call moves it once more.
    database.tidy(idle=True)
    with database.writing() as connection:
        connection.execute("INSERT INTO marks VALUES ('c', 1)")
    assert log.stat().st_size <= 1 << 20
    size = path.stat().st_size
    database.tidy(idle=True)
    assert path.stat().st_size == size
    database.close()


def test_the_log_of_a_killed_process_is_moved_at_the_next_opening(tmp_path, worker, make_steps):
    dead = worker("die", "posted", "a", "run 1")
    assert dead.wait() == -9
    make_steps(tmp_path / "data").journal.history()
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(database_of(tmp_path / "data"), alone)
    assert [call.state for call in make_steps(alone).journal.history().calls] == ["sent"]


def test_a_shortage_of_open_files_is_an_error_in_words(tmp_path, make_steps):
    steps = make_steps(tmp_path)
    call = steps.send("a")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(HistoryError, match="Too many open files"):
            steps.journal.keep(call, 0, b"x", extension="png")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    steps.journal.keep(call, 0, b"x", extension="png")


def test_an_image_is_written_by_one_transaction_whatever_others_do_meanwhile(steps, journal, monkeypatch):
    call = steps.send("a")
    written: list[NewImage] = []
    others: list[threading.Thread] = []
    write = NewImage.write

    class Slow(threading.Event):
        """Between the commit and the word that it is done, another thread makes a transaction, if it can."""

        def set(self) -> None:
            other = threading.Thread(target=journal.set_size, args=("none", 1, 1))
            other.start()
            other.join(0.2)
            super().set()
            others.append(other)

    def count(self: NewImage, connection: sqlite3.Connection) -> None:
        written.append(self)
        self.done.__class__ = Slow
        write(self, connection)

    monkeypatch.setattr(NewImage, "write", count)
    assert journal.keep(call, 0, b"picture", extension="png").call_id == call
    for other in others:
        other.join(10)
    assert len(written) == 1
