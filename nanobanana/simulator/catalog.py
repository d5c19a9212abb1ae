"""What the documented gateway offers: models, ratios, formats and the pixels that each model is published to return.

Written down here a second time on purpose: the simulator shares no table with the client, so that a mistake in one
of the two shows as a disagreement.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """One documented model name, its column in the table of pixels, and how many input images it takes."""

    name: str
    tier: str
    max_images: int


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model("NanoBanana", "NanoBanana", 3),
        Model("NanoBananaPro-1K", "1K", 14),
        Model("NanoBananaPro-2K", "2K", 14),
        Model("NanoBananaPro-4K", "4K", 14),
        Model("NanoBanana2-0.5K", "0.5K", 14),
        Model("NanoBanana2-1K", "1K", 14),
        Model("NanoBanana2-2K", "2K", 14),
        Model("NanoBanana2-4K", "4K", 14),
    )
}

FORMATS: tuple[str, ...] = ("jpeg", "png", "webp")

_COLUMNS = ("NanoBanana", "0.5K", "1K", "2K", "4K")
_PIXELS = """
1:1   1024x1024 512x512 1024x1024 2048x2048 4096x4096
2:3   832x1248  424x632 848x1264  1696x2528 3392x5056
3:2   1248x832  632x424 1264x848  2528x1696 5056x3392
3:4   864x1184  448x600 896x1200  1792x2400 3584x4800
4:3   1184x864  600x448 1200x896  2400x1792 4800x3584
4:5   896x1152  464x576 928x1152  1856x2304 3712x4608
5:4   1152x896  576x464 1152x928  2304x1856 4608x3712
9:16  768x1344  384x688 768x1376  1536x2752 3072x5504
16:9  1344x768  688x384 1376x768  2752x1536 5504x3072
21:9  1536x672  792x336 1584x672  3168x1344 6336x2688
"""


def _table() -> dict[tuple[str, str], tuple[int, int]]:
    table: dict[tuple[str, str], tuple[int, int]] = {}
    for line in _PIXELS.split("\n"):
        ratio, *sizes = line.split() or [""]
        for tier, size in zip(_COLUMNS, sizes, strict=False):
            width, _, height = size.partition("x")
            table[tier, ratio] = (int(width), int(height))
    return table


_TABLE = _table()
RATIOS: tuple[str, ...] = tuple(ratio for tier, ratio in _TABLE if tier == "1K")


def pixels(model: str, ratio: str) -> tuple[int, int]:
    """The (width, height) in pixels that `model` is published to return for `ratio`; KeyError for an unknown one."""
    return _TABLE[MODELS[model].tier, ratio]
