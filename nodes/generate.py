"""NanoBanana Generate: a prompt in, pictures out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..nanobanana.checks import check_choices, checked_prompt
from ..nanobanana.imaging.codec import Picture
from ..nanobanana.orders import Order
from . import _inputs
from ._host import io, schema
from ._info import info_json
from ._runs import Job
from ._studio import runs
from ._tensors import to_image, to_mask

if TYPE_CHECKING:
    from ._tensors import Tensor


def image_and_mask(picture: Picture) -> tuple[Tensor, Tensor]:
    """IMAGE [1,H,W,3] and MASK [1,H,W] of a decoded picture."""
    height, width = picture.rgb.shape[:2]
    return to_image(picture.rgb), to_mask(picture.alpha, height, width)


class NanoBananaGatewayGenerate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="NanoBananaGatewayGenerate",
            display_name="NanoBanana Generate",
            category=_inputs.CATEGORY,
            description="Makes pictures from a prompt with a NanoBanana model behind your own gateway. "
            "Every picture that was paid for is kept: the same inputs and seed cost nothing a second time.",
            search_aliases=[
                "nano banana",
                "nanobanana",
                "gemini image",
                "gemini flash image",
                "text to image",
                "txt2img",
                "t2i",
                "openai compatible",
                "image api",
            ],
            inputs=[
                _inputs.prompt_input(
                    "What the picture shows, in any language; it may be long.", "Describe the picture"
                ),
                _inputs.model_input(),
                _inputs.aspect_ratio_input(auto=False),
                *_inputs.closing_inputs(),
                _inputs.connection_input(),
            ],
            outputs=_inputs.picture_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> int:
        return runs().incomplete(str(cls.hidden.unique_id))

    @classmethod
    async def execute(
        cls,
        prompt: str,
        model: str,
        aspect_ratio: str,
        output_format: str,
        count: int,
        seed: int,
        connection: str | None = None,
    ) -> io.NodeOutput:
        def prepare(run: str) -> Job:
            profile = _inputs.chosen_profile(connection)
            check_choices(profile, model, aspect_ratio, output_format, count)
            checked = checked_prompt(prompt, profile)
            order = Order(profile, model, checked, aspect_ratio, output_format, seed, run)
            return Job(order, count, image_and_mask)

        # Begun before the first await: the host may hand the loop to a blocking node right after.
        execution = runs().begin(str(cls.hidden.unique_id), prepare)
        result = await execution.result()
        info = info_json(result, model=model, aspect_ratio=aspect_ratio, output_format=output_format)
        return io.NodeOutput(result.images, result.masks, result.text, info)
