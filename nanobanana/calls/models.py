"""What a node orders and what it gets: the values around the client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..errors import Billed, NanoBananaError
from ..imaging.codec import DecodedImage
from ..settings.store import Profile
from .inputs import InputImages


@dataclass(frozen=True)
class Order:
    """One image a variation. `run` names one execution of a graph by a person: within it nothing is sent twice.

    `want_float`: whether the images that come are wanted as `DecodedImage.as_float` too.
    """

    profile: Profile
    model: str
    prompt: str
    aspect_ratio: str
    output_format: str
    seed: int
    run: str
    inputs: InputImages | None = None
    want_float: bool = False


Source = Literal["gateway", "journal"]


@dataclass(frozen=True)
class DeliveredImage:
    """One image. `id`: its name in the history, empty when it could not be kept. `bytes`: the file's length."""

    image: DecodedImage
    id: str
    url: str
    bytes: int


@dataclass(frozen=True)
class Outcome:
    """How one call ended: images, or an error, or both when an answer held several and some could not be had.

    `billed`: what this run's call cost: `no` for an image from the journal. `seconds`: from claim to image.
    """

    variation: int
    images: tuple[DeliveredImage, ...] = ()
    error: NanoBananaError | None = None
    source: Source = "gateway"
    billed: Billed = "no"
    text: str = ""
    request_id: str = ""
    seconds: float = 0.0
    warnings: tuple[str, ...] = field(default=())
