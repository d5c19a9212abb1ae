"""One profile: where a gateway is and how to speak to it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Final, Literal, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

from ..catalog import CURRENCIES, DIALECTS, SIMULATOR
from ..errors import ConfigError
from .own_fields import (
    hidden_fields,
    hidden_headers,
    read_fields,
    read_headers,
    revealed_fields,
    revealed_headers,
    secrets,
)
from .redaction import plain_key, redact, without_keys

T = TypeVar("T")

DEFAULT_NAME = "default"

_WHERE = "Set it in Settings > NanoBanana, or in NANOBANANA_BASE_URL."
_EXAMPLE = "Write it like https://api.example.com."
_COMPLETIONS = "/chat/completions"
_VERSION = "/v1"
_LONGEST_NAME = 64
# host.name[:port][/path], localhost[:port][/path] or host:port[/path], without a scheme.
_BARE = re.compile(
    r"(?:[\w-]+(?:\.[\w-]+)+|localhost|[\w-]+(?=:[0-9]))(?::[0-9]+)?(?:/[^\s@]*)?", re.ASCII | re.IGNORECASE
)
_AT_HOME = re.compile(
    r"(?:localhost|127\.|10\.|192\.168\.|172\.(?:1[6-9]|2[0-9]|3[01])\.|[\w-]+:[0-9]|[\w-]+\.(?:local|lan)\b)",
    re.ASCII | re.IGNORECASE,
)


Kind = Literal[
    "address",
    "secret",
    "secrets",
    "headers",
    "fields",
    "text",
    "choice",
    "switch",
    "number",
    "whole",
    "lines",
    "prices",
]
# Nothing of these leaves.
_SECRET: Final[tuple[Kind, ...]] = ("secret", "secrets")
# All but the values of these does: how they become stars, and how stars become values again.
_STARRED: Final[Mapping[Kind, tuple[Callable[[str], str], Callable[[str, str], str]]]] = {
    "headers": (hidden_headers, revealed_headers),
    "fields": (hidden_fields, revealed_fields),
}


@dataclass(frozen=True)
class Setting:
    """What one field of a profile is: everything but its text in `locales/` follows from here.

    `kind`: how it is read, written and shown. `least`, `most`: its range, for numbers. `unit`: `s` for seconds, `MB`
    for bytes that the form shows as millions. `first`: shown at once, not under "More".
    """

    kind: Kind
    least: float = 0.0
    most: float = 0.0
    unit: Literal["", "s", "MB"] = ""
    choices: tuple[str, ...] = ()
    first: bool = False

    @property
    def is_secret(self) -> bool:
        """Whether its value, or a part of it, is never shown."""
        return self.kind in _SECRET or self.kind in _STARRED

    def said(self, number: float) -> str:
        """`number` with its unit, as the form shows it."""
        return f"{number / 1e6:g} MB" if self.unit == "MB" else f"{number:g} {self.unit}".strip()

    def converted(self, value: object) -> object:
        """A JSON value as the profile holds it. Raises `ValueError` for one of another kind."""
        match self.kind:
            case "address" | "secret" | "headers" | "fields" | "text" | "choice":
                return _of(value, str)
            case "switch":
                return _of(value, bool)
            case "number":
                return _number(value)
            case "whole":
                number = _number(value)
                if number != int(number):
                    raise ValueError(number)
                return int(number)
            case "lines" | "secrets":
                lines = [_of(line, str).strip() for line in cast("list[object]", _of(value, list))]
                return tuple(dict.fromkeys(line for line in lines if line))
            case "prices":
                prices = cast("dict[object, object]", _of(value, dict))
                return {str(model): _number(price) for model, price in prices.items()}

    def as_json(self, value: Any) -> object:
        """What `converted` makes this value of."""
        match self.kind:
            case "lines" | "secrets":
                return list(value)
            case "prices":
                return dict(value)
            case _:
                return value


def label(name: str) -> str:
    """A setting's name in a sentence for a person."""
    return name.replace("_", " ").replace("picture", "image")


def _setting(default: object, kind: Kind, **more: Any) -> Any:
    return field(default=default, metadata={"setting": (setting := Setting(kind, **more))}, repr=not setting.is_secret)


def _of(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise ValueError(value)
    return value


def _number(value: object) -> float:
    # Infinity and NaN, which Python's JSON reader accepts, are no settings.
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) > 1e15:
        raise ValueError(value)
    return float(value)


