"""What the gateway says, made fit to be shown: short, one line, no control characters, no markup."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MOST_CHARACTERS: Final = 300
# Characters of a line that says how far the model is.
MOST_PROGRESS: Final = 200
# How much of an endless message or page is read; enough to find a title after a long head.
_MOST_READ: Final = 65_536

# C0 and C1 controls, zero-width and direction marks, line separators, byte-order mark, lone surrogates.
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")
# Interim drafts come as links and data URLs: a progress line is cut off before the first.
_LINK: Final = re.compile(r"!?\[[^\[\]]{0,200}\]\(|https?:|data:|<", re.IGNORECASE)
_HALVES: Final = re.compile(r"[\ud800-\udfff]")
# str.lower changes the length of some letters, which would shift every position after them.
_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_TAG: Final = re.compile(r"<[^<>]{0,2000}>")
_ENTITY: Final = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&nbsp;": " "}
_REQUEST_ID: Final = re.compile(
    r"[\s,;.]{0,4}[(\[]?\brequest[ _-]?id\s{0,4}[:=]\s{0,4}([\w.:-]{4,128})[)\]]?", re.IGNORECASE | re.ASCII
)
# A word that was cut in two is left out: a small part of a key is not known for one. A longer word is none.
_CUT_END: Final = re.compile(r"(?<![\w-])[\w-]{1,120}\Z", re.ASCII)
_CUT_BEGINNING: Final = re.compile(r"\A[\w-]{1,120}(?![\w-])", re.ASCII)
_ID: Final = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)

_ID_HEADERS: Final = (
    "x-oneapi-request-id",
    "x-litellm-call-id",
    "x-portkey-trace-id",
    "x-request-id",
    "request-id",
    "cf-ray",
)


def clean(text: str, limit: int = MOST_CHARACTERS) -> str:
    """`text` as one line of at most `limit` characters, with `...` at the end if it was cut."""
    line = one_line(text[:_MOST_READ])
    return line if len(line) <= limit else beginning(line, limit - 3) + "..."


def beginning(text: str, limit: int) -> str:
    """`text`, or whole words from its beginning, of at most `limit` characters."""
    if len(text) <= limit:
        return text
    # One character more tells whether the last word ends there.
    return _CUT_END.sub("", text[: limit + 1])[:limit].rstrip()


def ending(text: str, limit: int) -> str:
    """`text`, or whole words from its end, of at most `limit` characters."""
    if len(text) <= limit:
        return text
    return _CUT_BEGINNING.sub("", text[-limit - 1 :])[-limit:].lstrip()


def one_line(text: str) -> str:
    """`text` with every run of whitespace and invisible characters as one space."""
    return " ".join(_UNSEEN.sub(" ", text).split())


def without_request_id(text: str) -> tuple[str, str]:
    """(`text` without its "(request id: ...)", that id or an empty string)."""
    text = text[:_MOST_READ]
    match = _REQUEST_ID.search(text)
    if match is None:
        return text, ""
    return (text[: match.start()] + text[match.end() :]).strip(), match.group(1)


def join_surrogates(text: str) -> str:
    """`text` with the halves of characters joined (two chunks may split one), and lone halves replaced."""
    if _HALVES.search(text):
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def safe_id(value: object) -> str:
    """`value` as a request id, or an empty string if it isn't fit to be shown as one."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else ""


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers by lower-case name."""
    return {str(name).lower(): str(value) for name, value in headers.items()}


def header_request_id(headers: Mapping[str, str]) -> str:
    """The request id of an answer's headers, empty when there is none."""
    known = lowered(headers)
    return next((found for name in _ID_HEADERS if (found := safe_id(known.get(name, "").strip()))), "")


def page_text(page: str) -> str:
    """What an HTML page says: its title, else its text."""
    page = page[:_MOST_READ]
    lower = page.translate(_LOWER)
    start = lower.find("<title")
    end = lower.find("</title", start) if start >= 0 else -1
    if end > 0:
        title = _plain(page[lower.find(">", start) + 1 : end])
        if title:
            return title
    for name in ("script", "style"):
        page = _without(page, name)
    return _plain(page)


def looks_like_page(text: str) -> bool:
    """Whether a body that isn't JSON is a web page."""
    return text.lstrip("\ufeff \t\r\n").startswith("<")


def _without(page: str, element: str) -> str:
    kept: list[str] = []
    lower = page.translate(_LOWER)
    position = 0
    while True:
        start = lower.find(f"<{element}", position)
        if start < 0:
            kept.append(page[position:])
            return "".join(kept)
        kept.append(page[position:start])
        end = lower.find(f"</{element}", start)
        if end < 0:
            return "".join(kept)
        position = end


def _plain(markup: str) -> str:
    text = _TAG.sub(" ", markup)
    for entity, character in _ENTITY.items():
        text = text.replace(entity, character)
    return " ".join(text.split())


def progress_line(text: str) -> str:
    """`text` as one line of at most 200 characters, without links and control characters."""
    text = beginning(text, MOST_PROGRESS * 2)
    link = _LINK.search(text)
    if link:
        text = text[: link.start()]
    return beginning(one_line(text), MOST_PROGRESS)


class ProgressLines:
    """What a model says in pieces: keeps the last line's beginning; `feed` gives it when it says something new."""

    def __init__(self) -> None:
        self._line = ""
        self._said = ""

    def feed(self, text: str) -> str | None:
        """Take the next piece; the line to show, or None when nothing new is to be shown."""
        before, line_break, after = text.rpartition("\n")
        shown = ""
        if line_break:
            # The last line that ends in this piece counts, unless another has begun.
            _, inner_break, last = before.rpartition("\n")
            ended = last if inner_break else self._line + last[: MOST_PROGRESS * 2]
            shown = progress_line(ended)
            self._line = ""
        self._line = (self._line + after[: MOST_PROGRESS * 2])[: MOST_PROGRESS * 2]
        return self.say(progress_line(self._line) or shown)

    def say(self, line: str) -> str | None:
        """`line` if it is new, else None."""
        if not line or line == self._said:
            return None
        self._said = line
        return line
