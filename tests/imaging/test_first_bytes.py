from __future__ import annotations

from io import BytesIO

import pytest
from pack.nanobanana.imaging.headers import extension, sniff
from PIL import Image, features

KINDS = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp", "GIF": "gif", "TIFF": "tiff", "BMP": "bmp"}
# Pillow before 11.3 can't write it.
KINDS |= {"AVIF": "avif"} if "avif" in features.modules else {}


def file_of(kind: str) -> bytes:
    out = BytesIO()
    Image.new("RGB", (5, 4), (10, 20, 30)).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "name"), KINDS.items())
def test_files_are_known_by_their_first_bytes(kind: str, name: str) -> None:
    assert sniff(file_of(kind)) == name
    assert sniff(file_of(kind)[:16]) == name


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG",
        b"<!DOCTYPE html><html>",
        b'{"error": {}}',
        b"%PDF-1.7",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"BM and more text than that",
        b"\x00\x00\x00\x18ftypmp42",
        b"MZ\x90\x00",
    ],
)
def test_anything_else_is_no_image(data: bytes) -> None:
    assert sniff(data) is None
    assert extension(data) == "bin"


def test_extensions_are_our_own() -> None:
    names = ["png", "jpg", "webp", "gif", "tif", "bmp", "avif"]
    assert [extension(file_of(kind)) for kind in KINDS] == names[: len(KINDS)]
