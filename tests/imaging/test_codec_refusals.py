"""Broken, truncated, hostile and oversized files are clear errors, and cost nothing."""

from __future__ import annotations

import contextlib
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.nanobanana.errors import ImageError
from pack.nanobanana.imaging.codec import decode
from pack.nanobanana.imaging.headers import MOST_PARTS, is_cut_short
from PIL import Image, ImageFile

from .files import raw_png, saved
from .samples import photo


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_file_is_a_clear_error(kind: str) -> None:
    data = saved(Image.fromarray(photo(64, 64)), kind)
    for keep in (len(data) // 2, len(data) - 40, 30):
        with pytest.raises(ImageError) as caught:
            decode(data[:keep])
        assert "image" in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_truncated_even_while_another_part_of_the_process_allows_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The host sets this flag for a moment when a file of its own is broken.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = saved(Image.fromarray(photo(64, 64)), kind)
    with pytest.raises(ImageError, match="cut short"):
        decode(data[: len(data) // 2])


def with_half_its_pixels(kind: str) -> bytes:
    """A file whose end is there, while pixels in the middle are not."""
    data = saved(Image.fromarray(photo(64, 64)), kind)
    if kind == "PNG":
        at = data.index(b"IDAT") - 4
        length = int.from_bytes(data[at : at + 4], "big")
        half = data[at + 8 : at + 8 + length // 2]
        chunk = len(half).to_bytes(4, "big") + b"IDAT" + half
        return data[:at] + chunk + zlib.crc32(chunk[4:]).to_bytes(4, "big") + data[at + 12 + length :]
    # GIF: the sub-blocks of the pixels, without the later ones.
    at = data.index(b"\x2c", 13 + 768) + 11
    end = at + 1 + data[at]
    return data[:end] + b"\x00;"


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_missing_pixels_are_damage_whatever_others_allow(
    kind: str, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", allowed)
    with pytest.raises(ImageError, match="broken or incomplete"):
        decode(with_half_its_pixels(kind))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is allowed


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_whole_files_are_read_as_ever_while_others_allow_truncated_ones(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(Image.fromarray(photo(64, 64)), kind)
    before = decode(data).rgb
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    np.testing.assert_array_equal(decode(data).rgb, before)


@pytest.mark.parametrize(
    "data", [b"", b"<html>502 Bad Gateway</html>", b'{"error":1}', b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]
)
def test_what_is_no_image_is_a_clear_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        decode(data)


def test_the_error_shows_the_first_bytes_of_what_came_instead() -> None:
    with pytest.raises(ImageError, match="502 Bad Gateway"):
        decode(b"<html>502 Bad Gateway</html>")


@given(st.binary(max_size=300), st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"]), st.integers(8, 400))
@settings(max_examples=150, deadline=None)
def test_hostile_bytes_are_a_image_or_an_image_error(noise: bytes, kind: str, at: int) -> None:
    data = saved(Image.fromarray(photo(16, 16)), kind)
    hostile = data[:at] + noise + data[at + len(noise) :]
    with warnings.catch_warnings():
        # Pillow warns of odd metadata in its own words.
        warnings.simplefilter("ignore")
        with contextlib.suppress(ImageError):
            assert decode(hostile, max_pixels=1_000_000).rgb.ndim == 3


def bomb(kind: str, width: int, height: int) -> bytes:
    """A tiny file that claims to be huge."""
    if kind == "png":
        return raw_png(width, height, 8, 2, b"\x00" * 100)
    if kind == "gif":
        return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00" * 40
    if kind == "jpeg":
        data = bytearray(saved(Image.new("RGB", (8, 8)), "JPEG"))
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", height, width)
        return bytes(data)
    if kind == "bmp":
        data = bytearray(saved(Image.new("RGB", (8, 8)), "BMP"))
        data[18:26] = struct.pack("<ii", width, height)
        return bytes(data)
    data = bytearray(saved(Image.new("RGB", (8, 8)), "WEBP", lossless=True))
    bits = (width - 1) | (height - 1) << 14
    data[21:25] = struct.pack("<I", bits | int.from_bytes(data[21:25], "little") & 0xF0000000)
    return bytes(data)


@pytest.mark.parametrize("kind", ["png", "gif", "jpeg", "webp", "bmp"])
def test_too_many_pixels_are_refused_by_the_header_alone(kind: str) -> None:
    with pytest.raises(ImageError, match="at most 200 megapixels"):
        decode(bomb(kind, 16000, 16000))


def test_too_many_bytes_are_refused_unread() -> None:
    with pytest.raises(ImageError, match="too large"):
        decode(b"\x89PNG\r\n\x1a\n" + b"\x00" * 200, max_bytes=100)


def test_a_size_that_pillow_warns_of_is_decoded_without_a_warning() -> None:
    # 90 megapixels in one bit each: above the limit from which Pillow warns, below ours.
    side, limit = 9500, Image.MAX_IMAGE_PIXELS
    rows = (b"\x00" + b"\x00" * ((side + 7) // 8)) * side
    assert decode(raw_png(side, side, 1, 0, rows)).rgb.shape == (side, side, 3)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_size_that_pillow_refuses_is_opened() -> None:
    # 182 megapixels; the pixels are missing, which is all that is said of them.
    with pytest.raises(ImageError, match="broken or incomplete"):
        decode(raw_png(13000, 14000, 1, 0, b""))


def test_empty_images_are_refused() -> None:
    with pytest.raises(ImageError):
        decode(raw_png(0, 10, 8, 2, b""))


def test_unsupported_pixels_are_a_clear_error() -> None:
    data = saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")
    with pytest.raises(ImageError, match="not supported"):
        decode(data)


def chunk(kind: bytes, contents: bytes = b"") -> bytes:
    return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))


def in_parts(kind: str, number: int) -> bytes:
    """A good file with `number` empty parts more."""
    data = saved(Image.fromarray(photo(16, 16)), kind)
    if kind == "PNG":
        return data[:33] + chunk(b"teXt") * number + data[33:]
    if kind == "JPEG":
        return data[:2] + b"\xff\xe5\x00\x02" * number + data[2:]
    first = data.index(b"\x2c", 13 + (3 << (data[10] & 7) + 1))
    return data[:first] + b"\x21\xfe" + b"\x01a" * number + b"\x00" + data[first:]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_a_file_in_endless_parts_is_refused_and_one_in_many_is_read(kind: str) -> None:
    # Pillow would take two minutes for the largest file that is accepted.
    with pytest.raises(ImageError, match="600,000 parts") as caught:
        decode(in_parts(kind, MOST_PARTS))
    assert not caught.value.damaged
    assert not is_cut_short(in_parts(kind, MOST_PARTS), kind.lower())
    assert decode(in_parts(kind, 20_000)).rgb.shape == (16, 16, 3)


def test_fill_bytes_without_end_are_refused_too() -> None:
    data = saved(Image.fromarray(photo(16, 16)), "JPEG")
    with pytest.raises(ImageError, match="600,000 parts"):
        decode(data[:2] + b"\xff" * MOST_PARTS + data[2:])


@pytest.mark.parametrize("where", ["PIL.Image.Image.crop", "PIL.ImageFile.ImageFile.load", "numpy.empty"])
def test_too_little_memory_is_said_and_is_no_damage(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.fromarray(photo(700, 700)), "PNG")

    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(where, full)
    with pytest.raises(ImageError, match="too little memory") as caught:
        decode(data, want_float=True)
    assert not caught.value.damaged
