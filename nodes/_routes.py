"""The pack's HTTP routes, under /nanobanana. Registered when the extension loads; without a server there are none."""

from __future__ import annotations

from typing import Any

from . import _routes_history as history
from . import _routes_settings as settings
from ._host import server
from ._routes_http import handler

_PREFIX = "/nanobanana"


def register() -> bool:
    """Add the routes to the host's. False where there is no server, or where another copy of the pack has added its."""
    routes: Any = getattr(server(), "routes", None)
    if routes is None or any(str(getattr(route, "path", "")).startswith(f"{_PREFIX}/") for route in routes):
        return False
    for method, path, work, access in (
        ("GET", "/catalog", settings.catalog, {"shared": True}),
        ("POST", "/viewers", settings.add_viewer, {"shared": True}),
        ("GET", "/profiles", settings.read_profiles, {"private": True}),
        ("POST", "/profiles", settings.add_profile, {"private": True}),
        ("PUT", "/profiles", settings.save_profile, {"private": True}),
        ("DELETE", "/profiles", settings.delete_profile, {"private": True}),
        ("POST", "/profiles/rename", settings.rename_profile, {"private": True}),
        ("POST", "/profiles/test", settings.test_profile, {"private": True}),
        ("GET", "/history", history.page, {}),
        ("GET", "/history/totals", history.totals, {}),
        ("POST", "/history/download", history.download, {"private": True}),
        ("POST", "/history/clear", history.clear, {"private": True}),
        ("GET", "/pictures/{id}/thumbnail", history.thumbnail, {}),
        ("GET", "/pictures/{id}/original", history.original, {}),
    ):
        routes.route(method, f"{_PREFIX}{path}")(handler(work, **access))
    return True
