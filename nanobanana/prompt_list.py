"""A text that holds several prompts."""

from __future__ import annotations

import re

_SEPARATOR = re.compile(r"-{3,}\s*")


def split_prompts(text: str) -> list[str]:
    """The prompts in `text`: one a line, or, where a line of three or more dashes occurs, the blocks between those.

    Lines that begin with `#` are comments and are left out, and so is whatever is blank afterwards.
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
