"""What a link in a text is: where its URL ends, and whether it is an image."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ..text import join_surrogates

_EXTENSIONS: Final = "png|jpe?g|jfif|webp|gif|bmp|avif|tiff?|heic|heif"

# The path may go on behind the extension with an object store's style: `a.png!thumb`, `a.png@2x`.
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


class LinkKind(Enum):
    IMAGE = "image"  # Markdown image, HTML img
    LINK = "link"  # Markdown link, HTML href
    BARE = "bare"  # a URL in the words
    DATA = "data"  # a data URL, wherever it stood


@dataclass(frozen=True)
class Link:
    """A link of a text. `url` is empty for a data URL, whose bytes are in `data`. `closed`: its end was seen."""

    kind: LinkKind
    url: str = ""
    data: bytes = b""
    closed: bool = True

    @property
    def is_sure(self) -> bool:
        """Whether the text itself says that this is an image."""
        return self.kind is LinkKind.DATA or (self.kind is LinkKind.IMAGE and not _OTHER_FILE.match(self.url))

    @property
    def is_image(self) -> bool:
        """Whether it is one by itself: an image, a data URL, or a link whose name ends as an image's does."""
        return self.is_sure or names_image(self.url)

    @property
    def may_be_image(self) -> bool:
        """Whether it is one where the text is nothing but URLs."""
        return self.is_image or (self.kind is LinkKind.BARE and not _OTHER_FILE.match(self.url))

    @property
    def leads_anywhere(self) -> bool:
        """Whether it is a plain link that doesn't name another kind of file: an image's, for all that is known."""
        return self.kind is not LinkKind.DATA and not _OTHER_FILE.match(self.url)


def names_image(url: str) -> bool:
    """Whether the URL's path, or the URL as a whole, ends in an image's extension."""
    return bool(_IMAGE.match(url) or _IMAGE_AT_END.search(url))


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
    """A URL out of HTML: `&amp;` is `&`."""
    return join_surrogates(html.unescape(url) if "&" in url else url)
