"""Profiles: where they come from and where they are kept. Keys leave this module in a `Profile` only."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, cast

from ..errors import ConfigError
from .profile import (
    DEFAULT_NAME,
    SIMULATOR,
    Profile,
    check_name,
    checked,
    endpoint,
    normalise_base_url,
    origin,
    without_scheme,
)
from .profiles_file import ProfilesFile
from .redaction import key_tail, looks_like_key, redact, without_keys

__all__ = [
    "DEFAULT_NAME",
    "SIMULATOR",
    "Profile",
    "ProfileStore",
    "data_folder",
    "endpoint",
    "looks_like_key",
    "normalise_base_url",
    "origin",
    "redact",
    "without_keys",
]

_FOLDER_NAME: Final = "nanobanana"
_BASE_URL_VARIABLE: Final = "NANOBANANA_BASE_URL"
_KEY_VARIABLE: Final = "NANOBANANA_API_KEY"
_HOME_VARIABLE: Final = "NANOBANANA_HOME"

# Reading, changing and writing the file is one step, whichever store of this process does it.
_file_lock = threading.Lock()


def data_folder(
    host_folder: Path | None = None, environ: Mapping[str, str] = os.environ, *, platform: str = sys.platform
) -> Path:
    """Where profiles, journal and images lie: `NANOBANANA_HOME`, else `host_folder`, else the user's data folder.

    The folder need not exist yet.
    """
    own = environ.get(_HOME_VARIABLE, "").strip()
    if own:
        return Path(own).expanduser().absolute()
    if host_folder is not None:
        return host_folder
    home = Path.home()
    if platform == "win32":
        base = environ.get("LOCALAPPDATA", "")
        return (Path(base) if base else home / "AppData" / "Local") / _FOLDER_NAME
    if platform == "darwin":
        return home / "Library" / "Application Support" / _FOLDER_NAME
    base = environ.get("XDG_DATA_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    return (Path(base) if Path(base).is_absolute() else home / ".local" / "share") / _FOLDER_NAME


class ProfileStore:
    """The profiles of `<folder>/profiles.json`, and over them the environment's for the profile `default`.

    The file is `{"profiles": {"<name>": {"base_url": ..., "api_key": ..., ...}}}`, readable by its owner only. Fields
    that this version doesn't know are kept. Every method raises `ConfigError` when the file can't be read or written;
    a file that is no such JSON is never overwritten.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str] = os.environ) -> None:
        self.path = folder / "profiles.json"
        self._file = ProfilesFile(self.path)
        self._environ = environ

    def names(self) -> list[str]:
        """`default` first, it is always there; then the others in the order of their making."""
        return [DEFAULT_NAME, *(name for name in self._file.profiles(self._file.read()) if name != DEFAULT_NAME)]

    def get(self, name: str = DEFAULT_NAME) -> Profile:
        """The profile as it is to be used. Raises `ConfigError` when it is unknown or can't be used."""
        profile = checked(self._over(self.stored(name)))
        if not profile.base_url:
            raise ConfigError(
                f"No gateway is set for the profile {name!r}.",
                f"Set the base URL and the key in Settings > NanoBanana, or in {_BASE_URL_VARIABLE} and "
                f"{_KEY_VARIABLE}. The base URL 'simulator' tries everything out at no cost.",
            )
        return profile

    def stored(self, name: str = DEFAULT_NAME) -> Profile:
        """The profile as the file has it, to be changed and saved; an empty `default` when there is none yet."""
        known = self._file.profiles(self._file.read())
        if name in known:
            return self._parse(name, known[name])
        if name == DEFAULT_NAME:
            return Profile()
        raise ConfigError(f"There is no profile {name!r}.", f"Choose one of {', '.join(self.names())}.")

    def save(self, profile: Profile) -> None:
        """Add the profile or put it in place of the one of its name; an empty base URL may be saved."""
        profile = checked(profile)
        with _file_lock:
            document = self._file.read()
            profiles = self._file.profiles(document)
            values = {field.name: getattr(profile, field.name) for field in fields(profile) if field.name != "name"}
            values["prices"] = dict(profile.prices)
            profiles[profile.name] = {**profiles.get(profile.name, {}), **values}
            self._file.write(document, profiles)

    def rename(self, old: str, new: str) -> None:
        """Give a profile another name, in its place. The profile `default` can't be renamed."""
        check_name(new)
        with _file_lock:
            document = self._file.read()
            profiles = self._file.profiles(document)
            if old == DEFAULT_NAME or old not in profiles:
                raise ConfigError(f"The profile {old!r} can't be renamed.", "Choose one of those you added.")
            if new == DEFAULT_NAME or new in profiles:
                raise ConfigError(f"There is a profile {new!r} already.", "Choose another name.")
            self._file.write(document, {new if name == old else name: values for name, values in profiles.items()})

    def delete(self, name: str) -> None:
        """Remove a profile with its key; `default` becomes an empty one."""
        with _file_lock:
            document = self._file.read()
            profiles = self._file.profiles(document)
            if profiles.pop(name, None) is None and name != DEFAULT_NAME:
                raise ConfigError(f"There is no profile {name!r}.", "It may have been deleted already.")
            self._file.write(document, profiles)

    def keys(self) -> list[str]:
        """Every key that can be found, for `redact` and `looks_like_key`; a file that can't be read has none."""
        keys = [self._environ.get(_KEY_VARIABLE, "")]
        with contextlib.suppress(ConfigError):
            keys += [str(values.get("api_key", "")) for values in self._file.profiles(self._file.read()).values()]
        return list(dict.fromkeys(bare for key in keys if (bare := without_scheme(key))))

    def public_view(self) -> list[dict[str, object]]:
        """Every profile without its key: its fields, `has_key`, `key_tail` and `from_environment`.

        `key_tail`: the key's last four characters, empty for a key shorter than 12. `from_environment`: the fields
        that the environment gives. `problem`: why the profile can't be used, empty when it can.
        """
        return [self._public(name) for name in self.names()]

    def _public(self, name: str) -> dict[str, object]:
        problem = ""
        profile = Profile(name)
        try:
            profile = self._over(self.stored(name))
            profile = self.get(name)
        except ConfigError as error:
            problem = str(error)
        view: dict[str, object] = {
            field.name: getattr(profile, field.name) for field in fields(profile) if field.name != "api_key"
        }
        # A base URL that can't be used may hold a password or a key.
        view["base_url"] = "" if problem else profile.base_url
        return view | {
            "private_hosts": list(profile.private_hosts),
            "extra_models": list(profile.extra_models),
            "prices": dict(profile.prices),
            "has_key": bool(profile.api_key),
            "key_tail": key_tail(profile.api_key),
            "from_environment": self._from_environment(name),
            "problem": problem,
        }

    def _from_environment(self, name: str) -> list[str]:
        if name != DEFAULT_NAME:
            return []
        variables = (("base_url", _BASE_URL_VARIABLE), ("api_key", _KEY_VARIABLE))
        return [field for field, variable in variables if self._environ.get(variable, "").strip()]

    def _over(self, profile: Profile) -> Profile:
        """`profile` with what the environment says, which is about `default` only."""
        given = self._from_environment(profile.name)
        if "base_url" in given:
            base_url = self._environ[_BASE_URL_VARIABLE]
            # The file's key belongs to the file's gateway: it isn't sent to another that the environment names.
            if profile.base_url and not _same_origin(profile.base_url, base_url):
                profile = replace(profile, api_key="")
            profile = replace(profile, base_url=base_url)
        if "api_key" in given:
            profile = replace(profile, api_key=self._environ[_KEY_VARIABLE])
        return profile

    def _parse(self, name: str, values: Mapping[str, Any]) -> Profile:
        found: dict[str, Any] = {}
        for field in fields(Profile):
            if field.name in values and field.name != "name":
                try:
                    found[field.name] = _convert(getattr(Profile(), field.name), values[field.name])
                except (TypeError, ValueError, OverflowError):
                    raise ConfigError(
                        f"The profile {name!r} in {self.path} has a value of the wrong kind in {field.name!r}.",
                        "Set it anew in Settings > NanoBanana.",
                    ) from None
        return Profile(name=name, **found)


def _same_origin(one: str, other: str) -> bool:
    try:
        return origin(one) == origin(other)
    except ConfigError:
        return False


def _convert(default: object, value: object) -> object:
    """`value` as the kind of `default`. Raises `TypeError` or `ValueError` when it is of another."""
    if isinstance(default, bool) or isinstance(value, bool):
        if isinstance(default, bool) and isinstance(value, bool):
            return value
        raise TypeError
    if isinstance(default, tuple):
        items = cast("list[object]", value)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in items):
            raise TypeError
        return tuple(cast("list[str]", items))
    if isinstance(default, Mapping):
        prices = dict(cast("Mapping[object, object]", value))
        return {str(model): float(cast("float", price)) for model, price in prices.items()}
    if isinstance(default, str):
        if not isinstance(value, str):
            raise TypeError
        return value
    if not isinstance(value, (int, float)):
        raise TypeError
    return float(value) if isinstance(default, float) else int(value)
