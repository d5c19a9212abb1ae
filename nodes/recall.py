"""NanoBanana Recall: an image from the history, offline."""

from __future__ import annotations

import json

from ..nanobanana.errors import InputError
from ._host import io, schema
from ._inputs import CATEGORY
from ._services import journal


class NanoBananaGatewayRecall(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="NanoBananaGatewayRecall",
            display_name="NanoBanana Recall",
            category=CATEGORY,
            description="Takes an image that was paid for out of the history. Needs no gateway and costs nothing.",
            search_aliases=["nano banana", "history", "journal", "load generated", "recall"],
            inputs=[
                io.String.Input(
                    "picture",
                    default="",
                    placeholder="An id from the NanoBanana history",
                    tooltip="The image's id. Load into graph, in the NanoBanana history, fills it in.",
                )
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="The image as it came."),
                io.Mask.Output("mask", display_name="mask", tooltip="1 where the image is transparent, else all zero."),
                io.String.Output("info", display_name="info", tooltip="JSON: what was asked and what came."),
            ],
        )

    @classmethod
    def execute(cls, picture: str) -> io.NodeOutput:
        # Imported when the node first runs: the host waits for imports when it starts.
        from ..nanobanana.imaging.codec import decode
        from ..nanobanana.imaging.masking import without_sentence
        from ._tensors import to_image, to_mask

        if not picture.strip():
            raise InputError("No image is named.", "Open the NanoBanana history and choose Load into graph.")
        kept = journal().image(picture.strip())
        call = journal().call(kept.call_id)
        if call is None:
            raise InputError("This image was cleared from the history a moment ago.", "Choose another one.")
        request = call.details.request
        decoded = decode(journal().read(kept), want_float=True)
        info: dict[str, object] = {
            "model": request.model,
            "prompt": without_sentence(request.prompt),
            "ratio": request.aspect_ratio,
            "format": request.output_format,
            "pixels": f"{decoded.width}x{decoded.height}",
            "url": kept.url,
            "request_id": call.request_id,
            "seconds": call.seconds,
            "bytes": kept.bytes,
            "billed": "no",
            "source": "journal",
            "warnings": [],
        }
        about = json.dumps(info, ensure_ascii=False, indent=1)
        return io.NodeOutput(to_image(decoded), to_mask(decoded.alpha, decoded.height, decoded.width), about)
