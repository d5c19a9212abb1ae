"""Images in other colour spaces to sRGB, by LittleCMS: embedded ICC profiles, and what PNG's own chunks say.

An IMAGE of ComfyUI holds sRGB levels, and hosted models now and then answer in Display P3.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import functools
import logging
import struct
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

log = logging.getLogger(__name__)

_SRGB_GAMMA: Final = 1 / 2.2
_CLOSE: Final = 0.002
# x, y of white, red, green, blue, by the numbers of ITU-T H.273, which PNG's cICP chunk holds.
_D65: Final = (0.3127, 0.3290)
_PRIMARIES: Final[dict[int, tuple[float, ...]]] = {
    1: (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060),
    5: (*_D65, 0.640, 0.330, 0.290, 0.600, 0.150, 0.060),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
_PRIMARY_NAMES: Final = {1: "BT.709", 5: "BT.601", 6: "BT.601", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
# Parameters g, a, b, c, d of ICC's parametric curve: (a x + b) ** g from d up, c x below.
_SRGB_CURVE: Final = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_VIDEO_CURVE: Final = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVES: Final[dict[int, tuple[float, ...]]] = {
    1: _VIDEO_CURVE,
    4: (2.2,),
    5: (2.8,),
    6: _VIDEO_CURVE,
    8: (1.0,),
    13: _SRGB_CURVE,
    14: _VIDEO_CURVE,
    15: _VIDEO_CURVE,
}
# D50, the white of ICC's connection space, and Bradford's matrix, which adapts other whites to it.
_D50: Final = np.array([0.9642, 1.0, 0.8249])
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_CUBE: Final = 9
_NAME_CHARACTERS: Final = 60

Convert = Callable[[Image.Image], Image.Image]


def in_srgb(image: Image.Image, data: bytes) -> tuple[Image.Image, str]:
    """(the image in sRGB, the name of the colour space that it was in; empty if it was sRGB already).

    `image`: decoded to 8 bits a channel; `data`: its file. A profile that is broken, or is for another kind of pixels,
    counts as none.
    """
    profile, name = _profile(image, data)
    if not profile:
        return image, ""
    grey = image.mode in ("1", "L", "LA", "La")
    mode = "L" if grey else "CMYK" if image.mode == "CMYK" else "RGB"
    transform, described = _transform(profile, mode)
    if transform is None and grey:
        # Grey levels under a profile for colours.
        mode = "RGB"
        transform, described = _transform(profile, mode)
    if transform is None:
        return image, ""
    transparent = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    alpha = image.convert("RGBA").getchannel("A") if transparent else None
    result = transform(
        image if image.mode == mode else image.convert("RGBA").convert(mode) if transparent else image.convert(mode)
    )
    if alpha is not None:
        result.putalpha(alpha)
    return result, name or described


def _profile(image: Image.Image, data: bytes) -> tuple[bytes, str]:
    """(an ICC profile, the colour space's name if the file gives none), in the order of the PNG specification."""
    is_png = data.startswith(b"\x89PNG")
    if is_png and (code := _cicp(data)) is not None:
        primaries, transfer = code
        curve = _CURVES.get(transfer)
        if curve is None or primaries not in _PRIMARIES:
            return b"", ""  # HDR: there is no right way to show it in 8 bits of sRGB
        return rgb_profile(_PRIMARIES[primaries], curve), _PRIMARY_NAMES[primaries]
    embedded: Any = image.info.get("icc_profile")
    if isinstance(embedded, bytes) and embedded:
        return embedded, ""
    if not is_png or "srgb" in image.info:
        return b"", ""
    gamma: Any = image.info.get("gamma")
    places: Any = image.info.get("chromaticity")
    if not isinstance(gamma, float) or not 0.01 < gamma < 10:
        return b"", ""
    curve = _SRGB_CURVE if abs(gamma - _SRGB_GAMMA) < _CLOSE else (1 / gamma,)
    primaries = tuple(places) if _is_possible(places) else _PRIMARIES[1]
    return rgb_profile(primaries, curve), f"gamma {1 / gamma:.3g}"


def _is_possible(places: object) -> bool:
    """Whether eight numbers can be the chromaticities of a white and three primaries."""
    if not isinstance(places, tuple) or len(places) != 8:
        return False
    red, green, blue = (np.array(places[at : at + 2], float) for at in (2, 4, 6))
    area = abs(np.linalg.det(np.array([green - red, blue - red])))
    return all(0 < float(one) < 1 for one in places[1::2]) and area > 0.01


def _cicp(data: bytes) -> tuple[int, int] | None:
    """(primaries, transfer) of a PNG's cICP chunk, if it has one before its pixels."""
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"cICP" and length == 4:
            return data[position + 8], data[position + 9]
        if kind == b"IDAT":
            return None
        position += 12 + length
    return None


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> tuple[Convert | None, str]:
    """(what makes sRGB of images of `mode`, the profile's own name); None if they are sRGB, or can't be converted."""
    try:
        from PIL import ImageCms
    except ImportError:
        log.warning("This Pillow has no LittleCMS: colours stay as they are")
        return None, ""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        name = " ".join(ImageCms.getProfileDescription(source).split())[:_NAME_CHARACTERS]
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        cube = _cube(mode)
        made = ImageCms.applyTransform(cube, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        log.info("A colour profile can't be used: %s", error)
        return None, ""
    assert made is not None
    same = np.abs(np.asarray(made, np.int16) - np.asarray(cube.convert("RGB"), np.int16)).max() <= 1
    if same and mode != "CMYK":
        return None, name

    def convert(image: Image.Image) -> Image.Image:
        result = ImageCms.applyTransform(image, transform)
        assert result is not None
        return result

    return convert, name or "another colour space"


def _cube(mode: str) -> Image.Image:
    """Levels all over the colour space, to see what a transform does."""
    steps = np.linspace(0, 255, _CUBE).astype(np.uint8)
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis])
    channels = 4 if mode == "CMYK" else 3
    grid = np.stack(np.meshgrid(*[steps] * channels), axis=-1).reshape(1, -1, channels)
    return Image.fromarray(np.ascontiguousarray(grid), mode if mode == "CMYK" else "RGB")


