"""Finds the images in a text that arrives in pieces: a state machine, time linear in the text, in any split.

A data URL of many megabytes is collected in pieces and never looked at twice; text is kept up to a limit.
"""

from __future__ import annotations

import re
from typing import Final

from ..text import join_surrogates
from .links import (
    LEAST_RAW_BYTES,
    MOST_URL_CHARACTERS,
    Link,
    LinkKind,
    cut_bare,
    decode_base64,
    ends_as_image,
    may_be_image,
    read_url,
    unescape,
)
from .types import MIB

# A URL, also with the slashes escaped as in JSON; a data URL; base64 that begins as a PNG, JPEG, WebP or GIF does.
_START: Final = re.compile(
    r"[hH][tT][tT][pP][sS]?:(?:\\?/){2}|[dD][aA][tT][aA]:[A-Za-z0-9.+/;=_-]{0,200},"
    r"|(?<![A-Za-z0-9+/=_-])(?:base64:(?:\\?/){2})?(?:iVBORw0KGgo|(?:\\?/)9j(?:\\?/)[24]|UklGR[A-Za-z0-9+/]{2}|R0lGOD[dl]h)"
)
# The beginning of one of those at the end of a piece: it waits for the next piece, at most 206 characters.
_HELD: Final = re.compile(
    r"(?:h(?:t(?:t(?:ps?(?::(?:\\?/)?\\?)?)?)?)?|d(?:a(?:t(?:a(?::[A-Za-z0-9.+/;=_-]{0,200})?)?)?)?"
    r"|b(?:a(?:s(?:e(?:6(?:4(?::(?:\\?/){0,2}[A-Za-z0-9+/\\]{0,12})?)?)?)?)?)?"
    r"|iV?B?O?R?w?0?K?G?g?|\\?(?:/(?:9(?:j(?:\\?/?)?)?)?)?|U(?:k(?:l(?:G(?:R[A-Za-z0-9+/]?)?)?)?)?|R0?l?G?O?[dl]?)\Z",
    re.IGNORECASE,
)
_MOST_HELD: Final = 206
_RAW: Final = "data:;base64,"
_IN_A_WORD: Final = re.compile(r"[A-Za-z0-9+/=_-]\Z")

_MARKDOWN_BEFORE: Final = re.compile(r"\]\(\s*<?\Z")
_QUOTE_BEFORE: Final = re.compile(r"(src|href)\s*=\s*[\"']?\Z", re.IGNORECASE)
# How far back a Markdown image's `![` is looked for: relays write the whole prompt between it and the `](`.
_BEFORE: Final = 4_096
_JUST_BEFORE: Final = 24
_PAREN_BEFORE: Final = re.compile(r"[(\"'<]\s*\Z")

# CJK and typographic punctuation that is no part of a URL: ideographic comma and full stop, brackets, full-width
# forms, quotation marks, ellipsis.
_PUNCTUATION: Final = (
    r"\u3001-\u3003\u3008-\u301b\uff01\uff02\uff07-\uff09\uff0c\uff0e\uff1a\uff1b\uff1c\uff1e\uff1f"
    r"\uff3b\uff3d\uff5b-\uff64\u2018-\u201f\u2026\u00ab\u00bb"
)
_BARE_END: Final = re.compile(rf"[\s\x00-\x1f\x7f<>\"`|^{{}}\[\]{_PUNCTUATION}]")
_MARKDOWN_END: Final = re.compile(r"[\x00-\x1f\x7f<>\"()]")
_ANGLE_END: Final = re.compile(r"[\x00-\x1f\x7f<>]")
_QUOTED_END: Final = re.compile(r"[\s\x00-\x1f\x7f<>\"']")
_DATA: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_%-\\"
# Between brackets or quotes the end is marked, so line breaks inside are part of the data.
_DELIMITED_DATA: Final = _DATA + b" \t\r\n\f\v"
# How much of a piece is read in one step; it doubles from the first to the last while the data goes on, so neither
# one image of many megabytes nor thousands of tiny ones cost more than their length.
_FIRST_STEP: Final = 1_024
_LAST_STEP: Final = 262_144
# How long the lines are into which encoders break base64 (MIME, PEM).
_LINES: Final = (76, 64)
_ESCAPE: Final = re.compile(r"\\(?:/|u([0-9a-fA-F]{4}))")
_TITLE: Final = re.compile(r"\s+[\"'(].*\Z|\s+\Z", re.DOTALL)
_IPV6_HOST: Final = re.compile(r"https?://(?:\[[0-9a-f:.%]*)?\Z", re.IGNORECASE)

