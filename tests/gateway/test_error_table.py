"""The table of errors, row by row: the class, the bill, the words, and whether it is sent again."""

from __future__ import annotations

import json
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.errors import (
    AuthFailed,
    BadRequest,
    ContentRefused,
    NotFound,
    OutOfCredit,
    RateLimited,
    ServerFailed,
    StatusError,
    TooLarge,
)
from pack.nanobanana.gateway.error_table import ROWS
from pack.nanobanana.gateway.retry import may_retry
from pack.nanobanana.gateway.status_errors import error_event, retry_after, status_error
from pack.nanobanana.settings.redaction import redact

NOW = 1_800_000_000.0


def error(
    status: int, body: Any = b"", headers: dict[str, str] | None = None, *, key_is_set: bool = True
) -> StatusError:
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    if isinstance(body, str) and body.endswith(">"):
        data = body.encode()
    return status_error(status, headers or {}, data, key_is_set=key_is_set, now=NOW)


def body(message: str = "words", code: Any = None, kind: str = "new_api_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": "", "code": code}}


def litellm(message: str, kind: str | None = None, code: str = "500") -> dict[str, Any]:
    return {"error": {"message": f"litellm.InternalServerError: {message}", "type": kind, "param": None, "code": code}}


# status, body, class, billed, POSTs that are made at most, a part of the message, a part of the hint
TABLE: list[tuple[int, Any, type[StatusError], str, int, str, str]] = [
    (
        429,
        body("slow down"),
        RateLimited,
        "no",
        5,
        'no more calls for now (HTTP 429). It says: "slow down"',
        "concurrency",
    ),
    (429, body("x", "insufficient_user_quota"), OutOfCredit, "no", 1, "balance at the gateway is used up", "Top up"),
    (429, body("x", "insufficient_quota"), OutOfCredit, "no", 1, "balance", "Top up"),
    (503, body("busy"), RateLimited, "no", 5, "overloaded (HTTP 503)", "few minutes"),
    (503, body("no channel", "model_not_found"), NotFound, "no", 2, "no channel for this model", "another model"),
    (500, body("remapped", "model_not_found"), NotFound, "no", 2, "no channel for this model", "another model"),
    (404, body("unknown", "model_not_found"), NotFound, "no", 1, "no channel for this model", "another model"),
    # A page or nothing is a proxy's: nginx, HAProxy, Squid and mitmproxy answer so when the way breaks behind the POST.
    (500, b"", ServerFailed, "maybe", 1, "failed (HTTP 500). It gave no reason.", "own log"),
    (502, b"", ServerFailed, "maybe", 1, "It gave no reason.", "own log"),
    (502, b"<html><title>Bad Gateway</title>", ServerFailed, "maybe", 1, 'Its page says: "Bad Gateway"', "own log"),
    (500, b"Internal Server Error", ServerFailed, "maybe", 1, "failed (HTTP 500)", "own log"),
    (500, body("Server disconnected"), ServerFailed, "maybe", 1, "lost the model while it was working", "own log"),
    (500, litellm("Connection error."), ServerFailed, "maybe", 1, "lost the model", "own log"),
    (500, body("unexpected EOF", "do_request_failed"), ServerFailed, "maybe", 1, "lost the model", "own log"),
    (500, body("read: connection reset by peer", "do_request_failed"), ServerFailed, "maybe", 1, "lost", "own log"),
    (502, body("write: broken pipe", "x"), ServerFailed, "maybe", 1, "lost the model", "own log"),
    (502, body("upstream prematurely closed connection", "x"), ServerFailed, "maybe", 1, "lost the model", "own log"),
    (500, body("incomplete chunked read", "x"), ServerFailed, "maybe", 1, "lost the model", "own log"),
    (500, body("words", "read_response_body_failed"), ServerFailed, "maybe", 1, "model's answer", "own log"),
    (
        503,
        body("upstream connect error or disconnect/reset before headers. reset reason: connection termination"),
        ServerFailed,
        "maybe",
        1,
        "lost the model",
        "own log",
    ),
    (
        503,
        body("upstream connect error or disconnect/reset before headers. reset reason: connection failure"),
        RateLimited,
        "no",
        5,
        "overloaded",
        "few minutes",
    ),
    (
        500,
        body("dial tcp 10.0.0.1:443: connect: connection refused", "do_request_failed"),
        ServerFailed,
        "no",
        2,
        "can't reach the model",
        "Run it again",
    ),
    (500, body("lookup api.example: no such host", "do_request_failed"), ServerFailed, "no", 2, "can't reach", "Run"),
    (
        500,
        litellm("Cannot connect to host x:443 [Temporary failure in name resolution]"),
        ServerFailed,
        "no",
        2,
        "can't reach the model",
        "Run it again",
    ),
    (500, body("x", "bad_response_status_code"), ServerFailed, "no", 2, "the model behind it failed", "Run it again"),
    (500, body("x", None, "server_error"), ServerFailed, "no", 2, "the model behind it failed", "Run it again"),
    (500, body("x"), ServerFailed, "maybe", 1, "or a proxy before it", "own log"),
    # Portkey, when it fails over an answer that the model has given.
    (
        500,
        b'{"status":"failure","message":"Something went wrong"}',
        ServerFailed,
        "maybe",
        1,
        "Something went wrong",
        "own log",
    ),
    (500, body("x", "error"), ServerFailed, "maybe", 1, "or a proxy before it", "own log"),
    (529, body("x", None, "overloaded_error"), RateLimited, "no", 5, "overloaded (HTTP 529)", "few minutes"),
    (407, b"<title>Proxy Authentication Required</title>", AuthFailed, "no", 1, "The proxy on the way", "HTTPS_PROXY"),
    (
        400,
        b"<title>400 The plain HTTP request was sent to HTTPS port</title>",
        NotFound,
        "no",
        1,
        "https only",
        "https://",
    ),
    (
        422,
        litellm("Budget has been exceeded! Current cost: 1.2", "budget_exceeded"),
        OutOfCredit,
        "no",
        1,
        "used up",
        "Top",
    ),
    (429, litellm("Budget has been exceeded! Current cost: 1.2"), OutOfCredit, "no", 1, "used up", "Top up"),
    (
        403,
        body("x requires moderation on Google. Your input was flagged", 403),
        ContentRefused,
        "no",
        1,
        "refused",
        "Change",
    ),
    (
        400,
        litellm("rejected as a result of our safety system"),
        ContentRefused,
        "no",
        1,
        "refused",
        "Change the prompt",
    ),
    (
        400,
        {"detail": {"error": {"message": "no such ratio", "code": "x"}}},
        BadRequest,
        "no",
        1,
        "no such ratio",
        "Change",
    ),
    (
        400,
        litellm('OpenAIException - b\'{"error": {"message": "inner"}}\' LiteLLM: x', None, "400"),
        BadRequest,
        "no",
        1,
        '"inner"',
        "",
    ),
    (521, b"", ServerFailed, "no", 2, "(HTTP 521)", "Run it again"),
    (522, b"<title>522: Connection timed out</title>", ServerFailed, "maybe", 1, "(HTTP 522)", "own log"),
    (500, body("upstream response body too large", "bad_response_body"), ServerFailed, "maybe", 1, "too large", ""),
    (502, b"<html>response body too large</html>", ServerFailed, "maybe", 1, "too large", ""),
    (400, body("Request body is too large"), TooLarge, "no", 1, "larger than the gateway takes", "smaller"),
    (
        500,
        body("stream error: stream ID 1; INTERNAL_ERROR; received from peer", "upstream_error"),
        ServerFailed,
        "maybe",
        1,
        "INTERNAL_ERROR",
        "own log",
    ),
    (500, body("context canceled", "upstream_error"), ServerFailed, "maybe", 1, "context canceled", "own log"),
    (523, b"", ServerFailed, "no", 2, "(HTTP 523)", "Run it again"),
    (
        500,
        body("x", "sensitive_words_detected"),
        ContentRefused,
        "no",
        1,
        "refused the prompt or an image",
        "Change the prompt",
    ),
    (500, body("x", "invalid_request"), BadRequest, "no", 1, "(HTTP 500, invalid_request)", "Change what"),
    (500, body("x", "convert_request_failed"), BadRequest, "no", 1, "can't work with this request", "dialect"),
    (500, body("x", "model_price_error"), BadRequest, "no", 1, "can't work with this request", "dialect"),
    (500, body("x", "count_token_failed"), BadRequest, "no", 1, "can't work with this request", "dialect"),
    (504, b"", ServerFailed, "maybe", 1, "waited too long for the model (HTTP 504)", "before you run it again"),
    (520, b"", ServerFailed, "maybe", 1, "(HTTP 520)", "before you run it again"),
    (524, b"<title>A timeout occurred</title>", ServerFailed, "maybe", 1, "A timeout occurred", "before you run"),
    (408, b"", ServerFailed, "maybe", 1, "(HTTP 408)", "before you run it again"),
    (504, body("x", 500), ServerFailed, "maybe", 1, "waited too long", "before you run it again"),
    (500, body("x", 524), ServerFailed, "maybe", 1, "waited too long", "before you run it again"),
    (500, body("context deadline exceeded"), ServerFailed, "maybe", 1, "waited too long", "before you run it again"),
    (
        400,
        body("bad ratio"),
        BadRequest,
        "no",
        1,
        'doesn\'t accept this request (HTTP 400). It says: "bad ratio"',
        "Change what",
    ),
    (422, {"detail": [{"msg": "field required"}]}, BadRequest, "no", 1, "field required", "Change what"),
    (400, body("x", "prompt_blocked"), ContentRefused, "no", 1, "(HTTP 400, prompt_blocked)", "Change the prompt"),
    (451, b"", ContentRefused, "no", 1, "refused", "Change the prompt"),
    (
        401,
        body("bad key"),
        AuthFailed,
        "no",
        1,
        'doesn\'t accept the key (HTTP 401). It says: "bad key"',
        "Check the key",
    ),
    (402, b"", OutOfCredit, "no", 1, "used up", "Top up"),
    (403, body("x", "insufficient_user_quota"), OutOfCredit, "no", 1, "used up", "Top up"),
    (403, body("x", "pre_consume_token_quota_failed"), OutOfCredit, "no", 1, "used up", "Top up"),
    (403, body("\u7528\u6237\u989d\u5ea6\u4e0d\u8db3"), OutOfCredit, "no", 1, "used up", "Top up"),
    (403, body("not yours"), AuthFailed, "no", 1, "doesn't allow this call (HTTP 403)", "may use this model"),
    (404, b"<html><title>404</title>", NotFound, "no", 1, "nothing at this address", "base URL"),
    (405, b"", NotFound, "no", 1, "nothing at this address", "base URL"),
    (413, b"", TooLarge, "no", 1, "larger than the gateway takes", "smaller input images"),
    (400, body("Request Entity Too Large"), TooLarge, "no", 1, "larger than", "smaller"),
    (409, b"", BadRequest, "no", 1, "(HTTP 409)", "Change what"),
    (525, b"", ServerFailed, "no", 1, "can't be reached behind its proxy", "few minutes"),
    (599, b"", ServerFailed, "maybe", 1, "says nothing about the call (HTTP 599)", "base URL"),
    (202, b"", ServerFailed, "maybe", 1, "broke off", "log"),
    (400, body("remapped", 429), RateLimited, "no", 5, "no more calls", "concurrency"),
    (400, body("remapped", "rate_limit_exceeded"), RateLimited, "no", 5, "no more calls", "concurrency"),
    (400, body("remapped", "503"), RateLimited, "no", 5, "overloaded", "few minutes"),
    (429, body("remapped", 400), BadRequest, "no", 1, "doesn't accept", "Change what"),
]


