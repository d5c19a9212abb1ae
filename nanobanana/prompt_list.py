"""A text that holds several prompts."""

from __future__ import annotations

import re

_SEPARATOR = re.compile(r"-{3,}\s*")


def split_prompts(text: str) -> list[str]:
    """The prompts in `text`: one a line, or, if any line is three or more dashes, the blocks between such lines.

    Lines that begin with `#` are comments and are left out, and so are prompts that are then blank.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    if not any(_SEPARATOR.fullmatch(line) for line in lines):
        return [line.strip() for line in lines if line.strip()]
    blocks: list[list[str]] = [[]]
    for line in lines:
        if _SEPARATOR.fullmatch(line):
            blocks.append([])
        else:
            blocks[-1].append(line)
    return [block for block in ("\n".join(block).strip() for block in blocks) if block]
