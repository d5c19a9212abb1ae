"""Headers and body fields that a person adds: read, checked, shown without their values, and put back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.errors import ConfigError
from pack.nanobanana.settings.own_fields import (
    HIDDEN,
    hidden_fields,
    hidden_headers,
    read_fields,
    read_headers,
    revealed_fields,
    revealed_headers,
    secrets,
)
from pack.nanobanana.settings.profile import Profile, checked

NAMES = st.from_regex(r"x-[a-z0-9-]{1,20}", fullmatch=True)
VALUES = st.from_regex(r"[!-~]([ -~]{0,30}[!-~])?", fullmatch=True)
HEADERS = st.dictionaries(NAMES, VALUES, max_size=5)
LEAVES = st.none() | st.booleans() | st.integers() | st.text()
FIELDS = st.dictionaries(
    st.text(min_size=1).filter(lambda name: name not in ("model", "messages", "stream")),
    st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8),
    max_size=5,
)


def _text(headers: dict[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


@given(HEADERS)
def test_headers_are_read_hidden_and_revealed(headers: dict[str, str]) -> None:
    text = _text(headers)
    assert read_headers(text) == headers
    hidden = hidden_headers(text)
    assert read_headers(hidden) == dict.fromkeys(headers, HIDDEN)
    assert read_headers(revealed_headers(hidden, text)) == headers
    assert revealed_headers(hidden, "") == "" if headers else True


@given(FIELDS)
def test_body_fields_are_read_hidden_and_revealed(fields: dict[str, Any]) -> None:
    text = json.dumps(fields)
    hidden = hidden_fields(text)
    assert read_fields(revealed_fields(hidden, text)) == fields

    def strings(value: object) -> list[str]:
        if isinstance(value, dict):
            return [one for inner in value.values() for one in strings(inner)]
        if isinstance(value, list):
            return [one for inner in value for one in strings(inner)]
        return [value] if isinstance(value, str) else []

    assert set(strings(read_fields(hidden))) <= {HIDDEN}
    # What stood for something secret is gone, and nothing else.
    assert read_fields(revealed_fields(hidden, "")) == {
        name: value for name, value in fields.items() if not strings(value)
    }


def test_one_value_is_changed_and_the_others_stay() -> None:
    before = "x-portkey-provider: openai\nCF-Access-Client-Secret: 0123abcd"
    typed = f"x-portkey-provider: google\ncf-access-client-secret: {HIDDEN}"
    assert revealed_headers(typed, before) == "x-portkey-provider: google\ncf-access-client-secret: 0123abcd"
    fields = f'{{"user": "{HIDDEN}", "temperature": 0.9}}'
    assert read_fields(revealed_fields(fields, '{"user": "me", "temperature": 0.1}')) == {
        "user": "me",
        "temperature": 0.9,
    }


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ("no colon", "no header"),
        (": value", "no header"),
        ("two words: value", "no header"),
        ("x-empty:", "no header"),
        ("x-a: b\u00e9", "x-a"),
        ("x-a: b\x00", "x-a"),
        ("Host: evil.example", "Host"),
        ("content-length: 1", "content-length"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding"),
        ("x-a: 1\nX-A: 2", "twice"),
    ],
)
def test_a_header_that_can_not_be_sent_is_refused_without_its_value(headers: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        checked(Profile(headers=headers))
    assert "evil" not in str(caught.value)


def test_the_key_has_one_place() -> None:
    basic = "Authorization: Basic dXNlcjpwYXNzd29yZA=="
    assert checked(Profile(headers=basic)).headers == basic
    with pytest.raises(ConfigError, match="Authorization"):
        checked(Profile(headers=basic, api_key="sk-0123456789abcdef"))


def test_what_looks_secret_is_redacted_and_plain_words_are_not() -> None:
    headers = "x-portkey-provider: google-vertex\nAuthorization: Basic dXNlcjpwYXNzd29yZA==\nx-id: 1234abcd5678"
    fields = '{"provider": {"order": ["deepinfra"], "api_key": "hunter2"}, "user": "somebody-in-words"}'
    assert secrets(headers, fields) == ["dXNlcjpwYXNzd29yZA==", "1234abcd5678", "hunter2"]
    profile = Profile(headers=headers, body_fields=fields, api_key="key-one", spare_keys=("key-two",))
    said = profile.redact("google-vertex says key-one key-two hunter2 1234abcd5678")
    assert said == "google-vertex says " + " ".join(["[key removed]"] * 4)
    assert not [one for one in profile.secrets if one in repr(profile)]
