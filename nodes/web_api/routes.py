"""The pack's HTTP routes, under /nanobanana. Registered when the extension loads; without a server there are none.

What answers them is imported at the first request: the host waits for imports when it starts.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .._host import server

if TYPE_CHECKING:
    from aiohttp import web

    from .http import Handler

_PREFIX = "/nanobanana"


def register() -> bool:
    """Add the routes to the host's. False where there is no server, or where another copy of the pack has added its."""
    routes: Any = getattr(server(), "routes", None)
    if routes is None or any(str(getattr(route, "path", "")).startswith(f"{_PREFIX}/") for route in routes):
        return False
    for method, path, module, function, access in (
        ("GET", "/catalog", "settings", "catalog", {"shared": True}),
        ("GET", "/profiles", "settings", "read_profiles", {"private": True}),
        ("POST", "/profiles", "settings", "add_profile", {"private": True}),
        ("PUT", "/profiles", "settings", "save_profile", {"private": True}),
        ("DELETE", "/profiles", "settings", "delete_profile", {"private": True}),
        ("POST", "/profiles/rename", "settings", "rename_profile", {"private": True}),
        ("POST", "/profiles/test", "settings", "test_profile", {"private": True}),
        ("GET", "/history", "history", "page", {}),
        ("GET", "/history/totals", "history", "totals", {}),
        ("POST", "/history/download", "history", "download", {"private": True}),
        ("POST", "/history/clear", "history", "clear", {"private": True}),
        ("GET", "/pictures/{id}/thumbnail", "history", "thumbnail", {}),
        ("GET", "/pictures/{id}/original", "history", "original", {}),
    ):
        routes.route(method, f"{_PREFIX}{path}")(_handler(module, function, **access))
    return True


def _handler(module: str, function: str, **access: bool) -> Handler:
    """`handler` of `<module>.<function>`, made in a thread, so that the host's loop goes on meanwhile."""
    made: list[Handler] = []

    def make() -> Handler:
        work = getattr(importlib.import_module(f".{module}", __package__), function)
        answering: Handler = importlib.import_module(".http", __package__).handler(work, **access)
        return answering

    async def handle(request: web.Request) -> web.StreamResponse:
        if not made:
            from .background import in_thread

            made.append(await in_thread(make))
        return await made[0](request)

    return handle
