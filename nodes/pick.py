"""NanoBanana Pick: many images in, those that a person has clicked out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..nanobanana.errors import InputError
from ._host import blocker, io, page_sender, run_id, schema, workflow_id
from ._inputs import CATEGORY

if TYPE_CHECKING:
    from ._tensors import Tensor

_SIDE = 256
_MOST_TILES = 64


def read_numbers(text: str) -> list[int]:
    """The numbers of "1, 3" in their order, each once. Raises `InputError` for anything else."""
    words = text.replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() and 0 < len(word) < 7 and int(word) for word in words):
        raise InputError(
            f"{text!r} doesn't name images.", "Click the images on the node, or write numbers such as 1, 3."
        )
    return list(dict.fromkeys(map(int, words)))


class NanoBananaGatewayPick(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="NanoBananaGatewayPick",
            display_name="NanoBanana Pick",
            category=CATEGORY,
            description="Shows the images that come and gives on those that you click. Until you choose, what lies "
            "behind waits; another choice runs only what lies behind, and buys nothing.",
            search_aliases=["nano banana", "choose image", "select image", "image picker", "pick"],
            inputs=[
                io.Image.Input("images", tooltip="A list or a batch of images, such as the variations of one prompt."),
                io.String.Input(
                    "chosen",
                    default="",
                    placeholder="Run once, then click images",
                    tooltip="The numbers of the chosen images, such as 1, 3. A click on an image fills it in.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image",
                    display_name="image",
                    is_output_list=True,
                    tooltip="The chosen images, in the order chosen.",
                )
            ],
            hidden=[io.Hidden.unique_id],
            is_input_list=True,
        )

    @classmethod
    def execute(cls, images: list[Tensor], chosen: list[str]) -> io.NodeOutput:
        # Imported when the node first runs: the host waits for imports when it starts.
        from ._events import tile, told
        from ._tensors import levels

        each = [image[at : at + 1] for image in images for at in range(len(image))]
        numbers = read_numbers(chosen[0] if chosen else "")
        run = run_id()
        address = {"node": str(cls.hidden.unique_id), "run": run, "workflow": workflow_id(run)}
        event = {**address, "count": len(each), "tiles": [tile(levels(one), _SIDE) for one in each[:_MOST_TILES]]}
        told.note("tiles", event)
        page_sender()("nanobanana.tiles", event)
        picked = [each[number - 1] for number in numbers if number <= len(each)]
        return io.NodeOutput(picked or blocker())
