"""The simulator's images: the right pixels, the prompt's text, and for edits the input images.

Made to be told apart at a glance from anything that a model made: SIMULATED stands across each of them.
"""

from __future__ import annotations

import colorsys
import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .lettering import legible, wrapped

# The scene is drawn at this many pixels on its longer side and scaled up: it is soft anyway, and a 4K one stays cheap.
_SCENE_SIDE = 600
# Published sizes differ from their ratio by up to 3 %: an image that near is stretched, another one is cropped.
_RATIO_TOLERANCE = 0.03

Plane: TypeAlias = NDArray[np.floating]


@dataclass(frozen=True)
class Subject:
    """What one image shows. `sequence` tells equal orders apart; `inputs` are RGB; `size` is (width, height)."""

    prompt: str
    model: str
    ratio: str
    size: tuple[int, int]
    sequence: int = 1
    inputs: tuple[Image.Image, ...] = ()


def paint(subject: Subject) -> Image.Image:
    """The image as RGB of `subject.size`; the same subject gives the same pixels."""
    scene, crescent = _scene(_seed(subject), *_scene_size(subject.size), bool(subject.inputs))
    canvas = scene.resize(subject.size, Image.Resampling.BILINEAR)
    if subject.inputs:
        first = _covering(subject.inputs[0], subject.size)
        canvas = Image.blend(first, canvas, 0.33)
        # What the edit adds: a crescent that stands out from any image.
        canvas.paste((255, 226, 112), (0, 0), crescent.resize(subject.size, Image.Resampling.BILINEAR))
        _insets(canvas, subject.inputs[1:])
    _inscribe(canvas, subject)
    return canvas


def _seed(subject: Subject) -> int:
    text = f"{subject.prompt}\0{subject.model}\0{subject.ratio}\0{subject.sequence}"
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def _scene_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, _SCENE_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@lru_cache(maxsize=32)
def _scene(seed: int, width: int, height: int, sky_only: bool) -> tuple[Image.Image, Image.Image]:
    """A sky with a crescent over rows of hills, in colours that the seed picks, and the crescent's mask.

    With `sky_only` there are neither hills nor a crescent in it: a tint for input images.
    """
    random = np.random.default_rng(seed)
    hue = float(random.random())
    unit = width / height
    x = np.arange(width, dtype=np.float32)[None, :] / np.float32(width)
    y = np.arange(height, dtype=np.float32)[:, None] / np.float32(height)
    canvas = Image.new("RGB", (width, height), _colour(hue, 0.62, 0.46))
    horizon = _colour(hue + 0.12 + 0.1 * float(random.random()), 0.45, 0.98)
    canvas.paste(horizon, (0, 0), _mask(y * 1.25 + 0.12 * (x - 0.5)))
    # The crescent: a disc less another one, with edges as soft as one pixel of the finished image.
    centre_x, centre_y = 0.62 + 0.22 * float(random.random()), 0.24 + 0.08 * float(random.random())
    radius = 0.13 * min(1.0, unit)
    disc = _disc(x * unit, y, centre_x * unit, centre_y, radius)
    bite = _disc(x * unit, y, centre_x * unit - radius * 0.45, centre_y - radius * 0.32, radius * 0.92)
    crescent = _mask(disc * (1 - bite))
    if sky_only:
        return canvas, crescent
    glow = np.exp(-(((x - centre_x) * unit) ** 2 + (y - centre_y) ** 2) / (6 * radius**2))
    canvas.paste((255, 255, 255), (0, 0), _mask(glow * np.float32(0.3)))
    canvas.paste(_colour(0.135, 0.42, 1.0), (0, 0), crescent)
    for row in range(4):
        line = np.full_like(x, 0.52 + 0.13 * row)
        for wave in range(3):
            frequency = (1.1 + wave * 1.7 + float(random.random())) * max(unit, 0.6)
            line -= (0.062 / (wave + 1)) * np.sin(2 * math.pi * (frequency * x + float(random.random())))
        shade = _colour(hue + 0.06 - 0.025 * row, 0.42 + 0.08 * row, 0.74 - 0.15 * row)
        top = min(height - 1, max(0, int(line.min() * height) - 1))
        canvas.paste(shade, (0, top), _mask((y[top:] - line) * np.float32(height / 1.5) + np.float32(0.5)))
    return canvas, crescent


