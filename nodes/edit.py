"""NanoBanana Edit: images and a prompt in, images out; with a mask, only what it marks changes.

What it does is in `_editing`, which is imported when the node first runs: the host waits for imports when it starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _inputs
from ._host import io, schema
from ._services import runs

if TYPE_CHECKING:
    from ._tensors import Tensor


class NanoBananaGatewayEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        template = io.Autogrow.TemplateNames(
            io.Image.Input("image", tooltip="An image to edit or to refer to. A batch counts as that many images."),
            names=list(_inputs.IMAGE_NAMES),
            min=1,
        )
        return schema(
            node_id="NanoBananaGatewayEdit",
            display_name="NanoBanana Edit",
            category=_inputs.CATEGORY,
            description="Edits an image, or makes a new one from several, with a NanoBanana model behind your own "
            "gateway. With a mask, every pixel outside of it stays exactly as it was.",
            search_aliases=[
                "nano banana",
                "nanobanana",
                "gemini image",
                "gemini edit",
                "image edit",
                "image to image",
                "img2img",
                "i2i",
                "inpaint",
                "reference image",
            ],
            inputs=[
                _inputs.prompt_input(
                    "What to change, or what to make of the images. They are named by their order: the first, "
                    "the second ...",
                    "Describe the edit",
                ),
                io.Autogrow.Input("images", template=template),
                _inputs.model_input(),
                _inputs.aspect_ratio_input(auto=True),
                *_inputs.closing_inputs(),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Belongs to the first image: 1 marks what may change. Every pixel where it is 0 stays "
                    "exactly as it was. A mask of another size is scaled; an all-zero one counts as none.",
                ),
                _inputs.connection_input(),
            ],
            outputs=_inputs.image_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> int:
        return runs().incomplete(str(cls.hidden.unique_id))

    @classmethod
    async def execute(
        cls,
        prompt: str,
        images: io.Autogrow.Type,
        model: str,
        aspect_ratio: str,
        output_format: str,
        count: int,
        seed: int,
        mask: Tensor | None = None,
        connection: str | None = None,
    ) -> io.NodeOutput:
        from ._editing import edit

        return await edit(
            str(cls.hidden.unique_id),
            prompt,
            images,
            model,
            aspect_ratio,
            output_format,
            count,
            seed,
            mask,
            connection,
        )
