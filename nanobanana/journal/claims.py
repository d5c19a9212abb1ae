"""Decides, in one transaction, what to do about an image that is wanted."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import Billed, HistoryError
from .files import ImageFiles
from .records import TASK, CallDetails, CallKey, CallRecord, Claim, load_call, plain

STOPPED = "The call was stopped before its answer came."
_DIED = "ComfyUI ended before the answer came."

_LIVE_STATES = ("asked", "sent", "answered")
# How many older calls for the same image are searched for one that may have been billed.
_EARLIER_DEPTH = 20


HoldsImage = Callable[[CallRecord, bytes], bool]


def no_image_in(_: CallRecord, __: bytes) -> bool:
    """For callers that don't read saved answers."""
    return False


@dataclass(frozen=True)
class Claimant:
    """Who claims: the owner's id, the run, the time (Unix seconds), and how to tell if an owner works on a call.

    `holds_image`: whether an image is found in the saved answer of a call that failed. `waiting_since`: when the wait
    for another owner's call began, in Unix seconds; what fails during the wait isn't asked for again on its own.
    """

    owner: str
    run: str
    now: float
    is_worked_on: Callable[[str, int], bool]
    holds_image: HoldsImage = no_image_in
    waiting_since: float = math.inf


def newest(connection: sqlite3.Connection, key: CallKey) -> sqlite3.Row | None:
    """The last call for this image: the only one that can still be under way."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT id, state, owner, run, billed FROM calls WHERE fingerprint = ? AND variation = ?"
        " ORDER BY id DESC LIMIT 1",
        (key.fingerprint, key.variation),
    ).fetchone()
    return row


def is_taken(row: sqlite3.Row | None, is_worked_on: Callable[[str, int], bool]) -> bool:
    """Whether a living owner is at work on this call."""
    return (
        row is not None
        and row["state"] in _LIVE_STATES
        and row["owner"] is not None
        and is_worked_on(row["owner"], row["id"])
    )


def decide(
    connection: sqlite3.Connection, files: ImageFiles, key: CallKey, details: CallDetails, claimant: Claimant
) -> Claim | None:
    """The claim, decided and written down; None while someone else is at work on the image.

    To be called inside a writing transaction.
    """
    row = newest(connection, key)
    if is_taken(row, claimant.is_worked_on):
        return None
    record = load_call(connection, files.path, row["id"]) if row is not None else None
    if record is None:
        return _ask(connection, files, key, details, claimant)
    if record.state == "kept" and record.images and all(files.is_there(one) for one in record.images):
        return Claim("kept", record)
    if record.state in ("kept", "answered", "sent"):
        _forget_lost_images(connection, files, record)
        record = _loaded(connection, files, record.id)
        if record.urls or record.images or _is_understood(files, record, claimant):
            return _take_over(connection, files, key, record, "answered", claimant)
    if record.state in ("sent", "answered"):
        # Its sender is gone, and nothing of the answer was saved.
        billed: Billed = "maybe" if record.state == "sent" else "yes"
        # Who was not waiting for it has queued this after the sender was gone, as far as anybody knows.
        waited = claimant.waiting_since < math.inf
        ended = claimant.now if waited else record.sent_at or record.asked_at
        fail(connection, record.id, error=_DIED, billed=billed, request_id=record.request_id, now=ended)
    if record.state == "failed" and _is_understood(files, record, claimant):
        return _take_over(connection, files, key, record, "answered", claimant)
    in_vain = _failed_unknown(connection, key, claimant.run, min(details.queued_at, claimant.waiting_since))
    if in_vain is not None:
        return Claim("failed", _loaded(connection, files, in_vain))
    if record.state == "asked":
        return _take_over(connection, files, key, record, "asked", claimant)
    return _ask(connection, files, key, details, claimant)


def is_free(
    connection: sqlite3.Connection, files: ImageFiles, key: CallKey, is_worked_on: Callable[[str, int], bool]
) -> bool:
    """Whether a claim would send nothing: the image is there, under way, or can be downloaded."""
    row = newest(connection, key)
    if row is None or is_taken(row, is_worked_on):
        return row is not None
    record = _loaded(connection, files, row["id"])
    if record.state not in ("kept", "answered", "sent"):
        return False
    return bool(record.urls) or any(files.is_there(one) for one in record.images)


def fail(
    connection: sqlite3.Connection, call_id: int, *, error: str, billed: Billed, request_id: str, now: float
) -> int:
    """Write down that a call failed, and release it; returns the number of rows changed."""
    return connection.execute(
        "UPDATE calls SET state = 'failed', owner = NULL, error = ?, billed = ?, finished_at = ?,"
        " request_id = CASE WHEN ? = '' THEN request_id ELSE ? END WHERE id = ?",
        (error, billed, now, request_id, request_id, call_id),
    ).rowcount


def release(connection: sqlite3.Connection, call_id: int, now: float) -> None:
    """Release a call, whatever its state.

    If it was never sent, it is deleted. If a URL or an image came, its state stays, and the next claim fetches the
    rest. If it was sent and nothing came, it has failed and may have been billed.
    """
    row = connection.execute("SELECT state, request_id FROM calls WHERE id = ?", (call_id,)).fetchone()
    if row is None or row["state"] in ("kept", "failed"):
        return
    if row["state"] == "asked":
        connection.execute("DELETE FROM calls WHERE id = ?", (call_id,))
    elif row["state"] == "answered" or _has_something(connection, call_id):
        connection.execute("UPDATE calls SET owner = NULL WHERE id = ?", (call_id,))
    else:
        fail(connection, call_id, error=STOPPED, billed="maybe", request_id=row["request_id"], now=now)


def _ask(
    connection: sqlite3.Connection, files: ImageFiles, key: CallKey, details: CallDetails, claimant: Claimant
) -> Claim:
    earlier, request = _earlier(connection, files, key), details.request
    call_id = connection.execute(
        "INSERT INTO calls (fingerprint, variation, state, owner, run, asked_at, model, prompt, aspect_ratio,"
        " output_format, dialect, profile, base_url, seed, inputs, cost)"
        " VALUES (?, ?, 'asked', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key.fingerprint,
            key.variation,
            claimant.owner,
            plain(claimant.run),
            claimant.now,
            plain(request.model),
            plain(request.prompt),
            request.aspect_ratio,
            request.output_format,
            details.dialect,
            plain(details.profile),
            plain(details.base_url),
            str(request.seed),
            details.inputs,
            details.cost,
        ),
    ).lastrowid
    record = CallRecord(call_id or 0, key, details, "asked", claimant.run, claimant.now)
    return Claim("ask", record, earlier)


def _take_over(
    connection: sqlite3.Connection,
    files: ImageFiles,
    key: CallKey,
    record: CallRecord,
    state: str,
    claimant: Claimant,
) -> Claim:
    connection.execute(
        "UPDATE calls SET state = ?, owner = ?, run = ?, finished_at = NULL,"
        " billed = CASE WHEN ? = 'answered' AND NOT EXISTS"
        " (SELECT 1 FROM urls WHERE call_id = calls.id AND url LIKE ?) THEN 'yes' ELSE billed END,"
        " asked_at = CASE WHEN ? = 'asked' THEN ? ELSE asked_at END WHERE id = ?",
        (state, claimant.owner, plain(claimant.run), state, f"{TASK}%", state, claimant.now, record.id),
    )
    taken = _loaded(connection, files, record.id)
    if state == "answered":
        return Claim("answered", taken)
    return Claim("ask", taken, _earlier(connection, files, key))


def _is_understood(files: ImageFiles, record: CallRecord, claimant: Claimant) -> bool:
    """Whether an image is found in the saved answer, as it may be by a later version of the pack."""
    if record.answer is None:
        return False
    try:
        data = files.read(record.answer)
    except HistoryError:
        return False
    return claimant.holds_image(record, data)


def _failed_unknown(connection: sqlite3.Connection, key: CallKey, run: str, queued_at: float) -> int | None:
    """The call that failed and may have been billed, in this same run or since the person queued it (one click may
    queue the same prompt several times): it isn't sent again before they could know of that."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT id FROM calls WHERE fingerprint = ? AND variation = ? AND state = 'failed' AND billed != 'no'"
        " AND ((run = ? AND run != '') OR finished_at >= ?) ORDER BY id DESC LIMIT 1",
        (key.fingerprint, key.variation, plain(run), queued_at),
    ).fetchone()
    return None if row is None else row["id"]


