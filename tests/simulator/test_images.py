from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pytest
from gateway_faults import FaultyGateway, family
from gateway_faults.images import VARIANTS, bomb
from PIL import Image, ImageOps, UnidentifiedImageError
from simulator.talk import ask, get, opened, order

pytestmark = pytest.mark.slow

RAMP = Image.fromarray(
    np.stack(
        [np.broadcast_to(np.arange(64, dtype=np.uint8) * factor, (48, 64)) for factor in (1, 2, 4)], axis=-1
    ).copy()
)
READABLE = {
    "picture_jpeg": ("JPEG", "RGB"),
    "picture_png": ("PNG", "RGB"),
    "picture_webp": ("WEBP", "RGB"),
    "picture_rgb16": ("PNG", "RGB"),
    "picture_gray16": ("PNG", "I;16"),
    "picture_gray": ("PNG", "L"),
    "picture_gray_jpeg": ("JPEG", "L"),
    "picture_gray_alpha": ("PNG", "LA"),
    "picture_one_bit": ("PNG", "1"),
    "picture_palette": ("PNG", "P"),
    "picture_palette_alpha": ("PNG", "P"),
    "picture_alpha": ("PNG", "RGBA"),
    "picture_alpha_webp": ("WEBP", "RGBA"),
    "picture_cmyk": ("JPEG", "CMYK"),
    "picture_exif_rotated": ("JPEG", "RGB"),
    "picture_animated_webp": ("WEBP", "RGB"),
    "picture_animated_gif": ("GIF", "P"),
    "picture_bmp": ("BMP", "RGB"),
    "picture_tiff": ("TIFF", "RGB"),
    "picture_smaller": ("PNG", "RGB"),
    "picture_other_ratio": ("PNG", "RGB"),
}
SIZES = {"picture_smaller": (32, 24), "picture_other_ratio": (64, 36), "picture_exif_rotated": (48, 64)}
BROKEN = (
    "picture_corrupt_png",
    "picture_truncated_png",
    "picture_truncated_jpeg",
    "picture_truncated_webp",
    "picture_header_only",
    "picture_html",
    "picture_svg",
    "picture_json",
    "picture_empty",
)


@pytest.fixture(scope="module")
def simulator() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.0) as running:
        yield running


def test_every_variant_is_listed_here() -> None:
    assert {*READABLE, *BROKEN, "picture_bomb"} == set(VARIANTS) == set(family("picture"))


@pytest.mark.parametrize("name", READABLE)
def test_odd_files_are_what_they_are_called(name: str) -> None:
    data, mime = VARIANTS[name][0](RAMP)
    image = opened(data)
    assert (image.format, image.mode) == READABLE[name]
    assert image.size == SIZES.get(name, (64, 48))
    assert mime == f"image/{READABLE[name][0].lower()}"


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_cannot_be_read(name: str) -> None:
    data, _ = VARIANTS[name][0](RAMP.resize((400, 300)))
    with pytest.raises((UnidentifiedImageError, OSError, SyntaxError)):
        opened(data)


def test_sixteen_bits_are_exact() -> None:
    data, _ = VARIANTS["picture_rgb16"][0](RAMP)
    assert data[24:26] == bytes([16, 2])
    assert np.array_equal(np.asarray(opened(data)), np.asarray(RAMP))
    data, _ = VARIANTS["picture_gray16"][0](RAMP)
    assert data[24:26] == bytes([16, 0])
    gray = np.asarray(RAMP.convert("L"), dtype=np.int64) * 257
    assert np.array_equal(np.asarray(opened(data), dtype=np.int64), gray)


def test_alpha_rises_from_left_to_right() -> None:
    for name in ("picture_alpha", "picture_alpha_webp"):
        alpha = np.asarray(opened(VARIANTS[name][0](RAMP)[0]))[..., 3]
        assert alpha[0].tolist() == alpha[-1].tolist() == [round(255 * x / 63) for x in range(64)]


def test_exif_turns_the_image_upright() -> None:
    image = opened(VARIANTS["picture_exif_rotated"][0](RAMP)[0])
    assert image.getexif()[0x0112] == 6
    upright = np.asarray(ImageOps.exif_transpose(image), dtype=int)
    assert upright.shape == (48, 64, 3)
    assert np.abs(upright - np.asarray(RAMP, dtype=int)).mean() < 4


@pytest.mark.parametrize("name", ["picture_animated_webp", "picture_animated_gif"])
def test_animations_have_two_frames(name: str) -> None:
    assert getattr(opened(VARIANTS[name][0](RAMP)[0]), "n_frames", 1) == 2


def test_the_bomb_is_small_and_huge() -> None:
    data = bomb()
    assert len(data) < 500_000
    assert struct.unpack(">II", data[16:24]) == (30000, 30000)
    with pytest.raises(Image.DecompressionBombError):
        opened(data)
    # A smaller one is sound: what is refused is its size, not a flaw.
    assert opened(bomb(500)).size == (500, 500)


@pytest.mark.parametrize("name", ["picture_webp", "picture_html", "picture_empty", "picture_smaller"])
def test_variants_are_served(simulator: FaultyGateway, name: str) -> None:
    url = ask(simulator.base_url, order(f"x [fault:{name}]")).events[0]["media"]["outputs"][0]
    answer = get(url)
    assert answer.status == 200
    assert {
        "picture_webp": answer.body[8:12] == b"WEBP" and url.endswith(".webp"),
        "picture_html": b"<html>" in answer.body,
        "picture_empty": answer.body == b"",
        "picture_smaller": name != "picture_smaller" or opened(answer.body).size == (344, 192),
    }[name]


def test_variants_go_into_data_urls_too(simulator: FaultyGateway) -> None:
    answer = ask(simulator.base_url, order("x [fault:picture_alpha][fault:shape_bare_data_url]"))
    assert answer.events[0]["choices"][0]["delta"]["content"].startswith("data:image/png;base64,iVBOR")
