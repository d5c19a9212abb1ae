"""What an answer without an image means: the error that says what came instead."""

from __future__ import annotations

from typing import Final

from ...errors import BadAnswer, ContentRefused, GatewayError, StreamBroken
from ..text import clean, looks_like_page, page_words
from .types import Redact

# Compared without case. Gemini's own reasons beside OpenAI's.
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

# Enough to find the title behind a long head.
_MOST_READ: Final = 65_536

_REPHRASE: Final = "Change the prompt or the input images."
_CHECK_URL: Final = "Check the base URL in Settings > NanoBanana."


def is_refusal(refusal: str, *reasons: str) -> bool:
    """Whether the model or its filter said that it won't: by its words for that, or by a finish_reason."""
    return bool(refusal) or bool(_REFUSALS.intersection(reason.lower() for reason in reasons))


def without_image(
    *, words: str, refusal: str, finish_reason: str, native_reason: str, odd: str, request_id: str, redact: Redact
) -> GatewayError:
    """A well-formed 200 answer that holds no image: it is billed.

    `words`: the text. `refusal`: the words of the field meant for it. `odd`: events that are no JSON.
    """
    said = clean(refusal or words, redact)
    reasons = [clean(reason, redact, 60) for reason in (finish_reason, native_reason) if reason]
    named = f" (finish_reason: {', '.join(dict.fromkeys(reasons))})" if reasons else ""
    if is_refusal(refusal, *reasons):
        tail = f' It says: "{said}"' if said else " It gave no reason in words."
        return ContentRefused(
            f"The model refused to make this image{named}.{tail}",
            _REPHRASE,
            status=200,
            code=reasons[0].lower() if reasons else "",
            request_id=request_id,
            billed="yes",
        )
    if said and not _CUT_SHORT.intersection(reason.lower() for reason in reasons):
        return ContentRefused(
            f'The model answered with words and no image{named}. It says: "{said}"',
            "Say in the prompt that an image is wanted, or change what the words name.",
            status=200,
            code=reasons[0].lower() if reasons else "",
            request_id=request_id,
            billed="yes",
        )
    said = said or clean(odd, redact)
    came = f'What came is: "{said}"' if said else "Nothing at all came."
    return BadAnswer(
        f"The answer ended without an image{named}. {came}",
        "Run it again; if it goes on, try another model or a shorter prompt.",
        request_id=request_id,
        billed="yes",
    )


def not_an_answer(body: bytes, *, request_id: str, redact: Redact) -> GatewayError:
    """A 200 answer that is neither JSON nor a stream of events; `body`: its first bytes."""
    text = body[:_MOST_READ].decode("utf-8", "replace")
    if looks_like_page(text):
        title = clean(page_words(text), redact)
        what = f'a web page: "{title}"' if title else "an empty web page"
        return BadAnswer(f"Instead of an answer came {what}.", _CHECK_URL, request_id=request_id, billed="maybe")
    said = clean(text, redact)
    what = f'this text: "{said}"' if said else "nothing that can be read"
    return BadAnswer(f"Instead of an answer came {what}.", _CHECK_URL, request_id=request_id, billed="maybe")


def cut_off(*, words: str, request_id: str, redact: Redact) -> GatewayError:
    """An answer that ends in the middle and holds no image up to there."""
    said = clean(words, redact)
    tail = f' Up to there it says: "{said}"' if said else ""
    return StreamBroken(
        f"The answer breaks off in the middle, before an image came.{tail}",
        "Look into the gateway's own log before running it again: the image may have been made and billed.",
        request_id=request_id,
        billed="maybe",
    )
