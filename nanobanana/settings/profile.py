"""One profile: where a gateway is and how to speak to it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

from ..catalog import DIALECTS
from ..errors import ConfigError
from .redaction import redact, without_keys

T = TypeVar("T")

SIMULATOR = "simulator"
DEFAULT_NAME = "default"

_WHERE = "Set it in Settings > NanoBanana, or in NANOBANANA_BASE_URL."
_EXAMPLE = "Write it like https://api.example.com."
_COMPLETIONS = "/chat/completions"
_VERSION = "/v1"
_LONGEST_NAME = 64
_OUR_FIELDS = frozenset({"model", "messages", "stream"})


Kind = Literal["address", "secret", "text", "choice", "switch", "number", "whole", "lines", "prices"]


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

    def said(self, number: float) -> str:
        """`number` with its unit, as the form shows it."""
        return f"{number / 1e6:g} MB" if self.unit == "MB" else f"{number:g} {self.unit}".strip()

    def converted(self, value: object) -> object:
        """A JSON value as the profile holds it. Raises `ValueError` for one of another kind."""
        match self.kind:
            case "address" | "secret" | "text" | "choice":
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
            case "lines":
                lines = [_of(line, str).strip() for line in cast("list[object]", _of(value, list))]
                return tuple(dict.fromkeys(line for line in lines if line))
            case "prices":
                prices = cast("dict[object, object]", _of(value, dict))
                return {str(model): _number(price) for model, price in prices.items()}


def label(name: str) -> str:
    """A setting's name in a sentence for a person."""
    return name.replace("_", " ").replace("picture", "image")


def _setting(default: object, kind: Kind, **more: Any) -> Any:
    return field(default=default, metadata={"setting": Setting(kind, **more)}, repr=kind != "secret")


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
    `body_fields`: a JSON object whose fields are sent beside ours. `task_path`: where the gateway tells how far a task
    is that it queued, such as `/v1/jobs/{id}`.
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
    body_fields: str = _setting("", "text")
    task_path: str = _setting("", "text")
    prices: Mapping[str, float] = field(
        default_factory=dict[str, float], hash=False, metadata={"setting": Setting("prices")}
    )

    def redact(self, text: str) -> str:
        """`text` without the key, in case the gateway echoed it, and without anything that looks like a key."""
        return redact(text, [self.api_key])

    def redact_url(self, url: str) -> str:
        """`url` as it may be shown and saved: a signature in it looks like a key, and is needed."""
        return without_keys(url, [self.api_key])

    def as_json(self) -> dict[str, object]:
        """Every setting but the secret ones, as JSON values."""
        plain: dict[Kind, Callable[[Any], object]] = {"lines": list, "prices": dict}
        return {
            name: plain.get(setting.kind, lambda value: value)(getattr(self, name))
            for name, setting in SETTINGS.items()
            if setting.kind != "secret"
        }


SETTINGS: Final[Mapping[str, Setting]] = {
    one.name: one.metadata["setting"] for one in fields(Profile) if "setting" in one.metadata
}


def normalise_base_url(text: str) -> str:
    """`https://host[:port][/prefix]`: without `/v1`, `/v1/chat/completions` and a slash at the end.

    `simulator` stays as it is. Raises `ConfigError` if the URL is missing, malformed, neither http nor https, or
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
    if profile.dialect not in DIALECTS:
        raise ConfigError(f"The dialect {_shown(profile.dialect)} is unknown.", f"Choose one of {', '.join(DIALECTS)}.")
    for name, setting in SETTINGS.items():
        value: Any = getattr(profile, name)
        if setting.most and not setting.least <= value <= setting.most:
            raise ConfigError(
                f"The setting {label(name)!r} is {setting.said(value)}.",
                f"Set it to between {setting.said(setting.least)} and {setting.said(setting.most)}.",
            )
    own_fields(profile)
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
    )


def own_fields(profile: Profile) -> dict[str, object]:
    """The profile's own fields of a request's body. Raises `ConfigError` unless they are a JSON object of other names
    than those that the pack fills in."""
    if not profile.body_fields.strip():
        return {}
    hint = 'Write it like {"temperature": 0.7, "safety_settings": []}.'
    try:
        value: object = json.loads(profile.body_fields)
    except (ValueError, RecursionError):
        raise ConfigError("The body fields are no JSON.", hint) from None
    if not isinstance(value, dict):
        raise ConfigError("The body fields are no JSON object.", hint)
    fields_given = cast("dict[str, object]", value)
    taken = [name for name in fields_given if name in _OUR_FIELDS]
    if taken:
        raise ConfigError(f"The body fields hold {', '.join(taken)}, which the node fills in.", "Take that out.")
    return fields_given


def plain_key(text: str) -> str:
    """A key as it is sent: without spaces around it and without a pasted `Bearer` before it.

    Raises `ConfigError` if it holds characters that no HTTP header can carry, without revealing the key.
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
