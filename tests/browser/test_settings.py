"""Settings > NanoBanana, by hand: the key goes in and never comes out."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from gateway_faults import FaultyGateway
from page_of_comfyui import Comfy
from servers import Peer, RawServer

KEY = "sk-browser-0123456789abcdefWXYZ"


@pytest.fixture
def gateway() -> Iterator[FaultyGateway]:
    with FaultyGateway(api_key=KEY, latency=0.1) as running:
        yield running


def test_a_key_is_set_once_shown_by_its_end_and_used(comfy: Comfy, gateway: FaultyGateway) -> None:
    comfy.delete_profiles()
    served: list[str] = []
    comfy.page.on("response", lambda answer: keep_text(answer, served))
    comfy.open_settings()
    comfy.page.fill("#nanobanana-base_url", gateway.base_url + "/v1/")
    comfy.page.fill("#nanobanana-api_key", KEY)
    comfy.page.click(".nanobanana-save")
    comfy.settings_say("Saved")
    assert comfy.page.locator("#nanobanana-api_key").input_value() == ""
    assert "...WXYZ" in str(comfy.page.locator("#nanobanana-api_key").get_attribute("placeholder"))
    assert comfy.page.locator("#nanobanana-base_url").input_value() == gateway.base_url
    comfy.image("settings-key-set")
    comfy.page.click(".nanobanana-test")
    comfy.page.wait_for_selector(".nanobanana-message-success")
    assert "takes the key" in comfy.page.inner_text(".nanobanana-says")
    comfy.page.keyboard.press("Escape")
    comfy.graph_to_run("a lighthouse")
    comfy.run()
    comfy.wait_for_tone("done")
    assert gateway.ledger.posts[-1].header("Authorization") == f"Bearer {KEY}"
    # Nothing that the host ever serves or keeps in its own settings holds it.
    settings = comfy.page.evaluate("async () => await (await fetch('/api/settings')).text()")
    graph = json.dumps(comfy.saved())
    assert served
    assert not [text for text in [*served, settings, graph, comfy.page.content()] if KEY in text]


def keep_text(answer: object, served: list[str]) -> None:
    if "/nanobanana/" in answer.url and "/pictures/" not in answer.url:  # type: ignore[attr-defined]
        served.append(str(answer.text()))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("address", "key", "words"),
    [
        ("right", "sk-wrong-aaaaaaaaaaaaaaaaaaaa", "key is not accepted"),
        ("right", "", "key is not accepted"),
        ("path", KEY, "Wrong address"),
        ("port", KEY, "No connection"),
        ("name", KEY, "nothing.invalid"),
        ("tls", KEY, "secure connection"),
    ],
)
def test_the_connection_test_says_what_is_wrong_and_costs_nothing(
    comfy: Comfy, gateway: FaultyGateway, address: str, key: str, words: str
) -> None:
    base_url = {
        "right": gateway.base_url,
        "path": f"{gateway.base_url}/nowhere",
        "port": "http://127.0.0.1:9",
        "name": "http://nothing.invalid",
        "tls": gateway.base_url.replace("http:", "https:"),
    }[address]
    comfy.open_settings()
    comfy.page.fill("#nanobanana-base_url", base_url)
    if key:
        comfy.page.fill("#nanobanana-api_key", key)
    comfy.page.click(".nanobanana-test")
    comfy.page.wait_for_selector(".nanobanana-message-error", timeout=60_000)
    assert words in comfy.page.inner_text(".nanobanana-says")
    assert gateway.ledger.summary()["billed"] == 0
    # It was tried, not saved.
    assert comfy.api("GET", "/profiles")["profiles"][0]["base_url"] == comfy.gateway
    discard(comfy)


def test_profiles_are_added_renamed_chosen_and_deleted(comfy: Comfy) -> None:
    comfy.open_settings()
    comfy.page.click(".nanobanana-add")
    comfy.answer_prompt("second")
    comfy.page.wait_for_function("() => document.querySelector('.nanobanana-profile').value === 'second'")
    comfy.page.fill("#nanobanana-base_url", "simulator")
    comfy.page.click(".nanobanana-save")
    comfy.settings_say("Saved")
    comfy.page.click(".nanobanana-rename")
    comfy.answer_prompt("third")
    comfy.page.wait_for_function("() => document.querySelector('.nanobanana-profile').value === 'third'")
    comfy.page.select_option(".nanobanana-profile", "default")
    assert comfy.page.locator(".nanobanana-delete").is_disabled()
    comfy.page.select_option(".nanobanana-profile", "third")
    assert [one["name"] for one in comfy.api("GET", "/profiles")["profiles"]] == ["default", "third"]
    # The nodes' menu has it too, without a reload.
    comfy.page.wait_for_timeout(1500)
    comfy.add("NanoBananaGatewayConnection")
    options = comfy.page.evaluate("() => app.graph.nodes[0].widgets[0].options.values")
    assert options == ["default", "third"]
    comfy.page.click(".nanobanana-delete")
    comfy.confirm()
    comfy.page.wait_for_function("() => document.querySelector('.nanobanana-profile').value === 'default'")
    assert [one["name"] for one in comfy.api("GET", "/profiles")["profiles"]] == ["default"]


def test_every_other_setting_is_saved(comfy: Comfy) -> None:
    comfy.open_settings()
    open_more(comfy)
    comfy.page.select_option("#nanobanana-dialect", "openrouter")
    comfy.page.uncheck("#nanobanana-stream")
    comfy.page.fill("#nanobanana-connect_timeout", "5")
    comfy.page.fill("#nanobanana-total_timeout", "90,5")
    comfy.page.fill("#nanobanana-concurrency", "2")
    comfy.page.fill("#nanobanana-extra_models", "my-model")
    comfy.page.fill("#nanobanana-private_hosts", "10.0.0.7\nnas.lan")
    comfy.page.fill("#nanobanana-system_message", "You draw.\nAlways.")
    comfy.page.fill("#nanobanana-prompt_prefix", "Answer with an image: ")
    comfy.page.fill("#nanobanana-body_fields", '{"temperature": 0.7}')
    comfy.page.fill("#nanobanana-task_path", "/v1/jobs/{id}")
    comfy.page.check("#nanobanana-download_with_key")
    comfy.page.get_by_label("Price of an image by my-model").fill("0.5")
    comfy.image("settings-all")
    comfy.page.click(".nanobanana-save")
    comfy.settings_say("Saved")
    saved = comfy.api("GET", "/profiles")["profiles"][0]
    expected = {
        "dialect": "openrouter",
        "stream": False,
        "connect_timeout": 5.0,
        "total_timeout": 90.5,
        "concurrency": 2,
        "extra_models": ["my-model"],
        "private_hosts": ["10.0.0.7", "nas.lan"],
        "prices": {"my-model": 0.5},
        "system_message": "You draw.\nAlways.",
        "prompt_prefix": "Answer with an image: ",
        "body_fields": '{"temperature": 0.7}',
        "task_path": "/v1/jobs/{id}",
        "download_with_key": True,
    }
    assert {name: saved[name] for name in expected} == expected
    comfy.page.keyboard.press("Escape")
    comfy.page.wait_for_timeout(1500)
    comfy.add("NanoBananaGatewayGenerate", model="my-model")
    assert "cost $0.50" in comfy.panel.inner_text()


def test_a_value_that_is_no_number_or_out_of_range_is_refused_in_words(comfy: Comfy) -> None:
    comfy.open_settings()
    open_more(comfy)
    comfy.page.fill("#nanobanana-concurrency", "many")
    comfy.page.click(".nanobanana-save")
    comfy.settings_say("number")
    assert comfy.page.locator(".nanobanana-wrong").count() == 1
    comfy.page.fill("#nanobanana-concurrency", "1000")
    comfy.page.click(".nanobanana-save")
    comfy.page.get_by_text("between 1 and 64").wait_for()
    discard(comfy)


def test_another_gateway_does_not_get_the_old_ones_key(comfy: Comfy, gateway: FaultyGateway) -> None:
    comfy.profile(base_url="https://old.example.com", api_key=KEY)
    comfy.open_settings()
    comfy.page.fill("#nanobanana-base_url", gateway.base_url)
    comfy.page.click(".nanobanana-save")
    comfy.settings_say("old key was removed")
    assert comfy.api("GET", "/profiles")["profiles"][0]["has_key"] is False


def test_a_key_is_removed(comfy: Comfy) -> None:
    comfy.profile(base_url="https://old.example.com", api_key=KEY)
    comfy.open_settings()
    comfy.page.locator(".nanobanana-remove-key").first.click()
    comfy.page.click(".nanobanana-save")
    comfy.settings_say("Saved")
    assert comfy.api("GET", "/profiles")["profiles"][0]["has_key"] is False
    assert comfy.page.locator("#nanobanana-api_key").get_attribute("placeholder") == "none is set"


def test_spare_keys_and_headers_are_written_and_never_read_back(comfy: Comfy) -> None:
    comfy.profile(base_url="https://a.example.com", api_key=KEY)
    comfy.open_settings()
    open_more(comfy)
    comfy.page.fill("#nanobanana-spare_keys", f"{KEY}-two\n{KEY}-three")
    comfy.page.fill("#nanobanana-headers", "x-portkey-provider: openai\nCF-Access-Client-Secret: hush-hush")
    comfy.page.click(".nanobanana-save")
    comfy.settings_say("Saved")
    comfy.image("settings-secrets")
    assert comfy.page.locator("#nanobanana-spare_keys").get_attribute("placeholder") == "2 set: ...-two, ...hree"
    assert comfy.page.input_value("#nanobanana-spare_keys") == ""
    stars = "x-portkey-provider: ********\nCF-Access-Client-Secret: ********"
    assert comfy.page.input_value("#nanobanana-headers") == stars
    comfy.page.fill("#nanobanana-headers", stars.replace("x-portkey-provider: ********", "x-portkey-provider: google"))
    comfy.page.locator(".nanobanana-remove-key").last.click()
    comfy.page.click(".nanobanana-save")
    comfy.page.locator("#nanobanana-spare_keys[placeholder='none is set']").wait_for()
    saved = comfy.stored_profile()
    assert saved["headers"] == "x-portkey-provider: google\nCF-Access-Client-Secret: hush-hush"
    assert (saved["spare_keys"], saved["api_key"]) == ([], KEY)


def test_models_that_the_gateway_lists_are_offered_and_reach_the_menu(comfy: Comfy) -> None:
    listed = {"data": [{"id": "gpt-words"}, {"id": "gemini-image-preview"}, {"id": "NanoBanana"}]}
    refusal = {"error": {"message": "model is required", "type": "invalid_request_error", "code": "invalid_request"}}

    def serve(peer: Peer) -> None:
        get = peer.request()[0].startswith("GET")
        answer = ("200 OK", listed) if get else ("400 Bad Request", refusal)
        peer.answer(answer[0], json.dumps(answer[1]).encode(), Content_Type="application/json")

    with RawServer(serve) as server:
        comfy.profile(base_url=server.url)
        comfy.open_settings()
        comfy.page.click(".nanobanana-test")
        offers = comfy.page.locator(".nanobanana-offer")
        offers.first.wait_for()
        assert offers.all_inner_texts() == ["gemini-image-preview", "gpt-words"]
        offers.first.click()
        comfy.image("settings-offers")
        assert offers.all_inner_texts() == ["gpt-words"]
        open_more(comfy)
        assert comfy.page.input_value("#nanobanana-extra_models") == "gemini-image-preview"
        comfy.page.click(".nanobanana-save")
        comfy.settings_say("Saved")
    comfy.page.keyboard.press("Escape")
    comfy.page.wait_for_timeout(1500)
    comfy.add("NanoBananaGatewayGenerate")
    options = comfy.page.evaluate("() => app.graph.nodes[0].widgets.find(one => one.name === 'model').options.values")
    assert "gemini-image-preview" in options


def discard(comfy: Comfy) -> None:
    """Leave nothing unsaved for the next test: the panel keeps what was typed until it is saved or undone."""
    comfy.page.click(".nanobanana-undo")
    assert comfy.page.locator(".nanobanana-save").is_disabled()


def open_more(comfy: Comfy) -> None:
    """Unfold the further settings; the panel keeps them so."""
    if not comfy.page.locator("#nanobanana-dialect").is_visible():
        comfy.page.click(".nanobanana-more summary")
