"""What a node orders and what it gets: the values around the client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ..cancel import CancelToken
from ..errors import Billed, NanoBananaError
from ..imaging.codec import DecodedImage
from ..imaging.payload import FittedImages, PayloadLimits
from ..settings.store import Profile


class InputImages(Protocol):
    """The images that go with an order. One object serves all calls of a node, so each is digested and encoded once.

    Both methods may be called from several threads at a time, and may raise `InputError` for pixels that are no
    numbers, `ImageError` and `Cancelled`.
    """

    def digests(self, cancel: CancelToken) -> Sequence[str]:
        """One digest an image, mask included: everything about the images that shapes the answer."""
        ...

    def fitted(self, limits: PayloadLimits, cancel: CancelToken) -> FittedImages:
        """The images as files that fit into `limits`."""
        ...

    def __len__(self) -> int:
        """How many images are sent."""
        ...


@dataclass(frozen=True)
class Order:
    """One image a variation. `run` names one execution of a graph by a person: within it nothing is sent twice.

    `values`: whether the images that come are wanted as `DecodedImage.values` too.
    """

    profile: Profile
    model: str
    prompt: str
    aspect_ratio: str
    output_format: str
    seed: int
    run: str
    inputs: InputImages | None = None
    values: bool = False


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
