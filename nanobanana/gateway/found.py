"""The pictures of one answer, from three kinds of places, and which of them count."""

from __future__ import annotations

from typing import Final

from .links import Link, LinkKind
from .text_scanner import TextScanner
from .values import Picture, PictureData, PictureUrl

_MOST_PERHAPS: Final = 3


class PictureList:
    """Pictures in the order they came, each once, `limit` at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[str | bytes, int] = {}
        self.items: list[Picture] = []

    def add(self, picture: Picture) -> bool:
        """Whether the picture is a new one and was taken in. A certain URL takes the place of the uncertain same."""
        key = picture.url if isinstance(picture, PictureUrl) else picture.data
        place = self._known.get(key)
        if place is not None:
            if isinstance(picture, PictureUrl) and picture.certain:
                self.items[place] = picture
            return False
        if len(self.items) >= self._limit:
            return False
        self._known[key] = len(self.items)
        self.items.append(picture)
        return True


def picture_of(link: Link, *, certain: bool = True) -> Picture:
    """A link of a text as a picture."""
    return PictureData(link.data) if link.kind is LinkKind.DATA else PictureUrl(link.url, certain)


class FoundPictures:
    """What was found so far, by place.

    `media`: the top-level `media.outputs`. `fields`: fields meant for pictures (`images`, `image`, `b64_json`, ...).
    `texts`: the scanners of the choices' texts, by choice.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.media = PictureList(limit)
        self.fields = PictureList(limit)
        self.texts: dict[tuple[int, str], TextScanner] = {}

    def picture_links(self, scanner: TextScanner) -> list[Link]:
        """The links of a text that count as pictures.

        With `media.outputs` present the text is only text. Beside other picture fields only those count that the
        text itself marks as pictures. Plain URLs count where the text is nothing but URLs.
        """
        if self.media.items:
            return []
        if self.fields.items:
            return [link for link in scanner.links if link.is_sure]
        if scanner.only_links:
            return [link for link in scanner.links if link.may_be_picture]
        return [link for link in scanner.links if link.is_picture]

    def open_picture(self, scanner: TextScanner) -> Link | None:
        """The URL at the very end of a text, which may go on, where it would count as a picture if it ended here."""
        last = None if self.media.items else scanner.open_link
        if last is None:
            return None
        if self.fields.items:
            return last if last.is_sure else None
        return last if last.is_picture or (scanner.only_links and last.may_be_picture) else None

    def chosen(self, *, with_open: bool = False) -> tuple[Picture, ...]:
        """The pictures that count. `with_open`: also URLs at the very end of a text, as uncertain ones."""
        if self.media.items:
            return tuple(self.media.items)
        result = PictureList(self._limit)
        for picture in self.fields.items:
            result.add(picture)
        for scanner in self.texts.values():
            for link in self.picture_links(scanner):
                result.add(picture_of(link))
            last = self.open_picture(scanner) if with_open else None
            if last is not None:
                result.add(picture_of(last, certain=False))
        return tuple(result.items)

    def perhaps(self) -> tuple[PictureUrl, ...]:
        """Links that nothing calls a picture: tried when nothing else came, since the picture is paid for."""
        result = PictureList(_MOST_PERHAPS)
        for scanner in self.texts.values():
            for link in scanner.links:
                if link.leads_anywhere:
                    result.add(PictureUrl(link.url, certain=False))
        return tuple(item for item in result.items if isinstance(item, PictureUrl))

    def words(self) -> str:
        """The texts' words without the pictures that count; a message that repeats the deltas counts once."""
        texts: list[str] = []
        known = frozenset(item.url for item in self.chosen() if isinstance(item, PictureUrl))
        for scanner in self.texts.values():
            pictures = frozenset(link for link in scanner.links if link.kind is not LinkKind.DATA and link.url in known)
            words = scanner.words(pictures)
            if words and words not in texts:
                texts.append(words)
        return "\n".join(texts)
