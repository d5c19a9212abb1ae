"""Where the image is in an answer: every shape that relays of this kind are seen to use.

A shape says what is in the message and what beside it; `chunks` and `whole` make stream events and a plain answer of
it, so that each shape exists in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pack.nanobanana.simulator.answers import Identity, ServedImage, delta, envelope


@dataclass(frozen=True)
class Shaped:
    """An answer before it is cut into events. `message` and `top` are further keys of the delta and of the chunk."""

    content: str | list[object] | None = ""
    message: dict[str, object] = field(default_factory=dict[str, object])
    top: dict[str, object] = field(default_factory=dict[str, object])
    reasoning: str = ""
    finish_reason: str | None = "stop"
    bare: bool = False
    finish_later: bool = False
    top_later: bool = False


@dataclass(frozen=True)
class Chunk:
    """One event's JSON. `bearing`: it holds the image or a part of it. `raw` replaces the JSON text."""

    payload: dict[str, object]
    bearing: bool = False
    raw: bytes | None = None
    delay: float = 0.0


def _urls(images: list[ServedImage]) -> list[str]:
    return [image.url for image in images]


def _media(urls: list[str]) -> dict[str, object]:
    return {"media": {"outputs": urls}}


def _documented(images: list[ServedImage]) -> Shaped:
    return Shaped("\n".join(_urls(images)), top=_media(_urls(images)))


def _finish_later(images: list[ServedImage]) -> Shaped:
    return replace(_documented(images), finish_later=True)


def _media_later(images: list[ServedImage]) -> Shaped:
    return replace(_documented(images), top_later=True)


def _media_only(images: list[ServedImage]) -> Shaped:
    return Shaped("", top=_media(_urls(images)))


def _media_null_content(images: list[ServedImage]) -> Shaped:
    return Shaped(None, top=_media(_urls(images)))


def _bare_url(images: list[ServedImage]) -> Shaped:
    return Shaped("\n".join(_urls(images)))


def _url_in_text(images: list[ServedImage]) -> Shaped:
    return Shaped("Here is your image: " + " and ".join(_urls(images)) + " . Enjoy!")


def _markdown(images: list[ServedImage]) -> Shaped:
    return Shaped("Here you are:\n\n" + "\n\n".join(f"![image]({url})" for url in _urls(images)) + "\n")


def _markdown_title(images: list[ServedImage]) -> Shaped:
    return Shaped("\n".join(f'![a "cat"]({url} "the title")' for url in _urls(images)))


def _markdown_link(images: list[ServedImage]) -> Shaped:
    return Shaped("Done. " + " ".join(f"[image {n}]({url})" for n, url in enumerate(_urls(images), 1)))


def _markdown_data(images: list[ServedImage]) -> Shaped:
    return Shaped("\n\n".join(f"![image]({image.data_url})" for image in images))


def _html_image(images: list[ServedImage]) -> Shaped:
    return Shaped("".join(f'<p><img src="{url}" alt="image"></p>' for url in _urls(images)))


def _html_data(images: list[ServedImage]) -> Shaped:
    return Shaped("".join(f'<img alt="image" src="{image.data_url}"/>' for image in images))


def _bare_data_url(images: list[ServedImage]) -> Shaped:
    return Shaped("\n".join(image.data_url for image in images))


def _image_parts(urls: list[str]) -> list[object]:
    return [{"type": "image_url", "image_url": {"url": url}, "index": n} for n, url in enumerate(urls)]


def _images_url(images: list[ServedImage]) -> Shaped:
    return Shaped("", message={"images": _image_parts(_urls(images))})


def _images_data(images: list[ServedImage]) -> Shaped:
    return Shaped("Here it is.", message={"images": _image_parts([image.data_url for image in images])})


def _image_url(images: list[ServedImage]) -> Shaped:
    # LiteLLM's early key holds one image: further ones are lost, as they were there.
    return Shaped("", message={"image": {"url": images[0].url, "detail": "auto"}})


def _image_data(images: list[ServedImage]) -> Shaped:
    return Shaped("", message={"image": {"url": images[0].data_url, "detail": "auto"}})


def _parts(images: list[ServedImage], part: Callable[[ServedImage], dict[str, object]]) -> Shaped:
    return Shaped([{"type": "text", "text": "Here it is."}, *(part(image) for image in images)])


def _parts_url(images: list[ServedImage]) -> Shaped:
    return _parts(images, lambda p: {"type": "image_url", "image_url": {"url": p.url}})


def _parts_data(images: list[ServedImage]) -> Shaped:
    return _parts(images, lambda p: {"type": "image_url", "image_url": {"url": p.data_url}})


def _parts_raw_base64(images: list[ServedImage]) -> Shaped:
    return _parts(images, lambda p: {"type": "image_url", "image_url": {"url": p.base64}})


def _parts_image(images: list[ServedImage]) -> Shaped:
    return _parts(images, lambda p: {"type": "image", "image": {"base64": p.base64}})


def _parts_inline(images: list[ServedImage]) -> Shaped:
    return _parts(images, lambda p: {"inline_data": {"mime_type": p.mime, "data": p.base64}})


def _data_b64_json(images: list[ServedImage]) -> Shaped:
    return Shaped(None, top={"data": [{"b64_json": image.base64} for image in images]}, bare=True)


def _data_url(images: list[ServedImage]) -> Shaped:
    return Shaped(None, top={"data": [{"url": url} for url in _urls(images)]}, bare=True)