@pytest.mark.parametrize("row", TABLE, ids=[f"{number} {row[0]}" for number, row in enumerate(TABLE)])
def test_the_table(row: tuple[int, Any, type[StatusError], str, int, str, str]) -> None:
    status, data, kind, billed, posts, message, hint = row
    found = error(status, data)
    assert type(found) is kind
    assert found.status == status
    assert found.billed == billed
    assert message in found.message
    assert hint in found.hint
    assert [may_retry(found, attempt) for attempt in range(1, 8)] == [attempt < posts for attempt in range(1, 8)]


def test_every_row_of_the_table_is_met_and_says_why() -> None:
    met = {type_.happened for type_ in ROWS if any(type_.happened in error(row[0], row[1]).message for row in TABLE)}
    special = {
        "The gateway asks for a key, and no key is set",
        "The gateway's address has moved",
        "The model's safety system blocked the image",
    }
    assert met | special == {row.happened for row in ROWS}
    assert all(row.reason and row.hint.endswith(".") for row in ROWS)


@given(st.integers(100, 999), st.binary(max_size=300), st.booleans())
def test_what_may_have_been_billed_is_never_sent_again(status: int, data: bytes, key_is_set: bool) -> None:
    found = error(status, data, key_is_set=key_is_set)
    assert str(found)
    if found.billed != "no":
        assert not any(may_retry(found, attempt) for attempt in range(1, 10))
    assert not may_retry(found, 5)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "code", "type", "header", "response", "errors", "msg", "detail", "choices"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.integers(100, 999), json_values)
