"""Single images in an answer: links, where they end and whether they are images; data URLs and base64."""

from __future__ import annotations

import binascii
import html
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urljoin

from ..text import join_surrogates
from .types import AnswerImage, ImageData, ImageUrl

_EXTENSIONS: Final = "png|jpe?g|jfif|webp|gif|bmp|avif|tiff?|heic|heif"

# The path may go on after the extension with an object store's style: `a.png!thumb`, `a.png@2x`.
_IMAGE: Final = re.compile(rf"[^?#]*\.(?:{_EXTENSIONS})(?:[!@:~][\w.-]{{0,64}})?(?:[?#]|\Z)", re.IGNORECASE)
_IMAGE_AT_END: Final = re.compile(rf"\.(?:{_EXTENSIONS})\Z", re.IGNORECASE)
_OTHER_FILE: Final = re.compile(
    r"[^?#]*\.(?:mp4|webm|mov|avi|mkv|mp3|wav|html?|js|css|json|pdf|zip|txt|md|svg)(?:[?#]|\Z)", re.IGNORECASE
)
# Words or a further URL stuck to an image's extension: scripts without spaces, and URLs in deltas without a break.
_GLUED: Final = re.compile(rf"\.(?:{_EXTENSIONS})(?=https?://|[^\x00-\x7f])", re.IGNORECASE)

# Not the underscore and the hyphen: signatures end in them.
_TRAILING: Final = ".,;:!?'*~&"
_PAIRS: Final = {")": "(", "]": "["}

_STANDARD: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_WHITESPACE: Final = b" \t\r\n\f\v"
_URL_SAFE_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")

# The smallest files of the known formats (a 1 x 1 GIF) take more than 20 bytes; less is a placeholder such as `...`.
LEAST_BYTES: Final = 16
# Without `data:` in front, what looks like base64 may be a file's id or a digest: those are shorter.
LEAST_RAW_BYTES: Final = 64
# Signed URLs of object stores stay below 4 KiB; common servers refuse more than 8 KiB.
MOST_URL_CHARACTERS: Final = 16_384

_HEADER: Final = re.compile(r"data:([^,]{0,200}),", re.IGNORECASE)
# PNG, JPEG, WebP, GIF, AVIF and HEIC, TIFF, BMP; white space before it is a relay's.
_SIGNATURE: Final = re.compile(
    rb"\s{0,16}(?:\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF.{4}WEBP|GIF8[79]a|.{4}ftyp(?:avi[fs]|hei[cx]|mif1|msf1)"
    rb"|II\*\x00|MM\x00\*|BM.{4}\x00{4})",
    re.DOTALL,
)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
# Left as they are in a URL: RFC 3986's reserved characters, `%`, and what servers are known to put in unencoded.
URL_CHARACTERS: Final = ":/?#[]@!$&'()*+,;=%~|^`{}\"<>\\"


class LinkKind(Enum):
    IMAGE = "image"  # Markdown image, HTML img
    LINK = "link"  # Markdown link, HTML href
    BARE = "bare"  # a URL in the text
    DATA = "data"  # a data URL, wherever it stood


@dataclass(frozen=True)
class Link:
    """A link in a text. `url` is empty for a data URL, whose bytes are in `data`."""

    kind: LinkKind
    url: str = ""
    data: bytes = b""

    @property
    def is_sure(self) -> bool:
        """Whether the text itself says that this is an image."""
        return self.kind is LinkKind.DATA or (self.kind is LinkKind.IMAGE and not _OTHER_FILE.match(self.url))

    @property
    def is_image(self) -> bool:
        """Whether it is an image in any text: marked as one, a data URL, or ending in an image's extension."""
        return self.is_sure or names_image(self.url)

    @property
    def may_be_image(self) -> bool:
        """Whether it is an image if the text is nothing but URLs."""
        return self.is_image or (self.kind is LinkKind.BARE and not _OTHER_FILE.match(self.url))

    @property
    def leads_anywhere(self) -> bool:
        """Whether it is a link that doesn't name another kind of file, and so may lead to an image."""
        return self.kind is not LinkKind.DATA and not _OTHER_FILE.match(self.url)


