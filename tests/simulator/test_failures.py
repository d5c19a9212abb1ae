from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Iterator

import pytest
from gateway_faults import Fault, FaultyGateway, family
from simulator.talk import ask, order

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def simulator() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.0) as running:
        yield running


STATUSES = {
    "quota_402": (402, "insufficient_user_quota"),
    "quota_403": (403, "insufficient_user_quota"),
    "quota_429": (429, "insufficient_user_quota"),
    "quota_500": (500, "insufficient_user_quota"),
    "pre_consume_403": (403, "pre_consume_token_quota_failed"),
    "pre_consume_500": (500, "pre_consume_token_quota_failed"),
    "model_not_found_503": (503, "model_not_found"),
    "model_not_found_404": (404, "model_not_found"),
    "sensitive_words_500": (500, "sensitive_words_detected"),
    "invalid_request_500": (500, "invalid_request"),
    "convert_request_failed_500": (500, "convert_request_failed"),
    "model_price_error_500": (500, "model_price_error"),
    "count_token_failed_500": (500, "count_token_failed"),
    "prompt_blocked_400": (400, "prompt_blocked"),
    "prompt_blocked_500": (500, "prompt_blocked"),
    "invalid_api_key_500": (500, "invalid_api_key"),
    "http_500": (500, "internal_error"),
    "http_429": (429, "rate_limit_exceeded"),
    "http_521": (521, None),
}
# A relay that gave up waiting may have been charged for the work: the worst case is entered.
BILLED = {"http_504", "http_520", "http_524"}


@pytest.mark.parametrize("name", family("status"))
def test_every_status_answers_with_the_documented_body(simulator: FaultyGateway, name: str) -> None:
    answer = ask(simulator.base_url, order(f"x [fault:{name}]"))
    status, code = STATUSES.get(name, (int(name.removeprefix("http_")) if name.startswith("http_") else 0, ...))
    assert answer.status == status
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert code in (..., answer.error["code"])
    post = simulator.ledger.posts[-1]
    assert post.request_id in answer.error["message"]
    assert answer.headers["x-oneapi-request-id"] == post.request_id
    assert post.billed is (name in BILLED)


def test_a_status_takes_another_code(simulator: FaultyGateway) -> None:
    answer = ask(simulator.base_url, order("x [fault:http_500:bad_response_body]"))
    assert (answer.status, answer.error["code"]) == (500, "bad_response_body")


BODIES = {
    "body_error_message": lambda body: json.loads(body)["error"]["message"],
    "body_error_string": lambda body: json.loads(body)["error"],
    "body_message": lambda body: json.loads(body)["message"],
    "body_msg": lambda body: json.loads(body)["msg"],
    "body_err": lambda body: json.loads(body)["err"],
    "body_error_msg": lambda body: json.loads(body)["error_msg"],
    "body_header_message": lambda body: json.loads(body)["header"]["message"],
    "body_response_error_message": lambda body: json.loads(body)["response"]["error"]["message"],
    "body_code_number": lambda body: json.loads(body)["error"]["message"],
    "body_code_null": lambda body: json.loads(body)["error"]["message"],
    "body_text": lambda body: body.decode(),
    "body_list": lambda body: json.loads(body)[0],
    "body_broken_json": lambda body: body.decode(),
    "body_huge": lambda body: body[-200:].decode(),
}


@pytest.mark.parametrize("name", family("body"))
def test_every_body_holds_the_words(simulator: FaultyGateway, name: str) -> None:
    answer = ask(simulator.base_url, order(f"x [fault:http_502][fault:{name}]"))
    assert answer.status == 502
    if name == "body_empty":
        assert answer.body == b""
    elif name == "body_html":
        assert b"<h1>502 Bad gateway</h1>" in answer.body
        assert answer.headers["content-type"] == "text/html"
    else:
        assert f"Bad gateway (request id: {simulator.ledger.posts[-1].request_id})" in BODIES[name](answer.body)


def test_codes_that_are_no_strings(simulator: FaultyGateway) -> None:
    assert ask(simulator.base_url, order("x [fault:http_429][fault:body_code_number]")).error["code"] == 429
    assert ask(simulator.base_url, order("x [fault:http_429][fault:body_code_null]")).error["code"] is None


def test_retry_after(simulator: FaultyGateway) -> None:
    answer = ask(simulator.base_url, order("x [fault:http_429][fault:retry_after:7]"))
    assert answer.headers["retry-after"] == "7"
    answer = ask(simulator.base_url, order("x [fault:http_503][fault:retry_after_date:90]"))
    then = email.utils.parsedate_to_datetime(answer.headers["retry-after"]).timestamp()
    assert 80 < then - time.time() <= 90
    answer = ask(simulator.base_url, order("x [fault:http_503][fault:retry_after_text]"))
    assert answer.headers["retry-after"] == "soon"
    assert "retry-after" not in ask(simulator.base_url, order("x [fault:http_429]")).headers


