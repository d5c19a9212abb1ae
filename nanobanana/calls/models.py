"""What a node orders, what names it, and what comes of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from ..errors import Billed, NanoBananaError
from ..image_request import ImageRequest
from ..imaging.codec import DecodedImage
from ..settings.profile import Profile
from .inputs import InputImages

# Raise it when the meaning of a field changes: images of the older meaning are then no longer found.
_FINGERPRINT_VERSION = "nanobanana-request-1"
_FIRST_FIELDS = ("model", "aspect_ratio", "output_format", "prompt", "seed")


@dataclass(frozen=True)
class Order:
    """One image a variation. `run` names one execution of a graph by a person: within it nothing is sent twice.

    `want_float`: whether the images that come are wanted as `DecodedImage.as_float` too.
    """

    profile: Profile
    request: ImageRequest
    run: str
    inputs: InputImages | None = None
    want_float: bool = False


Source = Literal["gateway", "journal"]


@dataclass(frozen=True)
class DeliveredImage:
    """One image. `id`: its name in the history, empty when it could not be saved. `bytes`: the file's length."""

    image: DecodedImage
    id: str
    url: str
    bytes: int


@dataclass(frozen=True)
class Outcome:
    """How one call ended: images, or an error, or both when an answer held several and some could not be had.

    `billed`: what this run's call cost: `no` for an image from the history. `seconds`: from claim to image.
    """

    variation: int
    images: tuple[DeliveredImage, ...] = ()
    error: NanoBananaError | None = None
    source: Source = "gateway"
    billed: Billed = "no"
    text: str = ""
    request_id: str = ""
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


def fingerprint(request: ImageRequest, dialect: str, base_url: str, image_digests: Sequence[str]) -> str:
    """64 hexadecimal digits (SHA-256) over everything that shapes the image: equal requests give the same.

    `base_url`: as `normalise_base_url` gives it. `image_digests`: one of shape and pixels for each input image, the
    mask among them, in order. Neither the key nor the number of the variation is part of it.

    The values are encoded as JSON with every non-ASCII character escaped: no two different requests have the same
    text, whatever separators, quotes or lone surrogates a prompt holds.
    """
    values: list[object] = [
        _FINGERPRINT_VERSION,
        request.model,
        dialect,
        request.aspect_ratio,
        request.output_format,
        request.prompt,
        list(image_digests),
        None,
        request.seed,
        base_url,
    ]
    later = {
        field.name: value
        for field in fields(request)
        if field.name not in _FIRST_FIELDS and (value := getattr(request, field.name)) != field.default
    }
    text = json.dumps([*values, later] if later else values, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
