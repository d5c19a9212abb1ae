"""The images of one answer, from three kinds of places, and which of them count."""

from __future__ import annotations

from typing import Final

from .links import Link, LinkKind
from .text_scanner import TextScanner
from .types import AnswerImage, ImageData, ImageUrl

_MOST_FALLBACK_LINKS: Final = 3


class ImageList:
    """Images in the order they came, each once, `limit` at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[str | bytes, int] = {}
        self.items: list[AnswerImage] = []

    def add(self, image: AnswerImage) -> bool:
        """Whether the image is a new one and was taken in. A certain URL takes the place of the uncertain same."""
        key = image.url if isinstance(image, ImageUrl) else image.data
        place = self._known.get(key)
        if place is not None:
            if isinstance(image, ImageUrl) and image.certain:
                self.items[place] = image
            return False
        if len(self.items) >= self._limit:
            return False
        self._known[key] = len(self.items)
        self.items.append(image)
        return True


def image_of(link: Link, *, certain: bool = True) -> AnswerImage:
    """A link of a text as an image."""
    return ImageData(link.data) if link.kind is LinkKind.DATA else ImageUrl(link.url, certain)


class FoundImages:
    """What was found so far, by place.

    `media`: the top-level `media.outputs`. `fields`: fields meant for images (`images`, `image`, `b64_json`, ...).
    `texts`: the scanners of the choices' texts, by choice.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.media = ImageList(limit)
        self.fields = ImageList(limit)
        self.texts: dict[tuple[int, str], TextScanner] = {}

    def image_links(self, scanner: TextScanner) -> list[Link]:
        """The links of a text that count as images.

        With `media.outputs` present the text is only text. Beside other image fields only those count that the
        text itself marks as images. Plain URLs count where the text is nothing but URLs.
        """
        if self.media.items:
            return []
        if self.fields.items:
            return [link for link in scanner.links if link.is_sure]
        if scanner.only_links:
            return [link for link in scanner.links if link.may_be_image]
        return [link for link in scanner.links if link.is_image]

    def open_image(self, scanner: TextScanner) -> Link | None:
        """The URL at the very end of a text, which may go on, where it would count as an image if it ended here."""
        last = None if self.media.items else scanner.open_link
        if last is None:
            return None
        if self.fields.items:
            return last if last.is_sure else None
        return last if last.is_image or (scanner.only_links and last.may_be_image) else None

    def selected(self, *, with_open: bool = False) -> tuple[AnswerImage, ...]:
        """The images that count. `with_open`: also URLs at the very end of a text, as uncertain ones."""
        if self.media.items:
            return tuple(self.media.items)
        result = ImageList(self._limit)
        for image in self.fields.items:
            result.add(image)
        for scanner in self.texts.values():
            for link in self.image_links(scanner):
                result.add(image_of(link))
            last = self.open_image(scanner) if with_open else None
            if last is not None:
                result.add(image_of(last, certain=False))
        return tuple(result.items)

    def fallback_links(self) -> tuple[ImageUrl, ...]:
        """Links that nothing calls an image: tried when nothing else came, since the image is paid for."""
        result = ImageList(_MOST_FALLBACK_LINKS)
        for scanner in self.texts.values():
            for link in scanner.links:
                if link.leads_anywhere:
                    result.add(ImageUrl(link.url, certain=False))
        return tuple(item for item in result.items if isinstance(item, ImageUrl))

    def words(self) -> str:
        """The texts' words without the images that count; a message that repeats the deltas counts once."""
        texts: list[str] = []
        known = frozenset(item.url for item in self.selected() if isinstance(item, ImageUrl))
        for scanner in self.texts.values():
            images = frozenset(link for link in scanner.links if link.kind is not LinkKind.DATA and link.url in known)
            words = scanner.words(images)
            if words and words not in texts:
                texts.append(words)
        return "\n".join(texts)
