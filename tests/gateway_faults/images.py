"""Encodings of an image: the three documented formats, and the odd and broken files that a gateway may send."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pack.nanobanana.simulator.results import encode
from PIL import Image

Encoded = tuple[bytes, str]
"""The file's bytes and its MIME type."""


def _saved(image: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_file(width: int, height: int, bits: int, colour: int, packed: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@lru_cache(maxsize=4)
def bomb(side: int = 30000) -> bytes:
    """A one-bit PNG of `side` x `side` pixels: about 110 KB of file, 2.7 GB as RGB for the default."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (side + 7) // 8)
    body = b"".join([packer.compress(row) for _ in range(side)] + [packer.flush()])
    return _png_file(side, side, 1, 0, body)


def _png16(pixels: NDArray[np.uint8], colour: int) -> Encoded:
    # Pillow writes no 16-bit RGB: each level v becomes 257 v, which is v/255 exactly.
    height, width = pixels.shape[:2]
    raw = (pixels.astype(np.uint16) * np.uint16(257)).astype(">u2").tobytes()
    stride = len(raw) // height
    rows = b"".join(b"\0" + raw[y * stride : (y + 1) * stride] for y in range(height))
    return _png_file(width, height, 16, colour, zlib.compress(rows, 1)), "image/png"


def _with_alpha(image: Image.Image) -> Image.Image:
    """The image with an alpha that rises from 0 at the left to 255 at the right."""
    ramp = bytes(round(255 * x / max(1, image.width - 1)) for x in range(image.width))
    result = image.convert("RGBA")
    result.putalpha(Image.frombytes("L", image.size, ramp * image.height))
    return result


def _palette_alpha(image: Image.Image) -> Encoded:
    return _saved(image.quantize(64), "PNG", transparency=0), "image/png"


def _exif_rotated(image: Image.Image) -> Encoded:
    # Orientation 6: turn by 90 degrees clockwise to see it upright.
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = image.transpose(Image.Transpose.ROTATE_90)
    return _saved(turned, "JPEG", quality=92, exif=exif.tobytes()), "image/jpeg"


def _animated(image: Image.Image, name: str) -> Encoded:
    second = image.point([255 - level for level in range(256)] * 3)
    return _saved(image, name, save_all=True, append_images=[second], duration=200), f"image/{name.lower()}"


def _corrupt_png(image: Image.Image) -> Encoded:
    stride = image.width * 3
    raw = image.convert("RGB").tobytes()
    packer = zlib.compressobj(1)
    upper = b"".join(b"\0" + raw[y * stride : (y + 1) * stride] for y in range(image.height // 2))
    # 7: a last block of the type that deflate reserves, an error to every decoder.
    body = packer.compress(upper) + packer.flush(zlib.Z_FULL_FLUSH) + b"\7" * 64
    return _png_file(image.width, image.height, 8, 2, body), "image/png"


def _truncated(image: Image.Image, image_format: str) -> Encoded:
    data, mime = encode(image, image_format)
    return data[: len(data) // 2], mime


def _shrunk(image: Image.Image) -> Encoded:
    return encode(image.resize((max(1, image.width // 2), max(1, image.height // 2))), "png")


def _stretched(image: Image.Image) -> Encoded:
    return encode(image.resize((image.width, max(1, image.height * 3 // 4))), "png")


_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><script>1</script></svg>'

Variant = Callable[[Image.Image], Encoded]

VARIANTS: dict[str, tuple[Variant, str]] = {
    "picture_jpeg": (lambda i: encode(i, "jpeg"), "JPEG whatever was asked for"),
    "picture_png": (lambda i: encode(i, "png"), "PNG whatever was asked for"),
    "picture_webp": (lambda i: encode(i, "webp"), "WebP whatever was asked for"),
    "picture_rgb16": (lambda i: _png16(np.asarray(i, dtype=np.uint8), 2), "16-bit RGB PNG"),
    "picture_gray16": (lambda i: _png16(np.asarray(i.convert("L"), dtype=np.uint8), 0), "16-bit gray PNG"),
    "picture_gray": (lambda i: (_saved(i.convert("L"), "PNG"), "image/png"), "8-bit gray PNG"),
    "picture_gray_jpeg": (lambda i: (_saved(i.convert("L"), "JPEG"), "image/jpeg"), "gray JPEG"),
    "picture_gray_alpha": (
        lambda i: (_saved(_with_alpha(i).convert("LA"), "PNG"), "image/png"),
        "gray PNG with alpha",
    ),
    "picture_one_bit": (lambda i: (_saved(i.convert("1"), "PNG"), "image/png"), "one-bit PNG"),
    "picture_palette": (lambda i: (_saved(i.quantize(64), "PNG"), "image/png"), "palette PNG"),
    "picture_palette_alpha": (_palette_alpha, "palette PNG with a transparent colour"),
    "picture_alpha": (
        lambda i: (_saved(_with_alpha(i), "PNG", compress_level=1), "image/png"),
        "RGBA PNG, its alpha rising from left to right",
    ),
    "picture_alpha_webp": (
        lambda i: (_saved(_with_alpha(i), "WEBP", lossless=True, quality=0, method=0, exact=True), "image/webp"),
        "lossless RGBA WebP",
    ),
    "picture_cmyk": (lambda i: (_saved(i.convert("CMYK"), "JPEG", quality=92), "image/jpeg"), "CMYK JPEG"),
    "picture_exif_rotated": (_exif_rotated, "JPEG to be turned by its EXIF orientation"),
    "picture_animated_webp": (lambda i: _animated(i, "WEBP"), "animated WebP of two frames"),
    "picture_animated_gif": (lambda i: _animated(i, "GIF"), "animated GIF of two frames"),
    "picture_bmp": (lambda i: (_saved(i, "BMP"), "image/bmp"), "BMP"),
    "picture_tiff": (lambda i: (_saved(i, "TIFF"), "image/tiff"), "TIFF"),
    "picture_corrupt_png": (_corrupt_png, "PNG whose data turn into nonsense half way"),
    "picture_truncated_png": (lambda i: _truncated(i, "png"), "the first half of a PNG"),
    "picture_truncated_jpeg": (lambda i: _truncated(i, "jpeg"), "the first half of a JPEG"),
    "picture_truncated_webp": (lambda i: _truncated(i, "webp"), "the first half of a WebP"),
    "picture_header_only": (lambda i: (encode(i, "png")[0][:33], "image/png"), "a PNG's header and nothing more"),
    "picture_bomb": (lambda _: (bomb(), "image/png"), "30000x30000 one-bit PNG: 110 KB that are 2.7 GB as RGB"),
    "picture_html": (lambda _: (b"<html><body>Not Found</body></html>", "image/png"), "an HTML page instead"),
    "picture_svg": (lambda _: (_SVG, "image/svg+xml"), "an SVG instead"),
    "picture_json": (lambda _: (b'{"error":{"message":"expired"}}', "application/json"), "a JSON error instead"),
    "picture_empty": (lambda _: (b"", "image/png"), "no byte at all"),
    "picture_smaller": (_shrunk, "half the pixels a side that were paid for"),
    "picture_other_ratio": (_stretched, "another aspect ratio than asked for"),
}
