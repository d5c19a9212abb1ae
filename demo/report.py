"""What the demo leaves behind: every image as a file, one contact sheet, one table."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from outcome import Outcome
from PIL import Image, ImageDraw, ImageFont
from workflow_graph import Graph

_THUMBNAIL: Final = 300
_CAPTION: Final = 44
_MARGIN: Final = 14
_COLUMNS: Final = 4


@dataclass(frozen=True)
class Row:
    """The images of one node. `seconds`: how long the node ran."""

    workflow: str
    node: str
    files: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]
    seconds: float

    @property
    def pixels(self) -> str:
        return ", ".join(sorted({f"{width}x{height}" for width, height in self.sizes}))


def _opened(data: bytes) -> Image.Image:
    image: Image.Image = Image.open(BytesIO(data))
    image.load()
    return image


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _maker(graph: Graph, output_id: str) -> str:
    """The node whose images the output node `output_id` wrote."""
    link: list[Any] | None = graph[output_id]["inputs"].get("images")
    return str(link[0]) if link else output_id


def write_images(workflow: str, graph: Graph, outcome: Outcome, folder: Path) -> list[Row]:
    """Write every image below `folder`/`workflow`, replacing an earlier run's; one row for each node that made any.

    Raises:
        PIL.UnidentifiedImageError: the host delivered something that isn't an image.
    """
    target = folder / workflow
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    rows: dict[str, Row] = {}
    for output_id, images in outcome.images.items():
        maker = _maker(graph, output_id)
        if maker in rows:
            continue
        title = str(graph[maker]["_meta"]["title"])
        files: list[Path] = []
        sizes: list[tuple[int, int]] = []
        for number, data in enumerate(images, 1):
            image = _opened(data)
            sizes.append(image.size)
            suffix = (image.format or "png").lower()
            file = target / f"{int(maker):02}-{_slug(title)}-{number}.{suffix}"
            file.write_bytes(data)
            files.append(file)
        seconds = outcome.node_seconds.get(maker, 0.0)
        rows[maker] = Row(workflow, f"{title} #{maker}", tuple(files), tuple(sizes), seconds)
    return list(rows.values())


def contact_sheet(rows: list[Row], path: Path) -> None:
    """All images of `rows` on one sheet, each with its workflow, node and pixels."""
    cells = [(row, number) for row in rows for number in range(len(row.files))]
    lines = -(-len(cells) // _COLUMNS)
    cell_width, cell_height = _THUMBNAIL + _MARGIN, _THUMBNAIL + _CAPTION + _MARGIN
    sheet = Image.new("RGB", (_COLUMNS * cell_width + _MARGIN, lines * cell_height + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for index, (row, number) in enumerate(cells):
        left = _MARGIN + index % _COLUMNS * cell_width
        top = _MARGIN + index // _COLUMNS * cell_height
        thumbnail = _opened(row.files[number].read_bytes()).convert("RGB")
        thumbnail.thumbnail((_THUMBNAIL, _THUMBNAIL))
        sheet.paste(thumbnail, (left, top + (_THUMBNAIL - thumbnail.height) // 2))
        width, height = row.sizes[number]
        draw.text((left, top + _THUMBNAIL + 4), row.workflow, fill="black", font=font)
        draw.text((left, top + _THUMBNAIL + 22), f"{row.node}, {width}x{height}", fill="dimgray", font=font)
    sheet.save(path, quality=90)


def table(rows: list[Row]) -> str:
    """The rows as text: node, images, pixels, seconds, under each workflow's name."""
    width = max(len(row.node) for row in rows) + 2
    pixels = max([len(row.pixels) for row in rows] + [len("pixels")])
    lines = [f"{'node':<{width + 2}}{'images':>8}  {'pixels':<{pixels}}  {'seconds':>7}"]
    workflow = ""
    for row in rows:
        if row.workflow != workflow:
            workflow = row.workflow
            lines.append(workflow)
        lines.append(f"  {row.node:<{width}}{len(row.files):>8}  {row.pixels:<{pixels}}  {row.seconds:>7.2f}")
    return "\n".join(lines)
