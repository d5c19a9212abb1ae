"""Whatever the images and the limits: what comes out fits, is what the notes say, and loses no more than it must."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.errors import InputError
from pack.nanobanana.image_request import EncodedImage
from pack.nanobanana.imaging import payload
from pack.nanobanana.imaging.digest import digest
from pack.nanobanana.imaging.payload import FittedImages, PayloadLimits, fit, shrunk
from pack.nanobanana.imaging.sources import ArraySource, PixelSource
from PIL import Image

from .samples import photo

pytestmark = pytest.mark.slow

ROOM = 64 * 1024


def fitted(pixels: Sequence[np.ndarray], image_bytes: int = 7_000_000, body_bytes: int = 20_000_000) -> FittedImages:
    limits = PayloadLimits(image_bytes, body_bytes)
    result = fit([ArraySource(one) for one in pixels], limits, cancel=CancelToken(), workers=2)
    assert len(result.images) == len(pixels)
    assert all(len(one.data) <= image_bytes for one in result.images)
    assert sum((len(one.data) + 2) // 3 * 4 for one in result.images) + ROOM <= body_bytes
    return result


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def read(image: EncodedImage) -> np.ndarray:
    with Image.open(BytesIO(image.data)) as opened:
        assert f"image/{(opened.format or '').lower()}" == image.mime
        array = np.asarray(opened)
    return array[:, :, np.newaxis] if array.ndim == 2 else array


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_fits_is_sent_bit_by_bit_and_unremarked(channels: int) -> None:
    pixels = photo(300, 200, channels)
    result = fitted([pixels])
    np.testing.assert_array_equal(read(result.images[0]), pixels)
    assert result.images[0].mime == "image/png"
    assert result.notes == ()


def test_no_images() -> None:
    assert fitted([]) == FittedImages((), ())


def test_an_alpha_channel_that_says_nothing_is_left_out() -> None:
    pixels = photo(300, 200, 4)
    pixels[:, :, 3] = 255
    result = fitted([pixels])
    np.testing.assert_array_equal(read(result.images[0]), pixels[:, :, :3])
    assert result.notes == ()
    # And so it can be a JPEG where it has to be smaller.
    assert fitted([pixels], image_bytes=60_000).images[0].mime == "image/jpeg"


def test_what_is_too_large_without_loss_becomes_a_jpeg_of_the_same_size() -> None:
    pixels = photo(500, 400)
    result = fitted([pixels], image_bytes=250_000)
    assert result.images[0].mime == "image/jpeg"
    assert read(result.images[0]).shape == pixels.shape
    (note,) = result.notes
    assert note.startswith("Image 1 was sent as JPEG, quality 95 (86 kB)")


def test_quality_goes_down_before_pixels_do() -> None:
    pixels = photo(500, 400)
    as_jpeg = {quality: len(jpeg(pixels, quality)) for quality in payload.QUALITIES}
    assert list(as_jpeg) == [95, 90, 85]
    for quality, size in as_jpeg.items():
        # The body's share of an image goes by threes, as base64 does.
        (note,) = fitted([pixels], image_bytes=size + 2).notes
        assert f"JPEG, quality {quality} " in note
        assert "scaled" not in note
    (note,) = fitted([pixels], image_bytes=as_jpeg[85] - 1).notes
    assert "scaled" in note
    assert "quality 85" in note


def test_with_alpha_it_becomes_a_webp_that_keeps_it() -> None:
    pixels = photo(500, 400, 4, noise=12)
    result = fitted([pixels], image_bytes=400_000)
    assert result.images[0].mime == "image/webp"
    np.testing.assert_array_equal(read(result.images[0])[:, :, 3], pixels[:, :, 3])
    assert "WEBP" in result.notes[0]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_is_still_too_large_is_scaled_by_the_least_that_fits(channels: int) -> None:
    pixels = photo(600, 800, channels)
    limit = 30_000
    result = fitted([pixels], image_bytes=limit)
    height, width = read(result.images[0]).shape[:2]
    assert width / height == pytest.approx(4 / 3, rel=0.01)
    assert len(result.images[0].data) > 0.8 * limit
    assert f"scaled from 800 x 600 to {width} x {height}" in result.notes[0]


def test_the_scaled_image_is_the_image() -> None:
    pixels = photo(600, 800, noise=1)
    sent = read(fitted([pixels], image_bytes=40_000).images[0])
    height, width = sent.shape[:2]
    expected = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
    assert np.abs(sent.astype(int) - expected).mean() < 1.5


def test_small_images_get_what_they_need_and_the_large_ones_share_the_rest() -> None:
    small, large = photo(60, 60), photo(900, 900, noise=20)
    result = fitted([large, small, large, small], body_bytes=900_000)
    np.testing.assert_array_equal(read(result.images[1]), small)
    np.testing.assert_array_equal(read(result.images[3]), small)
    assert [note.split(" was ")[0] for note in result.notes] == ["Image 1", "Image 3"]
    sizes = [len(result.images[number].data) for number in (0, 2)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.15)
    assert sum((len(one.data) + 2) // 3 * 4 for one in result.images) > 0.85 * (900_000 - ROOM)


def test_as_many_as_possible_stay_lossless() -> None:
    images = [photo(400, 400, seed=seed) for seed in range(4)]
    whole = sum(len(one.data) for one in fitted(images).images) * 4 // 3
    result = fitted(images, body_bytes=int(whole * 0.85) + ROOM)
    mimes = [one.mime for one in result.images]
    assert mimes.count("image/png") == 3
    assert mimes.count("image/jpeg") == 1


def test_fourteen_images_fit_together() -> None:
    result = fitted([photo(300, 300, seed=seed, noise=25) for seed in range(14)], body_bytes=400_000)
    assert len(result.notes) == 14


@given(
    st.lists(
        st.tuples(st.integers(1, 150), st.integers(1, 150), st.sampled_from([1, 3, 4]), st.sampled_from([0, 3, 80])),
        min_size=1,
        max_size=5,
    ),
    st.integers(8_000, 200_000),
    st.integers(ROOM + 40_000, ROOM + 400_000),
)
@settings(max_examples=25, deadline=None)
def test_any_images_fit_any_sensible_limits(
    kinds: list[tuple[int, int, int, float]], image_bytes: int, body_bytes: int
) -> None:
    images = [photo(*kind[:3], noise=kind[3], seed=seed) for seed, kind in enumerate(kinds)]
    result = fitted(images, image_bytes, body_bytes)
    changed = {note.split()[1] for note in result.notes}
    for number, (pixels, image) in enumerate(zip(images, result.images, strict=True), 1):
        if str(number) not in changed:
            sent = read(image)
            # WebP has no grey: its three channels are the one.
            np.testing.assert_array_equal(sent, np.broadcast_to(pixels[:, :, : sent.shape[2]], sent.shape))


def test_limits_that_nothing_meets_are_an_input_error() -> None:
    with pytest.raises(InputError, match="Image 1 can't be made small enough"):
        fitted([photo(300, 300)], image_bytes=300)
    with pytest.raises(InputError, match="small enough"):
        fitted([photo(300, 300)], body_bytes=1000)


def test_sides_beyond_what_a_format_can_hold_are_scaled() -> None:
    wide = photo(3, payload.WEBP_MOST_SIDE + 2000, 4, noise=40)
    result = fitted([wide], image_bytes=140_000)
    assert result.images[0].mime == "image/webp"
    assert read(result.images[0]).shape[1] <= payload.WEBP_MOST_SIDE


class Bad(ArraySource):
    def rows(self, start: int, stop: int) -> np.ndarray:
        if start <= 150 < stop:
            raise InputError("Image 2 holds values that are no numbers.")
        return super().rows(start, stop)


def test_an_error_of_a_source_surfaces() -> None:
    sources: list[PixelSource] = [ArraySource(photo(200, 200)), Bad(photo(200, 200))]
    with pytest.raises(InputError, match="Image 2"):
        fit(sources, PayloadLimits(), cancel=CancelToken(), workers=2)


def test_a_cancel_stops_it_in_the_middle() -> None:
    cancel = CancelToken()

    class Cancelling(ArraySource):
        def rows(self, start: int, stop: int) -> np.ndarray:
            if start > 500:
                cancel.cancel()
            return super().rows(start, stop)

    with pytest.raises(Cancelled):
        fit([Cancelling(photo(2000, 1500))], PayloadLimits(), cancel=cancel, workers=2)


class Counting(ArraySource):
    """Counts its rows as they are read."""

    count = 0

    def rows(self, start: int, stop: int) -> np.ndarray:
        Counting.count += stop - start
        return super().rows(start, stop)


def test_an_image_that_many_calls_need_is_encoded_once() -> None:
    payload._fitted.clear()
    pixels = photo(400, 300, seed=77)
    name = digest(ArraySource(pixels))
    Counting.count = 0
    results: list[FittedImages] = []

    def call() -> None:
        results.append(
            fit([Counting(pixels)], PayloadLimits(100_000), cancel=CancelToken(), workers=2, digests=(name,))
        )

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = Counting.count
    assert len(results) == 8
    assert all(result is results[0] for result in results)
    call()
    assert Counting.count == first
    payload._fitted.clear()
    call()
    assert Counting.count <= 2 * first
    payload._fitted.clear()


@pytest.mark.parametrize(
    ("image_bytes", "mime"), [(20_000_000, "image/png"), (2_500_000, "image/jpeg"), (400_000, "image/jpeg")]
)
def test_a_large_image_is_read_by_strips(image_bytes: int, mime: str) -> None:
    pixels = photo(2500, 1500)
    largest: list[int] = []

    class Measuring(ArraySource):
        def rows(self, start: int, stop: int) -> np.ndarray:
            rows = super().rows(start, stop)
            largest.append(rows.nbytes)
            return rows

    limits = PayloadLimits(image_bytes, 50_000_000)
    result = fit([Measuring(pixels)], limits, cancel=CancelToken(), workers=2)
    assert result.images[0].mime == mime
    assert ("scaled" in "".join(result.notes)) == (image_bytes == 400_000)
    # Scaled down, a strip needs more rows than it gives.
    assert max(largest) < (5 << 20 if image_bytes == 400_000 else 5 << 18)


def test_what_is_kept_between_calls_is_bounded() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (1500, 1500, 3), np.uint8)
    for number in range(12):
        made = fit([ArraySource(pixels)], PayloadLimits(), cancel=CancelToken(), digests=(str(number),))
        assert made.images[0].mime == "image/png"
    stored = sum(len(image.data) for fitted in payload._fitted._values.values() for image in fitted.images)
    assert 50_000_000 < stored <= 64 * 1024 * 1024
    payload._fitted.clear()


@pytest.mark.parametrize(
    ("sent", "body"), [(19_000_000, 9_500_000), (9_400_000, 4_200_000), (4_000_000, 950_000), (900_000, 450_000)]
)
def test_after_a_413_the_next_step_is_a_known_cap(sent: int, body: int) -> None:
    limits = shrunk(PayloadLimits(), sent)
    assert limits.body_bytes == body
    assert limits.image_bytes <= body * 3 // 4
    assert limits.image_bytes <= PayloadLimits().image_bytes


def test_a_413_never_raises_the_limits() -> None:
    assert shrunk(PayloadLimits(100_000, 300_000), 19_000_000) == PayloadLimits(100_000, 300_000)
