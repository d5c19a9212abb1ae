"""What an answer without an image means: the error that says what came instead."""

from __future__ import annotations

from typing import Final

from ...errors import BadAnswer, ContentRefused, GatewayError, StreamBroken
from ..text import clean, looks_like_page, page_text
from .types import Answer

# Compared without case. Gemini's own reasons as well as OpenAI's.
_REFUSALS: Final = frozenset(
    {
        "content_filter",
        "content_filtered",
        "safety",
        "image_safety",
        "prohibited_content",
        "image_prohibited_content",
        "blocklist",
        "spii",
        "recitation",
        "image_recitation",
        "refusal",
        "moderation",
    }
)
_CUT_SHORT: Final = frozenset({"length", "max_tokens"})

# Enough to find the title after a long head.
_MOST_READ: Final = 65_536

_REPHRASE: Final = "Change the prompt or the input images."
_CHECK_URL: Final = "Check the base URL in Settings > NanoBanana."


def is_refusal(answer: Answer) -> bool:
    """Whether the model or its filter refused: in the field for that, or by a finish_reason."""
    reasons = (answer.finish_reason, answer.native_reason)
    return bool(answer.refusal) or bool(_REFUSALS.intersection(reason.lower() for reason in reasons))


def without_image(answer: Answer) -> GatewayError:
    """The error of a well-formed 200 answer that holds no image: it is billed."""
    said = clean(answer.refusal or answer.text)
    reasons = [clean(reason, limit=60) for reason in (answer.finish_reason, answer.native_reason) if reason]
    named = f" (finish_reason: {', '.join(dict.fromkeys(reasons))})" if reasons else ""
    code = reasons[0].lower() if reasons else ""
    if is_refusal(answer):
        tail = f' It says: "{said}"' if said else " It gave no reason."
        message, hint = f"The model refused to make this image{named}.{tail}", _REPHRASE
    elif said and not _CUT_SHORT.intersection(reason.lower() for reason in reasons):
        message = f'The model answered with text and no image{named}. It says: "{said}"'
        hint = "Say in the prompt that you want an image, or ask for something else."
    else:
        return BadAnswer(
            f"The answer ended without an image{named}. {_what_came(answer, said)}",
            "Run it again. If it keeps failing, try another model or a shorter prompt.",
            request_id=answer.request_id,
            billed="yes",
        )
    return ContentRefused(message, hint, status=200, code=code, request_id=answer.request_id, billed="yes")


def _what_came(answer: Answer, said: str) -> str:
    said = said or clean(answer.unparsed)
    if said:
        return f'The answer was: "{said}"'
    if answer.thoughts:
        return f'It holds nothing but the model\'s thinking: "{clean(answer.thoughts)}"'
    return f"It holds only these fields: {answer.fields}." if answer.fields else "It was empty."


def not_an_answer(body: bytes, *, request_id: str) -> GatewayError:
    """A 200 answer that is neither JSON nor a stream of events; `body`: its first bytes."""
    text = body[:_MOST_READ].decode("utf-8", "replace")
    if looks_like_page(text):
        title = clean(page_text(text))
        what = f'a web page instead of an answer: "{title}"' if title else "an empty web page instead of an answer"
    else:
        said = clean(text)
        what = f'this text instead of an answer: "{said}"' if said else "nothing that can be read"
    return BadAnswer(f"The gateway sent {what}.", _CHECK_URL, request_id=request_id, billed="maybe")


def cut_off(answer: Answer) -> GatewayError:
    """An answer that ends in the middle, before an image came."""
    said = clean(answer.text)
    tail = f' So far it said: "{said}"' if said else ""
    return StreamBroken(
        f"The answer broke off before an image came.{tail}",
        "Look at the gateway's own log before you run it again: the image may have been made and billed.",
        request_id=answer.request_id,
        billed="maybe",
    )
