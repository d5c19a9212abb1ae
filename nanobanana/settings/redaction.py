"""Finding keys in text, in whatever disguise, and taking them out."""

from __future__ import annotations

import base64
import functools
import html
import re
from array import array
from collections.abc import Callable, Iterable, Iterator

from ..errors import ConfigError

# Every pattern is one prefix and one bounded or greedy run, without nested repetition: linear in the text.
# The lookbehinds keep words such as "task-" and "desk-" from being taken for the start of a key.
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
    """The last four characters of `key`, or an empty string if the key is shorter than 12 characters."""
    return key[-4:] if len(key) >= _SHORTEST_WITH_TAIL else ""


def masked(key: str) -> str:
    """How a key is shown: its last four characters at most."""
    return f"...{key_tail(key)}"


def looks_like_key(text: str, profiles_keys: Iterable[str] = ()) -> str | None:
    """A masked description (`a key ending in ...9f3c`) if `text` holds something that looks like a key, else None.

    `profiles_keys`: the configured keys, found anywhere. Other keys are recognised by their form: `sk-`, `AIza`,
    `Bearer`, three-part tokens and the like, followed by more letters and digits than a prompt's words have.
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
    """`text` without the given keys, in any of the disguises below, and without anything that looks like a key."""
    return _KEY_LIKE.sub(_replacement, without_keys(text, keys))


def redact_bytes(data: bytes, keys: Iterable[str]) -> bytes:
    """`data`, a whole answer, without keys as `redact` finds them; takes some 50 ms a MiB.

    What was JSON stays JSON, also where a key of digits is a number in it.
    Only a key that is spread over more than 4 KiB by what stands between its characters is not found.
    """
    secrets = tuple(sorted({key for key in keys if len(key) >= _SHORTEST_SECRET}))
    text = data.decode("utf-8", "surrogateescape")
    spans: list[tuple[int, int]] = []
    for start in range(0, len(text), _WINDOW):
        # Windows overlap, so that every key lies within one.
        window = text[start : start + _WINDOW + _OVERLAP]
        if _may_hold_key(window, secrets):
            found = [(first + start, last + start) for first, last in _key_like(window)]
            spans += found + [(first + start, last + start) for first, last in _disguised(window, secrets)]
    return _without(text, _merged(spans), _mask_in_json).encode("utf-8", "surrogateescape")


def _mask_in_json(found: str) -> str:
    """What stands in a key's place: for digits as many others, so that JSON with such a number in it stays JSON."""
    if not (found.isascii() and found.isdigit()):
        return _MASK
    return next((digit for digit in "987654321" if digit not in found), "9") * len(found)


def _without(text: str, spans: Iterable[tuple[int, int]], mask: Callable[[str], str] = lambda _: _MASK) -> str:
    pieces: list[str] = []
    done = 0
    for start, end in spans:
        pieces += [text[done:start], mask(text[start:end])]
        done = end
    return "".join([*pieces, text[done:]])


