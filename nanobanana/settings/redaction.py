"""Finding keys in text, and taking them out again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

# Every pattern is one prefix and one bounded or greedy run, without nested repetition: linear in the text.
# The looks behind keep words such as "task-" and "desk-" from being taken for the start of a key.
_KEY_LIKE = re.compile(
    r"""
      (?<![A-Za-z0-9]) (?P<sk> sk-[A-Za-z0-9_-]{16,} )
    | (?<![A-Za-z0-9]) (?P<google> AIza[A-Za-z0-9_-]{30,} )
    | (?<![A-Za-z0-9_-]) (?P<token> eyJ[A-Za-z0-9_-]{10,} \. [A-Za-z0-9_-]{10,} (?: \. [A-Za-z0-9_-]* )? )
    | (?<![A-Za-z0-9_]) (?P<prefixed> (?: hf | ghp | gho | gsk | r8 ) _ [A-Za-z0-9]{30,} )
    | (?<![A-Za-z0-9]) [Bb][Ee][Aa][Rr][Ee][Rr] [ \t]{1,8} (?P<bearer> [A-Za-z0-9._~+/=-]{20,} )
    """,
    re.VERBOSE,
)
# A configured key shorter than this is no secret (`none`, `test`), and taking it out would tear words apart.
_SHORTEST_SECRET = 6
# Below this a key's last four characters would be too much of it.
_SHORTEST_WITH_TAIL = 12
_MASK = "[key removed]"


def key_tail(key: str) -> str:
    """The last four characters of `key`, or an empty string when the key is shorter than 12 characters."""
    return key[-4:] if len(key) >= _SHORTEST_WITH_TAIL else ""


def masked(key: str) -> str:
    """How a key is shown: its last four characters at most."""
    return f"...{key_tail(key)}"


def looks_like_key(text: str, profiles_keys: Iterable[str] = ()) -> str | None:
    """A masked description (`a key ending in ...9f3c`) when `text` holds something that looks like a key, or None.

    `profiles_keys`: the configured keys, found wherever they stand. Other keys are known by their form: `sk-`, `AIza`,
    `Bearer`, three-part tokens and the like, with enough of the letters and digits that a prompt's words don't have.
    Takes time linear in the text.
    """
    for key in profiles_keys:
        if len(key) >= _SHORTEST_SECRET and key in text:
            return f"a configured key ({masked(key)})"
    for match in _KEY_LIKE.finditer(text):
        if _is_random(match):
            return f"a key ({masked(match.group())})"
    return None


def redact(text: str, keys: Iterable[str]) -> str:
    """`text` without the given keys (also in their URL-encoded form) and without anything that looks like a key."""
    return _KEY_LIKE.sub(_replacement, without_keys(text, keys))


def without_keys(text: str, keys: Iterable[str]) -> str:
    """`text` without the given keys alone: a URL's signature looks like a key, and is needed."""
    secrets = {key for key in keys if len(key) >= _SHORTEST_SECRET}
    secrets |= {quote(key, safe="") for key in secrets}
    # The longest first: a key may be the beginning of another.
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return text


def _replacement(match: re.Match[str]) -> str:
    if not _is_random(match):
        return match.group()
    start, end = match.span(match.lastgroup or 0)
    return match.string[match.start() : start] + _MASK + match.string[end : match.end()]


def _is_random(match: re.Match[str]) -> bool:
    """Whether a run that begins like a key is one, and not words joined by hyphens."""
    if match.lastgroup == "sk":
        parts = re.split("[-_]", match.group("sk")[3:])
        return any(len(part) >= 24 or (len(part) >= 10 and _has_digit(part)) for part in parts)
    if match.lastgroup == "bearer":
        return _has_digit(match.group("bearer"))
    return True


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)
