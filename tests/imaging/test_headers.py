"""Sizes are read from headers as decoders read them, oddities that the formats allow included."""

from __future__ import annotations

import pytest
from pack.nanobanana.imaging.headers import header_size, is_cut_short
from PIL import Image

from .files import saved


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (3000, 2)])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "exif": b"Exif\x00\x00" + b"\x00" * 3000}),
        ("GIF", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00"}),
    ],
)
def test_headers_tell_the_size(size: tuple[int, int], kind: str, options: dict[str, object]) -> None:
    data = saved(Image.new("RGB", size), kind, **options)
    assert header_size(data, kind.lower()) == size
    assert not is_cut_short(data, kind.lower())


def test_jpeg_may_hold_fill_bytes_and_bare_markers_before_a_segment() -> None:
    data = saved(Image.new("RGB", (40, 30)), "JPEG")
    at = data.index(b"\xff\xdb")
    for odd in (b"\xff\xff\xff", b"\xff\x01"):
        changed = data[:at] + odd + data[at:]
        assert header_size(changed, "jpeg") == (40, 30)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif"])
def test_a_header_that_ends_too_early_is_left_to_the_decoder(kind: str) -> None:
    data = saved(Image.new("RGB", (40, 30)), kind.upper())
    for length in range(16):
        assert header_size(data[:length], kind) in (None, (0, 0), (1, 1), (40, 30))


def test_no_size_is_made_up() -> None:
    assert header_size(b"\xff\xd8\xff\xe0\x00\x04ab" + b"no marker here", "jpeg") is None
    assert header_size(b"RIFF\x00\x00\x00\x00WEBPABCD" + b"\x00" * 20, "webp") is None
    assert header_size(b"BM" + b"\x00" * 50, "bmp") is None