_TAGS: Final = ("<think>", "</think>", "<thinking>", "</thinking>")
_LONGEST_TAG: Final = 11
_THINK: Final = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
_MOST_BRACKETS: Final = 16
# Stands in the kept text in place of a link.
_MARK: Final = "\x01"
_MARKED_IMAGE: Final = re.compile(r"!?\[[^\[\]\n\x01]{0,500}\]\(\s{0,8}<?\x01>?[^()\n\x01]{0,200}\)")
_MARKED_TAG: Final = re.compile(r"<img\b[^<>\x01]{0,500}\x01[^<>\x01]{0,500}>", re.IGNORECASE)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class TextScanner:
    """One text. `feed` gives the links that ended in this piece; `links` holds all of them, in order.

    `text_limit`: characters of text that are kept. `links_limit`: links that are kept; further ones are text.
    """

    def __init__(self, *, text_limit: int = MIB, links_limit: int = 256) -> None:
        self.links: list[Link] = []
        # Whether the text has no letter outside its links.
        self.only_links = True
        self._text_left = text_limit
        self._links_limit = links_limit
        self._parts: list[str | Link] = []
        self._held = ""
        self._before = ""
        self._kind: LinkKind | None = None
        self._end = _BARE_END
        self._depth = 0
        self._alphabet = _DATA
        self._step = _FIRST_STEP
        self._data: list[bytes] = []
        self._line = 0
        self._pieces: list[str] = []
        self._size = 0
        self._url_tail = ""
        self._thinking = False
        self._tag: str = ""
        # What the model thought in the piece that was fed last.
        self.thought: str = ""

    def feed(self, text: str) -> list[Link]:
        """Take the next piece of the text. What stands between `<think>` and `</think>` is no part of it."""
        text = self._held + self._without_thoughts(text)
        self._held = ""
        seen = len(self.links)
        position = 0
        while position < len(text):
            if self._kind is None:
                position = self._seek(text, position)
            elif self._kind is LinkKind.DATA:
                position = self._read_data(text, position)
            else:
                position = self._read_url(text, position)
        return self.links[seen:]

    @property
    def in_data(self) -> bool:
        """Whether the text ends, for now, inside a data URL."""
        return self._kind is LinkKind.DATA

    def finish(self) -> list[Link]:
        """The text is whole: what is open at its end ends here."""
        seen = len(self.links)
        if self._tag and not self._thinking:
            rest, self._tag = self._tag, ""
            self.feed(rest + " ")
        self._add_text(self._held)
        self._held = ""
        self._close()
        return self.links[seen:]

    def _without_thoughts(self, text: str) -> str:
        text = self._tag + text
        said: list[str] = []
        thought: list[str] = []
        position = 0
        for match in _THINK.finditer(text):
            (thought if self._thinking else said).append(text[position : match.start()])
            self._thinking = not match.group(1)
            position = match.end()
        # A tag may be cut in two.
        begun = text.rfind("<", max(position, len(text) - _LONGEST_TAG))
        end = begun if begun >= 0 and any(tag.startswith(text[begun:].lower()) for tag in _TAGS) else len(text)
        (thought if self._thinking else said).append(text[position:end])
        self._tag, self.thought = text[end:], "".join(thought)
        return "".join(said)

    def may_end_with(self, piece: str) -> bool:
        """Whether a URL at the very end of the text may be whole, `piece` being the last one that was fed.

        It may if it ends as an image's does, or if it began in this piece and no bracket or quote has to close it.
        """
        if self._kind in (None, LinkKind.DATA):
            return False
        return ends_as_image(self._url_tail) or (self._kind is LinkKind.BARE and "://" in piece)

    @property
    def open_link(self) -> Link | None:
        """The URL at the very end of the text, which may go on; None for text and for data URLs."""
        if self._kind is None or self._kind is LinkKind.DATA:
            return None
        url = "".join(self._pieces)
        if self._kind is LinkKind.BARE:
            url, _ = cut_bare(_ESCAPE.sub(_unescaped, url))
        return Link(self._kind, _address(url)) if url.partition("://")[2] else None

    def text(self, without: frozenset[Link] = frozenset()) -> str:
        """The text. Links stay in it as they were, data URLs and the links of `without` don't."""
        pieces: list[str] = []
        for part in self._parts:
            if isinstance(part, str):
                pieces.append(_CONTROLS.sub("", part))
            else:
                pieces.append(_MARK if part.kind is LinkKind.DATA or part in without else part.url)
        text = "".join(pieces)
        if _MARK in text:
            text = _MARKED_TAG.sub("", _MARKED_IMAGE.sub("", text)).replace(_MARK, "")
        return join_surrogates(text).strip()

    def _add_text(self, text: str) -> None:
        if not text:
            return
        self._before = (self._before + text[-_BEFORE:])[-_BEFORE:]
        self.only_links = self.only_links and not any(map(str.isalpha, text))
        kept = text[: self._text_left]
        self._text_left -= len(kept)
        if kept:
            self._parts.append(kept)

    def _seek(self, text: str, position: int) -> int:
        match = _START.search(text, position)
        if match is None:
            tail = text[max(position, len(text) - _MOST_HELD) :]
            held = _HELD.search(tail)
            self._held = held.group() if held else ""
            self._add_text(text[position : len(text) - len(self._held)])
            return len(text)
        self._add_text(text[position : match.start()])
        token = match.group()
        if token.endswith(","):
            self._open_data(token)
        elif token.endswith("/") and ":" in token and not token.lower().startswith("base64"):
            self._open_url(token)
        else:
            if match.start() == 0 and _IN_A_WORD.search(self._before):
                self._add_text(token)
                return match.end()
            # Base64 without `data:`: its first characters are part of it.
            self._open_data(_RAW)
            raw = token.rpartition(":")[2].replace("\\/", "/").lstrip("/") if token.startswith("base64") else token
            return match.end() - len(raw)
        return match.end()

    def _open_data(self, header: str) -> None:
        media_type = header[5:-1]
        if ";base64" not in media_type.lower():
            self._add_text(header)
            return
        self._kind = LinkKind.DATA
        self._alphabet = _DELIMITED_DATA if _PAREN_BEFORE.search(self._before[-_JUST_BEFORE:]) else _DATA
        self._begin(header)
        self._data = []
        self._line = 0
        self._step = _FIRST_STEP

    def _open_url(self, scheme: str) -> None:
        just_before = self._before[-_JUST_BEFORE:]
        quote = _QUOTE_BEFORE.search(just_before)
        if _MARKDOWN_BEFORE.search(just_before):
            self._kind = LinkKind.IMAGE if _opens_image(self._before) else LinkKind.LINK
            self._end = _ANGLE_END if just_before.rstrip().endswith("<") else _MARKDOWN_END
        elif quote:
            self._kind = LinkKind.IMAGE if quote.group(1).lower() == "src" else LinkKind.LINK
            self._end = _QUOTED_END
        else:
            self._kind = LinkKind.BARE
            self._end = _BARE_END
        self._begin(scheme)

    def _begin(self, first: str) -> None:
        self._pieces = [first]
        self._size = len(first)
        self._url_tail = ""
        self._depth = 0

    def _read_data(self, text: str, position: int) -> int:
        # What isn't ASCII isn't data: its replacement, a question mark, ends the data too.
        raw = text[position : position + self._step].encode("ascii", "replace")
        others = raw.translate(None, self._alphabet)
        if not others:
            self._data.append(raw)
            self._line += len(raw)
            self._step = min(2 * self._step, _LAST_STEP)
            return position + len(raw)
        end = raw.index(others[:1])
        self._data.append(raw[:end])
        self._line += end
        if others[:1] in b"\r\n" and (self._line in _LINES or (self._line == 0 and others[:1] == b"\n")):
            # A line of an encoder's: the data goes on behind its break.
            self._line = 0
            return position + end + 1
        self._close()
        return position + end

    def _read_url(self, text: str, position: int) -> int:
        start = position
        while True:
            match = self._end.search(text, position)
            end = match.start() if match else len(text)
            position = end + 1
            self._size += end - start
            self._pieces.append(text[start:end])
            self._url_tail = (self._url_tail + text[max(start, end - 16) : end])[-16:]
            start = end
            if self._size > MOST_URL_CHARACTERS:
                return end - self._give_up()
            if match is None:
                return end
            if not self._goes_on(match.group()):
                self._close()
                return end

    def _goes_on(self, character: str) -> bool:
        """Whether `character`, which ends most URLs, is part of this one."""
        if self._end is _MARKDOWN_END and character in "()":
            self._depth += 1 if character == "(" else -1
            return self._depth >= 0
        if self._end is _BARE_END and character in "[]":
            return bool(_IPV6_HOST.match("".join(self._pieces)))
        return False

    def _give_up(self) -> int:
        """Too long for a URL: its first characters are text. Returns how many of the last piece are left over."""
        self._kind = None
        self._add_text("".join(self._pieces)[:MOST_URL_CHARACTERS])
        self._pieces = []
        return self._size - MOST_URL_CHARACTERS

    def _close(self) -> None:
        kind, self._kind = self._kind, None
        pieces, self._pieces = self._pieces, []
        if kind is None:
            return
        if kind is LinkKind.DATA:
            is_image = may_be_image(pieces[0][5:-1])
            raw = b"".join(self._data)
            data = decode_base64(raw.replace(b"\\", b"")) if is_image else None
            self._data = []
            if data is None or (pieces[0] == _RAW and len(data) < LEAST_RAW_BYTES):
                self._add_text(raw.decode("ascii") if pieces[0] == _RAW else pieces[0] + "...")
            else:
                self._add(Link(kind, data=data))
            return
        url = "".join(pieces)
        if kind is not LinkKind.BARE:
            self._add(Link(kind, _address(url)))
            return
        url = _ESCAPE.sub(_unescaped, url)
        url, backslash, behind = url.partition("\\")
        if backslash:
            self._add_bare(url)
            self._add_text(backslash + behind)
            return
        self._add_bare(url)

    def _add_bare(self, url: str) -> None:
        while url:
            url, rest = cut_bare(url)
            self._add(Link(LinkKind.BARE, _address(url)))
            glued = rest[:8].lower().startswith(("http://", "https://"))
            if not glued or len(self.links) >= self._links_limit:
                self._add_text(rest)
                return
            url = rest

    def _add(self, link: Link) -> None:
        if link.kind is not LinkKind.DATA and not link.url.partition("://")[2]:
            self._add_text(link.url)
        elif len(self.links) < self._links_limit:
            self.links.append(link)
            self._parts.append(link)
            self._before = ""
        else:
            self._add_text(link.url)


def _opens_image(before: str) -> bool:
    """Whether the brackets that `before` closes at its end, with `](`, were opened by `![`."""
    end = before.rfind("]")
    depth = 1
    for _ in range(_MOST_BRACKETS):
        opened = before.rfind("[", 0, end)
        closed = before.rfind("]", 0, end)
        if opened < 0:
            break
        end = max(opened, closed)
        depth += 1 if closed > opened else -1
        if depth == 0:
            return before.startswith("!", opened - 1) if opened else False
    # A label of thousands of characters is a prompt, which only images have.
    return len(before) >= _BEFORE


def _unescaped(match: re.Match[str]) -> str:
    """The character that JSON writes as an escape."""
    return chr(int(match.group(1), 16)) if match.group(1) else "/"


def _address(text: str) -> str:
    """A link's text as a URL: escapes of HTML and JSON read, a Markdown title left out, the rest percent-encoded."""
    url = unescape(_TITLE.sub("", _ESCAPE.sub(_unescaped, text)))
    return read_url(url) or url
