"""The documented answer: a chunk with the image's URL in its content and in `media.outputs`, streamed or whole."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass

# What a relay says while its client waits: queued, then how far it is.
PROGRESS = ("\u6392\u961f\u4e2d", "\u8fdb\u5ea6 15%", "\u8fdb\u5ea6 45%", "\u8fdb\u5ea6 80%")


@dataclass(frozen=True)
class ServedImage:
    """An image as it goes out: `url` is where it can be downloaded."""

    url: str
    data: bytes
    mime: str

    @property
    def base64(self) -> str:
        return base64.b64encode(self.data).decode("ascii")

    @property
    def data_url(self) -> str:
        return f"data:{self.mime};base64,{self.base64}"


@dataclass(frozen=True)
class Identity:
    """What names one answer: `model` is not the one that was asked for, as in the documented example."""

    id: str
    created: int
    model: str


def envelope(identity: Identity, kind: str) -> dict[str, object]:
    """The keys that every chunk and every plain answer begins with."""
    return {"id": identity.id, "object": kind, "created": identity.created, "model": identity.model}


def delta(identity: Identity, content: dict[str, object], finish_reason: str | None = None) -> dict[str, object]:
    """One `chat.completion.chunk` with `content` as its delta."""
    choice: dict[str, object] = {"index": 0, "delta": content, "finish_reason": finish_reason}
    return {**envelope(identity, "chat.completion.chunk"), "choices": [choice]}


def stream(image: ServedImage, identity: Identity, waiting: float | None) -> Iterator[tuple[float, bytes]]:
    """(seconds to wait before it, bytes) of each event. `waiting`: seconds to fill with progress, None for silence."""
    if waiting is not None:
        pause = waiting / len(PROGRESS)
        for number, text in enumerate(PROGRESS):
            yield (pause if number else 0.0), b": PING\n\n"
            yield 0.0, _event(delta(identity, {"role": "assistant", "reasoning_content": text + "\n"}))
        yield pause, b": PING\n\n"
    chunk = delta(identity, {"role": "assistant", "content": image.url}, "stop")
    yield 0.0, _event({**chunk, "media": {"outputs": [image.url]}})
    yield 0.0, b"data: [DONE]\n\n"


def whole(image: ServedImage, identity: Identity) -> bytes:
    """The answer to `stream: false`: a `chat.completion`."""
    message = {"role": "assistant", "content": image.url}
    usage = {"prompt_tokens": 258, "completion_tokens": 1290, "total_tokens": 1548}
    answer = {
        **envelope(identity, "chat.completion"),
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
        "media": {"outputs": [image.url]},
    }
    return json.dumps(answer, separators=(",", ":")).encode()


def _event(value: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"
