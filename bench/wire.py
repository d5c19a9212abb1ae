"""The wire: a long `data:` line, how soon an event is seen, the body's base64, and a whole edit's memory.

python bench/wire.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import base64
import json
import socket
import statistics
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fake_gateway
from images import encoded, larger, sample
from loading import load_pack, load_tensors
from measuring import LEAST_REPEATS, Row, in_fresh_process, peak_memory, ratio, side_by_side

load_pack()
from pack.nanobanana.calls.engine import Engine  # noqa: E402
from pack.nanobanana.calls.models import Order  # noqa: E402
from pack.nanobanana.cancel import CancelToken  # noqa: E402
from pack.nanobanana.gateway.answer.reader import AnswerReader  # noqa: E402
from pack.nanobanana.gateway.answer.sse import SseDecoder  # noqa: E402
from pack.nanobanana.gateway.client import Callbacks, Gateway  # noqa: E402
from pack.nanobanana.gateway.request_body import RequestBody  # noqa: E402
from pack.nanobanana.image_request import EncodedImage, ImageRequest  # noqa: E402
from pack.nanobanana.imaging.payload import InputImages  # noqa: E402
from pack.nanobanana.journal import Journal  # noqa: E402
from pack.nanobanana.settings.profile import Profile  # noqa: E402

MIB = 1 << 20
PIECE = 65536
EVENTS = 15


def answer_line(megabytes: int) -> bytes:
    """A chunk whose one `data:` line holds an image of about `megabytes` MiB of base64."""
    image = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * (megabytes * MIB * 3 // 4 // 256)
    url = "data:image/png;base64," + base64.b64encode(image).decode()
    delta = {"role": "assistant", "images": [{"type": "image_url", "image_url": {"url": url}}]}
    chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"


def _pieces(data: bytes) -> list[bytes]:
    return [data[start : start + PIECE] for start in range(0, len(data), PIECE)]


def _events(pieces: list[bytes]) -> int:
    decoder = SseDecoder()
    return sum(len(decoder.feed(piece)) for piece in pieces) + len(decoder.finish())


def _answer(pieces: list[bytes]) -> object:
    reader = AnswerReader()
    for piece in pieces:
        reader.feed(piece)
    return reader.finish()


def _floor(pieces: list[bytes]) -> bytes:
    """What nobody can do without: one copy, JSON, base64."""
    line = b"".join(pieces).split(b"\n", 1)[0]
    value = json.loads(line[len(b"data: ") :])
    text = value["choices"][0]["delta"]["images"][0]["image_url"]["url"]
    return base64.b64decode(text.partition(",")[2])


def line_rows(repeats: int) -> list[Row]:
    """A 16 MiB line; and that four times the bytes take four times as long."""
    small, large = _pieces(answer_line(4)), _pieces(answer_line(16))
    works: dict[str, Callable[[], object]] = {
        "lines and events": lambda: _events(large),
        "down to the image's bytes": lambda: _answer(large),
        "bare json and base64": lambda: _floor(large),
        "4 MiB to the image": lambda: _answer(small),
    }
    times = side_by_side(works, repeats)
    detail = "; ".join(f"{name} {timing}" for name, timing in times.items())
    whole = times["down to the image's bytes"]
    return [
        Row("16 MiB data: line in 64 KiB pieces to events", times["lines and events"].median, 0.1, True, detail, "s"),
        Row(
            "the same line to the image's bytes, times bare json and base64",
            ratio(whole, times["bare json and base64"]),
            1.5,
            True,
            detail,
        ),
        Row(
            "the same line to the image's bytes, times a 4 MiB one",
            ratio(whole, times["4 MiB to the image"]),
            6.0,
            True,
            detail,
        ),
    ]


def latency_row() -> Row:
    """From an event's last byte to its being told, over a real socket: each held back by its last byte."""
    sent: list[float] = []
    told: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            sock, _ = listening.accept()
            with sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while b"\r\n\r\n" not in sock.recv(PIECE):
                    pass
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
                for number in range(EVENTS):
                    chunk = {"choices": [], "media": {"outputs": [f"https://cdn.example/{number}.png"]}}
                    event = b"data: " + json.dumps(chunk).encode() + b"\n\n"
                    sock.sendall(event[:-1])
                    time.sleep(0.02)
                    sent.append(time.monotonic())
                    sock.sendall(event[-1:])
                sock.sendall(b"data: [DONE]\n\n")

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        port = int(listening.getsockname()[1])
        gateway = Gateway(Profile(base_url=f"http://127.0.0.1:{port}"))
        body = RequestBody(ImageRequest("NanoBananaPro-1K", "x", "1:1", "png"), (), Profile())
        callbacks = Callbacks(on_url=lambda _: told.append(time.monotonic()))
        gateway.ask(body, cancel=CancelToken(), callbacks=callbacks)
        serving.join()
    if len(told) != EVENTS:
        raise RuntimeError(f"{len(told)} of {EVENTS} events were told")
    late = [1000 * (after - before) for before, after in zip(sent, told, strict=True)]
    detail = f"{EVENTS} events over a socket: {statistics.median(late):.2f} ms ({min(late):.2f} to {max(late):.2f})"
    return Row("an event's last byte to its being seen", statistics.median(late), 20, True, detail, "ms")


