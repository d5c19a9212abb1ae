"""From a plan and images to the bytes of a 200 answer: shape, split, framing, refusals, late errors."""

from __future__ import annotations

import json
from dataclasses import replace

from pack.nanobanana.simulator.answers import PROGRESS, Identity, ServedImage, delta, envelope
from pack.nanobanana.simulator.errors import Failure, documented_error

from .answers import Chunk, Shaped, chunks, refusal, whole
from .framing import Framing, Piece, plain, stream
from .plan import Plan

_REFUSALS: dict[str, tuple[str, str | None]] = {
    "refusal": ("I can't create that image, but I can describe it for you.", "stop"),
    "content_filter": ("The request was blocked by the safety filter.", "content_filter"),
    "content_filter_upper": ("", "CONTENT_FILTER"),
    "image_safety": ("", "IMAGE_SAFETY"),
}


def plain_framing(framing: Framing) -> Framing:
    """The framing of an answer that is one JSON document: its type and a length, unless a fault says otherwise."""
    return replace(
        framing,
        content_type="application/json" if "event-stream" in framing.content_type else framing.content_type,
        transfer="length" if framing.transfer == "chunked" else framing.transfer,
    )


def plain_pieces(plan: Plan, images: list[ServedImage], identity: Identity, request_id: str) -> list[Piece]:
    """The answer as one JSON document."""
    shaped = _shaped(plan, images)
    error = _late_error(plan, request_id)
    answer = error if error is not None else whole(shaped or Shaped(None, finish_reason=None), identity)
    return _delayed(plan, plain(plan.framing, _events(plan, shaped, identity), answer))


def stream_pieces(
    plan: Plan, images: list[ServedImage], identity: Identity, request_id: str, progress: float | None
) -> list[Piece]:
    """The answer as a stream; `progress`: the seconds to fill with progress words before it, or None for no words."""
    error = _late_error(plan, request_id)
    if error is not None and plan.has("error_in_200"):
        return [Piece(json.dumps(error).encode())]
    framing = plan.framing
    empty = plan.last("empty")
    opening = Chunk(delta(identity, {"role": "assistant", "content": ""}))
    if error is not None:
        events = [opening, Chunk(error)]
        framing = replace(framing, done=False)
    elif empty and empty.name == "empty_stream":
        return []
    elif empty and empty.name == "only_comments":
        return [Piece(b": PING\n\n", event=False)] * 3
    elif empty and empty.name == "no_choices":
        events = [Chunk({**envelope(identity, "chat.completion.chunk"), "choices": []})] * 2
    else:
        events = _events(plan, _shaped(plan, images), identity)
    if progress is not None:
        events = _progress(identity, progress) + events
    return _delayed(plan, stream(framing, events, identity))


def _shaped(plan: Plan, images: list[ServedImage]) -> Shaped | None:
    empty = plan.last("empty")
    if empty is None:
        return plan.shape(images) if images else None
    words = _REFUSALS.get(empty.name)
    return refusal(*words) if words else None


def _events(plan: Plan, shaped: Shaped | None, identity: Identity) -> list[Chunk]:
    return chunks(shaped, identity, int(plan.number("split", "characters") or 0)) if shaped else []


def _late_error(plan: Plan, request_id: str) -> dict[str, object] | None:
    fault = plan.last("status_200")
    if fault is None:
        return None
    failure = Failure(500, "The upstream model failed", fault.values["code"])
    return documented_error(failure, f"{failure.message} (request id: {request_id})")


def _delayed(plan: Plan, pieces: list[Piece]) -> list[Piece]:
    seconds = plan.number("chunk_delay", "seconds")
    return [replace(piece, delay=seconds) for piece in pieces] if seconds else pieces


def _progress(identity: Identity, seconds: float) -> list[Chunk]:
    """What a relay says while its client waits, spread over `seconds`."""
    pause = seconds / len(PROGRESS)
    events: list[Chunk] = []
    for number, word in enumerate(PROGRESS):
        events.append(Chunk({}, raw=b": PING\n\n", delay=pause if number else 0.0))
        events.append(Chunk(delta(identity, {"role": "assistant", "reasoning_content": word + "\n"})))
    events.append(Chunk({}, raw=b": PING\n\n", delay=pause))
    return events
