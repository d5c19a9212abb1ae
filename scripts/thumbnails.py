"""Makes `example_workflows/<name>.jpg`, what ComfyUI's template browser shows, from each example's own images.

Every example runs in the stand-in for ComfyUI against the simulator, with no key and no network.
Run it with the project's Python: `.venv/bin/python scripts/thumbnails.py`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "demo"))

from outcome import Outcome  # noqa: E402 - the demo's modules are found only now
from stand_in import StandIn  # noqa: E402
from stand_in_runner import StandInRunner  # noqa: E402
from workflow_graph import Graph, read_workflow, to_api_graph  # noqa: E402

SIDE: Final = 512
MOST_BYTES: Final = 60_000
_GAP: Final = 6
_GROUND: Final = (24, 24, 27)

DecodedImage = tuple[int, int]
"""A node's id, and which of its images."""
Line = tuple[float, tuple[DecodedImage, ...]]
"""A share of the height, and the images that stand in it side by side."""

LAYOUTS: Final[dict[str, tuple[Line, ...]]] = {
    "text_to_picture": ((0.5, ((2, 0),)), (0.5, ((2, 1),))),
    "edit_with_references": ((0.38, ((2, 0), (3, 0))), (0.62, ((4, 0),))),
    "edit_with_mask": ((0.38, ((2, 0),)), (0.62, ((6, 0),))),
    "list_of_prompts": ((0.5, ((3, 0), (3, 1))), (0.5, ((3, 2), (3, 3)))),
    "variations": ((0.25, ((2, 0), (2, 1), (2, 2), (2, 3))), (0.375, ((5, 0), (7, 0))), (0.375, ((7, 1), (7, 2)))),
    "upscale_with_a_local_model": ((1.0, ((4, 0),)),),
    "local_model_and_back": ((0.4, ((7, 0), (9, 0))), (0.6, ((13, 0),))),
}
# Laid into the corner at its own scale: how small the upscaler's input was.
INSETS: Final[dict[str, DecodedImage]] = {"upscale_with_a_local_model": (2, 0)}


def images_by_node(graph: Graph, outcome: Outcome) -> dict[int, list[Image.Image]]:
    """The images that each node made, by its id."""
    found: dict[int, list[Image.Image]] = {}
    for output_id, files in outcome.images.items():
        maker = int(graph[output_id]["inputs"]["images"][0])
        found[maker] = [Image.open(BytesIO(data)).convert("RGB") for data in files]
    return found


def composed(lines: tuple[Line, ...], images: dict[int, list[Image.Image]], inset: DecodedImage | None) -> Image.Image:
    """A square of the images in their lines, each cropped to its place."""
    sheet = Image.new("RGB", (SIDE, SIDE), _GROUND)
    top = 0.0
    for share, chosen in lines:
        bottom = top + share * (SIDE + _GAP)
        width = (SIDE + _GAP) / len(chosen)
        for number, (node, index) in enumerate(chosen):
            left, right = round(number * width), round((number + 1) * width) - _GAP
            size = (right - left, round(bottom) - _GAP - round(top))
            # Of what is too large the top left stays: there the simulator writes that it is one.
            place = ImageOps.fit(images[node][index], size, Image.Resampling.LANCZOS, centering=(0.0, 0.0))
            sheet.paste(place, (left, round(top)))
        top = bottom
    if inset is not None:
        large = images[lines[0][1][0][0]][0]
        small = images[inset[0]][inset[1]]
        scale = SIDE / min(large.size)
        little = small.resize((round(small.width * scale), round(small.height * scale)), Image.Resampling.LANCZOS)
        framed = ImageOps.expand(little, 3, "white")
        sheet.paste(framed, (SIDE - framed.width - 4 * _GAP, SIDE - framed.height - 4 * _GAP))
    return sheet


def write(sheet: Image.Image, path: Path) -> int:
    """Write `sheet` as the best JPEG of less than `MOST_BYTES`; returns its size in bytes."""
    data = b""
    for quality in range(92, 40, -4):
        file = BytesIO()
        sheet.save(file, "JPEG", quality=quality, optimize=True, progressive=True)
        data = file.getvalue()
        if len(data) < MOST_BYTES:
            break
    path.write_bytes(data)
    return len(data)


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["NANOBANANA_BASE_URL"] = "simulator"
        os.environ["NANOBANANA_HOME"] = str(folder / "data")
        with StandIn({"nanobanana-gateway": ROOT}, folder / "stand-in") as stand_in:
            host = StandInRunner(stand_in, folder / "stand-in")
            info = host.object_info()
            for path in sorted((ROOT / "example_workflows").glob("*.json")):
                graph = to_api_graph(read_workflow(path), info)
                outcome = host.run(graph, lambda _: None)
                if outcome.status != "success":
                    print(f"{path.stem}: {outcome.status}: {outcome.message}", file=sys.stderr)
                    return 1
                sheet = composed(LAYOUTS[path.stem], images_by_node(graph, outcome), INSETS.get(path.stem))
                target = path.with_suffix(".jpg")
                print(f"{target.name}: {SIDE}x{SIDE}, {write(sheet, target)} bytes", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
