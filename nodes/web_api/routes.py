"""The pack's HTTP routes, under /nanobanana. Registered when the host asks for the nodes, if it has a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._host import server

if TYPE_CHECKING:
    from aiohttp import web

    from .http import Handler, Work

_PREFIX = "/nanobanana"


def register() -> bool:
    """Add the routes to the host's. False if there is no server, or if another copy of the pack has added its own."""
    routes: Any = getattr(server(), "routes", None)
    if routes is None or any(str(getattr(route, "path", "")).startswith(f"{_PREFIX}/") for route in routes):
        return False
    for method, path, work, access in (
        ("GET", "/catalog", lambda: _settings().catalog, {"shared": True}),
        ("GET", "/profiles", lambda: _settings().read_profiles, {"private": True}),
        ("POST", "/profiles", lambda: _settings().add_profile, {"private": True}),
        ("PUT", "/profiles", lambda: _settings().save_profile, {"private": True}),
        ("DELETE", "/profiles", lambda: _settings().delete_profile, {"private": True}),
        ("POST", "/profiles/rename", lambda: _settings().rename_profile, {"private": True}),
        ("POST", "/profiles/test", lambda: _settings().test_profile, {"private": True}),
        ("POST", "/estimate", lambda: _estimates().estimate, {}),
        ("GET", "/runs", lambda: _runs().last, {}),
        ("POST", "/stop", lambda: _runs().stop, {}),
        ("GET", "/history", lambda: _history().page, {}),
        ("GET", "/history/totals", lambda: _history().totals, {}),
        ("POST", "/history/download", lambda: _history().download, {"private": True}),
        ("POST", "/history/clear", lambda: _history().clear, {"private": True}),
        ("GET", "/pictures/{id}/thumbnail", lambda: _history().thumbnail, {}),
        ("GET", "/pictures/{id}/original", lambda: _history().original, {}),
    ):
        routes.route(method, f"{_PREFIX}{path}")(_handler(work, **access))
    return True


# The modules that answer are imported at the first request, in a thread: the host waits for imports when it starts.
# The return types are inferred: a particular module's type has no name.
def _settings():
    from . import settings

    return settings


def _estimates():
    from . import estimates

    return estimates


def _history():
    from . import history

    return history


def _runs():
    from . import runs

    return runs


def _handler(work: Callable[[], Work], **access: bool) -> Handler:
    made: list[Handler] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        from .http import handler, in_thread

        if not made:
            made.append(await in_thread(lambda: handler(work(), **access)))
        return await made[0](request)

    return handle