def body_rows(repeats: int) -> list[Row]:
    """The base64 of a 15 MB image: made piece by piece, never scanned."""
    image = EncodedImage(bytes(range(256)) * 58_600, "image/png")
    request = ImageRequest("NanoBananaPro-4K", "a cat", "1:1", "png")

    def ours() -> int:
        return sum(len(piece) for piece in RequestBody(request, (image,), Profile()))

    def as_json() -> int:
        url = "data:image/png;base64," + base64.b64encode(image.data).decode()
        return len(json.dumps({"messages": [{"image_url": {"url": url}}]}).encode())

    times = side_by_side(
        {"ours": ours, "bare base64": lambda: base64.b64encode(image.data), "json.dumps of it": as_json}, repeats
    )
    detail = "; ".join(f"{name} {timing}" for name, timing in times.items())
    tracemalloc.start()
    length = ours()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return [
        Row(
            "body of a 15 MB image, times its bare base64",
            ratio(times["ours"], times["bare base64"]),
            1.5,
            True,
            detail,
        ),
        Row(
            "memory for that body, in parts of it",
            peak / length,
            0.1,
            True,
            f"{peak / 1e6:.2f} MB for a body of {length / 1e6:.1f} MB",
        ),
    ]


def edit_memory(side: int, *, lossless: bool) -> dict[str, int | None]:
    """Bytes over the tensor at the peak of one whole edit, from order to image, and the body's length."""
    tensors = load_tensors()
    limits: dict[str, Any] = {"picture_limit": 1 << 30, "body_limit": 1 << 31} if lossless else {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for tier, answer in (("1K", 1024), ("0.5K", 512)):
            (folder / f"{tier}.png").write_bytes(encoded(sample(answer).pillow, format="PNG", compress_level=4))
        with fake_gateway.running(folder) as gateway, Journal(folder / "data") as journal:
            engine = Engine(journal)
            profile = Profile(base_url=gateway.base_url, **limits)

            def edit(image: Any) -> None:
                inputs = InputImages(tensors.sources(image))
                order = Order(profile, ImageRequest("NanoBanana2-0.5K", "x", "1:1", "png", 1), "run", inputs)
                call = engine.start(order, 0, CancelToken())
                while not call.done:
                    time.sleep(0.005)
                if call.outcome is None or not call.outcome.images:
                    raise RuntimeError(str(call.outcome and call.outcome.error))

            # Imports, plugins and the threads' stacks are not the image's.
            edit(sample(64, 2).image)
            image = larger(sample(side // 2)).image
            peak = peak_memory(lambda: edit(image))
            posts = [one.body for one in gateway.served() if one.method == "POST"]
    return {"peak": peak, "body": posts[-1]}


def memory_rows(side: int, repeats: int) -> list[Row]:
    rows: list[Row] = []
    for name in ("within 20 MB", "without loss"):
        answers = [in_fresh_process(Path(__file__), "--memory-of", name, "--side", str(side)) for _ in range(repeats)]
        peaks = [answer["peak"] or 0 for answer in answers]
        body = answers[0]["body"]
        if body is None or not all(peaks):
            continue
        peak = statistics.median(peaks)
        detail = (
            f"{peak / 1e6:.1f} MB ({min(peaks) / 1e6:.1f} to {max(peaks) / 1e6:.1f}) for a body of {body / 1e6:.1f} MB"
        )
        rows.append(
            Row(f"whole {side}x{side} edit {name}, peak memory in times the body", peak / body, 3, True, detail)
        )
    return rows


def rows(repeats: int, *, short: bool) -> list[Row]:
    """Every row of the wire, each told as it comes."""
    found: list[Row] = []
    steps: list[Callable[[], list[Row]]] = [
        lambda: line_rows(repeats),
        lambda: [latency_row()],
        lambda: body_rows(repeats),
        lambda: memory_rows(2048, 1) if short else memory_rows(4096, repeats),
    ]
    for step in steps:
        for row in step():
            print(row, file=sys.stderr, flush=True)
            found.append(row)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=LEAST_REPEATS)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, default=4096, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(json.dumps(edit_memory(options.side, lossless=options.memory_of == "without loss")))
        return 0
    print(json.dumps([asdict(row) for row in rows(options.repeats, short=options.short)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
