"""Errors of the disk and of SQLite, in words that say what to do."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from ..errors import HistoryError

_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
_RETRY = "Then run again: what the gateway has answered is fetched at no cost."


def disk_error(error: OSError, path: Path) -> HistoryError:
    """The `HistoryError` for an `OSError` at `path`."""
    if error.errno in _FULL:
        return _full(path.parent)
    if isinstance(error, PermissionError):
        return HistoryError(
            f"{path} can't be written: permission denied.",
            f"Give yourself write access to it, or set NANOBANANA_HOME to another folder. {_RETRY}",
        )
    return HistoryError(
        f"{path} can't be read or written: {error.strerror or error}.",
        f"Check the disk, or set NANOBANANA_HOME to another folder. {_RETRY}",
    )


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether `error` says that the file is no database any more (by its words: Python 3.10 has no error names)."""
    words = str(error)
    return "malformed" in words or "not a database" in words


def was_moved(error: sqlite3.Error) -> bool:
    """Whether `error` may come from the file having been moved away under the open connection."""
    words = str(error)
    return "readonly" in words or "disk I/O error" in words


def database_error(error: sqlite3.Error, path: Path) -> HistoryError:
    """The `HistoryError` for an error of SQLite on the database at `path`."""
    words = str(error)
    if "full" in words:
        return _full(path.parent)
    if "locked" in words or "busy" in words:
        return HistoryError(
            f"The journal {path} is locked by another program.",
            "Close what else has it open (a database browser, a backup), then run again.",
        )
    if "readonly" in words or "unable to open" in words:
        return HistoryError(
            f"The journal {path} can't be written.",
            "Give yourself write access to it and its folder, or set NANOBANANA_HOME to another folder.",
        )
    if is_corrupt(error):
        return HistoryError(
            f"The journal {path} is damaged ({words}).",
            "Run again: the damaged file is put aside, and a new one is begun. The images stay on disk.",
        )
    return HistoryError(f"The journal {path} failed: {words}.", "Check that its disk is not full, then run again.")


def _full(folder: Path) -> HistoryError:
    return HistoryError(
        f"The disk that holds {folder} is full.",
        f"Free some space, or set NANOBANANA_HOME to a folder on another disk. {_RETRY}",
    )
