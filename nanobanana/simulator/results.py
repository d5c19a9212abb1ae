"""The images as files, and the URLs at which they can be downloaded."""

from __future__ import annotations

import io
import re
import threading
import uuid
from collections import OrderedDict

from PIL import Image

from .answers import ServedImage

_ID = re.compile(r"/output/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
_STORE_BYTES = 256 * 1024 * 1024


def encode(image: Image.Image, image_format: str) -> tuple[bytes, str]:
    """`image` as jpeg, png or webp, and its MIME type, with fast settings: these images are looked at, not kept."""
    options: dict[str, dict[str, object]] = {
        "png": {"compress_level": 1},
        "webp": {"quality": 88, "method": 0},
        "jpeg": {"quality": 92},
    }
    buffer = io.BytesIO()
    image.save(buffer, image_format.upper(), **options[image_format])
    return buffer.getvalue(), f"image/{image_format}"


class ResultStore:
    """The latest images, 256 MiB of them at most. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: OrderedDict[str, ServedImage] = OrderedDict()
        self._bytes = 0

    def add(self, base_url: str, data: bytes, mime: str) -> ServedImage:
        """Keep an image, and give it a URL under `base_url`."""
        name = str(uuid.uuid4())
        result = ServedImage(f"{base_url}/output/{name}.{mime.removeprefix('image/')}", data, mime)
        with self._lock:
            self._results[name] = result
            self._bytes += len(data)
            while self._bytes > _STORE_BYTES and len(self._results) > 1:
                _, old = self._results.popitem(last=False)
                self._bytes -= len(old.data)
        return result

    def find(self, path: str) -> ServedImage | None:
        """The image that a path or a URL names."""
        match = _ID.search(path)
        with self._lock:
            return self._results.get(match.group(1)) if match else None
