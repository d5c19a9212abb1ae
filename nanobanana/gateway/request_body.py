"""The JSON body of one call, as pieces: an image's base64 text is made while it is sent, and is never held whole."""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterator, Sequence
from typing import Final

from ..catalog import DIALECTS, Dialect, image_size, name_and_size
from ..errors import ConfigError, InputError
from ..image_request import EncodedImage, ImageRequest
from ..settings.profile import Profile

PIECE_BYTES: Final = 262_144
# Multiples of three bytes become base64 without padding, so the pieces join into one text.
_IMAGE_PIECE_BYTES: Final = PIECE_BYTES // 4 * 3


class RequestBody:
    """The body of `request` with the input `images` in order, as `profile` wants it: compact UTF-8 JSON.

    `len` gives its exact bytes; iterating gives pieces of at most 256 KiB, anew each time. Raises `InputError` if
    a text can't be written as UTF-8, `ConfigError` for an unknown dialect or body fields that are no JSON object.
    """

    def __init__(self, request: ImageRequest, images: Sequence[EncodedImage], profile: Profile) -> None:
        dialect = profile.dialect
        spoken = DIALECTS.get(dialect)
        if spoken is None:
            raise ConfigError(
                f"The profile's dialect is {dialect!r}, which is none of {', '.join(DIALECTS)}.",
                "Choose one in Settings > NanoBanana.",
            )
        # What the person says, in which addresses are no results.
        self.prompt = f"{profile.system_message}\n{profile.prompt_prefix}\n{request.prompt}"
        self._segments = tuple(_segments(request, images, spoken, profile))
        self._size = sum(_size(segment) for segment in self._segments)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        for segment in self._segments:
            if isinstance(segment, EncodedImage):
                yield from _base64(segment.data)
            else:
                for start in range(0, len(segment), PIECE_BYTES):
                    yield segment[start : start + PIECE_BYTES]


def _size(segment: bytes | EncodedImage) -> int:
    return -(-len(segment.data) // 3) * 4 if isinstance(segment, EncodedImage) else len(segment)


def _base64(data: bytes) -> Iterator[bytes]:
    view = memoryview(data)
    for start in range(0, len(view), _IMAGE_PIECE_BYTES):
        yield binascii.b2a_base64(view[start : start + _IMAGE_PIECE_BYTES], newline=False)


def _segments(
    request: ImageRequest, images: Sequence[EncodedImage], dialect: Dialect, profile: Profile
) -> Iterator[bytes | EncodedImage]:
    model, own_size = name_and_size(request.model)
    before: dict[str, object] = {"model": model}
    after: dict[str, object] = {}
    text = request.prompt
    if profile.prompt_prefix:
        prefix = profile.prompt_prefix
        text = prefix + text if prefix[-1].isspace() else f"{prefix} {text}"
    if dialect.literal_keys:
        before |= {"--aspect_ratio": request.aspect_ratio, "--output_format": request.output_format}
    if dialect.prompt_flags:
        text += f" --aspect_ratio {request.aspect_ratio} --output_format {request.output_format}"
    if dialect.extra_body:
        # A literal key, as in both examples of the page. Relays take only snake_case inside image_config.
        # The documented models say their size by their name.
        sized = {"image_size": own_size} if own_size else {}
        after["extra_body"] = {"google": {"image_config": {"aspect_ratio": request.aspect_ratio, **sized}}}
    if dialect.image_config:
        size = image_size(request.model)
        config = {"aspect_ratio": request.aspect_ratio, **({"image_size": size} if size else {})}
        after |= {"modalities": ["image", "text"], "image_config": config}
    own = profile.own_fields
    before |= {name: value for name, value in own.items() if name not in after}
    after |= {name: value for name, value in own.items() if name in after}
    system = _json({"role": "system", "content": profile.system_message}) + b"," if profile.system_message else b""
    yield _json(before)[:-1] + b',"messages":[' + system + b'{"role":"user","content":'
    yield from _content(text, images)
    yield b"}]," + _json({**after, "stream": profile.stream})[1:]


def _content(text: str, images: Sequence[EncodedImage]) -> Iterator[bytes | EncodedImage]:
    if not images:
        yield _json(text)
        return
    yield b"[" + _json({"type": "text", "text": text})
    for image in images:
        yield b',{"type":"image_url","image_url":{"url":' + _json(f"data:{image.mime};base64,")[:-1]
        yield image
        yield b'"}}'
    yield b"]"


def _json(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError as error:
        place = error.start
        raise InputError(
            f"The text holds half a character (a lone surrogate near character {place}), which can't be sent.",
            "Type the prompt anew, or remove the broken character.",
        ) from None
