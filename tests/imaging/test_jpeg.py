"""JPEG by strips: what is decoded is what Pillow's own file of the whole image decodes to."""

from __future__ import annotations

import os
import tempfile
import threading
from io import BytesIO

import numpy as np
import pytest
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.imaging import jpeg
from pack.nanobanana.imaging.sources import ArraySource
from PIL import Image

from .samples import photo


def encoded(pixels: np.ndarray, workers: int = 2) -> bytes:
    data = jpeg.encode_jpeg(ArraySource(pixels), quality=95, limit=1 << 30, cancel=CancelToken(), workers=workers)
    assert isinstance(data, bytes)
    return data


def whole(pixels: np.ndarray) -> bytes:
    out = BytesIO()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def read(data: bytes) -> np.ndarray:
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (8, 8), (7, 3000), (9, 9), (3000, 7), (1111, 1003), (2900, 1200)]
)
def test_the_pixels_are_those_of_pillows_own_file(height: int, width: int, channels: int) -> None:
    pixels = photo(height, width, channels)
    data = encoded(pixels)
    np.testing.assert_array_equal(read(data), read(whole(pixels)))
    assert abs(len(data) - len(whole(pixels))) < 10 + height * width * channels // 2000


def test_it_has_no_chroma_subsampling_and_is_baseline() -> None:
    with Image.open(BytesIO(encoded(photo(600, 900)))) as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3
        assert not image.info.get("progressive")


def test_it_is_visually_lossless() -> None:
    pixels = photo(600, 900, noise=1)
    error = read(encoded(pixels)).astype(float) - pixels
    # From 40 dB on the eye sees no difference.
    assert 10 * np.log10(255**2 / (error**2).mean()) > 45
    assert np.abs(error).max() < 8


def test_a_restart_interval_never_exceeds_what_the_header_can_hold() -> None:
    # 8126 blocks across, the widest that JPEG has: 8 rows of them are the most that 16 bits count.
    pixels = np.zeros((96, 65000, 1), np.uint8)
    pixels[::3] = 200
    np.testing.assert_array_equal(read(encoded(pixels)), read(whole(pixels)))


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="what other systems do is what all tests do there")
def test_systems_without_files_in_memory_use_a_temporary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = photo(700, 600)
    expected = encoded(pixels)
    monkeypatch.delattr(os, "memfd_create")
    assert encoded(pixels) == expected

    def refused(*_: object) -> None:
        raise OSError("no place for a file")

    # And where there is no room for one, memory: slower, the same bytes.
    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    assert encoded(pixels) == expected


def test_threads_at_once() -> None:
    pixels = [photo(700, 600, seed=seed) for seed in range(4)]
    right: list[bool] = []

    def work(number: int) -> None:
        right.append(encoded(pixels[number]) == encoded(pixels[number], workers=1))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 4


def test_a_cancel_stops_it() -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        jpeg.encode_jpeg(ArraySource(photo(64, 64)), quality=95, limit=1 << 30, cancel=cancel, workers=2)


def test_a_file_over_the_limit_is_measured_and_not_made() -> None:
    source = ArraySource(photo(640, 1400))
    length = jpeg.encode_jpeg(source, quality=95, limit=1000, cancel=CancelToken(), workers=2)
    assert isinstance(length, int)
    # The strips' own headers are counted: some 600 bytes each.
    assert 0 <= length - len(encoded(photo(640, 1400))) < 5_000