def test_any_json_gives_a_status_error(status: int, value: Any) -> None:
    found = status_error(status, {}, json.dumps(value).encode(), key_is_set=True, now=NOW)
    assert len(found.message) < 700
    if isinstance(value, dict):
        event = error_event(value)
        assert event is None or event.status == 200


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"error": {"message": "a"}}, "a"),
        ({"error": "a"}, "a"),
        ({"message": "a"}, "a"),
        ({"msg": "a"}, "a"),
        ({"err": "a"}, "a"),
        ({"error_msg": "a"}, "a"),
        ({"header": {"code": 1, "message": "a"}}, "a"),
        ({"response": {"error": {"message": "a"}}}, "a"),
        ({"detail": "a"}, "a"),
        ({"errors": [{"message": "a"}]}, "a"),
        ([{"error": {"message": "a"}}], "a"),
        ("a", "a"),
        ({"error": {"message": json.dumps({"error": {"message": "a"}})}}, "a"),
        (b"data: " + json.dumps({"error": {"message": "a"}}).encode() + b"\n\n", "a"),
        (b"plain\r\nwords\x00\x1b[31m", "plain words [31m"),
        ('\ufeff{"message": "a"}'.encode(), "a"),
        (b"<!DOCTYPE html><html><head><title> Oops &amp;\n more </title></head>", "Oops & more"),
        (b"<html><script>var a;</script><style>b</style><body><h1>Oh</h1> no</body>", "Oh no"),
        ("<html>" + "\u0130" * 20 + "<TITLE>T</TITLE>", "T"),
        (b"<html><title></title>a<script>b", "a"),
        (b"<html><title>a", "a"),
        (b'{"message": "{not json"}', "{not json"),
        (b'{"message": "{}"}', "{}"),
        (b"data: broken\n\n", "broken"),
        (b": ping\n\n", ": ping"),
        (b'{"error": {"message": {"message": "a"}}}', "a"),
        (b'{"error": {"message": ["a", "b"]}}', "a"),
        (b'{"message": "a", "code": true, "status": "x"}', "a"),
        (b"\xff\xfe broken", "\ufffd\ufffd broken"),
        ({"error": {"message": "<html><title>T</title></html>"}}, "T"),
    ],
)
def test_the_gateways_own_words_are_found(data: Any, words: str) -> None:
    assert f'says: "{words}"' in error(400, data).message


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"   ", b"<html></html>", {"error": None}, {"error": {}}])
def test_no_words_are_said_to_be_none(data: Any) -> None:
    assert error(400, data).message.endswith("It gave no reason.")