def test_a_late_error_is_an_event(simulator: FaultyGateway) -> None:
    answer = ask(simulator.base_url, order("x [fault:error_event]"))
    assert answer.status == 200
    assert b"[DONE]" not in answer.body
    opening, error = answer.events
    assert opening["choices"][0]["delta"]["content"] == ""
    assert error["error"]["code"] == "upstream_error"
    assert simulator.ledger.posts[-1].billed
    answer = ask(simulator.base_url, order("x [fault:error_event:insufficient_user_quota]"))
    assert answer.events[-1]["error"]["code"] == "insufficient_user_quota"
    assert not simulator.ledger.posts[-1].billed


@pytest.mark.parametrize("stream", [True, False])
def test_an_error_under_status_200(simulator: FaultyGateway, stream: bool) -> None:
    answer = ask(simulator.base_url, order("x [fault:error_in_200]", stream=stream))
    assert (answer.status, answer.error["code"]) == (200, "upstream_error")


def test_the_key_comes_back_in_the_words(simulator: FaultyGateway) -> None:
    answer = ask(simulator.base_url, order("x [fault:echo_key]"), {"Authorization": "Bearer sk-secret"})
    assert answer.status == 401
    assert "sk-secret" in answer.error["message"]


def test_credit_runs_out() -> None:
    with FaultyGateway(latency=0.0, credit=3) as simulator:
        answers = [ask(simulator.base_url, order(f"x [pictures:{count}]")) for count in (1, 3, 2, 1)]
        assert [answer.status for answer in answers] == [200, 403, 200, 403]
        assert answers[1].error["code"] == "insufficient_user_quota"
        assert len(simulator.ledger.billed) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_post_is_redirected(simulator: FaultyGateway, status: int) -> None:
    answer = ask(simulator.base_url, order(f"x [fault:redirect_{status}]"))
    assert (answer.status, answer.headers["location"]) == (status, f"{simulator.base_url}/v1/chat/completions")
    answer = ask(simulator.base_url, order(f"x [fault:redirect_{status}:http://127.0.0.1:9/v1]"))
    assert answer.headers["location"] == "http://127.0.0.1:9/v1"
    assert not simulator.ledger.posts[-1].billed


def test_an_early_413_leaves_the_body_unread(simulator: FaultyGateway) -> None:
    simulator.script(["http_413_early"])
    answer = ask(simulator.base_url, order())
    assert answer.status == 413
    assert simulator.ledger.posts[-1].body_length == 0


def test_a_script_goes_step_by_step() -> None:
    with FaultyGateway(latency=0.0) as simulator:
        simulator.script(["http_500", None, ["http_429", "retry_after:3"], Fault("shape_markdown")])
        answers = [ask(simulator.base_url, order()) for _ in range(5)]
        assert [answer.status for answer in answers] == [500, 200, 429, 200, 200]
        assert answers[2].headers["retry-after"] == "3"
        assert [b"![image]" in answer.body for answer in answers] == [False, False, False, True, False]
        assert simulator.ledger.posts[2].faults == ("http_429", "retry_after:3")


def test_faults_hold_for_every_request_until_replaced() -> None:
    with FaultyGateway(latency=0.0, faults=["http_500"]) as simulator:
        assert [ask(simulator.base_url, order()).status for _ in range(2)] == [500, 500]
        simulator.set_faults("http_503")
        assert ask(simulator.base_url, order()).status == 503
        simulator.set_faults(None)
        assert ask(simulator.base_url, order()).status == 200


def test_markers_are_taken_out_of_the_prompt(simulator: FaultyGateway) -> None:
    ask(simulator.base_url, order("a cat [fault:shape_markdown] on a mat [latency:0][pictures:2]"))
    post = simulator.ledger.posts[-1]
    assert post.faults == ("shape_markdown", "latency:0", "pictures:2")
    assert len(post.image_urls) == 2


def test_markers_for_the_first_calls(simulator: FaultyGateway) -> None:
    prompt = "unlucky [fault:http_500][times:2]"
    assert [ask(simulator.base_url, order(prompt)).status for _ in range(4)] == [500, 500, 200, 200]
    assert ask(simulator.base_url, order(prompt + " other")).status == 500


@pytest.mark.parametrize(
    "marker", ["[fault:no_such]", "[latency:soon]", "[fault:cut_mid_body]", "[fault:pictures:1:2]"]
)
def test_markers_that_make_no_sense_are_refused(simulator: FaultyGateway, marker: str) -> None:
    answer = ask(simulator.base_url, order(f"x {marker}"))
    assert answer.status == 400
    assert "In the prompt" in answer.error["message"]


def test_markers_can_be_off() -> None:
    with FaultyGateway(latency=0.0, markers=False) as simulator:
        assert ask(simulator.base_url, order("x [fault:http_500]")).status == 200


@pytest.mark.parametrize("text", ["nothing", "http_999", "latency:1:2", "latency:fast", ""])
def test_faults_that_do_not_exist_are_errors_at_once(text: str) -> None:
    with pytest.raises(ValueError):
        FaultyGateway(faults=[text])


def test_faults_are_read_and_written_alike() -> None:
    for text in ("http_500", "latency:2.5", "redirect_307:http://h:1/p", "download_redirect_to:1:http://h:1/p"):
        assert str(Fault.parse(text)) == text
    assert Fault.parse("download_redirect_to:1:http://h:1/p").values == {"times": "1", "url": "http://h:1/p"}
