"""Progress words out of a model's reasoning, which arrives in pieces of any size."""

from __future__ import annotations

import re
from typing import Final

from ..text import one_line

MOST_CHARACTERS: Final = 200
# Interim drafts come as links and data URLs: a line is shown up to there.
_NOT_WORDS: Final = re.compile(r"!?\[[^\[\]]{0,200}\]\(|https?:|data:|<", re.IGNORECASE)


def progress_line(text: str) -> str:
    """`text` as one line of at most 200 characters, without links and control characters."""
    text = text[: MOST_CHARACTERS * 2]
    link = _NOT_WORDS.search(text)
    if link:
        text = text[: link.start()]
    return one_line(text)[:MOST_CHARACTERS]


class ReasoningText:
    """Keeps the beginning of the last line; `feed` gives that line when it says something new."""

    def __init__(self) -> None:
        self._line = ""
        self._said = ""

    def feed(self, text: str) -> str | None:
        """Take the next piece; the line to show, or None when nothing new is to be shown."""
        before, line_break, after = text.rpartition("\n")
        shown = ""
        if line_break:
            # Of the lines that end in this piece the last one counts, unless another has begun.
            _, inner_break, last = before.rpartition("\n")
            ended = last if inner_break else self._line + last[: MOST_CHARACTERS * 2]
            shown = progress_line(ended)
            self._line = ""
        self._line = (self._line + after[: MOST_CHARACTERS * 2])[: MOST_CHARACTERS * 2]
        return self.say(progress_line(self._line) or shown)

    def say(self, words: str) -> str | None:
        """`words` if they are new, else None."""
        if not words or words == self._said:
            return None
        self._said = words
        return words