def test_words_are_bounded_and_clean() -> None:
    found = error(400, body("a" * 100_000))
    assert found.message.endswith('a..."')
    assert len(found.message) < 400
    assert error(400, b'{"message": "a\\ud800b"}').message.endswith('"a b"')
    assert "\u202e" not in error(400, body("a\u202eb\u0007c")).message


def test_words_never_hold_the_key() -> None:
    key = "sk-" + "k" * 40

    def told(found: StatusError | None) -> str:
        assert found is not None
        found.redact(lambda text: redact(text, [key]))
        return str(found) + found.code + found.request_id

    for data in (
        body("x" * 280 + key + "y" * 100, key),
        body(f"bad (request id: {key})", None, key),
        key.encode(),
        f"<title>{key}</title>".encode(),
        {"message": key, "request_id": key},
    ):
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        for status in (400, 401, 302):
            headers = {"location": key, "x-request-id": key}
            assert "kkk" not in told(status_error(status, headers, raw, key_is_set=True, now=NOW))
        if isinstance(data, dict):
            assert "kkk" not in told(error_event({"error": data}))


@pytest.mark.parametrize(
    ("data", "headers", "request_id"),
    [
        (body("no (request id: 2026112212345678abc)"), {}, "2026112212345678abc"),
        (body("no (Request ID: a-b_c.1)"), {}, "a-b_c.1"),
        (body("no"), {"X-Oneapi-Request-Id": "h1"}, "h1"),
        (body("no (request id: body1)"), {"x-request-id": "h2"}, "h2"),
        ({"message": "no", "request_id": "r3"}, {}, "r3"),
        (b"plain (request id: abcd)", {}, "abcd"),
        (body("no"), {"x-request-id": "bad id\x00"}, ""),
        (body("no"), {}, ""),
    ],
)
def test_request_ids(data: Any, headers: dict[str, str], request_id: str) -> None:
    found = error(400, data, headers)
    assert found.request_id == request_id
    assert "request id" not in found.message.lower(), "it is said once, behind the message"
    assert (f"Request id: {request_id}." in str(found)) is bool(request_id)


