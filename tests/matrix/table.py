"""The fault matrix: what goes wrong, and what must come of it. docs/dev/fault-matrix.md is made from this table."""

from __future__ import annotations

from typing import Any

from .downloads import DOWNLOADS
from .hostile import HOSTILE
from .row import Row

CLIENT = "The request and its status"
CUT = "The connection breaks"
EMPTY = "An answer without an image"
SHAPES = "Every shape of an answer"


def unbilled(section: str, fault: str, ending: str, says: str, *, posts: int = 1, **changes: Any) -> Row:
    """Refused before any work: no bill, and a re-run asks again."""
    return Row(section, (fault,), posts, 0, 0, 0, ending, "no", says, "failed", **{"again": (1, 1), **changes})


def out_of_reach(gateway: str, ending: str, says: str, **changes: Any) -> Row:
    """No connection: three tries, nothing sent, and the same again as long as it stays so."""
    values = {"posts": 0, "gateway": gateway, "stays": True, "again": (0, 0), **changes}
    return unbilled(CUT, "", ending, says, **values)


def maybe(section: str, *faults: str, ending: str, says: str, paid: int = 1, **changes: Any) -> Row:
    """Sent, and nothing of it came: never sent again within the run; a re-run asks and says so."""
    values = {"again_says": "may have been billed", **changes}
    return Row(section, faults, 1, paid, 0, 0, ending, "maybe", says, "failed", (1, 1), **values)


def came(section: str, *faults: str, says: str = "", posts: int = 1, images: int = 1, **changes: Any) -> Row:
    """The image comes, is paid once, and a re-run takes it from disk."""
    return Row(section, faults, posts, 1, images, images, "", "yes", says, "kept", (0, images), says, **changes)


def refused(*faults: str, ending: str, says: str, **changes: Any) -> Row:
    """An answer of words: paid for, and a person may ask again."""
    return Row(EMPTY, faults, 1, 1, 0, 0, ending, "yes", says, "failed", (1, 1), "was billed", **changes)


def _then_well(fault: str, *, posts: int) -> Row:
    """So many POSTs meet the fault but for the last, which brings the image."""
    steps = (*(((fault,),) * (posts - 1)), ())
    return Row(CLIENT, (), posts, 1, 1, 1, "", "yes", "", "kept", (0, 1), steps=steps)


STATUSES = (
    unbilled(CLIENT, "http_400", "BadRequest", "Invalid request"),
    unbilled(CLIENT, "http_401", "AuthFailed", "no key is set"),
    unbilled(CLIENT, "http_402", "OutOfCredit", "balance at the gateway is used up"),
    unbilled(CLIENT, "http_403", "AuthFailed", "doesn't allow this call"),
    unbilled(CLIENT, "http_404", "NotFound", "Check the base URL"),
    maybe(CLIENT, "http_408", ending="ServerFailed", says="waited too long", paid=0),
    unbilled(CLIENT, "http_409", "BadRequest", "Conflict"),
    unbilled(CLIENT, "http_413", "TooLarge", "larger than the gateway takes"),
    unbilled(CLIENT, "http_413", "TooLarge", "larger than the gateway takes", posts=2, upload=3_000_000),
    unbilled(CLIENT, "http_415", "BadRequest", "Unsupported media type"),
    unbilled(CLIENT, "http_418", "BadRequest", "An unlisted status"),
    unbilled(CLIENT, "http_422", "BadRequest", "Unprocessable request"),
    Row(
        CLIENT, ("http_429", "retry_after:0"), 5, 0, 0, 0, "RateLimited", "no", "accepts no more calls for now",
        "failed", (1, 1),
    ),
    unbilled(CLIENT, "http_500", "ServerFailed", "Internal server error", posts=2),
    maybe(CLIENT, "http_501", ending="ServerFailed", says="says nothing about the call", paid=0),
    unbilled(CLIENT, "http_502", "ServerFailed", "Bad gateway", posts=2),
    unbilled(CLIENT, "http_503", "RateLimited", "is overloaded", posts=5),
    maybe(CLIENT, "http_504", ending="ServerFailed", says="waited too long"),
    maybe(CLIENT, "http_520", ending="ServerFailed", says="waited too long"),
    unbilled(CLIENT, "http_521", "ServerFailed", "Web server is down", posts=2),
    maybe(CLIENT, "http_522", ending="ServerFailed", says="Connection timed out", paid=0),
    unbilled(CLIENT, "http_523", "ServerFailed", "Origin is unreachable", posts=2),
    maybe(CLIENT, "http_524", ending="ServerFailed", says="waited too long"),
    unbilled(CLIENT, "quota_402", "OutOfCredit", "Top up the account"),
    unbilled(CLIENT, "quota_403", "OutOfCredit", "Top up the account"),
    unbilled(CLIENT, "quota_429", "OutOfCredit", "Top up the account"),
    unbilled(CLIENT, "quota_500", "OutOfCredit", "Top up the account"),
    unbilled(CLIENT, "pre_consume_403", "OutOfCredit", "token quota is not enough"),
    unbilled(CLIENT, "pre_consume_500", "OutOfCredit", "token quota is not enough"),
    unbilled(CLIENT, "model_not_found_503", "NotFound", "no channel for this model", posts=2),
    unbilled(CLIENT, "model_not_found_404", "NotFound", "no channel for this model"),
    unbilled(CLIENT, "sensitive_words_500", "ContentRefused", "user sensitive words detected"),
    unbilled(CLIENT, "invalid_request_500", "BadRequest", "field messages"),
    unbilled(CLIENT, "convert_request_failed_500", "BadRequest", "convert request failed"),
    unbilled(CLIENT, "model_price_error_500", "BadRequest", "price not set"),
    unbilled(CLIENT, "count_token_failed_500", "BadRequest", "count token failed"),
    unbilled(CLIENT, "prompt_blocked_400", "ContentRefused", "PROHIBITED_CONTENT"),
    unbilled(CLIENT, "prompt_blocked_500", "ContentRefused", "PROHIBITED_CONTENT"),
    unbilled(CLIENT, "invalid_api_key_500", "AuthFailed", "no key is set"),
    *(unbilled(CLIENT, f"redirect_{status}", "NotFound", "address has moved") for status in (301, 302, 303, 307, 308)),
    _then_well("http_429", posts=2),
    _then_well("http_429", posts=5),
    _then_well("http_503", posts=5),
    _then_well("http_500", posts=2),
    _then_well("http_502", posts=2),
    _then_well("http_521", posts=2),
    _then_well("model_not_found_503", posts=2),
    Row(
        CLIENT, (), 2, 1, 0, 0, "ServerFailed", "maybe", "waited too long", "failed", (1, 1),
        "may have been billed", steps=(("http_502",), ("http_504",)),
    ),
    Row(CLIENT, (), 3, 1, 1, 1, "", "yes", "", "kept", (0, 1), steps=(("http_429",), ("http_500",), ())),
    Row(CLIENT, (), 2, 1, 1, 1, "", "yes", "", "kept", (0, 1), steps=(("http_413",), ()), upload=3_000_000),
)  # fmt: skip

