"""Every kind of file that gateways are seen to send becomes the right pixels, and every broken one a clear error."""

from __future__ import annotations

import struct
import threading
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pack.nanobanana.imaging.codec import decode
from PIL import Image, features

from .files import raw_png, saved, unfiltered
from .samples import photo

TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def rgb_of(array: NDArray[np.uint8], kind: str = "PNG", **options: Any) -> NDArray[np.uint8]:
    return decode(saved(Image.fromarray(array), kind, **options)).rgb


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (37, 53), (900, 700)])
@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("TIFF", {})])
def test_lossless_files_keep_every_level(shape: tuple[int, int], kind: str, options: dict[str, Any]) -> None:
    pixels = photo(*shape)
    decoded = decode(saved(Image.fromarray(pixels), kind, **options))
    np.testing.assert_array_equal(decoded.rgb, pixels)
    assert decoded.alpha is None
    assert (decoded.height, decoded.width) == shape
    assert decoded.rgb.flags.c_contiguous


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", *(["AVIF"] if "avif" in features.modules else [])])
def test_lossy_files_give_what_pillow_gives(kind: str) -> None:
    data = saved(Image.fromarray(photo(120, 90)), kind, quality=80)
    with Image.open(BytesIO(data)) as image:
        np.testing.assert_array_equal(decode(data).rgb, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_given_apart_and_colour_is_not_multiplied(kind: str) -> None:
    pixels = photo(40, 30, 4)
    pixels[:10, :, 3] = 0
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    decoded = decode(saved(Image.fromarray(pixels), kind, **options))
    np.testing.assert_array_equal(decoded.rgb, pixels[:, :, :3])
    assert decoded.alpha is not None
    np.testing.assert_array_equal(decoded.alpha, pixels[:, :, 3])


def test_grey_and_grey_with_alpha() -> None:
    grey = photo(20, 30, 1)[:, :, 0]
    np.testing.assert_array_equal(rgb_of(grey), np.stack([grey] * 3, axis=-1))
    alpha = photo(20, 30, 1, seed=2)[:, :, 0]
    decoded = decode(saved(Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha)))))
    np.testing.assert_array_equal(decoded.rgb, np.stack([grey] * 3, axis=-1))
    assert decoded.alpha is not None
    np.testing.assert_array_equal(decoded.alpha, alpha)


def test_one_bit() -> None:
    bits = np.indices((9, 13)).sum(axis=0) % 2 == 0
    expected = np.where(bits, 255, 0).astype(np.uint8)
    np.testing.assert_array_equal(decode(saved(Image.fromarray(bits))).rgb[:, :, 1], expected)


def test_palette_with_and_without_transparency() -> None:
    index = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    image = Image.fromarray(index)
    image.putpalette([255, 0, 0, 0, 255, 0, 10, 20, 30])
    colours = np.array([[255, 0, 0], [0, 255, 0], [10, 20, 30]], np.uint8)
    plain = decode(saved(image))
    np.testing.assert_array_equal(plain.rgb, colours[index])
    assert plain.alpha is None
    for transparency, alpha in ((1, [255, 0, 255]), (bytes((0, 128, 255)), [0, 128, 255])):
        decoded = decode(saved(image, transparency=transparency))
        np.testing.assert_array_equal(decoded.rgb, colours[index])
        assert decoded.alpha is not None
        np.testing.assert_array_equal(decoded.alpha, np.array(alpha, np.uint8)[index])


def test_a_transparent_colour_of_rgb_and_grey() -> None:
    pixels = np.array([[[1, 2, 3], [1, 2, 4]], [[9, 9, 9], [1, 2, 3]]], np.uint8)
    decoded = decode(saved(Image.fromarray(pixels), transparency=(1, 2, 3)))
    assert decoded.alpha is not None
    assert decoded.alpha.tolist() == [[0, 255], [255, 0]]
    np.testing.assert_array_equal(decoded.rgb, pixels)
    grey = decode(saved(Image.fromarray(pixels[:, :, 0]), transparency=9))
    assert grey.alpha is not None
    assert grey.alpha.tolist() == [[255, 255], [0, 255]]


@pytest.mark.parametrize(("depth", "byte", "levels"), [(2, 0b00011011, [0, 85, 170, 255]), (4, 0x0F, [0, 255])])
def test_shallow_grey_with_a_transparent_level(depth: int, byte: int, levels: list[int]) -> None:
    data = raw_png(len(levels), 1, depth, 0, bytes((0, byte)), (b"tRNS", struct.pack(">H", 2**depth - 1)))
    decoded = decode(data)
    assert decoded.rgb[0, :, 0].tolist() == levels
    assert decoded.alpha is not None
    assert decoded.alpha[0].tolist() == [255] * (len(levels) - 1) + [0]


