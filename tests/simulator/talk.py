"""A small HTTP and event-stream reader for the simulator's tests, sharing nothing with the pack's client."""

from __future__ import annotations

import base64
import contextlib
import copy
import http.client
import io
import json
import re
import socket
import zlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

TEXT_EXAMPLE: dict[str, Any] = {
    "model": "NanoBananaPro-1K",
    "messages": [{"role": "user", "content": "a cute cat"}],
    "extra_body": {"google": {"image_config": {"aspect_ratio": "16:9"}}},
    "stream": True,
}
IMAGE_EXAMPLE: dict[str, Any] = {
    "model": "NanoBananaPro-1K",
    "messages": [
        {
            "role": "user",
            "content": [
                {
                    "type": "text",
                    "text": "\u5728\u540c\u4e00\u753b\u5e03\u4e0b,"
                    "\u751f\u6210\u6b64\u7269\u54c1\u7684\u4e09\u89c6\u56fe,\u5fc5\u987b\u767d\u8272\u80cc\u666f",
                },
                {"type": "image_url", "image_url": {"url": "https://example.com/xxxxxxx.jpg"}},
            ],
        }
    ],
    "extra_body": {"google": {"image_config": {"aspect_ratio": "16:9"}}},
    "stream": True,
}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool = True

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]

    @property
    def events(self) -> list[Any]:
        return [json.loads(text) for text in read_events(self.body) if text not in ("", "[DONE]")]


@dataclass
class Message:
    """All chunks of an answer put together."""

    content: Any = ""
    reasoning: str = ""
    keys: dict[str, Any] = field(default_factory=dict)
    top: dict[str, Any] = field(default_factory=dict)
    finish_reason: str | None = None


def order(prompt: str = "a cute cat", **changes: Any) -> dict[str, Any]:
    """The documented text example with another prompt; a change to None takes a key away."""
    body = copy.deepcopy(TEXT_EXAMPLE)
    # The smallest model: these tests look at bytes and rarely at pixels.
    body["model"] = "NanoBanana2-0.5K"
    body["messages"][0]["content"] = prompt
    for name, value in changes.items():
        key = {"aspect_ratio": "--aspect_ratio", "output_format": "--output_format"}.get(name, name)
        if value is None:
            del body[key]
        else:
            body[key] = value
    return body


def edit(prompt: str, *urls: str, **changes: Any) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": prompt}]
    parts += [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return order(**{"messages": [{"role": "user", "content": parts}], **changes})


def data_url(image: Image.Image, name: str = "PNG", mime: str = "") -> str:
    buffer = io.BytesIO()
    image.save(buffer, name)
    return f"data:{mime or 'image/' + name.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def ask(base_url: str, body: Any, headers: dict[str, str] | None = None, timeout: float = 10.0) -> Answer:
    """POST `body` (JSON, or bytes as they are); a broken answer comes back with complete=False."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return _exchange(base_url, "POST", "/v1/chat/completions", raw, headers or {}, timeout)


def get(url: str, headers: dict[str, str] | None = None, timeout: float = 10.0) -> Answer:
    parts = urlsplit(url)
    path = parts.path + ("?" + parts.query if parts.query else "")
    return _exchange(f"{parts.scheme}://{parts.netloc}", "GET", path or "/", None, headers or {}, timeout)


def _exchange(
    base_url: str, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout: float
) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=timeout)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        try:
            data, complete = response.read(), True
        except http.client.IncompleteRead as error:
            data, complete = error.partial, False
        if found.get("content-encoding") == "gzip":
            data = zlib.decompressobj(31).decompress(data)
        return Answer(response.status, found, data, complete)


def open_request(base_url: str, body: Any, length: int | None = None) -> socket.socket:
    """A socket over which the request has gone out; with `length` another Content-Length is announced."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    parts = urlsplit(base_url)
    assert parts.hostname is not None
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=10)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
    connection.sendall(f"{head}Content-Length: {len(raw) if length is None else length}\r\n\r\n".encode() + raw)
    return connection


def drain(connection: socket.socket, most: int = 1 << 24) -> tuple[bytes, str]:
    """What comes until the other side ends it: the bytes, and `closed`, `reset`, `silent` or `more`."""
    parts: list[bytes] = []
    size = 0
    while size < most:
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            return b"".join(parts), "reset"
        except TimeoutError:
            return b"".join(parts), "silent"
        if not data:
            return b"".join(parts), "closed"
        parts.append(data)
        size += len(data)
    return b"".join(parts), "more"


def dechunked(raw: bytes) -> bytes:
    """The body behind the headers of a chunked answer, as far as it goes."""
    rest = raw.partition(b"\r\n\r\n")[2]
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        rest = rest[length + 2 :]
    return body


def read_events(raw: bytes) -> list[str]:
    """The data of each event, as the HTML standard says: three line ends, one BOM, one blank behind the colon."""
    text = raw.decode().removeprefix("\ufeff")
    events: list[str] = []
    data: list[str] = []
    for line in [*re.split("\r\n|\n|\r", text), ""]:
        if not line:
            if data:
                events.append("\n".join(data))
            data = []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
    return events


def gathered(chunks: list[Any], key: str = "delta") -> Message:
    """One message from an answer's chunks, or from plain answers with `key` "message"."""
    message = Message()
    for chunk in chunks:
        message.top.update({k: v for k, v in chunk.items() if k in ("media", "data")})
        for choice in chunk.get("choices", []):
            part = choice[key]
            message.finish_reason = choice["finish_reason"] or message.finish_reason
            message.reasoning += part.get("reasoning_content", "")
            content = part.get("content")
            if isinstance(content, str) and isinstance(message.content, str):
                message.content += content
            elif content is not None:
                message.content = content
            message.keys.update({k: v for k, v in part.items() if k in ("images", "image")})
    return message


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
