from __future__ import annotations

import numpy as np
import pytest
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.imaging.digest import digest
from pack.nanobanana.imaging.sources import ArraySource, PaddedSource, Padding

from .samples import photo


def test_the_same_pixels_have_the_same_name_however_they_are_held() -> None:
    pixels = photo(900, 700)
    name = digest(ArraySource(pixels))
    assert len(name) == 40
    assert digest(ArraySource(pixels.copy()), workers=1) == name
    assert digest(ArraySource(np.asfortranarray(pixels)), workers=3) == name


def test_one_level_anywhere_changes_the_name() -> None:
    pixels = photo(900, 700)
    names = {digest(ArraySource(pixels))}
    for place in ((0, 0, 0), (899, 699, 2), (450, 350, 1)):
        changed = pixels.copy()
        changed[place] ^= 1
        names.add(digest(ArraySource(changed)))
    assert len(names) == 4


def test_the_shape_is_part_of_the_name() -> None:
    pixels = np.zeros((12, 12, 3), np.uint8)
    shapes = [(12, 12, 3), (6, 24, 3), (24, 6, 3), (9, 12, 4), (36, 12, 1)]
    assert len({digest(ArraySource(pixels.reshape(shape))) for shape in shapes}) == len(shapes)


def test_a_padded_image_is_named_by_the_image_and_its_padding() -> None:
    pixels = photo(30, 40)
    first = digest(PaddedSource(ArraySource(pixels), Padding(left=3, right=3)))
    assert first == digest(PaddedSource(ArraySource(pixels.copy()), Padding(left=3, right=3)))
    assert first != digest(PaddedSource(ArraySource(pixels), Padding(left=4, right=2)))
    assert first != digest(ArraySource(pixels))


def test_a_cancel_stops_it() -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        digest(ArraySource(photo(900, 700)), cancel=cancel)
