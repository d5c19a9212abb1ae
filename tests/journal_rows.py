"""A history of any length, written straight into the journal's database: thousands of rows in a moment."""

from __future__ import annotations

import sqlite3
import time
from io import BytesIO
from pathlib import Path

from pack.nanobanana.journal import Journal
from PIL import Image


def fill(data: Path, rows: int, *, prompt: str = "image number {number}") -> None:
    """`rows` kept calls, one image each, of a few distinct files; the last is the newest."""
    with Journal(data) as journal:
        journal.stats()
        now = time.time()
        files = [_file(journal.folder / "pictures", number) for number in range(8)]
    with sqlite3.connect(data / "journal.sqlite3", timeout=30) as connection:
        for number in range(rows):
            sha256, size = files[number % len(files)]
            call = connection.execute(
                "INSERT INTO calls (fingerprint, variation, state, run, asked_at, sent_at, answered_at, finished_at,"
                " billed, request_id, seconds, cost, model, aspect_ratio, output_format, dialect, profile, base_url,"
                " seed, inputs, prompt) VALUES (?, 0, 'kept', 'r', ?, ?, ?, ?, 'yes', 'req', 12.5, 0.04,"
                " 'NanoBananaPro-1K', '1:1', 'png', 'documented', 'default', 'https://g.example', '1', 0, ?)",
                (f"seeded-{number}", *[now - rows + number] * 4, prompt.format(number=number)),
            ).lastrowid
            connection.execute(
                "INSERT INTO pictures VALUES (?, ?, 0, '', ?, 'png', 64, 48, ?, ?)",
                (f"seeded{number}", call, sha256, size, now),
            )


def _file(folder: Path, number: int) -> tuple[str, int]:
    import hashlib

    buffer = BytesIO()
    Image.new("RGB", (64, 48), (number * 30, 255 - number * 30, 128)).save(buffer, "PNG")
    data = buffer.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    (folder / f"{sha256}.png").write_bytes(data)
    return sha256, len(data)
