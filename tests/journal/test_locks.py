from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pack.nanobanana.file_lock import FileLock, exclusive
from pack.nanobanana.journal.locks import Leases, Owner, is_alive, remove_dead


def test_an_owner_is_alive_until_it_is_closed(tmp_path):
    owner = Owner(tmp_path)
    assert is_alive(tmp_path, owner.id)
    owner.close()
    assert not is_alive(tmp_path, owner.id)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_owner_is_dead(tmp_path):
    assert not is_alive(tmp_path, "nobody")
    assert list(tmp_path.iterdir()) == []


def test_an_owner_of_another_process_dies_with_it(tmp_path, worker):
    process = worker("stop", "claimed", "a", "run 1")
    assert process.line() == "claimed"
    locks = tmp_path / "data" / "locks"
    (owner,) = [path.stem for path in locks.iterdir() if len(path.stem) == 32]
    assert is_alive(locks, owner)
    process.kill()
    assert not is_alive(locks, owner)


def test_only_files_of_the_dead_are_removed(tmp_path):
    owner = Owner(tmp_path)
    (tmp_path / f"{'0' * 32}.lock").touch()
    (tmp_path / "journal.lock").touch()
    remove_dead(tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted([owner.id, "journal"])
    owner.close()


def test_owners_made_while_the_dead_are_removed_live(tmp_path):
    """A file that is removed between its making and its locking would make its owner look dead."""
    stop = threading.Event()

    def remove() -> None:
        while not stop.is_set():
            remove_dead(tmp_path)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        owners = [Owner(tmp_path) for _ in range(300)]
        dead = [owner.id for owner in owners if not (tmp_path / f"{owner.id}.lock").exists()]
    finally:
        stop.set()
        thread.join()
    assert dead == []
    for owner in owners:
        owner.close()


def test_a_lock_is_exclusive_and_can_be_had_again(tmp_path):
    first = FileLock(tmp_path / "x")
    second = FileLock(tmp_path / "x")
    assert (first.held, second.held) == (True, False)
    first.close()
    third = FileLock(tmp_path / "x")
    assert third.held
    third.close()


def test_exclusive_sections_follow_each_other(tmp_path):
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        with exclusive(tmp_path / "x"):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_letting_go_without_writing_it_down_takes_a_new_name(tmp_path: Path):
    ownership = Leases(tmp_path)
    first = ownership.id
    ownership.hold(1)
    ownership.hold(2)

    def fail(call: int) -> None:
        with ownership.releasing(call):
            raise OSError

    with pytest.raises(OSError):
        fail(1)
    assert not ownership.is_worked_on(first, 1)
    assert ownership.is_worked_on(first, 2)
    assert is_alive(tmp_path, first)
    with ownership.releasing(2):
        pass
    assert not is_alive(tmp_path, first)
    assert ownership.id != first
    ownership.close()
