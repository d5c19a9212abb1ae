"""NanoBanana Prompt List: one text, many prompts."""

from __future__ import annotations

from ..nanobanana.errors import InputError
from ..nanobanana.image_request import split_prompts
from ._host import io, schema
from ._inputs import CATEGORY


class NanoBananaGatewayPrompts(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="NanoBananaGatewayPrompts",
            display_name="NanoBanana Prompt List",
            category=CATEGORY,
            description="Splits a text into prompts. A node that gets the list runs once for each of them.",
            search_aliases=["nano banana", "prompt list", "batch prompts", "multiple prompts", "prompt lines"],
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    default="",
                    placeholder="One prompt a line, or longer prompts between lines of ---",
                    tooltip="One prompt a line; or, with lines of --- in it, one prompt a block. "
                    "Blank lines and lines that begin with # are left out.",
                )
            ],
            outputs=[
                io.String.Output(
                    "prompt", display_name="prompt", is_output_list=True, tooltip="The prompts, in their order."
                )
            ],
        )

    @classmethod
    def execute(cls, text: str) -> io.NodeOutput:
        prompts = split_prompts(text)
        if not prompts:
            raise InputError("The list holds no prompt.", "Write one prompt a line, or blocks between lines of ---.")
        return io.NodeOutput(prompts)
