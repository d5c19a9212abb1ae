"""Colours of other spaces become sRGB as LittleCMS makes them, and sRGB stays as it is."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pack.nanobanana.imaging import colour
from pack.nanobanana.imaging.codec import decode
from pack.nanobanana.imaging.colour import rgb_profile
from PIL import Image, ImageCms

WHITE = (0.3127, 0.3290)
P3 = (*WHITE, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
ADOBE = (*WHITE, 0.640, 0.330, 0.210, 0.710, 0.150, 0.060)
PROPHOTO = (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)
SRGB = (*WHITE, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
SPACES: dict[str, bytes] = {
    "Display P3": rgb_profile(P3, SRGB_CURVE),
    "Adobe RGB": rgb_profile(ADOBE, (563 / 256,)),
    "ProPhoto RGB": rgb_profile(PROPHOTO, (1.8,)),
}


def colours(channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (16, 24, channels), np.uint8)


def by_littlecms(pixels: NDArray[np.uint8], profile: bytes, mode: str = "RGB") -> NDArray[np.uint8]:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    image = Image.fromarray(pixels, mode)
    made = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert made is not None
    return np.asarray(made)


def file(pixels: NDArray[np.uint8], kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[-1] > 1 else pixels[:, :, 0]).save(buffer, kind, **options)
    return buffer.getvalue()


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """`png` with a chunk behind its header."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + chunk + png[33:]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_an_embedded_profile_is_followed(space: str, kind: str) -> None:
    pixels = colours()
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    decoded = decode(file(pixels, kind, icc_profile=SPACES[space], **options), want_float=True)
    expected = by_littlecms(pixels, SPACES[space])
    assert np.abs(decoded.rgb.astype(int) - expected).max() <= 2
    # Far from what the levels would mean in sRGB.
    assert np.abs(decoded.rgb.astype(int) - pixels).max() > 20
    assert "to sRGB" in decoded.warning
    assert decoded.as_float is not None
    np.testing.assert_allclose(decoded.as_float, decoded.rgb / 255, atol=1e-6)