BODIES = tuple(
    Row(CLIENT, ("http_400", body), 1, 0, 0, 0, "BadRequest", "no", says, "failed", (1, 1))
    for body, says in (
        ("body_error_string", "Invalid request"),
        ("body_message", "Invalid request"),
        ("body_msg", "Invalid request"),
        ("body_err", "Invalid request"),
        ("body_error_msg", "Invalid request"),
        ("body_header_message", "Invalid request"),
        ("body_response_error_message", "Invalid request"),
        ("body_code_number", "Invalid request"),
        ("body_code_null", "Invalid request"),
        ("body_html", "HTTP 400"),
        ("body_text", "Invalid request"),
        ("body_empty", "It gave no reason"),
        ("body_list", "HTTP 400"),
        ("body_broken_json", "Invalid request"),
        ("body_huge", "HTTP 400"),
    )
)

_UPLOAD = 12_000_000
_LOST = "lost while the request was being sent"
_NO_END = "before its answer was whole"

BROKEN = (
    out_of_reach("nobody listens", "Unreachable", "refused the connection"),
    out_of_reach("a black hole", "TimedOut", "took longer than", hangs=True),
    out_of_reach("a host that does not exist", "Unreachable", "no host named"),
    out_of_reach("https to a plain server", "Unreachable", "No secure connection"),
    out_of_reach("a TLS handshake that hangs", "TimedOut", "took longer than", hangs=True),
    *(
        unbilled(CUT, f"{action}_{point}", "Unreachable", _LOST, posts=3, upload=_UPLOAD)
        for action in ("cut", "reset")
        for point in ("before_body", "mid_body")
    ),
    *(
        unbilled(CUT, f"hang_{point}", "TimedOut", "take the whole request", upload=2 * _UPLOAD, hangs=True)
        for point in ("before_body", "mid_body")
    ),
    *(
        maybe(CUT, f"{action}_before_headers", ending="StreamBroken", says="before its answer began")
        for action in ("cut", "reset")
    ),
    *(
        maybe(CUT, f"{action}_{point}", ending="StreamBroken", says=_NO_END)
        for action in ("cut", "reset")
        for point in ("after_headers", "inside_event", "after_bytes")
    ),
    *(
        maybe(CUT, f"{action}_inside_url", ending="StreamBroken", says="broke off inside the image's address")
        for action in ("cut", "reset")
    ),
    maybe(CUT, "hang_before_headers", ending="TimedOut", says="did not begin its answer", hangs=True),
    *(
        maybe(CUT, f"hang_{point}", ending="TimedOut", says="did not finish its answer", hangs=True)
        for point in ("after_headers", "inside_event", "after_bytes")
    ),
    maybe(CUT, "hang_inside_url", ending="StreamBroken", says="broke off inside the image's address", hangs=True),
    *(
        came(CUT, f"{action}_{point}", says="", hangs=action == "hang")
        for action in ("cut", "reset", "hang")
        for point in ("after_first_event", "after_url", "before_done")
    ),
    *(
        maybe(CUT, shape, f"cut_{point}", ending="StreamBroken", says=says)
        for shape, point, says in (
            ("shape_bare_url", "inside_url", "broke off inside the image's address"),
            ("shape_media_only", "inside_url", ""),
            ("shape_markdown", "inside_url", ""),
            ("shape_markdown_data", "inside_url", _NO_END),
            ("shape_images_data", "inside_url", _NO_END),
            ("shape_data_b64_json", "inside_url", _NO_END),
            ("shape_parts_inline", "inside_event", _NO_END),
            ("shape_media_later", "inside_url", "broke off inside the image's address"),
        )
    ),
    *(
        came(CUT, shape, f"{action}_after_url")
        for shape in ("shape_bare_url", "shape_markdown", "shape_markdown_data", "shape_images_url")
        for action in ("cut", "reset")
    ),
    *(
        maybe(CUT, f"cut_{point}", ending="StreamBroken", says=says, stream=False)
        for point, says in (
            ("after_headers", _NO_END),
            ("inside_event", ""),
            ("inside_url", ""),
        )
    ),
    maybe(CUT, "framing_close_delimited", "cut_after_bytes", ending="StreamBroken", says=""),
    maybe(CUT, "framing_gzip", "cut_inside_event", ending="StreamBroken", says=""),
    maybe(CUT, "framing_content_length", "cut_inside_event", ending="StreamBroken", says=_NO_END),
)  # fmt: skip

