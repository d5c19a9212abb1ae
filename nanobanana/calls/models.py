"""What a node orders, the checks of an order, its fingerprint, and its outcome."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from ..catalog import ASPECT_RATIOS, MODEL_NAMES, MOST_COUNT, OUTPUT_FORMATS, input_limit
from ..errors import Billed, InputError, NanoBananaError
from ..image_request import ImageRequest
from ..imaging.codec import DecodedImage
from ..imaging.payload import InputImages
from ..settings.profile import Profile
from ..settings.redaction import looks_like_key

# Raise it when the meaning of a field changes: images with the old meaning are then no longer found.
_FINGERPRINT_VERSION = "nanobanana-request-1"
_SHAPING = ("system_message", "prompt_prefix", "body_fields")
_FIRST_FIELDS = ("model", "aspect_ratio", "output_format", "prompt", "seed")


@dataclass(frozen=True)
class Order:
    """One image a variation. `run` names one execution of a graph by a person: within it nothing is sent twice.

    `want_float`: whether `DecodedImage.as_float` is wanted too. `queued_at`: when the person decided, in Unix seconds:
    what failed after that, and may have been billed, isn't sent again either, since they couldn't know of it.
    """

    profile: Profile
    request: ImageRequest
    run: str
    inputs: InputImages | None = None
    want_float: bool = False
    queued_at: float = math.inf


Source = Literal["gateway", "journal"]


@dataclass(frozen=True)
class DeliveredImage:
    """One image. `id`: its name in the history. `bytes`: the file's length.

    An image that could not be saved has no `id`, and its file's bytes are in `unsaved`.
    """

    image: DecodedImage
    id: str
    url: str
    bytes: int
    unsaved: bytes = b""


@dataclass(frozen=True)
class Outcome:
    """How one call ended: images, or an error, or both if an answer held several and some could not be fetched.

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


def fingerprint(request: ImageRequest, profile: Profile, image_digests: Sequence[str]) -> str:
    """64 hexadecimal digits (SHA-256) over everything that shapes the image: equal requests give the same.

    `profile`: its base URL, its dialect, and what it adds to requests count. `image_digests`: the digest of each input
    image's shape and pixels,
    in order, the mask included. Neither the key nor the number of the variation is part of it.

    The values are encoded as JSON with every non-ASCII character escaped: no two different requests have the same
    text, whatever separators, quotes or lone surrogates a prompt holds.
    """
    values: list[object] = [
        _FINGERPRINT_VERSION,
        request.model,
        profile.dialect,
        request.aspect_ratio,
        request.output_format,
        request.prompt,
        list(image_digests),
        None,
        request.seed,
        profile.base_url,
    ]
    later = {
        field.name: value
        for field in fields(request)
        if field.name not in _FIRST_FIELDS and (value := getattr(request, field.name)) != field.default
    }
    # Only where they are used: calls of profiles without them keep their fingerprint.
    later |= {name: value for name in _SHAPING if (value := getattr(profile, name))}
    text = json.dumps([*values, later] if later else values, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def checked_prompt(prompt: str, profile: Profile) -> str:
    """`prompt`, unless it is blank or holds a key. Raises `InputError`."""
    if not prompt.strip():
        raise InputError("The prompt is empty.", "Describe the image in the prompt, then run again.")
    shown = looks_like_key(prompt, profile.secrets)
    if shown:
        raise InputError(
            f"The prompt holds something that looks like a secret key ({shown}); nothing was sent.",
            "Take it out of the prompt: prompts are saved in workflows and images, and are sent to the gateway.",
        )
    return prompt


def check_choices(profile: Profile, request: ImageRequest, count: int) -> None:
    """Raise `InputError` for a model, ratio, format or count that isn't offered."""
    model, aspect_ratio, output_format = request.model, request.aspect_ratio, request.output_format
    known = [*MODEL_NAMES, *profile.extra_models]
    if model not in known:
        raise InputError(
            f"The model {model!r} is not known.",
            f"Choose one of {', '.join(known)}, or add it to the extra models in Settings > NanoBanana.",
        )
    if aspect_ratio not in ASPECT_RATIOS:
        raise InputError(
            f"The aspect ratio {aspect_ratio!r} is not offered.", f"Choose one of {', '.join(ASPECT_RATIOS)}."
        )
    if output_format not in OUTPUT_FORMATS:
        raise InputError(f"The format {output_format!r} is not offered.", f"Choose one of {', '.join(OUTPUT_FORMATS)}.")
    if not 1 <= count <= MOST_COUNT:
        raise InputError(f"The count is {count}.", f"Choose 1 to {MOST_COUNT}.")


def check_image_count(model: str, images: int) -> None:
    """Raise `InputError` if `model` doesn't take that many input images."""
    limit = input_limit(model)
    if images > limit:
        raise InputError(
            f"{images} images are wired, and {model} takes at most {limit}.",
            "Take images away (a batch counts as that many images), or choose a model that takes more.",
        )
