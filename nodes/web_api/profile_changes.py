"""What a settings page sends, put onto a profile. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from ...nanobanana.errors import ConfigError
from ...nanobanana.settings.profile import checked
from ...nanobanana.settings.store import Profile, origin

_TEXTS = ("base_url", "dialect")
_NUMBERS = ("connect_timeout", "total_timeout")
_WHOLE = ("concurrency", "picture_limit", "body_limit")
_LISTS = ("private_hosts", "extra_models")
FIELDS = (*_TEXTS, *_NUMBERS, *_WHOLE, *_LISTS, "stream", "prices")


def changed(profile: Profile, changes: Mapping[str, Any], fixed: tuple[str, ...] = ()) -> tuple[Profile, bool]:
    """`profile` with `changes`, checked, and whether its key was dropped. Fields in `fixed` stay as they are.

    A key belongs to the gateway that gave it: where the base URL turns to another origin and no key comes with it,
    the old one is dropped, so that nobody who can change an address can have a key sent there. Raises `ConfigError`.
    """
    found: dict[str, Any] = {}
    for name in FIELDS:
        if name in changes and name not in fixed:
            found[name] = _converted(name, changes[name])
    key = changes.get("api_key")
    if key is not None and "api_key" not in fixed:
        found["api_key"] = _of(key, str, "api_key")
    result = checked(replace(profile, **found))
    if profile.api_key and "api_key" not in found and not _same_origin(profile.base_url, result.base_url):
        return replace(result, api_key=""), True
    return result, False


def _converted(name: str, value: object) -> object:
    if name == "stream":
        return _of(value, bool, name)
    if name in _TEXTS:
        return _of(value, str, name)
    if name in _NUMBERS:
        return float(_number(value, name))
    if name in _WHOLE:
        number = _number(value, name)
        if number != int(number):
            raise _wrong(name)
        return int(number)
    if name in _LISTS:
        items = _of(value, list, name)
        if not all(isinstance(item, str) for item in cast("list[object]", items)):
            raise _wrong(name)
        return tuple(dict.fromkeys(item.strip() for item in cast("list[str]", items) if item.strip()))
    prices = cast("dict[object, object]", _of(value, dict, name))
    return {str(model): float(_number(price, name)) for model, price in prices.items()}


def _of(value: object, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise _wrong(name)
    return value


def _number(value: object, name: str) -> float:
    # An endless or an undefined number is no setting; JSON as Python reads it has both.
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) > 1e15:
        raise _wrong(name)
    return value


def _wrong(name: str) -> ConfigError:
    label = name.replace("_", " ")
    return ConfigError(f"The setting {label!r} has a value of the wrong kind.", "Enter it again.")


def _same_origin(one: str, other: str) -> bool:
    try:
        return origin(one) == origin(other)
    except ConfigError:
        return False
