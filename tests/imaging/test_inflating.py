"""A PNG inflated on another core is the same image, and a broken one fails as it does without."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pack.nanobanana.errors import ImageError
from pack.nanobanana.imaging import DecodedImage, decode, inflating, workers
from PIL import Image

from .files import chunk, raw_png, saved, unfiltered
from .samples import photo

_EVERY_FILE, _NO_FILE = 0, 1 << 40


@pytest.fixture(autouse=True)
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also small files, and on a machine of one core."""
    monkeypatch.setattr(inflating, "_SMALL_FILE", _EVERY_FILE)
    monkeypatch.setattr(workers, "core_count", lambda: 2)


@pytest.fixture
def threads_used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    used: list[str] = []
    run = inflating._Ahead._run  # pyright: ignore[reportPrivateUsage]

    def counted(self: inflating._Ahead) -> None:  # pyright: ignore[reportPrivateUsage]
        used.append(threading.current_thread().name)
        run(self)

    monkeypatch.setattr(inflating._Ahead, "_run", counted)  # pyright: ignore[reportPrivateUsage]
    return used


def parts_of(data: bytes, size: int) -> Callable[[int], bytes]:
    stream = BytesIO(data)
    return lambda most: stream.read(min(size, most))


@given(st.binary(max_size=5000), st.integers(0, 9), st.integers(1, 3000), st.integers(1, 400))
def test_stored_blocks_hold_the_same_bytes(data: bytes, level: int, size: int, times: int) -> None:
    data *= times
    pieces = list(inflating.stored(parts_of(zlib.compress(data, level), size)))
    assert zlib.decompress(b"".join(pieces)) == data
    assert max(map(len, pieces)) < 600_000


@given(st.binary(min_size=1, max_size=3000), st.integers(0, 9), st.data())
def test_a_stream_that_ends_early_gives_what_there_is(data: bytes, level: int, draw: st.DataObject) -> None:
    compressed = zlib.compress(data * 50, level)
    compressed = compressed[: draw.draw(st.integers(0, len(compressed) - 1))]
    stored = b"".join(inflating.stored(parts_of(compressed, 1000)))
    mine, own = zlib.decompressobj(), zlib.decompressobj()
    assert mine.decompress(stored) == own.decompress(compressed)
    assert not mine.eof


def test_a_wrong_check_sum_and_what_is_no_stream_are_errors() -> None:
    compressed = bytearray(zlib.compress(b"picture" * 1000))
    compressed[-1] ^= 1
    for broken in (bytes(compressed), b"this is no zlib stream"):
        with pytest.raises(zlib.error):
            list(inflating.stored(parts_of(broken, 100)))


def test_what_follows_the_stream_is_left_alone() -> None:
    compressed = zlib.compress(b"picture" * 1000) + b"and more"
    assert zlib.decompress(b"".join(inflating.stored(parts_of(compressed, 100)))) == b"picture" * 1000


def idats(data: bytes, sizes: int) -> bytes:
    """The same PNG with its pixels in chunks of `sizes` bytes, an empty one between them."""
    at, found, rest = 8, b"", b""
    head = data[:8]
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        whole = data[at : at + 12 + length]
        if whole[4:8] == b"IDAT":
            found += whole[8:-4]
        elif found:
            rest += whole
        else:
            head += whole
        at += 12 + length
    parts = [found[start : start + sizes] for start in range(0, len(found), sizes)]
    return head + chunk(b"IDAT", b"").join(chunk(b"IDAT", part) for part in parts) + rest


