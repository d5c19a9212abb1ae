"""Error answers: which status and code, in which of the bodies that relays of this kind are seen to send."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from pack.nanobanana.simulator.errors import NO_CREDIT, TOO_LARGE, Failure, documented_body, documented_error

# 504, 520 and 524 say that the relay gave up waiting: the work behind it may well have finished.
_STATUSES: tuple[Failure, ...] = (
    Failure(400, "Invalid request", "invalid_request", "invalid_request_error"),
    Failure(401, "Invalid token", "invalid_api_key", "invalid_request_error"),
    Failure(402, "Payment required: balance is empty", "insufficient_user_quota"),
    Failure(403, "This token may not use this model", "access_denied"),
    Failure(404, "Invalid URL or model", "not_found", "invalid_request_error"),
    Failure(408, "Request timeout", "request_timeout"),
    Failure(409, "Conflict", "conflict"),
    TOO_LARGE,
    Failure(415, "Unsupported media type", "unsupported_media_type", "invalid_request_error"),
    Failure(418, "An unlisted status", None),
    Failure(422, "Unprocessable request", "unprocessable_entity", "invalid_request_error"),
    Failure(429, "Rate limit reached, please try again later", "rate_limit_exceeded"),
    Failure(500, "Internal server error", "internal_error"),
    Failure(501, "Not implemented", "not_implemented"),
    Failure(502, "Bad gateway", "bad_response_status_code"),
    Failure(503, "The service is overloaded, please try again later", "service_unavailable"),
    Failure(504, "Gateway timeout", "gateway_timeout", billed=True),
    Failure(520, "Web server returned an unknown error", None, billed=True),
    Failure(521, "Web server is down", None),
    Failure(522, "Connection timed out", None),
    Failure(523, "Origin is unreachable", None),
    Failure(524, "A timeout occurred", None, billed=True),
)

STATUSES: dict[str, tuple[Failure, str]] = {
    f"http_{failure.status}": (failure, f"answers {failure.status}: {failure.message}") for failure in _STATUSES
} | {
    "quota_402": (replace(NO_CREDIT, status=402), "insufficient_user_quota behind 402"),
    "quota_403": (NO_CREDIT, "insufficient_user_quota behind 403"),
    "quota_429": (replace(NO_CREDIT, status=429), "insufficient_user_quota behind a remapped 429"),
    "quota_500": (replace(NO_CREDIT, status=500), "insufficient_user_quota behind a remapped 500"),
    "pre_consume_403": (
        Failure(403, "token quota is not enough", "pre_consume_token_quota_failed"),
        "pre_consume_token_quota_failed behind 403",
    ),
    "pre_consume_500": (
        Failure(500, "token quota is not enough", "pre_consume_token_quota_failed"),
        "pre_consume_token_quota_failed behind a remapped 500",
    ),
    "model_not_found_503": (
        Failure(503, "No available channel for model NanoBananaPro-1K", "model_not_found"),
        "model_not_found behind 503: no channel has this model",
    ),
    "model_not_found_404": (Failure(404, "The model does not exist", "model_not_found"), "model_not_found behind 404"),
    "sensitive_words_500": (
        Failure(500, "user sensitive words detected", "sensitive_words_detected"),
        "sensitive_words_detected behind the default 500",
    ),
    "invalid_request_500": (
        Failure(500, "invalid request: field messages", "invalid_request"),
        "invalid_request behind the default 500",
    ),
    "convert_request_failed_500": (
        Failure(500, "convert request failed", "convert_request_failed"),
        "convert_request_failed behind the default 500",
    ),
    "model_price_error_500": (
        Failure(500, "model ratio or price not set", "model_price_error"),
        "model_price_error behind the default 500",
    ),
    "count_token_failed_500": (
        Failure(500, "count token failed", "count_token_failed"),
        "count_token_failed behind the default 500",
    ),
    "prompt_blocked_400": (
        Failure(400, "prompt was blocked: PROHIBITED_CONTENT", "prompt_blocked"),
        "prompt_blocked behind 400",
    ),
    "prompt_blocked_500": (
        Failure(500, "prompt was blocked: PROHIBITED_CONTENT", "prompt_blocked"),
        "prompt_blocked behind a remapped 500",
    ),
    "invalid_api_key_500": (Failure(500, "Invalid token", "invalid_api_key"), "a bad key behind a remapped 500"),
}


def _json(value: object) -> tuple[bytes, str]:
    return json.dumps(value, ensure_ascii=False).encode(), "application/json; charset=utf-8"


def _html(failure: Failure, _: str) -> tuple[bytes, str]:
    page = f"<html><head><title>{failure.status} {failure.message}</title></head>"
    page += (
        f"<body><center><h1>{failure.status} {failure.message}</h1></center><hr><center>nginx</center></body></html>"
    )
    return page.encode(), "text/html"


Body = Callable[[Failure, str], tuple[bytes, str]]

BODIES: dict[str, tuple[Body, str]] = {
    "body_error_message": (documented_body, 'the documented {"error": {"message", "type", "param", "code"}}'),
    "body_error_string": (lambda _, m: _json({"error": m}), '{"error": "text"}'),
    "body_message": (lambda f, m: _json({"message": m, "code": f.code}), '{"message": "text", "code"}'),
    "body_msg": (lambda f, m: _json({"msg": m, "code": f.code}), '{"msg": "text", "code"}'),
    "body_err": (lambda f, m: _json({"err": m, "code": f.code}), '{"err": "text", "code"}'),
    "body_error_msg": (lambda f, m: _json({"error_msg": m, "error_code": f.code}), '{"error_msg": "text"}'),
    "body_header_message": (
        lambda f, m: _json({"header": {"message": m, "code": f.code}}),
        '{"header": {"message": "text"}}',
    ),
    "body_response_error_message": (
        lambda f, m: _json({"response": documented_error(f, m)}),
        '{"response": {"error": {"message": "text"}}}',
    ),
    "body_code_number": (
        lambda f, m: _json(documented_error(f.with_code(f.status), m)),
        "the documented body with a number as code",
    ),
    "body_code_null": (
        lambda f, m: _json(documented_error(f.with_code(None), m)),
        "the documented body with code null",
    ),
    "body_html": (_html, "an HTML page, as a reverse proxy sends it"),
    "body_text": (lambda _, m: (m.encode(), "text/plain; charset=utf-8"), "plain text"),
    "body_empty": (lambda _, __: (b"", "application/json"), "no body at all"),
    "body_list": (lambda _, m: _json([m]), "a JSON list"),
    "body_broken_json": (
        lambda f, m: (documented_body(f, m)[0][:-9], "application/json"),
        "the documented body, cut off before its end",
    ),
    "body_huge": (
        lambda _, m: (b"<html>" + b"x" * 12_000_000 + m.encode(), "text/html"),
        "an HTML page of 12 MB",
    ),
}
"""How an error's body can look: a function of (failure, message with the request id) to (bytes, Content-Type)."""

# Refused before any work was done, whatever the status around it says.
UNBILLED_CODES = frozenset(failure.code for failure, _ in STATUSES.values() if not failure.billed and failure.code)
