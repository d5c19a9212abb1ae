"""Our own PNG writer: read back by Pillow and by the format's own arithmetic, it is the image, bit for bit."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.imaging import png
from pack.nanobanana.imaging.sources import ArraySource
from PIL import Image

from .samples import drawing, photo

pytestmark = pytest.mark.slow


def encoded(pixels: np.ndarray, workers: int = 2, limit: int | None = None) -> bytes:
    return png.encode_png(ArraySource(pixels), limit=limit, cancel=CancelToken(), workers=workers)


def read(data: bytes) -> np.ndarray:
    with Image.open(BytesIO(data)) as image:
        array = np.asarray(image)
    return array[:, :, np.newaxis] if array.ndim == 2 else array


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + content) == struct.unpack_from(">I", data, at + 8 + length)[0]
        found.append((kind, content))
        at += 12 + length
    return found


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_come_back_bit_by_bit(workers: int, channels: int) -> None:
    # Several strips, and a last one of another length.
    for pixels in (photo(1100, 1000, channels), drawing(1100, 1000, channels)):
        np.testing.assert_array_equal(read(encoded(pixels, workers)), pixels)


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3, 4]))),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_small_image_comes_back(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(read(encoded(pixels)), pixels)


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_each_filter_is_the_formats_own(kind: int) -> None:
    # Undone here pixel by pixel, as the PNG specification writes it.
    pixels = photo(6, 5, 3, noise=60)
    flat = pixels.reshape(6, 15)
    out = np.empty((5, 16), np.uint8)
    png._apply(kind, flat[1:], flat[:-1], out, 3)
    assert (out[:, 0] == kind).all()
    for row in range(5):
        line = [0] * 15
        for column in range(15):
            left = line[column - 3] if column >= 3 else 0
            above = int(flat[row, column])
            predicted = {1: left, 2: above, 3: (left + above) // 2}[kind]
            line[column] = (int(out[row, column + 1]) + predicted) % 256
        assert line == flat[row + 1].tolist()


def test_the_file_is_one_valid_zlib_stream_with_a_right_checksum() -> None:
    pixels = photo(1300, 900)
    found = chunks(encoded(pixels))
    assert [kind for kind, _ in found[:1] + found[-1:]] == [b"IHDR", b"IEND"]
    strips = [content for kind, content in found if kind == b"IDAT"]
    assert len(strips) > 4
    inflater = zlib.decompressobj()
    rows = inflater.decompress(b"".join(strips)) + inflater.flush()
    assert inflater.eof
    assert len(rows) == 1300 * (1 + 900 * 3)


@given(st.lists(st.binary(max_size=200), max_size=6))
@settings(deadline=None)
def test_checksums_combine(parts: list[bytes]) -> None:
    adler = 1
    for part in parts:
        adler = png._combined_adler(adler, zlib.adler32(part), len(part))
    assert adler == zlib.adler32(b"".join(parts))


def test_checksums_combine_over_long_strips() -> None:
    part = bytes(range(256)) * 5000
    both = png._combined_adler(zlib.adler32(part), zlib.adler32(part), len(part))
    assert both == zlib.adler32(part + part)


def test_it_stops_once_it_is_certain_to_be_too_long() -> None:
    pixels = photo(2000, 1000, noise=30)
    size = len(encoded(pixels))
    assert len(encoded(pixels, limit=size)) == size
    read_rows: list[int] = []

    class Counting(ArraySource):
        def rows(self, start: int, stop: int) -> np.ndarray:
            read_rows.append(stop - start)
            return super().rows(start, stop)

    with pytest.raises(png.TooManyBytes):
        png.encode_png(Counting(pixels), limit=size // 4, cancel=CancelToken(), workers=2)
    assert sum(read_rows) < 1500


@pytest.mark.parametrize("noise", [0, 1, 5])
def test_photographs_are_not_larger_than_pillows_own(noise: float) -> None:
    pixels = photo(1024, 1024, noise=noise)
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    assert len(encoded(pixels)) <= out.tell()


def test_drawings_are_small() -> None:
    pixels = drawing(1024, 1024)
    assert len(encoded(pixels)) < pixels.size // 10


def test_a_cancel_stops_it() -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        png.encode_png(ArraySource(photo(64, 64)), limit=None, cancel=cancel, workers=2)


@pytest.mark.parametrize("shape", [(1, 1, 1), (900, 700, 3), (3, 5000, 4), (5000, 3, 1)])
def test_noise_takes_no_more_than_foreseen(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, shape, np.uint8)
    # Deflate leaves what it can't shorten as it is, but for some bytes a block; then come the chunks around.
    most = round(shape[0] * (1 + shape[1] * shape[2]) * 1.001) + 1024
    assert pixels.size < len(encoded(pixels)) <= most