def names_image(url: str) -> bool:
    """Whether the URL's path, or the URL as a whole, ends in an image's extension."""
    return bool(_IMAGE.match(url) or _IMAGE_AT_END.search(url))


def has_image_signature(data: bytes) -> bool:
    """Whether `data` begins as an image's file does."""
    return bool(_SIGNATURE.match(data))


def ends_as_image(text: str) -> bool:
    """Whether `text`, a URL or its last 16 characters, ends in an image's extension."""
    return bool(_IMAGE_AT_END.search(text))


def cut_bare(text: str) -> tuple[str, str]:
    """Where a bare URL ends: (URL, what follows it). `text` holds no space and begins with the URL."""
    end = len(text)
    glued = _GLUED.search(text)
    if glued:
        end = glued.end()
    surplus = {close: text.count(close, 0, end) - text.count(opening, 0, end) for close, opening in _PAIRS.items()}
    while end:
        last = text[end - 1]
        if surplus.get(last, 0) > 0:
            surplus[last] -= 1
        elif last not in _TRAILING:
            break
        end -= 1
    return text[:end], text[end:]


def unescape(url: str) -> str:
    """A URL taken from HTML: `&amp;` is `&`."""
    return join_surrogates(html.unescape(url) if "&" in url else url)


def decode_base64(text: str | bytes) -> bytes | None:
    """The bytes of `text` (ASCII if it comes as bytes), or None if it isn't base64 or holds fewer than 16 bytes.

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
    """Whether a data URL's header (`image/png;charset=x;base64`) allows an image to follow."""
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


def read_url(text: str, base_url: str = "") -> str | None:
    """`text` as an http or https URL, or None. Line breaks and tabs inside are dropped, as browsers do.

    A relative address is joined with `base_url`. Spaces and characters outside of ASCII are percent-encoded.
    """
    if len(text) > MOST_URL_CHARACTERS:
        return None
    url = join_surrogates(_CONTROLS.sub("", text).strip())
    if url.startswith("//"):
        url = f"{base_url.partition('://')[0] or 'https'}:{url}"
    elif base_url and _is_relative(url):
        url = urljoin(base_url.rstrip("/") + "/", url)
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https") or not rest.strip("/"):
        return None
    return quote(url, safe=URL_CHARACTERS)


def _is_relative(url: str) -> bool:
    """Whether `url` is a path that may lead to an image: `/pic/1` or `pic/1.png`, and no words or a JPEG's base64."""
    if ":" in url.partition("/")[0] or url.startswith("/9j/"):
        return False
    return url.startswith("/") or (names_image(url) and "/" in url)


def read_image(value: str, base_url: str = "") -> AnswerImage | None:
    """The image that a field meant for one holds: a URL, a data URL or raw base64; None if it is none of these."""
    start = value[:32].lstrip().lower()
    if start.startswith("data:"):
        data = decode_data_url(value.lstrip())
        return ImageData(data) if data else None
    if start.startswith("base64:"):
        value = value.partition(":")[2].lstrip("/")
    url = read_url(value, base_url)
    if url is not None:
        return ImageUrl(url)
    data = decode_base64(value)
    return ImageData(data) if data and len(data) >= LEAST_RAW_BYTES else None


class ImageList:
    """Images in the order they came, each once, `limit` at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[str | bytes, int] = {}
        self._slots: dict[object, tuple[int, int]] = {}
        self.items: list[AnswerImage] = []

    def add(self, image: AnswerImage, place: tuple[object, int] | None = None) -> bool:
        """Whether the image is a new one and was taken in. A certain URL takes the place of the uncertain same.

        `place`: (slot, number of the payload). An image of a later payload takes the slot of an earlier one.
        """
        key = image.url if isinstance(image, ImageUrl) else image.data
        known = self._known.get(key)
        if known is not None:
            if isinstance(image, ImageUrl) and image.certain:
                self.items[known] = image
            return False
        number = len(self.items)
        if place is not None:
            before = self._slots.get(place[0])
            if before is not None and before[1] != place[1]:
                number = before[0]
            self._slots[place[0]] = (number, place[1])
        if number >= self._limit:
            return False
        self._known[key] = number
        self.items[number : number + 1] = [image]
        return True
