"""What NanoBanana Generate does when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..nanobanana.calls.models import Order
from ..nanobanana.calls.validation import check_choices, checked_prompt
from ..nanobanana.imaging.codec import DecodedImage
from . import _inputs
from ._host import io
from ._info import info_json
from ._runs import Job
from ._services import runs
from ._tensors import to_image, to_mask

if TYPE_CHECKING:
    from ._tensors import Tensor


async def generate(
    node_id: str,
    prompt: str,
    model: str,
    aspect_ratio: str,
    output_format: str,
    count: int,
    seed: int,
    connection: str | None,
) -> io.NodeOutput:
    """One execution of the node `node_id`; the other arguments are its inputs. Its calls run before the first await."""

    def prepare(run: str) -> Job:
        profile = _inputs.chosen_profile(connection)
        check_choices(profile, model, aspect_ratio, output_format, count)
        checked = checked_prompt(prompt, profile)
        order = Order(profile, model, checked, aspect_ratio, output_format, seed, run, want_float=True)
        return Job(order, count, image_and_mask)

    # Begun before the first await: the host may hand the loop to a blocking node right after.
    execution = runs().begin(node_id, prepare)
    result = await execution.result()
    info = info_json(result, model=model, aspect_ratio=aspect_ratio, output_format=output_format)
    return io.NodeOutput(result.images, result.masks, result.text, info)


def image_and_mask(image: DecodedImage) -> tuple[Tensor, Tensor]:
    """IMAGE [1,H,W,3] and MASK [1,H,W] of a decoded image."""
    return to_image(image), to_mask(image.alpha, image.height, image.width)
