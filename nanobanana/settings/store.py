"""Profiles: where they come from, and the file that holds them. Keys leave only in a `Profile` or by `keys`."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from ..errors import ConfigError, HistoryError, Log
from ..file_lock import exclusive
from .profile import (
    DEFAULT_NAME,
    SETTINGS,
    Profile,
    check_name,
    checked,
    same_origin,
    without_secrets,
)
from .redaction import key_tail, without_scheme

_log = Log(__name__)

_OWNER_ONLY: Final = 0o600
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_STALE_SECONDS: Final = 60.0
_FOLDER_NAME: Final = "nanobanana"
_BASE_URL_VARIABLE: Final = "NANOBANANA_BASE_URL"
_KEY_VARIABLE: Final = "NANOBANANA_API_KEY"
_HOME_VARIABLE: Final = "NANOBANANA_HOME"

_file_lock = threading.Lock()


def data_folder(
    host_folder: Path | None = None, environ: Mapping[str, str] = os.environ, *, platform: str = sys.platform
) -> Path:
    """Where profiles, history and images are kept: `NANOBANANA_HOME`, else `host_folder`, else the user's data folder.

    The folder need not exist yet.
    """
    own = environ.get(_HOME_VARIABLE, "").strip()
    if own:
        with contextlib.suppress(RuntimeError):  # ~nobody/there: then the text is taken as it is
            return Path(own).expanduser().absolute()
        return Path(own).absolute()
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
    a file that isn't such JSON is never overwritten.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str] = os.environ) -> None:
        self.path = folder / "profiles.json"
        self._file = ProfilesFile(self.path)
        self._environ = environ

    def names(self) -> list[str]:
        """`default` first, which always exists, then the others in the order they were added."""
        return [DEFAULT_NAME, *(name for name in self._file.profiles(self._file.read()) if name != DEFAULT_NAME)]

    def get(self, name: str = DEFAULT_NAME) -> Profile:
        """The profile as it is to be used. Raises `ConfigError` if it is unknown or can't be used."""
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
        """Add the profile, or replace the one with its name; an empty base URL may be saved."""
        profile = checked(profile)
        with self._file.changing():
            document = self._file.read()
            profiles = self._file.profiles(document)
            profiles[profile.name] = {**profiles.get(profile.name, {}), **profile.as_json()}
            self._file.write(document, profiles)

    def rename(self, old: str, new: str) -> None:
        """Rename a profile, keeping its place in the order. The profile `default` can't be renamed."""
        check_name(new)
        with self._file.changing():
            document = self._file.read()
            profiles = self._file.profiles(document)
            if old == DEFAULT_NAME or old not in profiles:
                raise ConfigError(f"The profile {old!r} can't be renamed.", "Choose one of those you added.")
            if new == DEFAULT_NAME or new in profiles:
                raise ConfigError(f"There is a profile {new!r} already.", "Choose another name.")
            self._file.write(document, {new if name == old else name: values for name, values in profiles.items()})

    def delete(self, name: str) -> None:
        """Remove a profile with its key; `default` becomes an empty one."""
        with self._file.changing():
            document = self._file.read()
            profiles = self._file.profiles(document)
            if profiles.pop(name, None) is None and name != DEFAULT_NAME:
                raise ConfigError(f"There is no profile {name!r}.", "It may have been deleted already.")
            self._file.write(document, profiles)

    def keys(self) -> list[str]:
        """Every secret that can be found, for `redact` and `looks_like_key`; a file that can't be read has none."""
        keys = [self._environ.get(_KEY_VARIABLE, "")]
        with contextlib.suppress(ConfigError):
            for name, values in self._file.profiles(self._file.read()).items():
                # A profile that can't be used must not hide its key.
                keys.append(str(values.get("api_key", "")))
                with contextlib.suppress(ConfigError):
                    keys += self._parse(name, values).secrets
        return list(dict.fromkeys(bare for key in keys if (bare := without_scheme(key))))

    def public_view(self) -> list[dict[str, object]]:
        """Every profile without its secrets: `Profile.shown`, `has_key`, `key_tail` and the like, `from_environment`.

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
            problem = error.text
        return {
            "name": name,
            **profile.shown(),
            # A base URL that can't be used may hold a password or a key.
            "base_url": "" if problem else profile.base_url,
            "has_key": bool(profile.api_key),
            "key_tail": key_tail(profile.api_key),
            "spare_key_tails": [key_tail(key) for key in profile.spare_keys],
            "from_environment": self._from_environment(name),
            "problem": problem,
        }

    def _from_environment(self, name: str) -> list[str]:
        if name != DEFAULT_NAME:
            return []
        variables = (("base_url", _BASE_URL_VARIABLE), ("api_key", _KEY_VARIABLE))
        return [field for field, variable in variables if self._environ.get(variable, "").strip()]

    def _over(self, profile: Profile) -> Profile:
        """`profile` with what the environment says, which affects `default` only."""
        given = self._from_environment(profile.name)
        if "base_url" in given:
            base_url = self._environ[_BASE_URL_VARIABLE]
            # The file's secrets belong to the file's gateway: none is sent to another that the environment names.
            if profile.base_url and not same_origin(profile.base_url, base_url):
                profile = without_secrets(profile)
            profile = replace(profile, base_url=base_url)
        if "api_key" in given:
            profile = replace(profile, api_key=self._environ[_KEY_VARIABLE])
        return profile

    def _parse(self, name: str, values: Mapping[str, Any]) -> Profile:
        read: dict[str, Any] = {}
        for field, setting in SETTINGS.items():
            if field in values:
                try:
                    read[field] = setting.converted(values[field])
                except ValueError:
                    raise ConfigError(
                        f"The profile {name!r} in {self.path} has a value of the wrong kind in {field!r}.",
                        "Enter it again in Settings > NanoBanana.",
                    ) from None
        return Profile(name=name, **read)


class ProfilesFile:
    """`profiles.json`: readable by its owner only, from the moment it exists. Every method raises `ConfigError`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def changing(self) -> Generator[None]:
        """Reading, changing and writing the file are one step, for all threads and processes."""
        with _file_lock, contextlib.ExitStack() as held:
            # A folder that can't be written or locked is no reason to refuse here: writing says what is wrong.
            with contextlib.suppress(OSError, HistoryError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                held.enter_context(exclusive(self.path.with_suffix(".lock")))
            yield

    def read(self) -> dict[str, Any]:
        """The whole document; an empty one when there is no file."""
        try:
            self._keep_private()
            document: object = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unusable(error.strerror or "it can't be read") from None
        except (ValueError, RecursionError):
            # Not "from error": json's error holds the whole text, and with it the keys.
            raise self._unusable("it is not valid JSON") from None
        if not isinstance(document, dict):
            raise self._unusable("it is not a JSON object")
        return cast("dict[str, Any]", document)

    def profiles(self, document: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The profiles of a document that was read, as a dictionary of its own."""
        profiles: object = document.get("profiles", {})
        if not isinstance(profiles, dict) or not all(
            isinstance(one, dict) for one in cast("dict[str, object]", profiles).values()
        ):
            raise self._unusable('"profiles" is not an object of objects')
        return dict(cast("dict[str, dict[str, Any]]", profiles))

    def write(self, document: dict[str, Any], profiles: dict[str, dict[str, Any]]) -> None:
        """Replace the file with `document` and these profiles: whole or not at all."""
        text = json.dumps({**document, "profiles": profiles}, indent=2, ensure_ascii=False) + "\n"
        part = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
            descriptor = os.open(part, _CREATE, _OWNER_ONLY)
            with os.fdopen(descriptor, "wb") as file:
                # Half a character becomes its \\uXXXX, which is what JSON writes for it.
                file.write(text.encode("utf-8", "backslashreplace"))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except OSError as error:
            raise ConfigError(
                f"The settings file {self.path} can't be written: {error.strerror or error}.",
                "Free some space or give yourself write access to its folder, then save again.",
            ) from None
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def _remove_leftovers(self) -> None:
        """Remove what processes killed while writing left behind: it may hold a key that was deleted since."""
        for part in self.path.parent.glob(f".{self.path.name}.*"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                    part.unlink()

    def _keep_private(self) -> None:
        """Restrict a file written by hand, which every account of the machine may be able to read."""
        if os.name != "nt" and self.path.stat().st_mode & 0o077:
            with contextlib.suppress(PermissionError):
                self.path.chmod(_OWNER_ONLY)
                _log.warning("%s could be read by others; it is now readable by its owner only.", self.path)

    def _unusable(self, reason: str) -> ConfigError:
        return ConfigError(
            f"The settings file {self.path} can't be used: {reason}.",
            "Correct it, or move it away and enter the settings again.",
        )