def upper_byte(levels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return (levels >> 8).astype(np.uint8)


ALL_LEVELS = np.arange(65536, dtype=np.uint16).reshape(256, 256)


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_of_every_16_bit_level_the_upper_byte_is_taken(colour: int, channels: int) -> None:
    levels = np.stack([np.roll(ALL_LEVELS, 1000 * c) for c in range(channels)], axis=-1)
    decoded = decode(raw_png(256, 256, 16, colour, unfiltered(levels.astype(">u2").view(np.uint8))))
    expected = upper_byte(levels)
    colours = expected[:, :, :3] if channels >= 3 else expected[:, :, [0, 0, 0]]
    np.testing.assert_array_equal(decoded.rgb, colours)
    if channels % 2:
        assert decoded.alpha is None
    else:
        assert decoded.alpha is not None
        np.testing.assert_array_equal(decoded.alpha, expected[:, :, -1])


def test_a_transparent_16_bit_colour() -> None:
    levels = np.array([[[0x1234, 2000, 3000], [0x1334, 2000, 3000]]], np.uint16)
    key = struct.pack(">HHH", 0x1234, 2000, 3000)
    decoded = decode(raw_png(2, 1, 16, 2, unfiltered(levels.astype(">u2").view(np.uint8)), (b"tRNS", key)))
    assert decoded.alpha is not None
    assert decoded.alpha.tolist() == [[0, 255]]
    grey = levels[:, :, :1].astype(">u2").view(np.uint8)
    decoded = decode(raw_png(2, 1, 16, 0, unfiltered(grey), (b"tRNS", struct.pack(">H", 0x1334))))
    assert decoded.alpha is not None
    assert decoded.alpha.tolist() == [[255, 0]]


def test_16_bit_tiff() -> None:
    np.testing.assert_array_equal(
        decode(saved(Image.fromarray(ALL_LEVELS), "TIFF")).rgb[:, :, 0], upper_byte(ALL_LEVELS)
    )


def test_cmyk_jpeg_with_levels_inverted_as_adobe_does() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    data = saved(red, "JPEG", quality=100)
    assert b"Adobe" in data
    np.testing.assert_allclose(decode(data).rgb[8, 8], (255, 0, 0), atol=4)


def test_ycck_jpeg() -> None:
    # Adobe's transform 2: the first three channels are YCC of inverted CMY.
    data = bytearray(saved(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG", quality=100))
    at = data.index(b"Adobe")
    data[at + 11] = 2
    decoded = decode(bytes(data))
    assert decoded.rgb.shape == (16, 16, 3)
    with Image.open(BytesIO(bytes(data))) as image:
        np.testing.assert_array_equal(decoded.rgb, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_exif_orientation(orientation: int, kind: str) -> None:
    image = Image.fromarray(photo(24, 40))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"exif": exif}
    if kind == "WEBP":
        options["lossless"] = True
    if kind == "JPEG":
        options["quality"] = 90
    data = saved(image, kind, **options)
    stored = decode(saved(image, kind, **(options | {"exif": Image.Exif()}))).rgb
    upright = Image.fromarray(stored)
    if orientation in TRANSPOSES:
        upright = upright.transpose(TRANSPOSES[orientation])
    decoded = decode(data)
    np.testing.assert_array_equal(decoded.rgb, np.asarray(upright))
    assert upright.size == ((40, 24) if orientation < 5 else (24, 40))


def test_exif_orientation_of_16_bit_and_alpha() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    levels = np.stack([ALL_LEVELS] * 3, axis=-1)[:2, :3].astype(">u2").view(np.uint8)
    data = raw_png(3, 2, 16, 2, unfiltered(levels), (b"eXIf", exif.tobytes()[6:]))
    assert decode(data).rgb.shape == (3, 2, 3)
    pixels = photo(5, 9, 4)
    turned = decode(saved(Image.fromarray(pixels), exif=exif))
    assert turned.alpha is not None
    np.testing.assert_array_equal(turned.alpha, np.rot90(pixels[:, :, 3], -1))


def test_broken_exif_does_not_stop_the_image() -> None:
    pixels = photo(8, 8)
    data = saved(Image.fromarray(pixels), exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff nonsense")
    np.testing.assert_array_equal(decode(data).rgb, pixels)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ((200, 10, 10), (10, 200, 10))]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert decode(data).rgb[5, 5].tolist() == [200, 10, 10]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("shape", "channels"), [((7, 9), 3), ((40, 30), 4), ((1500, 1100), 3)])
def test_as_float_the_levels_are_divided(kind: str, shape: tuple[int, int], channels: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.fromarray(photo(*shape, 3 if kind == "JPEG" else channels)), kind, exif=exif)
    assert decode(data).as_float is None
    decoded = decode(data, want_float=True)
    assert decoded.as_float is not None
    assert decoded.as_float.dtype == np.float32
    np.testing.assert_array_equal(decoded.as_float, decoded.rgb.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(decoded.rgb, decode(data).rgb)


def test_many_threads_decode_at_once() -> None:
    pixels = [photo(200, 300, seed=seed) for seed in range(4)]
    files = [saved(Image.fromarray(one)) for one in pixels]
    right: list[bool] = []

    def work(number: int) -> None:
        right.append(np.array_equal(decode(files[number]).rgb, pixels[number]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 4
