"""Input images of a request: data URLs are decoded and looked at, http(s) URLs are taken and not fetched."""

from __future__ import annotations

import base64
import binascii
import io
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from PIL import Image, ImageDraw, ImageFont, ImageOps

from .errors import bad_request

_DATA_URL = re.compile(r"data:([^;,]*);base64,", re.IGNORECASE)
_MIME = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
# Larger ones are scaled down when they come in: they are painted over a canvas of at most 6336 pixels, and 14 of
# 8192x8192 would take 2.8 GB.
_LONGEST_SIDE = 4096
_MAX_PIXELS = 89_000_000


@dataclass(frozen=True)
class InputImage:
    """One image to edit: `image` is RGB, None for a URL of another host. `size` is (width, height) as sent."""

    image: Image.Image | None
    url: str
    size: tuple[int, int]
    mime: str

    def painted(self) -> Image.Image:
        """The image, or for a URL that is not fetched a card that names its host."""
        return self.image if self.image is not None else _placeholder(self.url)


def read_image(url: str, where: str) -> InputImage:
    """Check one `image_url.url`; raises Rejected for anything but a real PNG, JPEG or WebP, or an http(s) URL."""
    if url[:5].lower() != "data:":
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise bad_request("An image's url must be a data URL or an http(s) URL", where)
        return InputImage(None, url, (0, 0), "")
    head = _DATA_URL.match(url)
    if not head:
        raise bad_request("A data URL must look like data:image/png;base64,...", where)
    mime = head.group(1)
    if mime not in _MIME.values():
        raise bad_request(f"{mime!r} is not supported: {', '.join(_MIME.values())}", where)
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_request(f"The data URL is not base64: {error}", where) from error
    return decode_image(data, mime, where)


def decode_image(data: bytes, mime: str, where: str) -> InputImage:
    """Decode an image's bytes, which must be what `mime` says; raises Rejected."""
    try:
        opened: Image.Image = Image.open(io.BytesIO(data), formats=list(_MIME))
        if opened.width * opened.height > _MAX_PIXELS:
            raise bad_request(f"The image is too large: {opened.width}x{opened.height}", where)
        found = _MIME[opened.format or ""]
        size = opened.size
        opened.draft("RGB", (_LONGEST_SIDE, _LONGEST_SIDE))
        image = ImageOps.exif_transpose(opened)
        image.load()
    except (OSError, ValueError, SyntaxError, KeyError, Image.DecompressionBombError) as error:
        raise bad_request(f"The image cannot be decoded: {error}", where) from error
    if found != mime:
        raise bad_request(f"The data URL says {mime}, its bytes are {found}", where)
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), reducing_gap=2.0)
    return InputImage(flattened(image), "", size, mime)


def flattened(image: Image.Image) -> Image.Image:
    """The image as RGB, over white where it is transparent."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _placeholder(url: str) -> Image.Image:
    card = Image.new("RGB", (640, 640), "#dfe6ee")
    draw = ImageDraw.Draw(card)
    draw.rectangle((16, 16, 623, 623), outline="#7b8ea6", width=4)
    host = (urlsplit(url).hostname or "")[:40].encode("ascii", "backslashreplace").decode()
    draw.text((320, 290), host, fill="#33475b", font=ImageFont.load_default(32), anchor="mm")
    draw.text((320, 345), "not fetched by the simulator", fill="#56697d", font=ImageFont.load_default(24), anchor="mm")
    return card