def _loaded(connection: sqlite3.Connection, files: ImageFiles, call_id: int) -> CallRecord:
    """A call that is known to exist: it was read or written in this transaction."""
    record = load_call(connection, files.path, call_id)
    assert record is not None
    return record


def _forget_lost_images(connection: sqlite3.Connection, files: ImageFiles, record: CallRecord) -> None:
    for image in record.images:
        if not files.is_there(image):
            connection.execute("DELETE FROM pictures WHERE id = ?", (image.id,))


def _earlier(connection: sqlite3.Connection, files: ImageFiles, key: CallKey) -> CallRecord | None:
    """The newest failed call that was or may have been billed, or whose image was trimmed, unless one came after it."""
    rows = connection.execute(
        "SELECT id, state, billed FROM calls WHERE fingerprint = ? AND variation = ? ORDER BY id DESC LIMIT ?",
        (key.fingerprint, key.variation, _EARLIER_DEPTH),
    ).fetchall()
    for row in rows:
        if row["state"] == "kept":
            record = load_call(connection, files.path, row["id"])
            return record if record and not record.images else None
        if row["state"] == "failed" and row["billed"] != "no":
            return load_call(connection, files.path, row["id"])
    return None


def _has_something(connection: sqlite3.Connection, call_id: int) -> bool:
    """Whether a URL or an image of this call was saved."""
    found: sqlite3.Row | None = connection.execute(
        "SELECT 1 FROM urls WHERE call_id = ?"
        " UNION ALL SELECT 1 FROM pictures WHERE call_id = ? AND position >= 0 LIMIT 1",
        (call_id, call_id),
    ).fetchone()
    return found is not None
