"""Text on the simulator's images: a font that has the prompt's characters, line breaks, escapes where no font has."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Where Chinese, Japanese and Korean glyphs usually are on Linux, Windows and macOS, in the system's font folders.
_FONT_FILES = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "msyh.ttc",
    "simhei.ttf",
    "PingFang.ttc",
    "STHeiti Medium.ttc",
    "Hiragino Sans GB.ttc",
    "Arial Unicode.ttf",
)
_PROBE_SIZE = 24
_NOT_IN_ANY_FONT = "\ufffe"


@lru_cache(maxsize=64)
def _open(file: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _has(file: str, character: str) -> bool:
    font = _open(file, _PROBE_SIZE)
    if not isinstance(font, ImageFont.FreeTypeFont):
        return character.isascii()
    if character.isspace():
        return True
    return _drawn(font, character) != _drawn(font, _NOT_IN_ANY_FONT)


def _drawn(font: Font, character: str) -> bytes:
    cell = Image.new("L", (_PROBE_SIZE * 2, _PROBE_SIZE * 2))
    ImageDraw.Draw(cell).text((4, 4), character, fill=255, font=font)
    return cell.tobytes()


def legible(text: str) -> tuple[str, Callable[[int], Font]]:
    r"""The text as it can be drawn, and its font by size in pixels.

    The first font that has every character; where there is none, the one that has most, with `\u4e2d` for the rest.
    """
    wanted = sorted(set(text) - {"\n"})[:2000]
    best, missing = "", len(wanted) + 1
    for file in ("", *_FONT_FILES):
        if _open(file, _PROBE_SIZE) is None:
            continue
        lacking = sum(not _has(file, character) for character in wanted)
        if lacking < missing:
            best, missing = file, lacking
        if not lacking:
            break

    def sized(size: int) -> Font:
        return _open(best, size) or ImageFont.load_default(size)

    if missing:
        text = "".join(c if c == "\n" or _has(best, c) else c.encode("unicode_escape").decode() for c in text)
    return text, sized


def wrapped(text: str, font: Font, width: float, lines: int) -> list[str]:
    """At most `lines` lines, none wider than `width` pixels; an ellipsis ends a text that is longer."""
    result: list[str] = []
    for paragraph in text.split("\n"):
        rest = paragraph.strip()
        while rest and len(result) <= lines:
            end = _fitting(rest, font, width)
            if end < len(rest):
                # Break at a blank where there is one not too far back: scripts without blanks break anywhere.
                blank = rest.rfind(" ", end // 2, end + 1)
                end = blank if blank > 0 else end
            result.append(rest[:end].rstrip())
            rest = rest[end:].lstrip()
    if len(result) <= lines:
        return result
    last = result[lines - 1]
    while last and font.getlength(last + " ...") > width:
        last = last[:-1]
    return [*result[: lines - 1], last.rstrip() + " ..."]


def _fitting(text: str, font: Font, width: float) -> int:
    low, high = 1, min(len(text), 400)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return low
