"""What NanoBanana Edit does when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..nanobanana.calls.inputs import InputImages
from ..nanobanana.calls.models import Order
from ..nanobanana.calls.validation import check_choices, check_image_count, checked_prompt
from ..nanobanana.catalog import nearest_ratio
from ..nanobanana.errors import InputError
from ..nanobanana.imaging.codec import DecodedImage
from ..nanobanana.imaging.masking import MaskedEdit
from ..nanobanana.imaging.sources import PixelSource
from . import _inputs
from ._generating import image_and_mask
from ._host import io
from ._info import info_json
from ._runs import Convert, Job
from ._services import runs
from ._tensors import TensorSource, composite, mask_array, sources, to_mask

if TYPE_CHECKING:
    from ._tensors import Tensor


async def edit(
    node_id: str,
    prompt: str,
    images: dict[str, Any],
    model: str,
    aspect_ratio: str,
    output_format: str,
    count: int,
    seed: int,
    mask: Tensor | None,
    connection: str | None,
) -> io.NodeOutput:
    """One execution of the node `node_id`; the other arguments are its inputs. Its calls run before the first await."""
    sent_ratio = aspect_ratio

    def prepare(run: str) -> Job:
        nonlocal sent_ratio
        profile = _inputs.chosen_profile(connection)
        checked = checked_prompt(prompt, profile)
        sent_images = wired_images(images)
        first = sent_images[0]
        if aspect_ratio == "auto":
            sent_ratio = nearest_ratio(first.width, first.height)
        check_choices(profile, model, sent_ratio, output_format, count)
        array = None if mask is None else mask_array(mask, first.height, first.width)
        sent: list[PixelSource] = list(sent_images)
        convert: Convert = image_and_mask
        if array is not None:
            masked = MaskedEdit(first, array, sent_ratio, mask_number=len(sent_images) + 1)
            sent = [masked.image, *sent_images[1:], masked.mask_image]
            checked = f"{checked}\n\n{masked.sentence}"
            convert = inside_mask(_wired(images)[0], masked)
        check_image_count(model, len(sent))
        # A masked edit is put together from the levels.
        want_float = array is None
        order = Order(profile, model, checked, sent_ratio, output_format, seed, run, InputImages(sent), want_float)
        return Job(order, count, convert)

    # Begun before the first await: the host may hand the loop to a blocking node right after.
    execution = runs().begin(node_id, prepare)
    result = await execution.result()
    info = info_json(result, model=model, aspect_ratio=sent_ratio, output_format=output_format)
    return io.NodeOutput(result.images, result.masks, result.text, info)


def wired_images(images: dict[str, Any]) -> list[TensorSource]:
    """The images of all wired inputs, in the inputs' order; a batch counts as that many. Raises `InputError`."""
    sent_images: list[TensorSource] = []
    for image in _wired(images):
        sent_images.extend(sources(image, first=len(sent_images) + 1))
    if not sent_images:
        raise InputError("No image is wired.", "Connect at least one IMAGE to image_1.")
    return sent_images


def _wired(images: dict[str, Any]) -> list[Tensor]:
    return [images[name] for name in _inputs.IMAGE_NAMES if images.get(name) is not None]


def inside_mask(image: Tensor, masked: MaskedEdit) -> Convert:
    """How an answer becomes IMAGE and MASK: its pixels go into `image`, the first image, where the mask allows it."""

    def convert(answer: DecodedImage) -> tuple[Tensor, Tensor]:
        result = composite(image, masked.weights(), masked.fitted(answer))
        return result, to_mask(None, result.shape[1], result.shape[2])

    return convert
