from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.nanobanana.catalog import ASPECT_RATIOS, ratio_value
from pack.nanobanana.imaging.sources import Padding, original_box, pad_to_ratio, scaled

sides = st.integers(1, 8192)
ratios = st.sampled_from([ratio_value(ratio) for ratio in ASPECT_RATIOS])


def test_padding_of_known_sizes() -> None:
    assert pad_to_ratio(1000, 1000, 16 / 9) == Padding(left=389, right=389)
    assert pad_to_ratio(1000, 1001, 2 / 3) == Padding(top=249, bottom=250)
    assert pad_to_ratio(1024, 1024, 1.0) == Padding()


@given(sides, sides, ratios)
@settings(deadline=None)
def test_padding_is_on_one_axis_even_and_as_near_to_the_ratio_as_whole_pixels_allow(
    width: int, height: int, ratio: float
) -> None:
    padding = pad_to_ratio(width, height, ratio)
    padded_width, padded_height = padding.padded(width, height)
    assert padded_width == width or padded_height == height
    assert 0 <= padding.right - padding.left <= 1
    assert 0 <= padding.bottom - padding.top <= 1
    # Half a pixel of the side that was padded, or of the one that would have had to be.
    assert abs(padded_width - padded_height * ratio) <= max(0.5, 0.5 * ratio) + 1e-6


@given(sides, sides, ratios, st.floats(0.1, 8))
@settings(deadline=None)
def test_the_originals_box_in_an_answer_has_the_originals_place(
    width: int, height: int, ratio: float, scale: float
) -> None:
    padding = pad_to_ratio(width, height, ratio)
    padded_width, padded_height = padding.padded(width, height)
    left, top, right, bottom = original_box(width, height, padding, padded_width, padded_height)
    assert (left, top, right, bottom) == pytest.approx(
        (padding.left, padding.top, padding.left + width, padding.top + height)
    )
    answer = scaled(padded_width, padded_height, scale)
    left, top, right, bottom = original_box(width, height, padding, *answer)
    assert 0 <= left < right <= answer[0]
    assert 0 <= top < bottom <= answer[1]
    assert (right - left) / answer[0] == pytest.approx(width / padded_width)
    assert (bottom - top) / answer[1] == pytest.approx(height / padded_height)


def test_scaled_never_reaches_zero() -> None:
    assert scaled(1000, 10, 0.001) == (1, 1)
    assert scaled(1000, 501, 0.5) == (500, 250)
