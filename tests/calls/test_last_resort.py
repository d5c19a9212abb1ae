"""Words and a plain link, and nothing that says "image": the link is tried, since the image is paid for."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from engines import Bench
from gateway_faults import FaultyGateway
from pack.nanobanana.errors import ContentRefused
from PIL import Image
from servers import Peer, RawServer


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def test_a_image_behind_a_plain_link_in_a_sentence_is_delivered(tmp_path: Path) -> None:
    with FaultyGateway(latency=0.01, faults=["shape_url_in_text", "url_no_extension"]) as gateway:
        with Bench(tmp_path, gateway.base_url) as bench:
            outcome = bench.make()
            assert outcome.error is None
            assert len(outcome.images) == 1
            assert bench.states() == [("kept", "yes")]
            assert bench.make(run="run 2").source == "journal"
        assert len(gateway.ledger.posts) == 1


def test_a_link_to_a_page_leaves_the_models_words_and_is_fetched_once(tmp_path: Path) -> None:
    fetched: list[str] = []

    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        if line.startswith("GET"):
            fetched.append(line)
            peer.answer("200 OK", b"<html><title>Policy</title></html>")
        else:
            text = f"I can't do that, see {server.url}/policy for the rules"
            peer.answer(
                "200 OK", b'data: {"choices":[{"delta":{"content":"' + text.encode() + b'"}}]}\n\ndata: [DONE]\n\n'
            )

    with RawServer(serve) as server, Bench(tmp_path, server.url) as bench:
        outcome = bench.make()
        assert isinstance(outcome.error, ContentRefused)
        assert "I can't do that" in outcome.error.message
        assert outcome.billed == "yes"
        assert bench.states() == [("failed", "yes")]
        assert len(fetched) == 1


def _streamed(data: bytes, kind: str, broken: int) -> bytes:
    """`data` as an inline image in ten events, of which number `broken` can't be read; none if it is negative."""
    text = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    size = -(-len(text) // 10)
    events = [
        json.dumps({"choices": [{"index": 0, "delta": {"content": text[at : at + size]}}]}).encode()
        for at in range(0, len(text), size)
    ]
    if broken >= 0:
        events[broken] = events[broken][: len(events[broken]) // 3]
    return b"".join(b"data: " + event + b"\n\n" for event in events) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("broken", [3, 6])
def test_a_broken_event_inside_an_image_is_told_as_damage(tmp_path: Path, kind: str, broken: int) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((96, 96), 60).convert("RGB").save(buffer, kind)

    def serve(peer: Peer) -> None:
        peer.request()
        body = _streamed(buffer.getvalue(), kind, answers.pop(0))
        peer.answer("200 OK", body, content_type="text/event-stream")

    answers = [broken, -1]
    with RawServer(serve) as server, Bench(tmp_path, server.url) as bench:
        outcome = bench.make()
        told = f"{outcome.error} {' '.join(outcome.warnings)}"
        assert "damaged" in told or "can't be read" in told, told
        assert outcome.billed == "yes"
        well = bench.make("a dog")
        assert (well.error, len(well.images)) == (None, 1)
        assert "damaged" not in " ".join(well.warnings)