def test_a_jpegs_profile_is_followed_and_its_orientation_too() -> None:
    pixels = np.repeat(np.repeat(colours()[:2, :3], 16, 0), 16, 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = file(pixels, "JPEG", icc_profile=SPACES["Display P3"], quality=100, subsampling=0, exif=exif)
    plain = np.asarray(Image.open(io.BytesIO(data)).transpose(Image.Transpose.ROTATE_270))
    decoded = decode(data)
    assert (decoded.width, decoded.height) == (32, 48)
    assert np.abs(decoded.rgb.astype(int) - by_littlecms(plain, SPACES["Display P3"])).max() <= 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_stays(mode: str) -> None:
    pixels = colours(4)
    image = Image.fromarray(pixels, "RGBA").convert(mode)
    if mode == "P":
        image = Image.fromarray(pixels[:, :, :3]).quantize(16)
        image.info["transparency"] = 3
    buffer = io.BytesIO()
    image.save(buffer, "PNG", icc_profile=SPACES["Adobe RGB"])
    decoded = decode(buffer.getvalue())
    bare = Image.open(io.BytesIO(buffer.getvalue())).convert("RGBA")
    assert decoded.alpha is not None
    np.testing.assert_array_equal(decoded.alpha, np.asarray(bare)[:, :, 3])
    expected = by_littlecms(np.ascontiguousarray(np.asarray(bare)[:, :, :3]), SPACES["Adobe RGB"])
    assert np.abs(decoded.rgb.astype(int) - expected).max() <= 2


def test_grey_profiles_and_cmyk_become_colours() -> None:
    grey = colours(1)
    # A grey profile with gamma 1.8, as LittleCMS reads it.
    curve = struct.pack(">4sIHH", b"para", 0, 0, 0) + struct.pack(">i", round(1.8 * 65536))
    white = b"XYZ " + bytes(4) + struct.pack(">iii", round(0.9642 * 65536), 65536, round(0.8249 * 65536))
    text = struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", 8, 28) + "Grey".encode("utf-16-be")
    tags = [(b"desc", text), (b"wtpt", white), (b"kTRC", curve)]
    table, body = b"", b""
    for name, value in tags:
        table += struct.pack(">4sII", name, 132 + 36 + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(">I4sI4s4s4s", 168 + len(body), bytes(4), 0x04300000, b"mntr", b"GRAY", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + white[8:]
    profile = head + bytes(128 - len(head)) + struct.pack(">I", 3) + table + body
    decoded = decode(file(grey, "PNG", icc_profile=profile))
    expected = by_littlecms(grey[:, :, 0], profile, "L")
    assert np.abs(decoded.rgb.astype(int) - expected).max() <= 2
    assert np.abs(decoded.rgb[:, :, 0].astype(int) - grey[:, :, 0]).max() > 5
    # A grey image under a profile for colours.
    under = decode(file(grey, "PNG", icc_profile=SPACES["ProPhoto RGB"]))
    spread = np.repeat(grey, 3, axis=2)
    assert np.abs(under.rgb.astype(int) - by_littlecms(spread, SPACES["ProPhoto RGB"])).max() <= 2


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        rgb_profile(SRGB, SRGB_CURVE),
        b"no profile at all",
        SPACES["Display P3"][:200],
        SPACES["Display P3"][:140] + bytes(300),
    ],
    ids=["LittleCMS's sRGB", "our sRGB", "words", "cut", "emptied"],
)
def test_srgb_and_broken_profiles_change_nothing(profile: bytes) -> None:
    pixels = colours()
    decoded = decode(file(pixels, "PNG", icc_profile=profile))
    np.testing.assert_array_equal(decoded.rgb, pixels)
    assert decoded.warning == ""


def gama(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def chrm(places: tuple[float, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(one * 100_000) for one in places))


@pytest.mark.parametrize(
    ("chunks", "places", "curve"),
    [
        ([gama(1.0)], SRGB, (1.0,)),
        ([gama(1 / 1.8)], SRGB, (1.8,)),
        ([chrm(P3), gama(0.45455)], P3, SRGB_CURVE),
        ([(b"cICP", bytes([12, 13, 0, 1]))], P3, SRGB_CURVE),
        ([(b"cICP", bytes([9, 8, 0, 1]))], (*WHITE, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046), (1.0,)),
        # cICP counts more than the others.
        ([gama(1.0), (b"cICP", bytes([12, 13, 0, 1]))], P3, SRGB_CURVE),
    ],
)
def test_the_chunks_of_png_are_followed(
    chunks: list[tuple[bytes, bytes]], places: tuple[float, ...], curve: tuple[float, ...]
) -> None:
    pixels = colours()
    png = file(pixels, "PNG")
    for kind, data in chunks:
        png = with_chunk(png, kind, data)
    decoded = decode(png)
    assert np.abs(decoded.rgb.astype(int) - by_littlecms(pixels, rgb_profile(places, curve))).max() <= 2
    assert "to sRGB" in decoded.warning


@pytest.mark.parametrize(
    "chunks",
    [
        [gama(0.45455)],
        [gama(1.0), (b"sRGB", b"\x00")],
        [gama(0.0)],
        [gama(0.45455), chrm((0.0,) * 8)],
        [chrm((0.3, 0.3) * 4), gama(0.45455)],
        [(b"cICP", bytes([1, 13, 0, 1]))],
        [(b"cICP", bytes([9, 16, 0, 1]))],
        [(b"cICP", bytes([200, 200, 0, 1]))],
        [(b"cICP", b"")],
    ],
)
def test_chunks_that_mean_srgb_or_nothing_change_nothing(chunks: list[tuple[bytes, bytes]]) -> None:
    pixels = colours()
    png = file(pixels, "PNG")
    for kind, data in chunks:
        png = with_chunk(png, kind, data)
    decoded = decode(png)
    np.testing.assert_array_equal(decoded.rgb, pixels)
    assert decoded.warning == ""


def test_without_littlecms_colours_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    colour._transform.cache_clear()
    monkeypatch.setitem(sys.modules, "PIL.ImageCms", None)
    monkeypatch.delattr("PIL.ImageCms")
    pixels = colours()
    np.testing.assert_array_equal(decode(file(pixels, "PNG", icc_profile=SPACES["Display P3"])).rgb, pixels)
    colour._transform.cache_clear()
