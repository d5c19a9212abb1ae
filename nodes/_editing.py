"""What NanoBanana Edit does when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..nanobanana.catalog import nearest_ratio
from ..nanobanana.checks import check_choices, check_picture_count, checked_prompt
from ..nanobanana.errors import InputError
from ..nanobanana.imaging.codec import Picture
from ..nanobanana.imaging.masking import MaskedEdit
from ..nanobanana.imaging.sources import PixelSource
from ..nanobanana.inputs import SharedInputs
from ..nanobanana.orders import Order
from . import _inputs
from ._generating import image_and_mask
from ._host import io
from ._info import info_json
from ._runs import Convert, Job
from ._studio import runs
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
        pictures = wired_pictures(images)
        first = pictures[0]
        if aspect_ratio == "auto":
            sent_ratio = nearest_ratio(first.width, first.height)
        check_choices(profile, model, sent_ratio, output_format, count)
        array = None if mask is None else mask_array(mask, first.height, first.width)
        sent: list[PixelSource] = list(pictures)
        convert: Convert = image_and_mask
        if array is not None:
            masked = MaskedEdit(first, array, sent_ratio, mask_number=len(pictures) + 1)
            sent = [masked.picture, *pictures[1:], masked.mask_picture]
            checked = f"{checked}\n\n{masked.sentence}"
            convert = inside_mask(_wired(images)[0], masked)
        check_picture_count(model, len(sent))
        # A masked edit is put together from the levels.
        values = array is None
        order = Order(profile, model, checked, sent_ratio, output_format, seed, run, SharedInputs(sent), values)
        return Job(order, count, convert)

    # Begun before the first await: the host may hand the loop to a blocking node right after.
    execution = runs().begin(node_id, prepare)
    result = await execution.result()
    info = info_json(result, model=model, aspect_ratio=sent_ratio, output_format=output_format)
    return io.NodeOutput(result.images, result.masks, result.text, info)


def wired_pictures(images: dict[str, Any]) -> list[TensorSource]:
    """The pictures of all wired inputs, in the inputs' order; a batch counts as that many. Raises `InputError`."""
    pictures: list[TensorSource] = []
    for image in _wired(images):
        pictures.extend(sources(image, first=len(pictures) + 1))
    if not pictures:
        raise InputError("No picture is wired.", "Connect at least one IMAGE to image_1.")
    return pictures


def _wired(images: dict[str, Any]) -> list[Tensor]:
    return [images[name] for name in _inputs.PICTURE_NAMES if images.get(name) is not None]


def inside_mask(image: Tensor, masked: MaskedEdit) -> Convert:
    """How an answer becomes IMAGE and MASK: its pixels go into `image`, the first picture, where the mask allows it."""

    def convert(picture: Picture) -> tuple[Tensor, Tensor]:
        result = composite(image, masked.weights(), masked.fitted(picture))
        return result, to_mask(None, result.shape[1], result.shape[2])

    return convert
