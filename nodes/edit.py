"""NanoBanana Edit: images and a prompt in, images out; with a mask, only what it marks changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..nanobanana.errors import InputError
from . import _inputs
from ._host import io, queued_at, schema
from ._services import runs

if TYPE_CHECKING:
    from ..nanobanana.imaging.sources import PixelSource
    from ._runs import Convert
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
                _inputs.on_failure_input(),
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
        on_failure: str = _inputs.STOP,
    ) -> io.NodeOutput:
        # Imported when the node first runs: the host waits for imports when it starts.
        from ..nanobanana.calls.models import Order, check_choices, check_image_count, checked_prompt
        from ..nanobanana.catalog import nearest_ratio
        from ..nanobanana.image_request import ImageRequest
        from ..nanobanana.imaging.masking import MaskedEdit
        from ..nanobanana.imaging.payload import InputImages
        from ._runs import Job
        from ._tensors import image_and_mask, inside_mask, levels, mask_array, sources

        def prepare(run: str) -> Job:
            profile = _inputs.chosen_profile(connection)
            said = checked_prompt(prompt, profile)
            wired = [images[name] for name in _inputs.IMAGE_NAMES if images.get(name) is not None]
            inputs: list[PixelSource] = []
            for image in wired:
                inputs += sources(image, first=len(inputs) + 1)
            if not inputs:
                raise InputError("No image is wired.", "Connect at least one IMAGE to image_1.")
            first = inputs[0]
            ratio = nearest_ratio(first.width, first.height) if aspect_ratio == "auto" else aspect_ratio
            marked = None if mask is None else mask_array(mask, first.height, first.width)
            convert: Convert = image_and_mask
            if marked is not None:
                edit = MaskedEdit(first, marked, ratio, mask_number=len(inputs) + 1)
                inputs = [edit.image, *inputs[1:], edit.mask_image]
                said = f"{said}\n\n{edit.sentence}"
                convert = inside_mask(wired[0], edit)
            request = ImageRequest(model, said, ratio, output_format, seed)
            check_choices(profile, request, count)
            check_image_count(model, len(inputs))
            # A masked edit is composited from the 8-bit levels.
            want_float = marked is None
            order = Order(profile, request, run, InputImages(inputs), want_float, queued_at(run))
            return Job(order, count, convert, None if marked is None else levels)

        return await _inputs.outputs(str(cls.hidden.unique_id), prepare, on_failure)
