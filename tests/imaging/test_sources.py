from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.nanobanana.imaging.parallel import strip_rows
from pack.nanobanana.imaging.sources import (
    ArraySource,
    OpaqueSource,
    PaddedSource,
    Padding,
    PixelSource,
    ScaledSource,
)
from PIL import Image

from .samples import photo


def whole(source: PixelSource, step: int) -> np.ndarray:
    parts = [source.rows(start, min(start + step, source.height)) for start in range(0, source.height, step)]
    for part in parts:
        assert part.dtype == np.uint8
        assert part.flags.c_contiguous
    array = np.concatenate(parts)
    assert array.shape == (source.height, source.width, source.channels)
    return array


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_array_source(channels: int) -> None:
    pixels = photo(20, 30, channels)
    np.testing.assert_array_equal(whole(ArraySource(pixels), 7), pixels)
    np.testing.assert_array_equal(whole(ArraySource(pixels[::2, ::-1]), 3), pixels[::2, ::-1])


def test_array_source_of_two_dimensions_is_grey() -> None:
    grey = photo(9, 5, 1)
    np.testing.assert_array_equal(whole(ArraySource(grey[:, :, 0]), 2), grey)


@pytest.mark.parametrize("shape", [(4,), (4, 5, 2), (0, 5, 3), (4, 0, 3), (1, 4, 5, 3)])
def test_array_source_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape"):
        ArraySource(np.zeros(shape, np.uint8))


def test_opaque_source_leaves_the_alpha_channel_out() -> None:
    pixels = photo(11, 7, 4)
    np.testing.assert_array_equal(whole(OpaqueSource(ArraySource(pixels)), 4), pixels[:, :, :3])


@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([1, 3, 4]),
    st.tuples(*[st.integers(0, 9)] * 4),
    st.integers(1, 30),
)
@settings(deadline=None)
def test_padding_repeats_the_border(
    height: int, width: int, channels: int, sides: tuple[int, int, int, int], step: int
) -> None:
    left, top, right, bottom = sides
    pixels = photo(height, width, channels)
    source = PaddedSource(ArraySource(pixels), Padding(left, top, right, bottom))
    expected = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), mode="edge")
    np.testing.assert_array_equal(whole(source, step), expected)


@given(
    st.integers(40, 200),
    st.integers(20, 60),
    st.sampled_from([1, 3, 4]),
    st.floats(0.15, 0.99),
    st.integers(1, 64),
)
@settings(max_examples=60, deadline=None)
def test_scaling_by_strips_is_scaling_the_whole(
    height: int, width: int, channels: int, factor: float, step: int
) -> None:
    pixels = photo(height, width, channels)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    source = ScaledSource(ArraySource(pixels), size[1], size[0])
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).resize(size, Image.Resampling.LANCZOS)
    expected = np.asarray(image).reshape(size[1], size[0], channels)
    # Pillow scales one axis after the other, whichever is cheaper first, and rounds between them: by strips that can
    # be the other one. Where colours are then divided by a small alpha it shows more.
    # Two levels of a colour times alpha, and one of the alpha itself.
    most = np.ceil(3 * 255 / np.maximum(expected[:, :, 3:], 1)) + 1 if channels == 4 else 2
    assert (np.abs(whole(source, step).astype(int) - expected) <= most).all()


def test_strip_rows() -> None:
    assert strip_rows(4096, 3, 1 << 20) == 85
    assert strip_rows(4096, 3, 1 << 20, 8) == 80
    assert strip_rows(100_000, 4, 1 << 10) == 1
    assert strip_rows(100_000, 4, 1 << 10, 8) == 8