def _key_like(text: str) -> list[tuple[int, int]]:
    return [match.span(match.lastgroup or 0) for match in _KEY_LIKE.finditer(text) if _is_random(match)]


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """`spans`, (start, end), in order, those that touch joined into one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _may_hold_key(text: str, secrets: tuple[str, ...]) -> bool:
    """Whether `text` is worth a closer look, in a tenth of its time."""
    lowered = text.lower()
    if not text.isascii() or any(one in text for one in _BEGINNINGS) or _TOKEN.search(text) or "bearer" in lowered:
        return True
    if not secrets:
        return False
    joined = "".join(lowered.split())
    if not joined.isprintable() or any(one in joined for one in "%\\&"):
        return True
    needles, blocks = _needles(secrets)
    pieces = [joined[at : at + _BLOCK] for at in range(0, len(joined), _BLOCK)]
    return not blocks.isdisjoint(pieces) or any(one in joined for one in needles if len(one) < _PART)


def without_keys(text: str, keys: Iterable[str]) -> str:
    """`text` without the given keys, and nothing else removed: a URL's signature looks like a key, and is needed.

    A key is found as it is and disguised: percent-encoded, as JSON or HTML writes characters, in full-width letters,
    in hexadecimal, in base64 (of the key, or of a longer text with the key in it, such as `user:key`), in upper or
    lower case, broken up by white space or invisible characters, and in part: 12 characters of it are enough.
    """
    secrets = sorted({key for key in keys if len(key) >= _SHORTEST_SECRET}, key=len, reverse=True)
    # The longest first: a key may be the beginning of another.
    for secret in secrets:
        text = text.replace(secret, _MASK)
    return _without(text, _disguised(text, tuple(secrets))) if secrets else text


_BEGINNINGS = ("sk-", "AIza", "hf_", "ghp_", "gho_", "gsk_", "r8_")
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.")
_WINDOW, _OVERLAP = 65_536, 4_096
# This much of a key, or of one of its encodings, counts as the key.
_PART = 12
# Every window of 12 characters holds a whole block of 6 that begins at a multiple of 6.
_BLOCK = _PART // 2
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_ESCAPED = re.compile(
    r"%[0-9a-f]{2}|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|\\/|&\#[0-9]{2,6};|&\#x[0-9a-f]{2,5};|&[a-z]{2,8};"
    r"|[\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]+",
    re.IGNORECASE,
)
# `%2541` is an `A` that was percent-encoded twice.
_PASSES = 3


@functools.lru_cache(maxsize=16)
def _needles(secrets: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str]]:
    """(what to look for in a text without disguises, its pieces of `_BLOCK` characters), all in lower case."""
    found: set[str] = set()
    for secret in secrets:
        raw = secret.encode("utf-8", "replace")
        found |= {secret, raw.hex()}
        # Three bytes make four characters, so text before the key shifts it in one of three ways. Characters that
        # depend on neighbouring bytes are left out.
        for before in range(3):
            encoded = base64.b64encode(bytes(before) + raw).decode("ascii")
            whole = encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
            found |= {whole, whole.replace("+", "-").replace("/", "_")}
    lowered = tuple(sorted(one.translate(_LOWER) for one in found))
    blocks = {one[at : at + _BLOCK] for one in lowered for at in range(len(one) - _BLOCK + 1)}
    return lowered, frozenset(blocks)


def _disguised(text: str, secrets: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where keys are in `text`: (start, end), not overlapping, in order. Takes time linear in the text."""
    needles, blocks = _needles(secrets)
    plain, starts, ends = _plain(text)
    found = [match.span() for one in needles if len(one) < _PART for match in re.finditer(re.escape(one), plain)]
    done = 0
    for at in range(0, len(plain), _BLOCK):
        if at + _BLOCK > done and plain[at : at + _BLOCK] in blocks:
            spans = list(_matches(plain, at, needles))
            found += spans
            done = max([done, *(end for _, end in spans)])
    return [(starts[start], ends[end - 1]) for start, end in _merged(found)]


def _matches(plain: str, at: int, needles: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """The longest piece around the block at `at` that `plain` shares with each needle, if it is long enough."""
    block = plain[at : at + _BLOCK]
    for needle in needles:
        here = needle.find(block)
        while here >= 0:
            start, end = at, at + len(block)
            first, last = here, here + len(block)
            while start > 0 and first > 0 and plain[start - 1] == needle[first - 1]:
                start, first = start - 1, first - 1
            while end < len(plain) and last < len(needle) and plain[end] == needle[last]:
                end, last = end + 1, last + 1
            if end - start >= _PART:
                yield start, end
            here = needle.find(block, here + 1)


def _plain(text: str) -> tuple[str, array[int], array[int]]:
    """`text` without escapes and separators, in lower case; and where each of its characters begins and ends."""
    text = text.translate(_HALF_WIDTH)
    starts, ends = array("L", range(len(text))), array("L", range(1, len(text) + 1))
    for _ in range(_PASSES):
        pieces: list[str] = []
        new_starts, new_ends = array("L"), array("L")
        position = 0
        for match in _ESCAPED.finditer(text):
            start, end = match.span()
            pieces.append(text[position:start])
            new_starts += starts[position:start]
            new_ends += ends[position:start]
            character = _unescaped(match.group())
            pieces.append(character)
            if character:
                new_starts.append(starts[start])
                new_ends.append(ends[end - 1])
            position = end
        if not pieces:
            break
        pieces.append(text[position:])
        new_starts += starts[position:]
        new_ends += ends[position:]
        text, starts, ends = "".join(pieces).translate(_HALF_WIDTH), new_starts, new_ends
    return text.translate(_LOWER), starts, ends


def _unescaped(token: str) -> str:
    """The character that an escape stands for, nothing for a separator."""
    if token[0] == "%":
        return chr(int(token[1:], 16))
    if token[0] == "\\":
        return "/" if token == "\\/" else chr(int(token[2:], 16))
    if token[0] == "&":
        character = html.unescape(token)
        return character if len(character) == 1 else "&"
    return ""


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