def rgb_profile(places: Sequence[float], curve: Sequence[float]) -> bytes:
    """An ICC profile (version 4) of an RGB space.

    `places`: x and y of white, red, green and blue. `curve`: one exponent, or the parameters g, a, b, c, d.
    """
    columns = _adapted(places)
    kind = 0 if len(curve) == 1 else 3
    trc = struct.pack(">4sIHH", b"para", 0, kind, 0) + b"".join(_fixed(one) for one in curve)
    tags = [
        (b"desc", struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", 6, 28) + "RGB".encode("utf-16-be")),
        (b"wtpt", _xyz(_D50)),
        *((name, _xyz(columns[:, at])) for at, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))),
        *((name, trc) for name in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    table, body = b"", b""
    begin = 128 + 4 + 12 * len(tags)
    for name, value in tags:
        table += struct.pack(">4sII", name, begin + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(">I4sI4s4s4s", begin + len(body), bytes(4), 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + b"".join(_fixed(one) for one in _D50)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def _adapted(places: Sequence[float]) -> NDArray[np.float64]:
    """The primaries' XYZ as columns, as they look under D50."""
    white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in _pairs(places))
    columns = np.stack(primaries, axis=1)
    columns = columns * np.linalg.solve(columns, white)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ columns


def _pairs(places: Sequence[float]) -> Iterator[tuple[float, float]]:
    return zip(places[::2], places[1::2], strict=True)


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(max(-32768.0, min(float(value), 32767.0)) * 65536))


def _xyz(values: NDArray[np.float64]) -> bytes:
    return struct.pack(">4sI", b"XYZ ", 0) + b"".join(_fixed(one) for one in values)