@dataclass(frozen=True)
class Profile:
    """A gateway and how it is used. Timeouts are seconds, limits are bytes, prices are per image, by model.

    `base_url`: see `normalise_base_url`; `api_key` may be empty, and is in no `repr`. `dialect`: one of
    `catalog.DIALECTS`. `concurrency`: calls at once. `private_hosts`: hosts on a private network whose images may
    be fetched. `picture_limit`, `body_limit`: the largest image and the largest request that are sent.
    `system_message`: sent before the prompt, in a message of its own. `prompt_prefix`: put before every prompt.
    `spare_keys`: tried in turn when the gateway refuses a key (401, 402, 403 or 429). `headers`: lines of `Name: value`
    that go to the gateway with every request. `body_fields`: a JSON object whose fields are sent beside ours.
    `task_path`: where the gateway tells how far a task is that it queued, such as `/v1/jobs/{id}`.
    `download_with_key`: results on the gateway's own origin are fetched with the key and the headers.
    `currency`: of prices and limits. `daily_limit`, `monthly_limit`: a run that would pass one is asked about; 0: none.
    `finish_after_cancel`: calls that were sent before a cancel go on into the history.
    """

    name: str = DEFAULT_NAME
    base_url: str = _setting("", "address", first=True)
    api_key: str = _setting("", "secret", first=True)
    dialect: str = _setting("documented", "choice", choices=tuple(DIALECTS))
    stream: bool = _setting(True, "switch")
    connect_timeout: float = _setting(10.0, "number", least=0.1, most=300.0, unit="s")
    total_timeout: float = _setting(600.0, "number", least=1.0, most=86_400.0, unit="s")
    concurrency: int = _setting(4, "whole", least=1, most=64)
    # Every known gateway of this kind accepts about 7 MB an image and 20 MB a body.
    picture_limit: int = _setting(7_000_000, "whole", least=10_000, most=1 << 30, unit="MB")
    body_limit: int = _setting(20_000_000, "whole", least=20_000, most=1 << 30, unit="MB")
    extra_models: tuple[str, ...] = _setting((), "lines")
    private_hosts: tuple[str, ...] = _setting((), "lines")
    system_message: str = _setting("", "text")
    prompt_prefix: str = _setting("", "text")
    spare_keys: tuple[str, ...] = _setting((), "secrets")
    headers: str = _setting("", "headers")
    body_fields: str = _setting("", "fields")
    task_path: str = _setting("", "text")
    download_with_key: bool = _setting(False, "switch")
    finish_after_cancel: bool = _setting(True, "switch")
    currency: str = _setting("USD", "choice", choices=CURRENCIES)
    prices: Mapping[str, float] = field(
        default_factory=dict[str, float], hash=False, metadata={"setting": Setting("prices")}
    )
    daily_limit: float = _setting(0.0, "number", most=1e9)
    monthly_limit: float = _setting(0.0, "number", most=1e9)

    @cached_property
    def own_headers(self) -> Mapping[str, str]:
        """`headers`, read. Raises `ConfigError`."""
        return read_headers(self.headers) if self.headers else {}

    @cached_property
    def own_fields(self) -> Mapping[str, object]:
        """`body_fields`, read. Raises `ConfigError`."""
        return read_fields(self.body_fields) if self.body_fields else {}

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """Everything in it that nobody may read: keys, and the values of headers and body fields."""
        own = secrets(self.headers, self.body_fields) if self.headers or self.body_fields else ()
        return tuple(filter(None, (self.api_key, *self.spare_keys, *own)))

    @property
    def is_simulated(self) -> bool:
        """Whether its images come from the built-in simulator, and cost nothing."""
        return self.base_url == SIMULATOR

    def with_key(self, key: str) -> Profile:
        """With another of its keys in the first place."""
        others = tuple(one for one in (self.api_key, *self.spare_keys) if one != key)
        return replace(self, api_key=key, spare_keys=others)

    def redact(self, text: str) -> str:
        """`text` without the secrets, in case the gateway echoed one, and without anything that looks like a key."""
        return redact(text, self.secrets)

    def redact_url(self, url: str) -> str:
        """`url` as it may be shown and saved: a signature in it looks like a key, and is needed."""
        return without_keys(url, self.secrets)

    def as_json(self) -> dict[str, object]:
        """Every setting, secrets too, as JSON values: what is saved."""
        return {name: setting.as_json(getattr(self, name)) for name, setting in SETTINGS.items()}

    def shown(self) -> dict[str, object]:
        """Every setting that a page may see, as JSON values: no key, and stars for what else may be secret."""
        values = {name: value for name, value in self.as_json().items() if SETTINGS[name].kind not in _SECRET}
        for name, (hide, _) in _STARS.items():
            values[name] = hide(getattr(self, name))
        return values

    def changed(self, changes: Mapping[str, object]) -> Profile:
        """With `changes`, JSON values as `shown` gives them: stars, and None for a key, stand for what is there.

        Secrets belong to the gateway they were given for: if the base URL moves to another origin, those that don't
        come with it are dropped, so nobody who can change an address can have them sent there. Raises `ConfigError`.
        """
        values: dict[str, Any] = {}
        for name, setting in SETTINGS.items():
            if name in changes and not (setting.kind in _SECRET and changes[name] is None):
                try:
                    values[name] = setting.converted(changes[name])
                except ValueError:
                    raise ConfigError(
                        f"The setting {label(name)!r} has a value of the wrong kind.", "Enter it again."
                    ) from None
        before = self
        if "base_url" in values and not same_origin(self.base_url, values["base_url"]):
            before = without_secrets(self)
        for name, (_, reveal) in _STARS.items():
            if name in values:
                values[name] = reveal(values[name], getattr(before, name))
        return checked(replace(before, **values))