def test_no_key_set_says_where_to_set_one() -> None:
    found = error(401, body("no token"), key_is_set=False)
    assert type(found) is AuthFailed
    assert "no key is set (HTTP 401)" in found.message
    assert found.hint == "Set one in Settings > NanoBanana, or in the environment variable NANOBANANA_API_KEY."
    assert "no key is set" in error(400, body("x", "invalid_api_key"), key_is_set=False).message
    assert "no key is set" not in error(403, body("x"), key_is_set=False).message


def test_a_redirect_says_where_to() -> None:
    found = error(301, b"", {"location": "https://new.example.com/v1/chat/completions"})
    assert type(found) is NotFound
    assert "has moved (HTTP 301). It leads to https://new.example.com/v1/chat/completions" in found.message
    assert "base URL" in found.hint


def test_the_whole_sentence() -> None:
    found = error(403, body("quota is 0 (request id: 42aa)", "insufficient_user_quota"))
    assert str(found) == (
        'The balance at the gateway is used up (HTTP 403, insufficient_user_quota). It says: "quota is 0" '
        "Request id: 42aa. This call was not billed. Top up the account, or set another key in Settings > NanoBanana."
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 2.5 ", 2.5),
        ("0", 0.0),
        ("999999", 999_999.0),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        ("Fri, 15 Jan 2027 08:00:10 -0000", 10.0),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("9" * 5000, None),
        ("\u0663", None),
        ("Fri, 99 Foo 2027 08:00:10 GMT", None),
        ("Fri, 15 Jan 99999 08:00:10 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(value, NOW) == (None if seconds is None else pytest.approx(seconds))
    found = error(429, b"", {"retry-after": value})
    assert isinstance(found, RateLimited)
    assert found.retry_after == (None if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=60))
def test_any_retry_after_is_tolerated(value: str) -> None:
    seconds = retry_after(value, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("payload", "kind", "billed"),
    [
        (body("x"), ServerFailed, "maybe"),
        ({"error": "x"}, ServerFailed, "maybe"),
        (body("x", 500), ServerFailed, "maybe"),
        (body("x", 503), ServerFailed, "maybe"),
        (body("x", 524), ServerFailed, "maybe"),
        (body("x", 429), RateLimited, "no"),
        (body("x", "rate_limit_exceeded"), RateLimited, "no"),
        (body("x", "insufficient_user_quota"), OutOfCredit, "no"),
        (body("x", "sensitive_words_detected"), ContentRefused, "no"),
        (body("x", 400), BadRequest, "no"),
        (body("x", 401), AuthFailed, "no"),
        ({"type": "error", "message": "x"}, ServerFailed, "maybe"),
        ({"code": "model_not_found", "message": "x"}, NotFound, "no"),
        ({"code": 401, "msg": "x"}, AuthFailed, "no"),
        ({"code": 401, "msg": "x", "data": {"y": 1}}, AuthFailed, "no"),
        ({"success": False, "message": "x"}, ServerFailed, "maybe"),
        ({"response": {"error": {"message": "x"}}}, ServerFailed, "maybe"),
        ({"choices": [], "error": {"message": "x"}}, ServerFailed, "maybe"),
    ],
)
def test_errors_inside_an_answer(payload: dict[str, Any], kind: type[StatusError], billed: str) -> None:
    found = error_event(payload, request_id="r1")
    assert found is not None
    assert type(found) is kind
    assert found.billed == billed
    assert found.status == 200
    assert found.request_id == "r1"
    assert "in its answer" in found.message
    assert '"x"' in found.message
    if kind is not RateLimited:
        assert not may_retry(found, 1), "the gateway had taken the call"


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"choices": []},
        {"choices": [{}], "error": None},
        {"error": {}, "choices": []},
        {"error": "", "message": "hello"},
        {"code": 200, "msg": "ok", "data": {}},
        {"code": 0, "msg": "ok"},
        {"status": "processing", "message": "queued"},
        {"type": "ping"},
    ],
)
def test_what_is_no_error(payload: dict[str, Any]) -> None:
    assert error_event(payload) is None


@pytest.mark.parametrize(
    "field", ["google", "extra_body", "image_config", "modalities", "aspect_ratio", "output_format"]
)
def test_words_about_a_dialects_field_lead_to_another_dialect(field: str) -> None:
    body = json.dumps({"error": {"message": f"Unknown name '{field}': cannot find field"}}).encode()
    error = status_error(400, {}, body, key_is_set=True, now=0.0)
    assert isinstance(error, BadRequest)
    assert error.hint.startswith("Choose another dialect")
    plain = status_error(400, {}, b'{"error":{"message":"googled it"}}', key_is_set=True, now=0.0)
    assert plain.hint != error.hint
