from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pack.nanobanana.cancel import CancelToken
from pack.nanobanana.errors import HistoryError
from pack.nanobanana.journal import Journal
from pack.nanobanana.journal.files import EXTENSIONS, ImageFiles, write_all

DATA = b"original bytes" * 1000


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "pictures").iterdir())


def test_a_file_is_named_by_its_content(steps, journal):
    record = journal.keep(steps.send("a"), 0, DATA, extension="webp")
    digest = hashlib.sha256(DATA).hexdigest()
    assert record.sha256 == digest
    assert names(journal.folder) == [f"{digest}.webp"]
    assert record.path.read_bytes() == DATA


@pytest.mark.parametrize("hostile", ["../../evil", "exe", "png/../../x", "", "png\0", "a" * 500, "PN G", "html"])
def test_nothing_but_a_known_extension_reaches_a_name(steps, journal, hostile):
    record = journal.keep(steps.send("a"), 0, DATA, extension=hostile)
    assert record.extension == "bin"
    assert record.path.parent == journal.folder / "pictures"
    assert names(journal.folder) == [f"{record.sha256}.bin"]


@pytest.mark.parametrize("extension", sorted(EXTENSIONS))
def test_known_extensions_stay(tmp_path, extension):
    assert ImageFiles(tmp_path).path("0" * 64, extension.upper()).name == f"{'0' * 64}.{extension}"


def test_the_same_bytes_are_stored_once(steps, journal):
    first = steps.make("a", DATA)
    second = steps.make("b", DATA)
    assert len(names(journal.folder)) == 1
    one, other = (journal.call(call).images[0] for call in (first, second))
    assert one.id != other.id
    assert one.path == other.path


def test_a_torn_file_of_the_right_name_is_written_anew(steps, journal):
    path = journal.call(steps.make("a", DATA)).images[0].path
    path.write_bytes(b"\0" * len(DATA))
    record = journal.call(steps.make("b", DATA)).images[0]
    assert record.path.read_bytes() == DATA


def test_keeping_a_position_again_keeps_its_id(steps, journal):
    call = steps.answer("a")
    first = journal.keep(call, 0, b"one", extension="png")
    second = journal.keep(call, 0, b"two", extension="jpg")
    assert first.id == second.id
    assert journal.call(call).images == (second,)
    assert journal.read(second) == b"two"


def test_reading_a_changed_file_says_so_and_keeps_it_aside(steps, journal):
    call = steps.make("a", DATA, url="https://cdn/1.png")
    record = journal.call(call).images[0]
    changed = b"x" + DATA[1:]
    record.path.write_bytes(changed)
    with pytest.raises(HistoryError, match="changed on disk"):
        journal.read(record)
    assert (journal.folder / "pictures" / f"{record.path.name}.damaged").read_bytes() == changed
    assert steps.claim("a", run="run 2").what == "answered"


def test_reading_a_file_that_is_gone_says_so(steps, journal):
    record = journal.call(steps.make("a", DATA)).images[0]
    record.path.unlink()
    with pytest.raises(HistoryError, match="gone"):
        journal.read(record)


def test_half_written_files_of_killed_processes_are_removed_when_old(tmp_path):
    images = tmp_path / "pictures"
    images.mkdir()
    old, young = images / "old.part", images / "young.part"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    with Journal(tmp_path) as journal:
        journal.history()
    assert names(tmp_path) == ["young.part"]


