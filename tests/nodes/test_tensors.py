"""Tensors of every kind to exact 8-bit levels and back."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.errors import InputError
from pack.nanobanana.imaging.codec import DecodedImage
from pack.nanobanana.imaging.digest import digest
from pack.nanobanana.imaging.parallel import core_count
from pack.nanobanana.imaging.payload import InputImages
from pack.nanobanana.imaging.sources import ArraySource
from tensors_alone import tensors

LEVELS = torch.arange(256, dtype=torch.float32) / 255


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    assert [thread.name for thread in left if thread.name.startswith("nanobanana")] == []


def levels_of(image: torch.Tensor) -> np.ndarray:
    """All images of an IMAGE as levels, each read in several strips."""
    images = []
    for source in tensors.sources(image):
        step = max(1, source.height // 3)
        rows = [source.rows(start, min(start + step, source.height)) for start in range(0, source.height, step)]
        assert all(part.dtype == np.uint8 and part.flags.c_contiguous for part in rows)
        images.append(np.concatenate(rows))
    return np.stack(images)


def expected(image: torch.Tensor) -> np.ndarray:
    return (image.float() * 255).round().clamp(0, 255).to(torch.uint8).numpy()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_every_kind_of_tensor(channels: int, batch: int, dtype: torch.dtype) -> None:
    image = torch.rand((batch, 61, 37, channels), generator=torch.Generator().manual_seed(1)).to(dtype)
    np.testing.assert_array_equal(levels_of(image), expected(image))


def test_views_of_every_stride() -> None:
    image = torch.rand((2, 40, 60, 4), generator=torch.Generator().manual_seed(2))
    views = [
        image[..., :3],
        image[:, ::2, 1::3],
        image.permute(0, 2, 1, 3),
        image.flip(1),
        torch.rand((1, 3, 20, 30)).movedim(1, -1),
        torch.rand((1, 1, 1, 3)).expand(2, 9, 9, 3),
        torch.rand((1, 20, 30, 1)).expand(1, 20, 30, 3),
        image[0:1].requires_grad_(),
    ]
    for view in views:
        np.testing.assert_array_equal(levels_of(view), expected(view.detach()))


def test_all_levels_come_back_and_large_images_cross_block_borders() -> None:
    image = LEVELS.repeat(3 * 700 * 300 // 256 + 1)[: 700 * 300 * 3].reshape(1, 700, 300, 3)
    np.testing.assert_array_equal(levels_of(image), expected(image))


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (0.999, 255),
        (0.001, 0),
        (0.5, 128),
        (127.5 / 255, 128),
        (126.5 / 255, 126),
        (-0.0, 0),
        (-3.0, 0),
        (1.0001, 255),
        (1e30, 255),
        (1e-40, 0),
    ],
)
def test_rounding_and_clamping(value: float, level: int) -> None:
    image = torch.full((1, 5, 5, 3), 0.3)
    image[0, 2, 2, 1] = value
    assert levels_of(image)[0, 2, 2, 1] == level
    assert levels_of(image)[0, 0, 0, 0] == 76


@given(st.lists(st.floats(-2, 3, width=32), min_size=1, max_size=60))
@settings(deadline=None)
def test_any_values_are_rounded_as_torch_does(values: list[float]) -> None:
    image = torch.tensor(values).reshape(1, 1, -1, 1)
    np.testing.assert_array_equal(levels_of(image), expected(image))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("place", [(0, 0, 0), (99, 49, 2)])
def test_what_is_no_number_is_refused_and_the_image_is_named(
    bad: float, dtype: torch.dtype, place: tuple[int, int, int]
) -> None:
    image = torch.zeros((3, 100, 50, 3), dtype=dtype)
    image[(1, *place)] = bad
    found = tensors.sources(image, first=4)
    found[0].rows(0, 100)
    with pytest.raises(InputError, match="Image 5 holds values that are no numbers"):
        found[1].rows(0, 100)


@pytest.mark.parametrize("shape", [(4, 5, 3), (1, 4, 5, 2), (1, 4, 5, 5), (0, 4, 5, 3), (1, 0, 5, 3), (1, 4, 0, 3)])
def test_what_is_no_image_is_an_input_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="Image 7"):
        tensors.sources(torch.zeros(shape), first=7)


def test_whole_numbers_are_an_input_error() -> None:
    with pytest.raises(InputError, match="uint8"):
        tensors.sources(torch.zeros((1, 4, 5, 3), dtype=torch.uint8))


def test_levels_become_the_nearest_float_to_v_over_255() -> None:
    rgb = np.arange(768, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    image = tensors.to_image(DecodedImage(rgb))
    assert image.shape == (1, 16, 16, 3)
    assert image.dtype == torch.float32
    assert image.is_contiguous()
    # Also what core's conversion gives.
    reference = torch.from_numpy(rgb.astype(np.float32) / 255.0)[None]
    assert torch.equal(image, reference)
    exact = np.array([np.float32(level / 255) for level in range(256)])
    np.testing.assert_array_equal(image.numpy().ravel()[:256], exact)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3000, 1), (700, 900)])
def test_there_and_back_is_the_same(shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(5).integers(0, 256, (*shape, 3), np.uint8)
    np.testing.assert_array_equal(levels_of(tensors.to_image(DecodedImage(rgb)))[0], rgb)
    half = tensors.to_image(DecodedImage(rgb)).half()
    np.testing.assert_array_equal(levels_of(half)[0], rgb)


def test_masks() -> None:
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16)
    mask = tensors.to_mask(alpha, 16, 16)
    assert mask.shape == (1, 16, 16)
    assert torch.equal(mask, 1 - torch.from_numpy(alpha.astype(np.float32) / np.float32(255))[None])
    none = tensors.to_mask(None, 5, 7)
    assert none.shape == (1, 5, 7)
    assert none.dtype == torch.float32
    assert not none.any()


def test_a_mask_is_resized_and_an_empty_one_is_none() -> None:
    mask = torch.zeros((1, 64, 64))
    assert tensors.mask_array(mask, 100, 200) is None
    assert tensors.mask_array(mask[0], 100, 200) is None
    mask[0, 32:] = 1
    levels = tensors.mask_array(mask, 100, 200)
    assert levels.shape == (100, 200)
    assert levels[:48].max() == 0
    assert levels[52:].min() == 255
    np.testing.assert_array_equal(tensors.mask_array(mask[0].half(), 64, 64), (mask[0] * 255).numpy())
    # Only what would round to a level counts: the rest can't be told from nothing.
    assert tensors.mask_array(torch.full((1, 8, 8), 0.001), 8, 8) is None


@pytest.mark.parametrize("shape", [(64,), (1, 1, 4, 4), (0, 4, 4), (1, 0, 4)])
def test_what_is_no_mask_is_an_input_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="mask"):
        tensors.mask_array(torch.ones(shape), 8, 8)


def test_a_mask_with_nan_is_an_input_error() -> None:
    with pytest.raises(InputError, match="The mask holds values that are no numbers"):
        tensors.mask_array(torch.full((1, 8, 8), float("nan")), 8, 8)


def test_further_masks_are_refused_and_not_dropped() -> None:
    masks = torch.zeros((3, 8, 8))
    masks[0, 2, 2] = 1
    assert tensors.mask_array(masks, 8, 8) is not None
    masks[2, 4, 4] = 0.5
    with pytest.raises(InputError, match="holds 3 masks"):
        tensors.mask_array(masks, 8, 8)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_outside_the_mask_the_composite_has_the_very_bits_of_the_input(channels: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    # Values that no 8-bit level has, also outside 0..1, and a negative zero.
    image = (torch.rand((2, 300, 200, channels), generator=generator) * 3 - 1).to(dtype)
    image[0, 0, 0] = -0.0
    weights = np.zeros((300, 200), np.float32)
    weights[100:200, 50:150] = np.linspace(0.01, 1, 100, dtype=np.float32)
    weights[120:180, 60:140] = 1
    fitted = np.random.default_rng(8).integers(0, 256, (300, 200, 3), np.uint8)
    result = tensors.composite(image, weights, fitted)
    assert result.shape == (1, 300, 200, 3)
    original = np.broadcast_to(image[0].float().numpy()[:, :, :3], (300, 200, 3))
    outside = weights == 0
    kept = result[0].numpy()[outside]
    assert kept.tobytes() == np.ascontiguousarray(original[outside]).tobytes()
    full = weights == 1
    np.testing.assert_array_equal(result[0].numpy()[full], (fitted[full] / np.float32(255)).astype(np.float32))
    part = (weights > 0) & (weights < 1)
    weight = weights[part][:, np.newaxis]
    blend = original[part] * (1 - weight) + fitted[part] / np.float32(255) * weight
    np.testing.assert_allclose(result[0].numpy()[part], blend, atol=1e-6)


def test_a_composite_of_many_strips() -> None:
    image = torch.rand((1, 1500, 400, 3))
    weights = np.zeros((1500, 400), np.float32)
    weights[700:800] = 1
    fitted = np.full((1500, 400, 3), 51, np.uint8)
    result = tensors.composite(image, weights, fitted)
    expected_image = image.clone()
    expected_image[0, 700:800] = 0.2
    assert torch.equal(result, expected_image)


def test_inputs_are_only_read() -> None:
    image = torch.rand((1, 50, 60, 3))
    image[0, 0, 0, 0] = 2.0
    before = image.clone()
    version = image._version
    levels_of(image)
    tensors.composite(image, np.ones((50, 60), np.float32), np.zeros((50, 60, 3), np.uint8))
    assert torch.equal(image, before)
    assert image._version == version


def test_inference_tensors_work() -> None:
    with torch.inference_mode():
        image = torch.rand((1, 50, 60, 3)) * 1
    assert image.is_inference()
    source = tensors.sources(image)[0]
    np.testing.assert_array_equal(source.rows(0, 50), expected(image)[0])
    assert digest(source) == digest(ArraySource(expected(image)[0]))


def test_the_digest_is_that_of_the_pixels() -> None:
    image = torch.rand((2, 300, 200, 3))
    found = [digest(source) for source in tensors.sources(image)]
    assert found == [digest(ArraySource(pixels)) for pixels in expected(image)]


@pytest.mark.parametrize("through", ["torch", "numpy", "data"])
def test_a_tensor_that_was_changed_is_digested_anew(through: str) -> None:
    image = torch.rand((1, 40, 40, 3))
    first = digest(tensors.sources(image)[0])
    if through == "torch":
        image[0, 3, 3, 0] = 1 - image[0, 3, 3, 0].round()
    elif through == "numpy":
        image.numpy()[0, 3, 3, 0] = 1 - image[0, 3, 3, 0].round()
    else:
        image.data[0, 3, 3, 0] = 1 - image[0, 3, 3, 0].round()
    second = digest(tensors.sources(image)[0])
    assert second != first
    assert second == digest(ArraySource(expected(image)[0]))


def test_different_views_of_the_same_memory_are_told_apart() -> None:
    image = torch.rand((1, 40, 40, 3))
    views = [image, image.transpose(1, 2), image[:, :20], image[..., :1], image.view(1, 20, 80, 3)]
    calls = [tensors.sources(view)[0] for view in views]
    assert len({digest(one) for one in calls}) == len(views)


def test_a_cancel_during_the_digest_of_the_inputs_ends_it() -> None:
    cancel, read = CancelToken(), list[int]()

    class Cancelling(tensors.TensorSource):  # type: ignore[misc]
        def rows(self, start: int, stop: int) -> np.ndarray:
            read.append(start)
            cancel.cancel()
            return super().rows(start, stop)

    image = torch.rand((4000, 1000, 3))
    with pytest.raises(Cancelled):
        InputImages([Cancelling(image, "Image 1")]).digests(cancel)
    # Of some 12 strips, those that were begun on each core.
    assert len(read) <= core_count()