SETTINGS: Final[Mapping[str, Setting]] = {
    one.name: one.metadata["setting"] for one in fields(Profile) if "setting" in one.metadata
}
_STARS: Final = {name: _STARRED[setting.kind] for name, setting in SETTINGS.items() if setting.kind in _STARRED}


def without_secrets(profile: Profile) -> Profile:
    """`profile` without its keys, headers and whatever in its body fields may be secret."""
    nothing = Profile()
    gone: dict[str, Any] = {name: getattr(nothing, name) for name, one in SETTINGS.items() if one.kind in _SECRET}
    for name, (hide, reveal) in _STARS.items():
        gone[name] = reveal(hide(getattr(profile, name)), "")
    return replace(profile, **gone)


def normalise_base_url(text: str) -> str:
    """`https://host[:port][/prefix]`: without `/v1`, `/v1/chat/completions` and a slash at the end.

    An address without a scheme gets `https`, or `http` on this computer and in a private network. `simulator` stays as
    it is. Raises `ConfigError` if the URL is missing, malformed, neither http nor https, or
    holds a name and password, a query or a fragment.
    """
    text = text.strip()
    if not text:
        raise ConfigError("The gateway's base URL is missing.", _WHERE)
    if text.lower() == SIMULATOR:
        return SIMULATOR
    if _BARE.fullmatch(text):
        text = f"{'http' if _AT_HOME.match(text) else 'https'}://{text}"
    parts = _split(text)
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "The base URL holds a user name or a password.",
            "Take out what stands before the @; the key has its own field.",
        )
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise ConfigError("The base URL holds a query (?) or a fragment (#).", f"{_EXAMPLE} {_WHERE}")
    path = parts.path.rstrip("/")
    # Repeated, so normalising the result again changes nothing.
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


def same_origin(one: str, other: str) -> bool:
    """Whether two base URLs lead to one origin; False if one of them can't be used."""
    try:
        return origin(one) == origin(other)
    except ConfigError:
        return False


def checked(profile: Profile) -> Profile:
    """`profile` with its base URL and key in their plain form, every value in its range; an empty base URL stays.

    Raises `ConfigError` for the first value that can't be used, without revealing the key.
    """
    check_name(profile.name)
    for name, setting in SETTINGS.items():
        value: Any = getattr(profile, name)
        if setting.choices and value not in setting.choices:
            choices = f"Choose one of {', '.join(setting.choices)}."
            raise ConfigError(f"The {label(name)} {_shown(value)} is unknown.", choices)
        if setting.most and not setting.least <= value <= setting.most:
            raise ConfigError(
                f"The setting {label(name)!r} is {setting.said(value)}.",
                f"Set it to between {setting.said(setting.least)} and {setting.said(setting.most)}.",
            )
    _ = profile.own_fields  # raises if they can't be read
    if "authorization" in map(str.lower, profile.own_headers) and profile.api_key:
        raise ConfigError("The header Authorization is what the key is sent in.", "Take out the header, or the key.")
    if profile.task_path and not (profile.task_path.startswith("/") and "{id}" in profile.task_path):
        raise ConfigError(
            "The task path can't be used.", "Write it like /v1/jobs/{id}: a path with {id} where the task's name goes."
        )
    for model, price in profile.prices.items():
        if not (math.isfinite(price) and price >= 0):
            raise ConfigError(f"The price of {_shown(model)} is {price:g}.", "Set it to 0 or more.")
    return replace(
        profile,
        base_url=normalise_base_url(profile.base_url) if profile.base_url.strip() else "",
        api_key=plain_key(profile.api_key),
        spare_keys=tuple(dict.fromkeys(key for one in profile.spare_keys if (key := plain_key(one)))),
    )


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