NO_IMAGE = (
    refused("refusal", ending="ContentRefused", says="I can't create that image"),
    refused("content_filter", ending="ContentRefused", says="finish_reason: content_filter"),
    refused("content_filter_upper", ending="ContentRefused", says="CONTENT_FILTER"),
    refused("image_safety", ending="ContentRefused", says="IMAGE_SAFETY"),
    refused("refusal", ending="ContentRefused", says="I can't create that image", stream=False),
    refused("empty_stream", ending="BadAnswer", says="It was empty"),
    refused("only_done", ending="BadAnswer", says="ended without an image"),
    refused("only_comments", ending="BadAnswer", says="ended without an image"),
    refused("no_choices", ending="BadAnswer", says="ended without an image"),
    maybe(EMPTY, "error_in_200", ending="ServerFailed", says="The upstream model failed"),
    maybe(EMPTY, "error_event", ending="ServerFailed", says="The upstream model failed"),
    # Words had come before it, so the work had begun.
    maybe(EMPTY, "error_event:insufficient_user_quota", ending="OutOfCredit", says="Top up the account", paid=0),
    unbilled(EMPTY, "error_in_200:sensitive_words_detected", "ContentRefused", "Change the prompt"),
)

ANSWERS = (
    *(
        came(SHAPES, f"shape_{shape}")
        for shape in (
            "documented", "finish_later", "media_later", "media_only", "media_null_content", "bare_url", "url_in_text",
            "markdown", "markdown_title", "markdown_link", "markdown_data", "html_image", "html_data", "bare_data_url",
            "images_url", "images_data", "image_url", "image_data", "parts_url", "parts_data", "parts_raw_base64",
            "parts_image", "parts_inline", "data_b64_json", "data_url", "duplicates", "other_links", "reasoning_drafts",
        )
    ),
    *(
        came(SHAPES, f"shape_{shape}", stream=False)
        for shape in ("documented", "markdown_data", "images_data", "parts_inline", "data_b64_json")
    ),
    *(
        came(SHAPES, f"framing_{framing}")
        for framing in (
            "crlf", "cr", "no_space", "bom", "no_final_blank_line", "html_type", "no_type", "gzip", "plain_json",
            "lone_chunk", "comments", "empty_data", "usage", "empty_first", "no_done", "byte_by_byte", "event_fields",
            "many_lines", "close_delimited", "content_length", "joined", "escaped",
        )
    ),
    came(SHAPES, "split:1"),
    came(SHAPES, "shape_markdown_data", "split:7000"),
    came(SHAPES, "pictures:3", images=3),
    came(SHAPES, "shape_markdown_data", "pictures:3", images=3),
    came(SHAPES, "shape_duplicates", "pictures:2", images=2),
    came(SHAPES, "framing_crlf", "framing_bom", "framing_gzip", "framing_comments", "split:3"),
)  # fmt: skip

ROWS: tuple[Row, ...] = (*STATUSES, *BODIES, *BROKEN, *NO_IMAGE, *ANSWERS, *DOWNLOADS, *HOSTILE)
