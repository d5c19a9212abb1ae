"""What `POST /v1/chat/completions` accepts: `api-page` read as strictly as it is written.

Anything the page does not document is refused with a 400 that names the key, so that a client's slip shows at once.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import cast

from .catalog import FORMATS, MODELS, RATIOS
from .errors import bad_request
from .inputs import InputImage, read_image

DIALECTS: tuple[str, ...] = ("any", "documented", "extra_body", "prompt_flags", "openrouter")
"""`any` takes each documented way of saying the ratio, all of which must agree; the others take only their own."""

_TOP_LEVEL = {
    "any": {"--aspect_ratio", "--output_format", "extra_body", "image_config", "modalities"},
    "documented": {"--aspect_ratio", "--output_format", "extra_body"},
    "extra_body": {"extra_body"},
    "prompt_flags": {"extra_body"},
    "openrouter": {"image_config", "modalities"},
}
# What clients of any OpenAI-compatible API send beside the documented keys: taken, and without effect.
_USUAL = {
    "frequency_penalty",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "n",
    "presence_penalty",
    "stop",
    "stream_options",
    "temperature",
    "top_p",
    "user",
}
_FLAGS = re.compile(r"(?:\s--(?:aspect_ratio|output_format)\s+\S+)+\s*\Z")
_FLAG = re.compile(r"--(aspect_ratio|output_format)\s+(\S+)")
_INLINE_IMAGE = re.compile(r"!\[[^\]]*\]\(data:", re.IGNORECASE)


@dataclass(frozen=True)
class Order:
    """A request that was accepted. `image_format` is one of FORMATS, jpeg where none was asked for."""

    model: str
    ratio: str
    image_format: str
    prompt: str
    images: tuple[InputImage, ...]
    stream: bool


def read_order(raw: bytes, dialect: str = "any") -> tuple[dict[str, object], Order]:
    """The parsed body and the accepted order; raises Rejected with the 400 to answer."""
    body = parse_object(raw)
    return body, validate(body, dialect)


def parse_object(raw: bytes) -> dict[str, object]:
    """The body as a JSON object; raises Rejected."""
    try:
        value = cast(object, json.loads(raw))
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body is not JSON: {error}") from error
    return _object(value, "body")


def validate(body: dict[str, object], dialect: str = "any") -> Order:
    """Check every key; raises Rejected with the 400 to answer."""
    unknown = set(body) - {"model", "messages", "stream"} - _USUAL - _TOP_LEVEL[dialect]
    if unknown:
        raise bad_request(f"Unknown key {sorted(unknown)[0]!r}", sorted(unknown)[0])
    model = _string(body.get("model"), "model")
    if model not in MODELS:
        raise bad_request(f"Unknown model {model!r}. One of: {', '.join(MODELS)}", "model", "model_not_found")
    if body.get("n", 1) != 1:
        raise bad_request("n must be 1: an image is a call of its own", "n")
    stream = body.get("stream", False)
    if not isinstance(stream, bool):
        raise bad_request("stream must be true or false", "stream")
    prompt, images = _messages(body.get("messages"))
    ratios: dict[str, str] = {}
    formats: dict[str, str] = {}
    if dialect in ("any", "prompt_flags"):
        prompt = _prompt_flags(prompt, ratios, formats)
    if "--aspect_ratio" in body:
        ratios["--aspect_ratio"] = _string(body["--aspect_ratio"], "--aspect_ratio")
    if "--output_format" in body:
        formats["--output_format"] = _string(body["--output_format"], "--output_format")
    if "extra_body" in body:
        _extra_body(body["extra_body"], ratios)
    if "image_config" in body:
        _image_config(body["image_config"], "image_config", ratios, MODELS[model].tier)
    if "modalities" in body and body["modalities"] != ["image", "text"]:
        raise bad_request('modalities must be ["image", "text"]', "modalities")
    _require(dialect, ratios, formats)
    # A client that knows nothing of ratios, in the dialect that takes any.
    ratio = _agreed(ratios, RATIOS, "aspect_ratio") if ratios else "1:1"
    image_format = _agreed(formats, FORMATS, "output_format") if formats else "jpeg"
    if not prompt.strip():
        raise bad_request("The prompt is empty", "messages")
    limit = MODELS[model].max_images
    if len(images) > limit:
        raise bad_request(f"{model} takes at most {limit} images, {len(images)} were sent", "messages")
    return Order(model, ratio, image_format, prompt, tuple(images), stream)


def _require(dialect: str, ratios: dict[str, str], formats: dict[str, str]) -> None:
    needed = {
        "any": (),
        "documented": ("--aspect_ratio",),
        "extra_body": ("extra_body.google.image_config.aspect_ratio",),
        "prompt_flags": ("prompt --aspect_ratio", "extra_body.google.image_config.aspect_ratio"),
        "openrouter": ("image_config.aspect_ratio",),
    }[dialect]
    for name in needed:
        if name not in ratios:
            raise bad_request(f"{name} is required", name)
    if dialect == "documented" and "--output_format" not in formats:
        raise bad_request("--output_format is required", "--output_format")
    if dialect == "prompt_flags" and "prompt --output_format" not in formats:
        raise bad_request("--output_format is required in the prompt", "messages")


def _agreed(values: dict[str, str], allowed: tuple[str, ...], what: str) -> str:
    for name, value in values.items():
        if value not in allowed:
            raise bad_request(f"Unknown {what} {value!r} in {name}. One of: {', '.join(allowed)}", name)
    if len(set(values.values())) > 1:
        places = ", ".join(f"{name} says {value}" for name, value in values.items())
        raise bad_request(f"The places of {what} disagree: {places}", next(iter(values)))
    return next(iter(values.values()))


def _prompt_flags(prompt: str, ratios: dict[str, str], formats: dict[str, str]) -> str:
    found = _FLAGS.search(prompt)
    if not found:
        return prompt
    for name, value in _FLAG.findall(found.group()):
        (ratios if name == "aspect_ratio" else formats)[f"prompt --{name}"] = value
    return prompt[: found.start()]


def _extra_body(value: object, ratios: dict[str, str]) -> None:
    extra = _exactly(value, {"google"}, "extra_body")
    google = _exactly(extra["google"], {"image_config"}, "extra_body.google")
    _image_config(google["image_config"], "extra_body.google.image_config", ratios, None)


def _image_config(value: object, where: str, ratios: dict[str, str], tier: str | None) -> None:
    config = _object(value, where)
    allowed = {"aspect_ratio"} if tier is None else {"aspect_ratio", "image_size"}
    for key in config:
        if key not in allowed:
            raise bad_request(f"Unknown key {key!r} in {where}: only {', '.join(sorted(allowed))}", where)
    if "aspect_ratio" not in config:
        raise bad_request(f"{where}.aspect_ratio is required", where)
    ratios[f"{where}.aspect_ratio"] = _string(config["aspect_ratio"], f"{where}.aspect_ratio")
    if "image_size" in config:
        size = _string(config["image_size"], f"{where}.image_size")
        expected = "1K" if tier == "NanoBanana" else tier
        if size != expected:
            raise bad_request(f"image_size {size!r} is not the model's: {expected}", f"{where}.image_size")


def _messages(value: object) -> tuple[str, list[InputImage]]:
    messages = _list(value, "messages")
    if not messages:
        raise bad_request("messages must not be empty", "messages")
    texts: list[str] = []
    images: list[InputImage] = []
    roles: list[str] = []
    for index, item in enumerate(messages):
        where = f"messages[{index}]"
        message = _exactly(item, {"role", "content"}, where)
        role = _string(message["role"], f"{where}.role")
        if role not in ("system", "user", "assistant"):
            raise bad_request(f"Unknown role {role!r}", f"{where}.role")
        roles.append(role)
        if isinstance(message["content"], str):
            found = [message["content"]]
        else:
            found = _parts(message["content"], f"{where}.content", images)
        if role == "user":
            texts += found
    if "user" not in roles:
        raise bad_request("There is no message of the user", "messages")
    prompt = "\n".join(texts)
    if _INLINE_IMAGE.search(prompt):
        raise bad_request("The prompt's text holds a Markdown image with a data URL", "messages")
    return prompt, images


def _parts(value: object, where: str, images: list[InputImage]) -> list[str]:
    parts = _list(value, where)
    if not parts:
        raise bad_request(f"{where} must not be empty", where)
    texts: list[str] = []
    for index, item in enumerate(parts):
        here = f"{where}[{index}]"
        part = _object(item, here)
        kind = part.get("type")
        if kind == "text":
            texts.append(_string(_exactly(part, {"type", "text"}, here)["text"], f"{here}.text"))
        elif kind == "image_url":
            image_url = _exactly(_exactly(part, {"type", "image_url"}, here)["image_url"], {"url"}, f"{here}.image_url")
            images.append(read_image(_string(image_url["url"], f"{here}.image_url.url"), f"{here}.image_url.url"))
        else:
            raise bad_request(f"Unknown part type {kind!r}: text or image_url", here)
    return texts


def _exactly(value: object, keys: set[str], where: str) -> dict[str, object]:
    found = _object(value, where)
    if set(found) != keys:
        odd = sorted(set(found) ^ keys)[0]
        raise bad_request(f"{where}: {'unknown' if odd in found else 'missing'} key {odd!r}", where)
    return found


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise bad_request(f"{where} must be an object", where)
    return cast("dict[str, object]", value)


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise bad_request(f"{where} must be a list", where)
    return cast("list[object]", value)


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise bad_request(f"{where} {'is required' if value is None else 'must be a string'}", where)
    return value