def test_every_file_is_synced_before_its_name_appears_and_its_folder_after(tmp_path):
    seen: list[tuple[str, list[str]]] = []

    def sync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        if kind == "file":
            assert os.fstat(descriptor).st_size == len(DATA)
        seen.append((kind, [path.suffix for path in tmp_path.iterdir()]))

    ImageFiles(tmp_path, sync=sync).save(DATA, "png")
    assert seen == [("file", [".part"]), ("folder", [".png"])]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_a_full_disk_says_what_to_do_and_loses_nothing(tmp_path, make_steps, number):
    full = True

    def write(descriptor: int, data: bytes) -> None:
        if full:
            os.write(descriptor, data[: len(data) // 2])
            raise OSError(number, os.strerror(number))
        write_all(descriptor, data)

    steps = make_steps(tmp_path / "data", write=write)
    call = steps.answer("a", url="https://cdn/1.png")
    with pytest.raises(HistoryError) as caught:
        steps.journal.keep(call, 0, DATA, extension="png")
    assert "is full" in caught.value.message
    assert "Free some space" in caught.value.hint
    assert "NANOBANANA_HOME" in caught.value.hint
    assert names(tmp_path / "data") == []
    steps.journal.release(call)
    claim = steps.claim("a", run="run 2")
    assert (claim.what, claim.record.urls) == ("answered", ("https://cdn/1.png",))
    full = False
    steps.journal.keep(call, 0, DATA, extension="png")
    steps.journal.kept(call)
    assert steps.claim("a", run="run 3").what == "kept"


def test_another_failure_of_the_disk_names_the_file(tmp_path, make_steps):
    def write(descriptor: int, data: bytes) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    steps = make_steps(tmp_path / "data", write=write)
    with pytest.raises(HistoryError, match=r"pictures.*Input/output error"):
        steps.journal.keep(steps.send("a"), 0, DATA, extension="png")


LIMITED = """
import resource, runpy, sys
from pathlib import Path
load = runpy.run_path(sys.argv[1])["load_pack"]
package = load()
from pack.nanobanana.cancel import CancelToken
from pack.nanobanana.errors import HistoryError
from pack.nanobanana.image_request import ImageRequest
journal = package.Journal(Path(sys.argv[2]))
details = package.CallDetails(ImageRequest("m", "p" * 1000, "1:1", "png", 1), "documented", "default", "https://g")
def claim(number):
    key = package.CallKey(f"call{number}", 0)
    return journal.claim(key, details, cancel=CancelToken(), on_wait=print, run="r")
first = claim(0)
journal.sent(first.record.id)
journal.url(first.record.id, 0, "https://cdn/1.png")
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    journal.keep(first.record.id, 0, bytes(1_000_000), extension="png")
except HistoryError as error:
    print("PICTURE", error)
number = 0
try:
    while number < 5000:
        number += 1
        journal.failed(claim(number).record.id, error="e", billed="no")
except HistoryError as error:
    print("DATABASE", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 300_000))
try:
    journal.release(first.record.id)
except HistoryError as error:
    print("RELEASE", error)
print("HOLDS", journal.holds(first.record.id), flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(os.name == "nt", reason="RLIMIT_FSIZE is a POSIX limit")
def test_a_disk_that_takes_no_more_fails_clearly_and_keeps_nobody_waiting(tmp_path, make_steps):
    """A process whose files may not grow: images and database fail in words, and its calls can be taken over."""
    worker = Path(__file__).with_name("worker.py")
    process = subprocess.Popen(
        [sys.executable, "-c", LIMITED, str(worker), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said: dict[str, str] = {}
        while "HOLDS" not in said:
            line = process.stdout.readline()
            assert line
            word, _, rest = line.strip().partition(" ")
            said[word] = rest
        assert said["HOLDS"] == "False"
        assert "is full" in said["PICTURE"]
        for word in ("DATABASE", "RELEASE"):
            assert "full" in said[word] or "disk I/O error" in said[word]
        assert names(tmp_path) == []
        # The process lives on, and could not write down that it let go.
        enough = CancelToken()
        timer = threading.Timer(10, enough.cancel)
        timer.start()
        claim = make_steps(tmp_path).claim("call0", run="run 2", cancel=enough)
        assert (claim.what, claim.record.urls) == ("answered", ("https://cdn/1.png",))
        timer.cancel()
    finally:
        process.communicate("\n", timeout=20)
    assert process.returncode == 0


def test_a_file_that_a_clearing_took_away_before_its_row_was_written_is_saved_anew(steps, journal, monkeypatch):
    call = steps.answer("a")
    save, taken = journal._files.save, []

    def save_and_lose(data: bytes, extension: str):
        sha256, path = save(data, extension)
        if not taken:
            path.unlink()
            taken.append(path)
        return sha256, path

    monkeypatch.setattr(journal._files, "save", save_and_lose)
    record = journal.keep(call, 0, b"bytes", extension="png")
    assert taken == [record.path]
    assert journal.read(record) == b"bytes"


@pytest.mark.parametrize("refused", ["file", "folder", "both"])
def test_a_file_system_that_knows_no_sync_keeps_the_image(tmp_path: Path, refused: str) -> None:
    """FUSE, CIFS and 9p: an image that could not be synced is there all the same, and is not bought again."""

    def sync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        if refused == "both" or is_folder == (refused == "folder"):
            raise OSError(errno.EINVAL, "Invalid argument")

    sha256, path = ImageFiles(tmp_path, sync=sync).save(DATA, "png")
    assert path.read_bytes() == DATA
    assert path.name == f"{sha256}.png"


def test_a_disk_that_fails_to_sync_is_told(tmp_path: Path) -> None:
    def sync(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(HistoryError):
        ImageFiles(tmp_path, sync=sync).save(DATA, "png")
    assert list(tmp_path.iterdir()) == []


def test_a_drive_without_a_full_sync_gets_an_ordinary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary: list[int] = []

    class Fcntl:
        F_FULLFSYNC = 51

        @staticmethod
        def fcntl(*_: int) -> None:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setitem(sys.modules, "fcntl", Fcntl)
    monkeypatch.setattr(os, "fsync", ordinary.append)
    ImageFiles(tmp_path).save(DATA, "png")
    assert len(ordinary) == 2


@pytest.mark.parametrize(
    ("error", "there"), [(FileNotFoundError(), False), (PermissionError(), True), (OSError(), True)]
)
def test_a_file_that_vanishes_while_it_is_looked_at_is_not_there(
    steps, journal, monkeypatch: pytest.MonkeyPatch, error: OSError, there: bool
) -> None:
    record = journal.keep(steps.send("a"), 0, DATA, extension="png")

    def utime(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "utime", utime)
    assert ImageFiles(journal.folder / "pictures").is_there(record) is there
