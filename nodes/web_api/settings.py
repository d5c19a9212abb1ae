"""What the settings page asks for: profiles without their keys, changes, the connection test; and the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from ... import __version__
from ...nanobanana import catalog as table
from ...nanobanana.calls.connection_test import diagnose
from ...nanobanana.calls.engine import reachable
from ...nanobanana.cancel import CancelToken
from ...nanobanana.errors import ConfigError, InputError, NanoBananaError
from ...nanobanana.settings.redaction import redact
from ...nanobanana.settings.store import DEFAULT_NAME, SIMULATOR, Profile
from .._host import broadcast
from .._services import profiles
from .http import Asked, Refused
from .profile_changes import changed

SETTINGS = "nanobanana.settings"
_LONGEST_ID = 128
_DOCUMENTATION = "https://github.com/nanobanana-gateway/nanobanana-gateway"


def catalog(asked: Asked) -> object:
    """Models, ratios, formats and sizes; and of each profile what a node needs to tell sizes and costs beforehand."""
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
        "profiles": [] if asked.rules.multi_user else _outlines(),
        "multi_user": asked.rules.multi_user,
        "may_set": asked.may_set,
    }


def _outlines() -> list[dict[str, object]]:
    try:
        views = profiles().public_view()
    except ConfigError as error:
        return [{"name": DEFAULT_NAME, "ready": False, "problem": str(error), "prices": {}, "extra_models": []}]
    return [
        {
            "name": view["name"],
            "ready": not view["problem"],
            "problem": view["problem"],
            "simulated": view["base_url"] == SIMULATOR,
            "prices": view["prices"],
            "extra_models": view["extra_models"],
        }
        for view in views
    ]


def read_profiles(_: Asked | None = None) -> dict[str, object]:
    defaults = Profile()
    plain = {field.name: getattr(defaults, field.name) for field in fields(defaults) if field.name != "api_key"}
    return {"profiles": profiles().public_view(), "defaults": plain | {"prices": {}}, "dialects": list(table.DIALECTS)}


def add_profile(asked: Asked) -> object:
    """`name`: of a profile that isn't there yet; the other fields as in `save_profile`."""
    name = _text(asked.body, "name")
    if name in profiles().names():
        raise InputError(f"There is a profile {name!r} already.", "Choose another name.")
    profile, _ = changed(Profile(name), asked.body)
    profiles().save(profile)
    return _changed()


def save_profile(asked: Asked) -> object:
    """`name`, and any of the profile's fields. `api_key` is never read: absent, it stays; empty, it goes."""
    name = _text(asked.body, "name")
    profile, key_dropped = changed(profiles().stored(name), asked.body, _fixed(name))
    profiles().save(profile)
    return {**_changed(), "key_dropped": key_dropped}


def rename_profile(asked: Asked) -> object:
    profiles().rename(_text(asked.body, "name"), _text(asked.body, "new_name"))
    return _changed()


def delete_profile(asked: Asked) -> object:
    profiles().delete(_text(asked.body, "name"))
    return _changed()


def test_profile(asked: Asked) -> object:
    """Try the profile as the page shows it, saved or not. Costs nothing."""
    name = _text(asked.body, "name")
    store = profiles()
    try:
        profile = store.get(name)
    except ConfigError:
        profile = store.stored(name)
    try:
        profile, _ = changed(profile, asked.body, _fixed(name))
        found = diagnose(profile, cancel=CancelToken(), resolve_base_url=reachable)
    except NanoBananaError as error:
        return {"ok": False, "verdict": "failed", "message": error.message, "hint": error.hint}
    # A key that was typed in and not saved yet is unknown to the library's own redaction of other profiles' keys.
    keys = [*store.keys(), profile.api_key]
    return {
        "ok": found.ok,
        "verdict": found.verdict,
        "message": redact(found.message, keys),
        "hint": found.hint,
        "models": list(found.models[:500]),
        "missing": list(found.missing),
        "seconds": round(found.seconds, 2),
    }


def _changed() -> dict[str, object]:
    """Tell every page that something was changed; this one gets the profiles as they are now."""
    broadcast(SETTINGS, {})
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
        raise Refused(400, f"The request lacks {name!r}.")
    return value
