"""The file that holds the profiles and their keys."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import uuid
from pathlib import Path
from typing import Any, Final, cast

from ..errors import ConfigError

_log = logging.getLogger(__name__)

_OWNER_ONLY: Final = 0o600
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_STALE_SECONDS: Final = 60.0


class ProfilesFile:
    """`profiles.json`: readable by its owner only, from the moment it exists. Every method raises `ConfigError`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        """The whole document; an empty one when there is no file."""
        try:
            self._keep_private()
            document: object = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unusable(error.strerror or "it can't be read") from None
        except ValueError:
            # Not "from": the error of json holds the whole text, and with it the keys.
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
        """Put `document` with these profiles in the file's place: whole or not at all."""
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
        """What a process left that was killed while it wrote: it may hold a key that was deleted since."""
        for part in self.path.parent.glob(f".{self.path.name}.*"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                    part.unlink()

    def _keep_private(self) -> None:
        """A file written by hand may be readable by every account of the machine."""
        if os.name != "nt" and self.path.stat().st_mode & 0o077:
            with contextlib.suppress(PermissionError):
                self.path.chmod(_OWNER_ONLY)
                _log.warning("%s could be read by others; it is now readable by its owner only.", self.path)

    def _unusable(self, reason: str) -> ConfigError:
        return ConfigError(
            f"The settings file {self.path} can't be used: {reason}.",
            "Mend it, or move it away and enter the settings anew.",
        )
