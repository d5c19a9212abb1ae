"""Headers and body fields that a person adds to every request. Their values may be secrets, and are never shown again.

The settings page gets each value as stars; stars that come back stand for the value that was there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final, TypeVar, cast

from ..errors import ConfigError

T = TypeVar("T")

HIDDEN: Final = "********"
_OUR_FIELDS: Final = frozenset({"model", "messages", "stream"})
# Those that the pack fills in, and those that say how the message travels.
_OUR_HEADERS: Final = frozenset(
    {"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host"}
    | {"keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"}
)
_NAME_SIGNS: Final = frozenset("!#$%&'*+.^_`|~-")
_LONGEST_NAME: Final = 200
_HEADERS_HINT: Final = "Write one a line, such as x-portkey-provider: openai."
_FIELDS_HINT: Final = 'Write it like {"temperature": 0.7, "safety_settings": []}.'
_SECRET_NAMES: Final = ("key", "token", "secret", "password", "auth", "authorization", "cookie", "credentials")
_SHORTEST_SECRET: Final = 6
_SHORTEST_RANDOM: Final = 12


def read_headers(text: str) -> dict[str, str]:
    """Lines of `Name: value` as headers. Raises `ConfigError`, without a value in it, for what can't be sent."""
    headers: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not _is_header_name(name) or not value:
            raise ConfigError("The headers have a line that is no header.", _HEADERS_HINT)
        if not all(" " <= character <= "~" for character in value):
            raise ConfigError(f"The header {name} holds a character that no header can carry.", "Copy it once more.")
        if name.lower() in _OUR_HEADERS:
            raise ConfigError(f"The header {name} is filled in for every request.", "Take it out.")
        if name.lower() in map(str.lower, headers):
            raise ConfigError(f"The header {name} is there twice.", "Take one of them out.")
        headers[name] = value
    return headers


def read_fields(text: str) -> dict[str, object]:
    """Fields of a request's body. Raises `ConfigError` unless they are a JSON object of other names than those that
    the pack fills in."""
    if not text.strip():
        return {}
    try:
        value: object = json.loads(text)
        list(_strings(value))  # deeper than Python can go is no use either
    except (ValueError, RecursionError):
        raise ConfigError("The body fields are no JSON.", _FIELDS_HINT) from None
    if not isinstance(value, dict):
        raise ConfigError("The body fields are no JSON object.", _FIELDS_HINT)
    given = cast("dict[str, object]", value)
    taken = [name for name in given if name in _OUR_FIELDS]
    if taken:
        raise ConfigError(f"The body fields hold {', '.join(taken)}, which the node fills in.", "Take that out.")
    return given


def hidden_headers(text: str) -> str:
    """`text` with stars for every value."""
    return _lines(dict.fromkeys(_or_none(read_headers, text), HIDDEN))


def hidden_fields(text: str) -> str:
    """`text` with stars for every string in it; numbers and switches are no secrets."""
    fields = _or_none(read_fields, text)
    return _json(_with_strings(fields, lambda _path, _value: HIDDEN)) if fields else ""


def revealed_headers(text: str, before: str) -> str:
    """`text` with the values of `before` in place of stars; a line whose stars stand for nothing is left out."""
    known = {name.lower(): value for name, value in _or_none(read_headers, before).items()}
    if HIDDEN not in text:
        return text
    headers = {
        name: known.get(name.lower(), "") if value == HIDDEN else value for name, value in read_headers(text).items()
    }
    return _lines({name: value for name, value in headers.items() if value})


def revealed_fields(text: str, before: str) -> str:
    """`text` with the strings of `before` in place of stars; a field whose stars stand for nothing is left out."""
    if HIDDEN not in text:
        return text
    known = dict(_strings(_or_none(read_fields, before)))
    fields = _with_strings(read_fields(text), lambda path, value: known.get(path, HIDDEN) if value == HIDDEN else value)
    kept = {
        name: value
        for name, value in cast("dict[str, object]", fields).items()
        if all(string != HIDDEN for _, string in _strings(value))
    }
    return _json(kept) if kept else ""


def secrets(headers: str, fields: str) -> list[str]:
    """The values that nobody may read: those with a telling name, and those that look random."""
    named = [*_or_none(read_headers, headers).items()]
    named += [(str(path[-1]) if path else "", value) for path, value in _strings(_or_none(read_fields, fields))]
    return [
        # `Basic dXNlcjpw...`: the scheme is no secret.
        value.rpartition(" ")[2]
        for name, value in named
        if len(value) >= _SHORTEST_SECRET and (name.lower().endswith(_SECRET_NAMES) or _looks_random(value))
    ]


def _is_header_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and all(
        character.isascii() and (character.isalnum() or character in _NAME_SIGNS) for character in text
    )


def _looks_random(value: str) -> bool:
    return (
        len(value) >= _SHORTEST_RANDOM
        and not any(map(str.isspace, value))
        and any(map(str.isdigit, value))
        and any(map(str.isalpha, value))
    )


_Path = tuple[str | int, ...]


def _with_strings(value: object, made: Callable[[_Path, str], str], path: _Path = ()) -> object:
    """`value`, parsed JSON, with every string in it as `made(path, string)`."""
    if isinstance(value, str):
        return made(path, value)
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {name: _with_strings(inner, made, (*path, name)) for name, inner in items}
    if isinstance(value, list):
        inners = cast("list[object]", value)
        return [_with_strings(inner, made, (*path, at)) for at, inner in enumerate(inners)]
    return value


def _strings(value: object) -> Iterator[tuple[_Path, str]]:
    found: list[tuple[_Path, str]] = []

    def note(path: _Path, string: str) -> str:
        found.append((path, string))
        return string

    _with_strings(value, note)
    return iter(found)


def _lines(headers: dict[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _or_none(read: Callable[[str], dict[str, T]], text: str) -> dict[str, T]:
    """What `read` makes of a stored text; nothing of one that can't be read, which `checked` reports."""
    try:
        return read(text)
    except ConfigError:
        return {}
