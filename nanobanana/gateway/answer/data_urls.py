"""Images that come inside the answer: base64 in all the spellings that are seen, and data URLs."""

from __future__ import annotations

import binascii
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from ..text import join_surrogates
from .types import AnswerImage, ImageData, ImageUrl

_STANDARD: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_WHITESPACE: Final = b" \t\r\n\f\v"
_URL_SAFE_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")

# The smallest files of the known formats (a 1 x 1 GIF) take more than 20 bytes; less is a placeholder such as `...`.
LEAST_BYTES: Final = 16
# Without a `data:` in front it may be a file's id or a digest, which look like base64: those are shorter.
LEAST_RAW_BYTES: Final = 64
# Signed URLs of object stores stay below 4 KiB; common servers refuse more than 8 KiB.
MOST_URL_CHARACTERS: Final = 16_384

_HEADER: Final = re.compile(r"data:([^,]{0,200}),", re.IGNORECASE)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")


def decode_base64(text: str | bytes) -> bytes | None:
    """The bytes of `text` (ASCII where it comes as bytes), or None when it is no base64 or holds fewer than 16 bytes.

    Takes the standard and the URL-safe alphabet, percent-encoding, whitespace anywhere, too little or too much
    padding. A last, incomplete group of one character is left out: the image before it is worth having.
    """
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError:
        return None
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    if b"-" in raw or b"_" in raw:
        raw = raw.translate(_URL_SAFE_TO_STANDARD)
    others = raw.translate(None, _STANDARD)
    if others.strip(_WHITESPACE + b"="):
        return None
    if others.translate(None, b"="):
        raw = raw.translate(None, _WHITESPACE)
    raw = raw.rstrip(b"=")
    if b"=" in raw:
        return None
    spare = len(raw) % 4
    if spare == 1:
        raw = raw[:-1]
    elif spare:
        raw += b"=" * (4 - spare)
    data = binascii.a2b_base64(raw)
    return data if len(data) >= LEAST_BYTES else None


def may_be_image(media_type: str) -> bool:
    """Whether a data URL's header (`image/png;charset=x;base64`) leaves it open that an image follows."""
    name = media_type.split(";", 1)[0].strip().lower()
    return not name or name.startswith("image/") or name.endswith("/octet-stream") or "/" not in name


def decode_data_url(text: str) -> bytes | None:
    """The bytes of a `data:` URL, or None when it isn't one, holds no image by its type, or can't be decoded."""
    match = _HEADER.match(text)
    if match is None or not may_be_image(match.group(1)):
        return None
    payload = text[match.end() :]
    data = decode_base64(payload)
    if data is None and "base64" not in match.group(1).lower():
        try:
            data = unquote_to_bytes(payload.encode("ascii"))
        except UnicodeEncodeError:
            return None
        return data if len(data) >= LEAST_BYTES else None
    return data


def read_url(text: str) -> str | None:
    """`text` as an http or https URL, or None. Line breaks and tabs inside are dropped, as browsers do."""
    if len(text) > MOST_URL_CHARACTERS:
        return None
    url = join_surrogates(_CONTROLS.sub("", text).strip())
    if url.startswith("//"):
        url = "https:" + url
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https") or not rest.strip("/"):
        return None
    return url


def read_image(value: str) -> AnswerImage | None:
    """The image that a field meant for one holds: a URL, a data URL or raw base64; None when it is none of them."""
    start = value[:32].lstrip().lower()
    if start.startswith("data:"):
        data = decode_data_url(value.lstrip())
        return ImageData(data) if data else None
    url = read_url(value)
    if url is not None:
        return ImageUrl(url)
    data = decode_base64(value)
    return ImageData(data) if data and len(data) >= LEAST_RAW_BYTES else None
