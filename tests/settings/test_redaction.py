from __future__ import annotations

import base64
import html
import json
import random
import re
import string
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.settings.redaction import looks_like_key, redact, redact_bytes

KEYS = [
    "sk-" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0hJ3lO6rU9xA2bD5eG8",
    "sk-proj-aB3dE6gH9jK2mN5pQ8sT1vW4yZ7",
    "sk-or-v1-0123456789abcdef0123456789abcdef",
    "sk-ant-api03-aB3dE6gH9jK2mN5p_Q8sT1vW4yZ7cF0hJ3lO6rU9",
    "sk-test1234567890abcd",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "gsk_abcdefghijklmnopqrstuvwxyz0123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "Bearer 0123456789abcdefghijXYZ",
    "authorization: bearer A9-._~+/=A9-._~+/=A9-._~",
]
INNOCENT = [
    "a task-oriented-design-for-a-desk-lamp-with-a-risk-averse-owner",
    "sk-learn-compatible-pipeline-diagram-in-flat-style",
    "sk-8 skateboard, the SK-II bottle, disk-shaped objects",
    "the bearer of bad news walks through supercalifragilisticexpialidocious fog",
    "a polar bearer. Bearer bonds on a table, photorealistic, 85mm f/1.4 lens",
    "AIza is a name; aiza-bella too",
    "eyJ is how a token begins",
    "https://example.com/a/very/long/path/with-some-hyphens-and-2024-numbers.png?x=1",
    "masterpiece, best quality, (ultra-detailed:1.2), 8k, hyper-realistic, 1girl",
    "0123456789abcdef0123456789abcdef is a checksum",
    "\u4e00\u53ea\u53ef\u7231\u7684\u732b\u5750\u5728\u7a97\u53f0\u4e0a,\u9633\u5149,\u5199\u5b9e\u98ce\u683c",
    "<lora:some-style-v1-0:0.8> portrait",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "around", ["{}", "draw a cat {} in a hat", '{{"api_key":"{}"}}', "a\n{}\nb", "key={},", "\u732b{}\u732b"]
)
def test_what_looks_like_a_key_is_found_and_taken_out(key, around):
    text = around.format(key)
    found = looks_like_key(text)
    assert found is not None
    secret = key.split()[-1]
    assert secret not in found
    assert secret not in redact(text, ())
    assert "[key removed]" in redact(text, ())


@pytest.mark.parametrize("text", INNOCENT)
def test_words_of_a_prompt_are_no_key(text):
    assert looks_like_key(text) is None
    assert redact(text, ()) == text


def test_a_long_prompt_is_no_key():
    chance = random.Random(5)
    words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 14))) for _ in range(500)]
    text = " ".join("-".join(chance.choices(words, k=chance.randint(1, 4))) for _ in range(5000))
    assert looks_like_key(text) is None


def test_a_configured_key_of_any_form_is_found_anywhere():
    assert looks_like_key("xxmy-own-secretxx", ["other", "my-own-secret"]) == "a configured key (...cret)"
    assert looks_like_key("xxsecretxx", ["secret"]) == "a configured key (...)"
    assert looks_like_key("nothing here", ["secret"]) is None


@pytest.mark.parametrize("key", ["", "a", "none", "test1"])
def test_a_key_too_short_to_be_a_secret_tears_no_words(key):
    assert looks_like_key("a test1 of none", [key]) is None
    assert redact("a test1 of none", [key]) == "a test1 of none"


def test_at_most_four_characters_are_shown():
    assert looks_like_key("sk-aB3dE6gH9jK2mN5pQ8sT1vW4yZ7c") == "a key (...yZ7c)"


def test_redaction_takes_known_keys_out_in_every_form():
    key = "k/e+y=with&signs"
    text = f"{key} and {quote(key, safe='')} and {key}{key}"
    assert redact(text, [key]) == "[key removed] and [key removed] and [key removed][key removed]"


def test_a_key_that_begins_like_another_leaves_no_rest():
    assert redact("secret-one-two", ["secret-one", "secret-one-two"]) == "[key removed]"


def test_the_words_around_a_key_stay():
    text = "Incorrect API key provided: sk-aB3dE6gH9jK2mN5pQ8sT. (request id: 2026)"
    assert redact(text, ()) == "Incorrect API key provided: [key removed]. (request id: 2026)"
    assert redact("Authorization: Bearer 0123456789abcdefghij", ()) == "Authorization: Bearer [key removed]"


@given(st.text(max_size=60), st.text(alphabet=string.ascii_letters + string.digits + "-_.+/", min_size=8, max_size=40))
def test_no_known_key_survives(text, key):
    assert key not in redact(f"{text}{key}{text}", [key]).replace("[key removed]", "")


def base64_of(text: str, *, safe: bool = False) -> str:
    encode = base64.urlsafe_b64encode if safe else base64.b64encode
    return encode(text.encode()).decode()


