"""NanoBanana Generate: a prompt in, images out."""

from __future__ import annotations

from . import _inputs
from ._host import io, queued_at, schema
from ._services import runs


class NanoBananaGatewayGenerate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="NanoBananaGatewayGenerate",
            display_name="NanoBanana Generate",
            category=_inputs.CATEGORY,
            description="Makes images from a prompt with a NanoBanana model behind your own gateway. "
            "Every image that was paid for is saved: the same inputs and seed cost nothing a second time.",
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
                _inputs.prompt_input("What the image shows, in any language; it may be long.", "Describe the image"),
                _inputs.model_input(),
                _inputs.aspect_ratio_input(auto=False),
                *_inputs.closing_inputs(),
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
        model: str,
        aspect_ratio: str,
        output_format: str,
        count: int,
        seed: int,
        connection: str | None = None,
        on_failure: str = _inputs.STOP,
    ) -> io.NodeOutput:
        # Imported when the node first runs: the host waits for imports when it starts.
        from ..nanobanana.calls.models import Order, check_choices, checked_prompt
        from ..nanobanana.image_request import ImageRequest
        from ._runs import Job
        from ._tensors import image_and_mask

        def prepare(run: str) -> Job:
            profile = _inputs.chosen_profile(connection)
            request = ImageRequest(model, checked_prompt(prompt, profile), aspect_ratio, output_format, seed)
            check_choices(profile, request, count)
            order = Order(profile, request, run, want_float=True, queued_at=queued_at(run))
            return Job(order, count, image_and_mask)

        return await _inputs.outputs(str(cls.hidden.unique_id), prepare, on_failure)
