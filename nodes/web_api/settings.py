"""What the settings page asks for: profiles without their keys, changes, the connection test; and the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from ... import __version__
from ...nanobanana import catalog as table
from ...nanobanana.calls.connection_test import diagnose
from ...nanobanana.calls.engine import reachable
from ...nanobanana.cancel import CancelToken
from ...nanobanana.errors import ConfigError, InputError, NanoBananaError
from ...nanobanana.settings.profile import DEFAULT_NAME, SETTINGS, Profile, same_origin
from ...nanobanana.settings.redaction import redact
from .._host import broadcast
from .._services import profiles
from .http import RequestFailed, RouteRequest

CHANGED = "nanobanana.settings"
_DOCUMENTATION = "https://github.com/nanobanana-gateway/nanobanana-gateway"


def catalog(request: RouteRequest) -> object:
    """Models, ratios, formats, sizes, and what a node needs of each profile to tell sizes and costs beforehand."""
    return {
        "version": __version__,
        "documentation": _DOCUMENTATION,
        "models": [
            {
                "name": model.name,
                "tier": model.tier,
                "input_limit": model.input_limit,
                "sizes": {ratio: table.expected_size(model.name, ratio) for ratio in table.ASPECT_RATIOS},
            }
            for model in table.MODELS
        ],
        "aspect_ratios": list(table.ASPECT_RATIOS),
        "output_formats": list(table.OUTPUT_FORMATS),
        "dialects": list(table.DIALECTS),
        "default_model": table.DEFAULT_MODEL,
        "profiles": [] if request.rules.multi_user else _outlines(),
        "multi_user": request.rules.multi_user,
        "may_set": request.may_set,
    }


def _outlines() -> list[dict[str, object]]:
    try:
        views = profiles().public_view()
    except ConfigError as error:
        return [{"name": DEFAULT_NAME, "ready": False, "problem": error.text, "prices": {}, "extra_models": []}]
    return [
        {
            "name": view["name"],
            "ready": not view["problem"],
            "problem": view["problem"],
            "simulated": view["base_url"] == table.SIMULATOR,
            "prices": view["prices"],
            "currency": view["currency"],
            "limited": bool(view["daily_limit"] or view["monthly_limit"]),
            "extra_models": view["extra_models"],
        }
        for view in views
    ]


def read_profiles(_: RouteRequest | None = None) -> dict[str, object]:
    """The profiles without their keys, a new one's values, and what the form is made from."""
    return {
        "profiles": profiles().public_view(),
        "defaults": {"name": DEFAULT_NAME, **Profile().shown()},
        "fields": [{"name": name, **asdict(setting)} for name, setting in SETTINGS.items()],
        "dialects": list(table.DIALECTS),
    }


def add_profile(request: RouteRequest) -> object:
    """`name`: of a profile that isn't there yet; the other fields as in `save_profile`."""
    name = _text(request.body, "name")
    if name in profiles().names():
        raise InputError(f"There is a profile {name!r} already.", "Choose another name.")
    profile, _ = changed(Profile(name), request.body)
    profiles().save(profile)
    return _changed()


def save_profile(request: RouteRequest) -> object:
    """`name`, and any of the profile's fields. A key that is absent stays; an empty one is removed."""
    name = _text(request.body, "name")
    profile, key_dropped = changed(profiles().stored(name), request.body, _fixed(name))
    profiles().save(profile)
    return {**_changed(), "key_dropped": key_dropped}


def rename_profile(request: RouteRequest) -> object:
    profiles().rename(_text(request.body, "name"), _text(request.body, "new_name"))
    return _changed()


def delete_profile(request: RouteRequest) -> object:
    profiles().delete(_text(request.body, "name"))
    return _changed()


def test_profile(request: RouteRequest) -> object:
    """Try the profile as the page shows it, saved or not. Costs nothing."""
    name = _text(request.body, "name")
    store = profiles()
    try:
        profile = store.get(name)
    except ConfigError:
        profile = store.stored(name)
    try:
        profile, _ = changed(profile, request.body, _fixed(name))
        found = diagnose(profile, cancel=CancelToken(), resolve_base_url=reachable)
    except NanoBananaError as error:
        return {"ok": False, "verdict": "failed", "message": error.message, "hint": error.hint}
    # The text may hold any profile's key, and a key that was typed in but not saved isn't among the store's.
    keys = [*store.keys(), *profile.secrets]
    return {
        "ok": found.ok,
        "verdict": found.verdict,
        "message": redact(found.message, keys),
        "hint": found.hint,
        "models": list(found.models[:500]),
        "missing": list(found.missing),
        "seconds": round(found.seconds, 2),
    }


def changed(profile: Profile, changes: Mapping[str, Any], fixed: tuple[str, ...] = ()) -> tuple[Profile, bool]:
    """`Profile.changed`, and whether a move dropped a secret. Fields in `fixed` stay. Raises `ConfigError`."""
    given = {name: value for name, value in changes.items() if name not in fixed}
    result = profile.changed(given)
    moved = not same_origin(profile.base_url, result.base_url)
    secret = [name for name, setting in SETTINGS.items() if setting.is_secret and given.get(name) is None]
    dropped = any(getattr(profile, name) and not getattr(result, name) for name in secret)
    return result, moved and dropped


def _changed() -> dict[str, object]:
    """Tell every page that the settings changed; returns the profiles as they are now."""
    broadcast(CHANGED, {})
    return read_profiles()


def _fixed(name: str) -> tuple[str, ...]:
    """The fields that the environment gives: they can't be changed here, and never reach the file."""
    for view in profiles().public_view():
        if view["name"] == name:
            given = view["from_environment"]
            return tuple(cast("list[str]", given))
    return ()


def _text(body: Mapping[str, Any], name: str, longest: int = 1000) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value or len(value) > longest:
        raise RequestFailed(400, f"The request lacks {name!r}.")
    return value
