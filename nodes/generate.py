"""NanoBanana Generate: a prompt in, images out.

What it does is in `_generating`, which is imported when the node first runs: the host waits for imports when it starts.
"""

from __future__ import annotations

from . import _inputs
from ._host import io, schema
from ._services import runs


class NanoBananaGatewayGenerate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="NanoBananaGatewayGenerate",
            display_name="NanoBanana Generate",
            category=_inputs.CATEGORY,
            description="Makes images from a prompt with a NanoBanana model behind your own gateway. "
            "Every image that was paid for is kept: the same inputs and seed cost nothing a second time.",
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
    ) -> io.NodeOutput:
        from ._generating import generate

        return await generate(
            str(cls.hidden.unique_id), prompt, model, aspect_ratio, output_format, count, seed, connection
        )
