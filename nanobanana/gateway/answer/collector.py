"""Gathers what the payloads of one answer hold: images and which of them count, text, progress, errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ...errors import StatusError
from ..error_body import read_error_body
from ..status_errors import error_event
from ..text import MOST_PROGRESS, ProgressLines, clean, ending, one_line, progress_line, safe_id
from .links import ImageList, Link, LinkKind, read_url
from .payload import as_list, as_mapping, as_text, queued_task, read_payload, walk
from .text_scanner import TextScanner
from .types import Answer, AnswerEvent, AnswerImage, AnswerLimits, ImageData, ImageUrl, Reasoning

# Characters of what a model or a relay says that is quoted when no image comes.
MOST_QUOTED: Final = 2_000
_CHUNK_FIELDS: Final = frozenset(
    {"id", "object", "created", "model", "choices", "media", "usage", "system_fingerprint"}
)
# What `walk` need not look at: small values that name the answer itself.
_ENVELOPE: Final = frozenset({"id", "object", "created", "model", "usage", "system_fingerprint", "error"})
_MOST_FIELDS: Final = 12
_MOST_TEXTS: Final = 64
_MOST_FALLBACK_LINKS: Final = 3
# Two come before the path, and a host alone is no image.
_LEAST_SLASHES: Final = 3
_RELATIVE_IMAGE: Final = re.compile(
    r"!\[[^\[\]\n]{0,500}\]\(\s{0,8}<?([^()<>\n]{1,2000}?)>?\s{0,8}\)"
    r"|<img\b[^<>]{0,500}?\bsrc\s{0,8}=\s{0,8}[\"']?([^\"'<>\s]{1,2000})",
    re.IGNORECASE,
)


class AnswerCollector:
    """The state of one answer, fed with JSON values; a `PayloadSink`. `request_id`: from the answer's headers.

    `payloads`: how many JSON objects were read. `candidates`: what may be an image. `error`: the last one that came.
    """

    def __init__(
        self, limits: AnswerLimits, *, request_id: str, key_is_set: bool, base_url: str = "", prompt: str = ""
    ) -> None:
        self._limits = limits
        self._header_id = request_id
        self._key_is_set = key_is_set
        self.base_url = base_url
        self.candidates = Candidates(limits.images, base_url, prompt)
        self.error: StatusError | None = None
        self.payloads = 0
        self._refusal = ""
        self._unparsed = ""
        self._damaged = False
        # Grows with everything that says something: text, thoughts, images.
        self.news = 0
        self._thoughts = ""
        self._task = ("", "")
        self._fields: dict[str, None] = {}
        self._finish_reason = ""
        self._native_reason = ""
        self._given: set[tuple[str | bytes, bool]] = set()
        self._progress = ProgressLines()
        self._id = ""
        self._certain = True
        # Whether anything of an answer came, so that the work had begun.
        self._began = False
        self._events: list[AnswerEvent] = []

    @property
    def request_id(self) -> str:
        """The gateway's name for this answer: from its headers, else from its body; empty when none was seen."""
        return self._header_id or self._id

    def answer(self, images: tuple[AnswerImage, ...], *, guessed: bool = False) -> Answer:
        """The answer with these images."""
        return Answer(
            images,
            self.candidates.text(),
            self.request_id,
            guessed,
            self._finish_reason,
            self._native_reason,
            self._refusal,
            self._unparsed,
            ending(one_line(self._thoughts), MOST_PROGRESS),
            *self._task,
            ", ".join(self._fields),
            damaged=self._damaged,
        )

    def broken_event(self) -> None:
        """An event could not be read: a part of an image is missing if the text was in the middle of one."""
        self._damaged |= any(scanner.in_data for scanner in self.candidates.texts.values())

    def add_unparsed(self, text: str) -> None:
        """Note text from outside any answer, to be quoted if no image comes."""
        self._unparsed = f"{self._unparsed} {text}".strip()[:MOST_QUOTED]

    def read_value(self, value: object, *, certain: bool = True) -> list[AnswerEvent]:
        """Take a JSON value; returns what is new in it.

        `certain` is False for a value that was cut off. Raises `StatusError` for an error, unless an image is there.
        """
        self._certain = certain
        self._events = []
        for item in as_list(value) or (value,):
            payload = as_mapping(item)
            if payload is None:
                self.add_unparsed(as_text(item))
            else:
                self._read_payload(payload)
        return self._events

    def _read_payload(self, payload: Mapping[str, object]) -> None:
        self.payloads += 1
        self._id = self._id or safe_id(payload.get("id"))
        before = self.candidates.counted
        read_payload(payload, self)
        if self.candidates.counted == before:
            walk({name: value for name, value in payload.items() if name not in _ENVELOPE}, self)
        if not self._task[0]:
            self._task = queued_task(payload)
            self.candidates.queued = bool(self._task[0])
        for name in payload:
            if len(self._fields) < _MOST_FIELDS:
                self._fields[clean(name, 40)] = None
        if _is_plain_chunk(payload):
            self._began = True
            return
        error = error_event(payload, key_is_set=self._key_is_set, request_id=self.request_id)
        if error is not None:
            if self._began and error.billed == "no":
                error.billed, error.sure = "maybe", True
            self.error = error
            if not self.candidates.selected():
                raise error
        elif not any(key in payload for key in ("choices", "media", "data")):
            message = read_error_body(payload).message
            if message:
                self._unparsed = message[:MOST_QUOTED]
            self._began = self._began or bool(message)
            self._report(self._progress.say(progress_line(message)))

    def text(self, choice: tuple[int, str], text: str) -> None:
        texts = self.candidates.texts
        self._began = self._began or bool(text)
        self.news += len(text)
        scanner = texts.get(choice)
        if scanner is None:
            if len(texts) >= _MOST_TEXTS:
                return
            scanner = texts[choice] = TextScanner(
                text_limit=self._limits.text_characters, links_limit=4 * self._limits.images
            )
        links = scanner.feed(text)
        if scanner.thought:
            self.reasoning(scanner.thought)
        for link in links:
            sure = link.is_sure if self.candidates.fields.items else link.is_image
            if sure and not self.candidates.outputs.items and not self.candidates.repeats_prompt(link):
                self._give(image_of(link))
        if scanner.may_end_with(text):
            self._give_open(scanner)

    def finish_texts(self) -> None:
        """All texts are whole. One that is nothing but JSON is searched as an answer is, if no image was found yet."""
        scanners = list(self.candidates.texts.values())
        for scanner in scanners:
            scanner.finish()
        for scanner in scanners if not self.candidates.selected() else ():
            walk(scanner.text(), self)

    def output(self, image: AnswerImage) -> None:
        image = self._as_certain(image)
        if self.candidates.outputs.add(image):
            self._give(image)

    def image(self, image: AnswerImage, slot: object = None) -> None:
        image = self._as_certain(image)
        place = None if slot is None else (slot, self.payloads)
        if self.candidates.fields.add(image, place) and not self.candidates.outputs.items:
            numbered = place is not None and isinstance(image, ImageData)
            self._give(replace(image, final=False) if numbered else image)

    def hidden(self, image: AnswerImage) -> None:
        self.candidates.hidden.add(self._as_certain(image))

    def prose(self, text: str) -> None:
        scanner = TextScanner(text_limit=self._limits.text_characters, links_limit=self._limits.images)
        scanner.feed(text)
        scanner.finish()
        for image in self.candidates.images_of(scanner):
            self.hidden(image)

    def reasoning(self, text: str) -> None:
        self._began = True
        self.news += len(text)
        self._thoughts = (self._thoughts + text)[-4 * MOST_PROGRESS :]
        self._report(self._progress.feed(text))

    def refusal(self, text: str) -> None:
        self._refusal = (self._refusal + text)[:MOST_QUOTED]

    def finish(self, choice: int, reason: str, native: str) -> None:
        self.candidates.ended = True
        self._finish_reason = clean(reason, 100)
        self._native_reason = clean(native, 100)
        for (number, _), scanner in self.candidates.texts.items():
            if number == choice:
                # The text is whole, so what it ends with is an address, should the stream stay open for ever.
                self._give_open(scanner, certain=True)

    def _report(self, line: str | None) -> None:
        if line:
            self._events.append(Reasoning(line))

    def _as_certain(self, image: AnswerImage) -> AnswerImage:
        return ImageUrl(image.url, certain=False) if isinstance(image, ImageUrl) and not self._certain else image

    def _give_open(self, scanner: TextScanner, *, certain: bool = False) -> None:
        link = self.candidates.open_image(scanner)
        if link is not None and link.url.count("/") >= _LEAST_SLASHES:
            self._give(image_of(link, certain=certain))

    def _give(self, image: AnswerImage) -> None:
        """Report an image, unless it was reported before."""
        self._began = True
        certain = isinstance(image, ImageData) or image.certain
        key = (image.data if isinstance(image, ImageData) else image.url, certain)
        known = key in self._given or (key[0], True) in self._given
        if not known and len(self._given) < 4 * self._limits.images:
            self._given.add(key)
            self._events.append(image)
            self.news += 1