def _duplicates(images: list[ServedImage]) -> Shaped:
    urls = _urls(images)
    text = "\n".join([*urls, *(f"![image]({url})" for url in urls), *(f'<img src="{url}">' for url in urls)])
    return Shaped(text, message={"images": _image_parts(urls)}, top=_media(urls + urls))


def _other_links(images: list[ServedImage]) -> Shaped:
    origin = images[0].url.split("/output/")[0] if images else ""
    text = f"See https://example.com/terms and [help](https://example.com/help.png), ![logo]({origin}/decoy/logo.png)."
    return Shaped(text, top=_media(_urls(images)))


def _reasoning_drafts(images: list[ServedImage]) -> Shaped:
    origin = images[0].url.split("/output/")[0] if images else ""
    draft = (
        f"\u6b63\u5728\u751f\u6210 ![draft]({origin}/decoy/draft.png) data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="
    )
    return replace(_documented(images), reasoning=draft)


Shape = Callable[[list[ServedImage]], Shaped]

SHAPES: dict[str, tuple[Shape, str]] = {
    "shape_documented": (_documented, "the documented chunk: bare URL in the content and in media.outputs"),
    "shape_finish_later": (_finish_later, "the documented chunk, finish_reason in a chunk of its own"),
    "shape_media_later": (_media_later, "the URL in the content first, media.outputs in a later chunk"),
    "shape_media_only": (_media_only, "media.outputs alone, the content empty"),
    "shape_media_null_content": (_media_null_content, "media.outputs alone, the content null"),
    "shape_bare_url": (_bare_url, "a bare URL in the content, no media.outputs"),
    "shape_url_in_text": (_url_in_text, "a bare URL inside a sentence"),
    "shape_markdown": (_markdown, "a Markdown image with a URL"),
    "shape_markdown_title": (_markdown_title, "a Markdown image with a URL and a title"),
    "shape_markdown_link": (_markdown_link, "a Markdown link to the image"),
    "shape_markdown_data": (_markdown_data, "a Markdown image with a data URL"),
    "shape_html_image": (_html_image, "an HTML img with a URL"),
    "shape_html_data": (_html_data, "an HTML img with a data URL"),
    "shape_bare_data_url": (_bare_data_url, "a bare data URL in the content"),
    "shape_images_url": (_images_url, "images[].image_url.url with URLs (OpenRouter)"),
    "shape_images_data": (_images_data, "images[].image_url.url with data URLs (OpenRouter)"),
    "shape_image_url": (_image_url, "image.url with a URL (early LiteLLM)"),
    "shape_image_data": (_image_data, "image.url with a data URL (early LiteLLM)"),
    "shape_parts_url": (_parts_url, "content parts {type: image_url} with a URL"),
    "shape_parts_data": (_parts_data, "content parts {type: image_url} with a data URL"),
    "shape_parts_raw_base64": (_parts_raw_base64, "content parts whose url is raw base64 without data:"),
    "shape_parts_image": (_parts_image, "content parts {type: image, image: {base64}}"),
    "shape_parts_inline": (_parts_inline, "content parts {inline_data: {mime_type, data}}"),
    "shape_data_b64_json": (_data_b64_json, "data[].b64_json, as the images API answers"),
    "shape_data_url": (_data_url, "data[].url, as the images API answers"),
    "shape_duplicates": (_duplicates, "every image named five times, in all places"),
    "shape_other_links": (_other_links, "media.outputs beside text with links that are no result"),
    "shape_reasoning_drafts": (_reasoning_drafts, "interim drafts in reasoning_content as decoys"),
}


def refusal(words: str, finish_reason: str | None) -> Shaped:
    """Words and no image."""
    return Shaped(words, finish_reason=finish_reason)


def chunks(shaped: Shaped, identity: Identity, split: int = 0) -> list[Chunk]:
    """The answer's stream events; with `split` its text comes `split` characters an event."""
    if shaped.bare:
        return [Chunk({"created": identity.created, **shaped.top}, bearing=True)]
    result: list[Chunk] = []
    if shaped.reasoning:
        result.append(Chunk(delta(identity, {"role": "assistant", "reasoning_content": shaped.reasoning})))
    content = shaped.content
    pieces: list[object] = [content]
    if split and isinstance(content, str) and content:
        pieces = [content[start : start + split] for start in range(0, len(content), split)]
    for number, piece in enumerate(pieces):
        body: dict[str, object] = {"role": "assistant"} if number == 0 else {}
        body["content"] = piece
        last = number == len(pieces) - 1
        if last:
            body.update(shaped.message)
        finish = shaped.finish_reason if last and not (shaped.finish_later or shaped.top_later) else None
        payload = delta(identity, body, finish)
        if last and not shaped.top_later:
            payload.update(shaped.top)
        result.append(Chunk(payload, bearing=True))
    if shaped.top_later or shaped.finish_later:
        later = delta(identity, {}, shaped.finish_reason)
        if shaped.top_later:
            later.update(shaped.top)
        result.append(Chunk(later))
    return result


def whole(shaped: Shaped, identity: Identity) -> dict[str, object]:
    """The answer to `stream: false`: a `chat.completion`."""
    if shaped.bare:
        return {"created": identity.created, **shaped.top}
    message: dict[str, object] = {"role": "assistant", "content": shaped.content, **shaped.message}
    if shaped.reasoning:
        message["reasoning_content"] = shaped.reasoning
    choice: dict[str, object] = {"index": 0, "message": message, "finish_reason": shaped.finish_reason}
    usage = {"prompt_tokens": 258, "completion_tokens": 1290, "total_tokens": 1548}
    return {**envelope(identity, "chat.completion"), "choices": [choice], "usage": usage, **shaped.top}