def _mask(plane: Plane) -> Image.Image:
    """A plane of 0..1, clamped, as a mask of 0..255."""
    return Image.fromarray((_unit(plane) * np.float32(255) + np.float32(0.5)).astype(np.uint8))


def _unit(plane: Plane) -> Plane:
    return np.minimum(np.maximum(plane, np.float32(0)), np.float32(1))


def _colour(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _disc(x: Plane, y: Plane, centre_x: float, centre_y: float, radius: float) -> Plane:
    distance = np.sqrt((x - centre_x) ** 2 + (y - centre_y) ** 2)
    return _unit((radius - distance) * np.float32(y.shape[0] / 1.5) + np.float32(0.5))


def _insets(canvas: Image.Image, images: tuple[Image.Image, ...]) -> None:
    """The further input images, framed, in rows between the title and the prompt."""
    if not images:
        return
    width, height = canvas.size
    columns = min(len(images), 5 if width >= height else 3)
    rows = math.ceil(len(images) / columns)
    gap = max(2, min(width, height) // 60)
    top = int(height * 0.24)
    box = (
        max(8, (width - gap * (columns + 1)) // max(columns, 2)),
        max(8, (int(height * 0.42) - gap * (rows - 1)) // rows),
    )
    for index, image in enumerate(images):
        inset = ImageOps.contain(image, box, Image.Resampling.BILINEAR)
        framed = ImageOps.expand(inset, max(1, gap // 4), (255, 255, 255))
        column, row = index % columns, index // columns
        canvas.paste(framed, (gap + column * (box[0] + gap), top + row * (box[1] + gap)))


def _covering(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    ratio = (image.width / image.height) / (size[0] / size[1])
    if abs(ratio - 1) <= _RATIO_TOLERANCE:
        return image.resize(size, Image.Resampling.BICUBIC)
    return ImageOps.fit(image, size, Image.Resampling.BICUBIC)


def _inscribe(canvas: Image.Image, subject: Subject) -> None:
    width, height = canvas.size
    margin = max(4, min(width, height) // 24)
    title = ImageFont.load_default(_title_size(width - 2 * margin, height))
    shadow = max(1, round(_size(title) / 22))
    draw = ImageDraw.Draw(canvas)
    draw.text((margin + shadow, margin + shadow), "SIMULATED", fill=(20, 24, 40), font=title)
    draw.text((margin, margin), "SIMULATED", fill=(255, 255, 255), font=title)
    text, sized = legible(subject.prompt)
    # Longer prompts get smaller letters, so that most of them fit.
    letters = max(9, round(math.sqrt(width * height) / (17 if len(text) < 60 else 24 if len(text) < 240 else 32)))
    font = sized(letters)
    lines = wrapped(text, font, width - 4 * margin, max(2, int(height * 0.34 / (letters * 1.3))))
    facts = f"{subject.model}   {subject.ratio}   {width}x{height}   #{subject.sequence}"
    if subject.inputs:
        facts += f"   from {len(subject.inputs)} image{'s' * (len(subject.inputs) > 1)}"
    small = _fitting(facts, max(8, round(letters * 0.6)), width - 4 * margin)
    panel_height = round(len(lines) * letters * 1.3 + _size(small) * 1.7 + margin)
    box = (margin, height - margin - panel_height, width - margin, height - margin)
    _panel(canvas, box, max(2, margin // 2))
    x, y = box[0] + margin // 2 + margin // 4, box[1] + margin // 2
    for line in lines:
        draw.text((x, y), line, fill=(255, 255, 255), font=font)
        y += round(letters * 1.3)
    draw.text((x, y + _size(small) * 0.3), facts, fill=(205, 214, 235), font=small)


def _title_size(width: int, height: int) -> int:
    probe = ImageFont.load_default(100)
    return max(10, int(min(100 * width * 0.8 / probe.getlength("SIMULATED"), height * 0.16)))


def _fitting(text: str, size: int, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    font = ImageFont.load_default(size)
    length = font.getlength(text)
    return font if length <= width else ImageFont.load_default(max(6, int(size * width / length)))


def _size(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> float:
    return font.size if isinstance(font, ImageFont.FreeTypeFont) else 11


def _panel(canvas: Image.Image, box: tuple[int, int, int, int], radius: int) -> None:
    part = canvas.crop(box)
    mask = Image.new("L", part.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, part.width - 1, part.height - 1), radius, fill=240)
    canvas.paste(Image.new("RGB", part.size, (14, 18, 34)), box, mask)
