"""An edit inside a mask: outside of it not one bit changes, inside it the answer comes through."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pack.nanobanana.catalog import ASPECT_RATIOS, ratio_value
from pack.nanobanana.imaging.codec import DecodedImage
from pack.nanobanana.imaging.masking import MaskedEdit, feather_weights, feather_width, resize_mask, without_sentence
from pack.nanobanana.imaging.sources import ArraySource
from PIL import Image
from tensors_alone import tensors

from .samples import photo


def all_rows(source: object) -> np.ndarray:
    return source.rows(0, source.height)  # type: ignore[attr-defined]


def answer_of(edit: MaskedEdit, factor: float = 1.0, change: int = 0) -> DecodedImage:
    """What a model would answer that gives back what it was sent, `change` levels brighter."""
    sent = np.minimum(all_rows(edit.image)[:, :, :3].astype(int) + change, 255).astype(np.uint8)
    sent = np.ascontiguousarray(np.broadcast_to(sent, (*sent.shape[:2], 3)))
    size = (max(1, round(sent.shape[1] * factor)), max(1, round(sent.shape[0] * factor)))
    return DecodedImage(np.asarray(Image.fromarray(sent).resize(size, Image.Resampling.LANCZOS)))


def composited(original: np.ndarray, edit: MaskedEdit, answer: DecodedImage) -> np.ndarray:
    """What the Edit node makes of an IMAGE of `original`, in levels; outside the mask not one bit is changed."""
    image = torch.from_numpy(original.astype(np.float32) / np.float32(255))
    result = tensors.composite(image, edit.weights(), edit.fitted(answer))[0].numpy()
    before = np.broadcast_to(image.numpy()[:, :, :3], result.shape)
    outside = edit.weights() == 0
    np.testing.assert_array_equal(
        result.view(np.uint32)[outside], np.ascontiguousarray(before).view(np.uint32)[outside]
    )
    return np.rint(result * 255).astype(np.uint8)


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([1, 3, 4]),
    st.sampled_from(ASPECT_RATIOS),
    st.floats(0.3, 3),
    st.data(),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_where_the_mask_is_zero_the_original_stays(
    height: int, width: int, channels: int, ratio: str, factor: float, data: st.DataObject
) -> None:
    original = photo(height, width, channels)
    mask = data.draw(arrays(np.uint8, (height, width), elements=st.sampled_from([0, 0, 1, 128, 255])))
    edit = MaskedEdit(ArraySource(original), mask, ratio)
    result = composited(original, edit, DecodedImage(255 - answer_of(edit, factor).rgb))
    expected = np.broadcast_to(original[:, :, :3], (height, width, 3))
    np.testing.assert_array_equal(result[mask == 0], expected[mask == 0])
    assert result.shape == (height, width, 3)
    assert (edit.weights()[mask == 0] == 0).all()
    assert (edit.weights()[mask > 0] > 0).all()
    assert edit.weights().max(initial=0) <= 1


@pytest.mark.parametrize("ratio", ASPECT_RATIOS)
def test_an_answer_of_the_size_sent_comes_back_in_place_bit_by_bit(ratio: str) -> None:
    original = photo(120, 200)
    edit = MaskedEdit(ArraySource(original), np.full((120, 200), 255, np.uint8), ratio)
    np.testing.assert_array_equal(edit.fitted(answer_of(edit)), original)
    # All of it may change: no feather at the image's own border.
    assert (edit.weights() == 1).all()
    brighter = composited(original, edit, answer_of(edit, change=9))
    np.testing.assert_array_equal(brighter, np.minimum(original.astype(int) + 9, 255))


@pytest.mark.parametrize("ratio", ["1:1", "16:9", "2:3"])
@pytest.mark.parametrize("factor", [0.5, 1.6, 2.0])
def test_an_answer_of_another_size_is_scaled_back_into_place(ratio: str, factor: float) -> None:
    original = photo(240, 400, noise=0)
    edit = MaskedEdit(ArraySource(original), np.full((240, 400), 255, np.uint8), ratio)
    fitted = edit.fitted(answer_of(edit, factor))
    assert fitted.shape == original.shape
    # A shift by one pixel would show as ten levels and more.
    assert np.abs(fitted.astype(int) - original)[5:-5, 5:-5].mean() < 1.5


@pytest.mark.parametrize("ratio", ASPECT_RATIOS)
def test_image_and_mask_are_padded_alike_to_the_ratio_that_is_sent(ratio: str) -> None:
    mask = np.zeros((90, 140), np.uint8)
    mask[20:40, 50:70] = 255
    edit = MaskedEdit(ArraySource(photo(90, 140)), mask, ratio)
    image, sent_mask = all_rows(edit.image), all_rows(edit.mask_image)
    assert image.shape[:2] == sent_mask.shape[:2]
    assert image.shape[1] / image.shape[0] == pytest.approx(ratio_value(ratio), rel=0.02)
    assert sent_mask.shape[2] == 1
    # White may change, black stays; the padding of a mask that is black at its border is black.
    assert (sent_mask == 255).sum() == 400
    assert (sent_mask == 0).sum() == sent_mask.size - 400


def test_the_sentence_names_the_images_by_number() -> None:
    edit = MaskedEdit(ArraySource(photo(9, 9)), np.ones((9, 9), np.uint8), "1:1", mask_number=4)
    assert "Image 4 is a mask for image 1" in edit.sentence
    # The history shows the person's own part, whatever that holds.
    for own in ("paint it", "", "Image 2 is a mask for image 1: no", f"{edit.sentence} x", "a\n\nb\n"):
        assert without_sentence(f"{own}\n\n{edit.sentence}") == own
        assert without_sentence(own) == own
    assert "white" in edit.sentence
    assert "black" in edit.sentence
    # Relays turn such marks into input images.
    assert "![" not in edit.sentence


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="mask"):
        MaskedEdit(ArraySource(photo(9, 9)), np.ones((9, 8), np.uint8), "1:1")


def test_grey_becomes_three_channels_and_alpha_is_left_out() -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20] = 255
    for channels in (1, 4):
        original = photo(30, 40, channels)
        edit = MaskedEdit(ArraySource(original), mask, "1:1")
        result = composited(original, edit, answer_of(edit))
        np.testing.assert_array_equal(result, np.broadcast_to(original[:, :, :3], (30, 40, 3)))


def test_the_answer_fades_in_from_the_border_inward() -> None:
    mask = np.zeros((1024, 1024), np.uint8)
    mask[300:700, 300:700] = 255
    weights = feather_weights(mask)
    width = feather_width(1024, 1024)
    assert width == 4
    profile = weights[500, 300 : 300 + width + 2]
    assert profile.tolist() == [0.25, 0.5, 0.75, 1, 1, 1]
    assert weights[500, 299] == 0
    assert (weights[304:696, 304:696] == 1).all()
    # The same from every side, and the same mirrored.
    np.testing.assert_array_equal(weights[300:700, 300:700], weights[300:700, 300:700][::-1, ::-1])
    np.testing.assert_array_equal(weights, weights.T)


def test_the_feather_grows_with_the_image_and_stays_narrow() -> None:
    assert [feather_width(side, side // 2) for side in (64, 512, 1024, 2048, 4096, 8192)] == [2, 2, 4, 8, 12, 12]


@pytest.mark.parametrize("thickness", [1, 2, 3, 5])
def test_thin_strokes_are_edited_too(thickness: int) -> None:
    mask = np.zeros((2048, 2048), np.uint8)
    mask[1000 : 1000 + thickness, 100:1900] = 255
    weights = feather_weights(mask)
    assert weights[1000 + thickness // 2, 1000] == 1
    assert (weights[mask == 0] == 0).all()


def test_soft_masks_scale_the_weight() -> None:
    mask = np.full((256, 256), 51, np.uint8)
    np.testing.assert_allclose(feather_weights(mask), 0.2)
    mask[:, 128:] = 255
    weights = feather_weights(mask)
    # Soft and full are both inside: no feather between them.
    assert weights[100, 127] == np.float32(0.2)
    assert weights[100, 128] == 1


def test_an_empty_mask_gives_no_weight() -> None:
    assert not feather_weights(np.zeros((20, 30), np.uint8)).any()


def test_resizing_a_mask() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 255
    assert resize_mask(mask, 64, 64) is mask
    larger = resize_mask(mask, 480, 640)
    assert larger.shape == (480, 640)
    assert (larger[:, :300] == 0).all()
    assert (larger[:, 340:] == 255).all()
