"""One profile: where a gateway is and how to speak to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, urlsplit

from ..catalog import DIALECTS
from ..errors import ConfigError
from .redaction import redact

SIMULATOR = "simulator"
DEFAULT_NAME = "default"

_WHERE = "Set it in Settings > NanoBanana, or in NANOBANANA_BASE_URL."
_EXAMPLE = "Write it like https://api.example.com."
_COMPLETIONS = "/chat/completions"
_VERSION = "/v1"
_LONGEST_NAME = 64


@dataclass(frozen=True)
class Profile:
    """A gateway and how it is used. Timeouts are seconds, limits are bytes, prices are per image, by model.

    `base_url`: see `normalise_base_url`; `api_key` may be empty, and is in no `repr`. `dialect`: one of
    `catalog.DIALECTS`. `concurrency`: calls at once. `private_hosts`: hosts on a private network whose images may
    be fetched. `picture_limit`, `body_limit`: the largest image and the largest request that are sent.
    """

    name: str = DEFAULT_NAME
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    dialect: str = "documented"
    stream: bool = True
    connect_timeout: float = 10.0
    total_timeout: float = 600.0
    concurrency: int = 4
    private_hosts: tuple[str, ...] = ()
    extra_models: tuple[str, ...] = ()
    prices: Mapping[str, float] = field(default_factory=dict[str, float], hash=False)
    # About 7 MB an image and 20 MB a body are taken by every gateway of this kind that is known.
    picture_limit: int = 7_000_000
    body_limit: int = 20_000_000


def normalise_base_url(text: str) -> str:
    """`https://host[:port][/prefix]`: without `/v1`, `/v1/chat/completions` and a slash at the end.

    `simulator` stays as it is. Raises `ConfigError` when the URL is missing, malformed, neither http nor https, or
    holds a name and password, a query or a fragment.
    """
    text = text.strip()
    if not text:
        raise ConfigError("The gateway's base URL is missing.", _WHERE)
    if text.lower() == SIMULATOR:
        return SIMULATOR
    parts = _split(text)
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "The base URL holds a user name or a password.",
            "Take out what stands before the @; the key has its own field.",
        )
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise ConfigError("The base URL holds a query (?) or a fragment (#).", f"{_EXAMPLE} {_WHERE}")
    path = parts.path.rstrip("/")
    # More than once, so that what comes out goes in again unchanged.
    while path.endswith((_VERSION, _COMPLETIONS)):
        path = path.removesuffix(_COMPLETIONS).rstrip("/").removesuffix(_VERSION).rstrip("/")
    return f"{parts.scheme}://{_host_and_port(parts)}{path}"


def endpoint(profile: Profile) -> str:
    """The URL that calls are posted to. Raises `ConfigError` as `normalise_base_url` does."""
    return f"{normalise_base_url(profile.base_url)}{_VERSION}{_COMPLETIONS}"


def origin(base_url: str) -> str:
    """`https://host[:port]`, which is where a key may be sent; `simulator` for the simulator."""
    url = normalise_base_url(base_url)
    if url == SIMULATOR:
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def checked(profile: Profile) -> Profile:
    """`profile` with its base URL and key in their plain form, every value in its range; an empty base URL stays.

    Raises `ConfigError` for the first value that can't be used, without saying the key.
    """
    check_name(profile.name)
    if profile.dialect not in DIALECTS:
        raise ConfigError(f"The dialect {_shown(profile.dialect)} is unknown.", f"Choose one of {', '.join(DIALECTS)}.")
    for label, value, least, most in (
        ("connection timeout", profile.connect_timeout, 0.1, 300.0),
        ("total timeout", profile.total_timeout, 1.0, 86_400.0),
        ("number of calls at once", profile.concurrency, 1, 64),
        ("largest image, in bytes,", profile.picture_limit, 10_000, 1 << 30),
        ("largest request, in bytes,", profile.body_limit, 20_000, 1 << 30),
    ):
        if not least <= value <= most:
            raise ConfigError(f"The {label} is {value:g}.", f"Set it to between {least:g} and {most:g}.")
    for model, price in profile.prices.items():
        if not (math.isfinite(price) and price >= 0):
            raise ConfigError(f"The price of {_shown(model)} is {price:g}.", "Set it to 0 or more.")
    return replace(
        profile,
        base_url=normalise_base_url(profile.base_url) if profile.base_url.strip() else "",
        api_key=plain_key(profile.api_key),
    )


def plain_key(text: str) -> str:
    """A key as it is sent: without spaces around it and without a pasted `Bearer` before it.

    Raises `ConfigError` when it holds characters that no HTTP header can carry; the message doesn't say the key.
    """
    key = without_scheme(text)
    if any(not "!" <= character <= "~" for character in key):
        raise ConfigError(
            "The API key holds a space, a line break or a character that is no plain letter, digit or sign.",
            "Copy the key once more, and paste nothing else with it.",
        )
    return key


def without_scheme(key: str) -> str:
    """`key` without spaces around it and without a pasted `Bearer` before it."""
    key = key.strip()
    return key[7:].strip() if key[:7].lower() == "bearer " else key


def check_name(name: str) -> None:
    """Raise `ConfigError` unless `name` can name a profile: 1 to 64 printable characters, no space around them."""
    if not name or len(name) > _LONGEST_NAME or name != name.strip() or not name.isprintable():
        raise ConfigError(
            "The profile's name can't be used.", f"Give it 1 to {_LONGEST_NAME} letters, digits or signs."
        )
    if redact(name, ()) != name:
        raise ConfigError("The profile's name looks like an API key.", "Names are seen by all: choose another.")


def _split(text: str) -> SplitResult:
    problem = ConfigError(f"The base URL {_shown(text)} is not a web address.", f"{_EXAMPLE} {_WHERE}")
    if "\\" in text or any(character.isspace() or not character.isprintable() for character in text):
        raise problem
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise problem from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise problem
    return parts


def _host_and_port(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    usual = {"http": 80, "https": 443}[parts.scheme]
    return host if parts.port in (None, usual) else f"{host}:{parts.port}"


def _shown(text: str) -> str:
    """Something typed into a field, for a message: short, and without a key that went into the wrong field."""
    text = redact(text, ())
    # What stands before an @ may be a password.
    text = text.rpartition("@")[2]
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