def _is_plain_chunk(payload: Mapping[str, object]) -> bool:
    """Whether a payload holds only documented fields, and so no error."""
    choices = map(as_mapping, as_list(payload.get("choices")))
    return (
        "choices" in payload
        and payload.keys() <= _CHUNK_FIELDS
        and not any("error" in choice for choice in choices if choice is not None)
    )


def _file_name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def image_of(link: Link, *, certain: bool = True, likely: bool = False) -> AnswerImage:
    """A link in a text as an image."""
    return ImageData(link.data) if link.kind is LinkKind.DATA else ImageUrl(link.url, certain, likely)


class Candidates:
    """What may be an image, by place.

    `outputs`: the top-level `media.outputs`. `fields`: fields meant for images (`images`, `image`, `b64_json`, ...).
    `texts`: the scanners of the choices' texts, by choice. `hidden`: what stands in places that nothing documents.
    Addresses that stand in `prompt` are the person's own, and no results.
    """

    def __init__(self, limit: int, base_url: str = "", prompt: str = "") -> None:
        self._limit = limit
        self._base_url = base_url
        self._prompt = prompt
        self.outputs = ImageList(limit)
        self.fields = ImageList(limit)
        self.hidden = ImageList(limit)
        self.texts: dict[tuple[int, str], TextScanner] = {}
        # Whether the answer said itself that it is whole: more, and better, may have been lost otherwise.
        self.ended = False
        # Whether it said that the work is only queued: addresses in it lead to the task.
        self.queued = False

    @property
    def counted(self) -> int:
        """How many images the documented places have brought, those of texts included."""
        texts = sum(len(scanner.links) for scanner in self.texts.values())
        return len(self.outputs.items) + len(self.fields.items) + texts

    def repeats_prompt(self, link: Link) -> bool:
        """Whether a link is one of the prompt's own."""
        return bool(link.url) and link.url in self._prompt

    def image_links(self, scanner: TextScanner) -> list[Link]:
        """The links of a text that count as images.

        With `media.outputs` present the text is only text. Beside other image fields only those count that the text
        itself marks as images; beside such, bare URLs don't. Plain URLs count where the text is nothing but URLs.
        """
        if self.outputs.items:
            return []
        links = [link for link in scanner.links if not self.repeats_prompt(link)]
        sure = [link for link in links if link.is_sure]
        if self.fields.items:
            return sure
        if sure:
            # Relays put a link for the download behind the image.
            names = {_file_name(link.url) for link in sure}
            others = [link for link in links if link.kind is LinkKind.LINK and link.is_image]
            return [link for link in links if link in sure or (link in others and _file_name(link.url) not in names)]
        if scanner.only_links:
            return [link for link in links if link.may_be_image]
        return [link for link in links if link.is_image]

    def images_of(self, scanner: TextScanner) -> list[AnswerImage]:
        """The images of a finished text: its links that count, else the relative addresses that it marks as images."""
        links = self.image_links(scanner)
        if links:
            return [image_of(link) for link in links]
        marked = (match.group(1) or match.group(2) for match in _RELATIVE_IMAGE.finditer(scanner.text()))
        urls = (read_url(address, self._base_url) for address in marked) if self._base_url else ()
        return [ImageUrl(url) for url in urls if url and url not in self._prompt]

    def open_image(self, scanner: TextScanner) -> Link | None:
        """The URL at the very end of a text, which may go on, if it would count as an image ending here."""
        last = None if self.outputs.items else scanner.open_link
        if last is None:
            return None
        if self.fields.items:
            return last if last.is_sure else None
        return last if last.is_image or (scanner.only_links and last.may_be_image) else None

    def selected(self, *, with_open: bool = False) -> tuple[AnswerImage, ...]:
        """The images that count. `with_open`: also URLs at the very end of a text, as uncertain ones."""
        if self.outputs.items:
            return tuple(self.outputs.items)
        result = ImageList(self._limit)
        for image in self.fields.items:
            result.add(image)
        for scanner in self.texts.values():
            for link in self.image_links(scanner):
                result.add(image_of(link, likely=not link.is_sure and not scanner.only_links))
            last = self.open_image(scanner) if with_open else None
            if last is not None:
                result.add(image_of(last, certain=False))
        return tuple(result.items) or (() if with_open else self._undocumented())

    def _undocumented(self) -> tuple[AnswerImage, ...]:
        """What is found where nothing documents it, when the documented places hold nothing."""
        result = ImageList(self._limit)
        if self.queued:
            return ()
        for scanner in self.texts.values():
            for image in self.images_of(scanner):
                result.add(image)
        for image in self.hidden.items:
            if isinstance(image, ImageData) or image.url not in self._prompt:
                result.add(image)
        # An image that came inline beside an address is the same one, or the one that can't be lost.
        inline = tuple(image for image in result.items if isinstance(image, ImageData))
        return inline or tuple(ImageUrl(image.url, self.ended) for image in result.items if isinstance(image, ImageUrl))

    def fallback_links(self) -> tuple[ImageUrl, ...]:
        """Links that nothing marks as images: tried if nothing else came, since the image is paid for."""
        result = ImageList(_MOST_FALLBACK_LINKS)
        for scanner in self.texts.values():
            for link in scanner.links:
                if link.leads_anywhere and not self.repeats_prompt(link):
                    result.add(ImageUrl(link.url, certain=False))
        return tuple(item for item in result.items if isinstance(item, ImageUrl))

    def text(self) -> str:
        """The texts without the images that count; a message that repeats the deltas counts once."""
        texts: list[str] = []
        known = frozenset(item.url for item in self.selected() if isinstance(item, ImageUrl))
        for scanner in self.texts.values():
            images = frozenset(link for link in scanner.links if link.kind is not LinkKind.DATA and link.url in known)
            text = scanner.text(images)
            if text and text not in texts:
                texts.append(text)
        return "\n".join(texts)