@cache
def pngs() -> dict[str, bytes]:
    rgb, alpha = photo(220, 150), photo(64, 48, 4)
    deep = np.arange(65536, dtype=">u2").reshape(256, 256)
    exif = Image.Exif()
    exif[0x0112] = 6
    text = chunk(b"tEXt", b"Comment\x00after the pixels") + chunk(b"eXIf", exif.tobytes()[6:])
    whole = saved(Image.fromarray(rgb))
    frames = [Image.fromarray(photo(40, 30, seed=seed)) for seed in range(3)]
    interlaced = bytearray(raw_png(1, 1, 8, 0, b"\x00\x07"))
    interlaced[28] = 1
    interlaced[29:33] = zlib.crc32(interlaced[12:29]).to_bytes(4, "big")
    return {
        "rgb": whole,
        "no compression": saved(Image.fromarray(rgb), compress_level=0),
        "large": saved(Image.fromarray(photo(700, 900))),
        "alpha": saved(Image.fromarray(alpha)),
        "palette": saved(Image.fromarray(rgb).quantize(16)),
        "one bit": saved(Image.fromarray(rgb[:, :, 0] > 127)),
        "deep grey": raw_png(256, 256, 16, 0, unfiltered(deep.view(np.uint8))),
        "deep colour": raw_png(
            128, 128, 16, 2, unfiltered(deep.repeat(3)[: 128 * 384].reshape(128, -1).view(np.uint8))
        ),
        "interlaced": bytes(interlaced),
        "chunks of 1 byte": idats(saved(Image.fromarray(rgb[:20, :20])), 1),
        "chunks of 999 bytes": idats(whole, 999),
        "words and EXIF after the pixels": whole[:-12] + text + whole[-12:],
        "animation": saved(frames[0], save_all=True, append_images=frames[1:]),
        "animation that shows another first": saved(
            frames[0], save_all=True, append_images=frames[1:], default_image=True
        ),
        "more rows than it says": raw_png(30, 2, 8, 0, bytes(31 * 5000)),
    }


def both_ways(data: bytes, monkeypatch: pytest.MonkeyPatch) -> list[DecodedImage | None]:
    """Decoded with and without a second thread; None where that is an `ImageError`."""
    found: list[DecodedImage | None] = []
    for least in (_EVERY_FILE, _NO_FILE):
        monkeypatch.setattr(inflating, "_SMALL_FILE", least)
        try:
            found.append(decode(data))
        except ImageError:
            found.append(None)
    return found


def assert_same(images: list[DecodedImage | None]) -> None:
    ours, without = images
    assert (ours is None) == (without is None)
    if ours is not None and without is not None:
        np.testing.assert_array_equal(ours.rgb, without.rgb)
        np.testing.assert_array_equal(ours.alpha, without.alpha)


@pytest.mark.parametrize("kind", pngs())
def test_every_kind_of_png_is_the_same_image(
    kind: str, threads_used: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = both_ways(pngs()[kind], monkeypatch)
    assert images[0] is not None
    assert_same(images)
    assert threads_used == ["nanobanana-inflating"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(draw=st.data())
def test_a_broken_png_fails_as_without(draw: st.DataObject, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = draw.draw(st.sampled_from(["rgb", "alpha", "chunks of 999 bytes", "animation", "interlaced"]))
    data = bytearray(pngs()[kind])
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(33, len(data) - 1))] = draw.draw(st.integers(0, 255))
    assert_same(both_ways(bytes(data), monkeypatch))


def test_a_stream_that_is_broken_behind_the_pixels_costs_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = b"".join(b"\x00" + row.tobytes() for row in photo(3000, 30, 1))
    data = bytearray(raw_png(30, 2, 8, 0, rows))
    # The check sum's four bytes, then the chunk's own four, then the last chunk's twelve.
    data[-20] ^= 1
    images = both_ways(bytes(data), monkeypatch)
    assert_same(images)
    assert images[0] is not None


def test_nobody_reads_the_file_any_more_when_pillow_goes_on_with_it() -> None:
    running: list[bool] = []

    def load_end() -> None:
        running.append(any(thread.name == "nanobanana-inflating" for thread in threading.enumerate()))

    compressed = parts_of(zlib.compress(bytes(50_000_000), 1), 1000)
    ahead = inflating._Ahead(compressed, load_end)  # pyright: ignore[reportPrivateUsage]
    ahead.read(1)
    ahead.end()
    assert running == [False]


def test_its_share_of_the_cores_is_free_again_after_a_failure(threads_used: list[str]) -> None:
    broken = raw_png(30, 30, 8, 0, b"too little")
    for _ in range(3):
        with pytest.raises(ImageError):
            decode(broken)
    assert len(threads_used) == 3


def test_of_several_at_a_time_only_the_first_takes_a_second_core(threads_used: list[str]) -> None:
    pixels = photo(60, 50)
    data = saved(Image.fromarray(pixels))
    with workers.share_of_cores() as cores:
        assert cores == 2
        np.testing.assert_array_equal(decode(data).rgb, pixels)
        assert threads_used == []
    decode(data)
    assert threads_used == ["nanobanana-inflating"]
