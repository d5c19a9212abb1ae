"""Models, ratios, formats, sizes and limits: one table, everything else is derived from it.

Names are those the endpoint documents. Pixel sizes are those the models are published to return; they are hints
for what to expect (compare the ratio within 3 % and the tier), never a promise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

ASPECT_RATIOS: Final = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
OUTPUT_FORMATS: Final = ("png", "jpeg", "webp")
# The base URL under which everything is tried out offline, and costs nothing.
SIMULATOR: Final = "simulator"
# How many variations one order may ask for.
MOST_COUNT: Final = 16

DEFAULT_MODEL: Final = "NanoBananaPro-1K"
RATIO_TOLERANCE: Final = 0.03

# Nano Banana's own sizes, then those of the tiers of Pro and 2, in the order of ASPECT_RATIOS.
_SIZES: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "base": (
        (1024, 1024),
        (832, 1248),
        (1248, 832),
        (864, 1184),
        (1184, 864),
        (896, 1152),
        (1152, 896),
        (768, 1344),
        (1344, 768),
        (1536, 672),
    ),
    "0.5K": (
        (512, 512),
        (424, 632),
        (632, 424),
        (448, 600),
        (600, 448),
        (464, 576),
        (576, 464),
        (384, 688),
        (688, 384),
        (792, 336),
    ),
    "1K": (
        (1024, 1024),
        (848, 1264),
        (1264, 848),
        (896, 1200),
        (1200, 896),
        (928, 1152),
        (1152, 928),
        (768, 1376),
        (1376, 768),
        (1584, 672),
    ),
}


@dataclass(frozen=True)
class Model:
    """One documented model. `tier` is a key of the size table; `input_limit` counts images a request may hold."""

    name: str
    tier: str
    input_limit: int


MODELS: Final = (
    Model("NanoBanana", "base", 3),
    Model("NanoBananaPro-1K", "1K", 14),
    Model("NanoBananaPro-2K", "2K", 14),
    Model("NanoBananaPro-4K", "4K", 14),
    Model("NanoBanana2-0.5K", "0.5K", 14),
    Model("NanoBanana2-1K", "1K", 14),
    Model("NanoBanana2-2K", "2K", 14),
    Model("NanoBanana2-4K", "4K", 14),
)


@dataclass(frozen=True)
class Dialect:
    """One way to tell a gateway the aspect ratio and the format. Whatever is False is left out of the request.

    `literal_keys`: as `--aspect_ratio` and `--output_format` beside `model`, as the page's table has them.
    `prompt_flags`: the same, after the prompt. `extra_body`: the ratio as in the page's examples.
    `image_config`: the ratio and the tier as OpenRouter wants them.
    """

    name: str
    literal_keys: bool = False
    prompt_flags: bool = False
    extra_body: bool = False
    image_config: bool = False


DIALECTS: Final = {
    dialect.name: dialect
    for dialect in (
        Dialect("documented", literal_keys=True, extra_body=True),
        Dialect("extra_body", extra_body=True),
        Dialect("prompt_flags", prompt_flags=True, extra_body=True),
        Dialect("openrouter", image_config=True),
    )
}
# ISO 4217, and the relays that sell credits.
CURRENCIES: Final = (
    "USD",
    "EUR",
    "CNY",
    "GBP",
    "JPY",
    "KRW",
    "INR",
    "BRL",
    "CAD",
    "AUD",
    "CHF",
    "TWD",
    "HKD",
    "credits",
)
MODEL_NAMES: Final = tuple(model.name for model in MODELS)
MOST_INPUTS: Final = max(model.input_limit for model in MODELS)

_BY_NAME: Final = {model.name: model for model in MODELS}
# The 2K and 4K tiers are the 1K sizes times two and four.
_TIER_SCALE: Final = {"1K": 1, "2K": 2, "4K": 4}


def input_limit(model: str) -> int:
    """How many input images `model` takes; a model added in the settings is given the largest documented limit."""
    known = _BY_NAME.get(model)
    return known.input_limit if known else MOST_INPUTS


def name_and_size(model: str) -> tuple[str, str]:
    """A model added in the settings may carry its size: `google/gemini-3-pro-image 4K` gives its name and `4K`.

    The name is what is sent as `model`; the size is empty where none is given.
    """
    name, _, size = model.rpartition(" ")
    return (name.strip(), size) if name.strip() and size in _TIER_SCALE else (model, "")


def _tier(model: str) -> str:
    """A key of the size table, or an empty text if the model's size isn't known."""
    known = _BY_NAME.get(model)
    return known.tier if known else name_and_size(model)[1]


def expected_size(model: str, aspect_ratio: str) -> tuple[int, int] | None:
    """(width, height) in pixels that `model` is published to return, or None if it isn't documented."""
    tier = _tier(model)
    if not tier or aspect_ratio not in ASPECT_RATIOS:
        return None
    column = ASPECT_RATIOS.index(aspect_ratio)
    if tier in _SIZES:
        return _SIZES[tier][column]
    width, height = _SIZES["1K"][column]
    scale = _TIER_SCALE[tier]
    return width * scale, height * scale


def image_size(model: str) -> str | None:
    """The tier as OpenRouter's `image_size` names it (`1K`, `2K`, `4K`), or None if it has none for the model."""
    tier = _tier(model)
    return tier if tier in _TIER_SCALE else None


def ratio_value(aspect_ratio: str) -> float:
    """`16:9` as the number 16 / 9."""
    width, height = aspect_ratio.split(":")
    return int(width) / int(height)


def nearest_ratio(width: int, height: int) -> str:
    """The documented ratio nearest to `width` x `height` pixels (both >= 1), measured on a logarithmic scale.

    On that scale, too wide and too tall by the same factor are equally far off.
    """
    wanted = math.log(width / height)
    return min(ASPECT_RATIOS, key=lambda ratio: abs(math.log(ratio_value(ratio)) - wanted))


def size_warning(model: str, aspect_ratio: str, width: int, height: int) -> str | None:
    """What differs between the image that came (`width` x `height` pixels) and the one asked for, or None.

    The ratio may be off by 3 %. The tier is compared by the longer side, which may be a quarter shorter or a third
    longer: tiers lie a factor of two apart, so a wrong tier is reported and a few pixels more or less are not.
    """
    wanted = ratio_value(aspect_ratio) if aspect_ratio in ASPECT_RATIOS else None
    if wanted is not None and abs(width / height / wanted - 1) > RATIO_TOLERANCE:
        return f"Asked for {aspect_ratio}, got {width} x {height}."
    expected = expected_size(model, aspect_ratio)
    if expected is not None:
        scale = max(width, height) / max(expected)
        if not 0.75 <= scale <= 1.34:
            return f"Asked for about {expected[0]} x {expected[1]} ({model}), got {width} x {height}."
    return None
