"""NanoBanana for ComfyUI. The host asks `comfy_entrypoint` for the nodes; nothing runs at import."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes import NanoBananaExtension

__version__ = "0.1.0"
WEB_DIRECTORY = "./web"
__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


async def comfy_entrypoint() -> NanoBananaExtension:
    """Called once by the host after import; gives it the pack's nodes."""
    from .nodes import NanoBananaExtension

    return NanoBananaExtension()
