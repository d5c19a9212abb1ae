"""base64 and data URLs in the spellings that are seen."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from gateway.samples import b64, data_url, png
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.gateway.answer.links import decode_base64, decode_data_url, read_image
from pack.nanobanana.gateway.answer.types import ImageData, ImageUrl

IMAGE = png(3) + b"\xfb\xff\xfe"  # holds + and / in base64
TEXT = b64(IMAGE)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.rstrip("="),
        TEXT.rstrip("=") + "====",
        TEXT + "\n",
        "\n".join(TEXT[start : start + 76] for start in range(0, len(TEXT), 76)),
        "  " + "\r\n ".join(TEXT[start : start + 10] for start in range(0, len(TEXT), 10)),
        base64.urlsafe_b64encode(IMAGE).decode(),
        base64.urlsafe_b64encode(IMAGE).decode().rstrip("="),
        quote(TEXT, safe=""),
        TEXT.replace("+", "%2b").replace("=", "%3D"),
    ],
    ids=["plain", "unpadded", "padded", "line", "mime", "wrapped", "url-safe", "url-safe unpadded", "quoted", "partly"],
)
def test_base64_in_every_spelling(text: str) -> None:
    assert decode_base64(text) == IMAGE
    assert decode_data_url("data:image/png;base64," + text) == IMAGE


@given(st.binary(min_size=16, max_size=2000), st.booleans(), st.integers(0, 80))
def test_any_bytes_come_back(data: bytes, url_safe: bool, width: int) -> None:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    if width:
        text = "\n".join(text[start : start + width] for start in range(0, len(text), width))
    assert decode_base64(text) == data


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        "abc",
        TEXT + "!",
        TEXT + "\u3002",
        TEXT + "=" + TEXT,
        "<svg/>" + TEXT,
        "https://e.com/" + TEXT,
        "=" * 40,
    ],
)
def test_other_text_is_no_base64(text: str) -> None:
    assert decode_base64(text) is None


def test_a_last_group_of_one_character_is_left_out() -> None:
    assert decode_base64(b64(b"x" * 30) + "A") == b"x" * 30


@pytest.mark.parametrize(
    "header",
    [
        "data:image/png;base64,",
        "DATA:IMAGE/PNG;BASE64,",
        "data:image/png;charset=utf-8;base64,",
        "data:image/jpg; base64,",
        "data:application/octet-stream;base64,",
        "data:;base64,",
        "data:base64,",
        "data:image/png,",
    ],
)
def test_headers_of_data_urls(header: str) -> None:
    assert decode_data_url(header + TEXT) == IMAGE


def test_percent_encoded_bytes() -> None:
    assert decode_data_url("data:image/png," + quote(IMAGE)) == IMAGE


@pytest.mark.parametrize(
    "url",
    [
        "data:text/plain;base64," + TEXT,
        "data:video/mp4;base64," + TEXT,
        "data:image/png;base64",
        "image/png," + TEXT,
        "data:image/png,\u00e9",
        "data:image/svg+xml,<svg/>",
    ],
)
def test_other_data_urls_hold_no_image(url: str) -> None:
    assert decode_data_url(url) is None


@pytest.mark.parametrize(
    ("value", "image"),
    [
        ("https://e.com/a.png", ImageUrl("https://e.com/a.png")),
        (" HTTP://e.com/a\n.png ", ImageUrl("HTTP://e.com/a.png")),
        ("//e.com/a.png", ImageUrl("https://e.com/a.png")),
        (data_url(IMAGE), ImageData(IMAGE)),
        ("  " + data_url(IMAGE), ImageData(IMAGE)),
        (TEXT, ImageData(IMAGE)),
        ("", None),
        ("file_1234567890abcdef", None),
        ("0123456789abcdef" * 4, None),
        ("ftp://e.com/a.png", None),
        ("https://", None),
        ("javascript:alert(1)", None),
        ("https://e.com/" + "a" * 20_000, None),
    ],
)
def test_what_a_field_for_images_holds(value: str, image: object) -> None:
    assert read_image(value) == image


def test_a_images_bytes_are_not_in_its_repr() -> None:
    assert repr(ImageData(b"x" * 100)) == "ImageData(100 bytes)"