DISGUISES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent-encoded": lambda key: quote(key, safe=""),
    "percent-encoded but for slashes": lambda key: quote(key, safe="/"),
    "every character percent-encoded": lambda key: "".join(f"%{ord(one):02X}" for one in key),
    "percent-encoded twice": lambda key: quote("".join(f"%{ord(one):02x}" for one in key)),
    "base64": base64_of,
    "URL-safe base64": lambda key: base64_of(key, safe=True),
    "base64 of Bearer": lambda key: base64_of(f"Bearer {key}"),
    "base64 of user and key": lambda key: base64_of(f"user:{key}"),
    "base64 between other words": lambda key: base64_of(f"ab {key} and more"),
    "base64 in lines": lambda key: base64.encodebytes(f"Authorization: Bearer {key}".encode()).decode(),
    "hexadecimal": lambda key: key.encode().hex(),
    "upper-case hexadecimal": lambda key: key.encode().hex().upper(),
    "upper case": str.upper,
    "lower case": str.lower,
    "JSON escapes": lambda key: "".join(f"\\u{ord(one):04x}" for one in key),
    "JSON with slashes escaped": lambda key: json.dumps(key).replace("/", "\\/"),
    "HTML entities": lambda key: html.escape(key),
    "numbers of HTML": lambda key: "".join(f"&#{ord(one)};" for one in key),
    "hexadecimal numbers of HTML": lambda key: "".join(f"&#x{ord(one):X};" for one in key),
    "full width": lambda key: "".join(chr(ord(one) + 0xFEE0) for one in key),
    "spaces": " ".join,
    "line breaks": lambda key: "\n".join(re.findall(".{1,5}", key)),
    "soft hyphens": "\u00ad".join,
    "zero-width characters": "\u200b\ufeff".join,
}


@pytest.mark.parametrize("disguise", DISGUISES)
@given(
    key=st.text(alphabet=string.ascii_letters + string.digits + "-_./+=", min_size=16, max_size=60),
    before=st.text(max_size=12),
    after=st.text(max_size=12),
)
def test_a_key_is_found_in_every_disguise(disguise: str, key: str, before: str, after: str) -> None:
    hidden = DISGUISES[disguise](key)
    shown = redact(f"{before} {hidden} {after}", [key])
    assert "[key removed]" in shown
    # No 12 characters of it are left, whatever stands around them.
    if "base64" in disguise:
        shown = re.sub(r"\s", "", shown).translate(str.maketrans("-_", "+/"))
        shifted = [base64_of("x" * shift + key)[4:-4] for shift in range(3)]
        pieces = [one[at : at + 12] for one in shifted for at in range(len(one) - 11)]
    else:
        pieces = [DISGUISES[disguise](key[at : at + 12]).strip('"') for at in range(len(key) - 11)]
    assert not any(piece in shown for piece in pieces), (hidden, shown)


@pytest.mark.slow
@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_whole_answer_is_redacted_as_a_text_is_wherever_a_key_stands(disguise: str) -> None:
    key = "Kq7Zp3Xw9.d2/Lm5Tn8+Vb4Rc6"
    hidden = DISGUISES[disguise](key)
    rest = ("lorem ipsum " * 9_000)[: 70_000 - len(hidden)]
    for start in [0, *range(65_536 - len(hidden) - 3, 65_539, 7), *range(69_632 - len(hidden), 69_634, 11)]:
        text = f"{rest[:start]} {hidden} {rest[start:]}" + "ipsum" * 1_000
        shown = redact_bytes(text.encode(), [key]).decode()
        assert shown == redact(text, [key]), start
        assert "[key removed]" in shown


def test_an_answer_that_is_no_text_stays_as_it_is() -> None:
    data = bytes(range(256)) * 600
    assert redact_bytes(data, ["Kq7Zp3Xw9.d2/Lm5Tn8+Vb4Rc6"]) == data
    assert redact_bytes(b"", []) == b""
    assert redact_bytes(b"my sk-aB3dE6gH9jK2mN5pQ8sT is", []) == b"my [key removed] is"


@given(st.text(alphabet=string.ascii_letters + string.digits, min_size=24, max_size=60), st.data())
def test_a_part_of_a_key_is_one(key: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(key) - 12))
    part = key[start : start + data.draw(st.integers(12, len(key)))]
    assert part not in redact(f"what came was {part}", [key])


@pytest.mark.parametrize("length", [6, 8, 10, 11])
def test_a_short_key_is_found_as_a_whole_and_disguised(length: int) -> None:
    key = "q7Zp3Xw9Kd2"[:length]
    for name, hide in DISGUISES.items():
        assert hide(key) not in redact(f"abc {hide(key)} def", [key]), name
    assert redact(f"it begins {key[:-1]} here", [key]) == f"it begins {key[:-1]} here"


@pytest.mark.parametrize(
    "piece",
    [
        "sk-",
        "sk-a",
        "AIza",
        "eyJ",
        "eyJaaaaaaaaaaa.",
        "Bearer ",
        "Bearer\t",
        "bearer a",
        "hf_",
        "a-",
        "sk_",
        " ",
        "%41",
        "\u00ad",
        "some-c",
        "&amp;",
    ],
)
def test_the_time_is_linear_in_the_text(piece):
    def seconds(times: int) -> float:
        text = piece * times
        best = 9.0
        for _ in range(3):
            start = time.thread_time()
            looks_like_key(text, ["some-configured-key"])
            redact(text, ["some-configured-key"])
            best = min(best, time.thread_time() - start)
        return best

    # Quadratic would be 64 times as long; the floor keeps timer noise out.
    assert seconds(80_000) < 24 * max(seconds(10_000), 0.002)


@pytest.mark.parametrize("key", ["154815", "1548154815", "176429040012", "17642904001234567890"])
def test_a_key_of_digits_leaves_json_with_the_same_digits_as_json(key: str) -> None:
    answer = {"usage": {"tokens": int(key), "cost": float(f"0.{key}")}, "said": f"your key {key}", "ok": 15}
    shown = redact_bytes(json.dumps(answer).encode(), [key])
    assert key not in shown.decode()
    read = json.loads(shown)
    assert read["usage"]["tokens"] not in (0, int(key))
    assert read["ok"] == 15
    assert "[key removed]" in redact(json.dumps(answer), [key])
