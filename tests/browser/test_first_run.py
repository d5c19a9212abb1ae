"""Someone new: nothing is set up, and the page says what to do."""

from __future__ import annotations

import pytest
from engines import wait_until
from page_of_comfyui import TOAST, Comfy


def test_a_run_without_a_gateway_leads_to_the_settings(comfy: Comfy, renderer: str) -> None:
    comfy.delete_profiles()
    comfy.graph_to_run("a lighthouse")
    comfy.run()
    comfy.wait_for_tone("failed")
    assert comfy.panel.inner_text().count("No gateway") == 1
    comfy.image(f"first-run-{renderer}")
    comfy.panel.locator(".nanobanana-open-settings").click()
    comfy.page.wait_for_selector(".nanobanana-fields")
    assert comfy.page.locator("#nanobanana-base_url").input_value() == ""


def test_a_node_that_nobody_sees_says_in_the_corner_that_the_settings_are_missing(comfy: Comfy) -> None:
    comfy.delete_profiles()
    node = comfy.graph_to_run("a lighthouse")
    comfy.page.evaluate("id => { app.graph.getNodeById(id).pos = [9000, 9000]; app.canvas.draw(true, true) }", node)
    comfy.page.wait_for_timeout(300)
    comfy.run()
    comfy.toast_text("No gateway is set")
    comfy.page.locator(TOAST).get_by_text("Open the settings").first.click()
    comfy.page.wait_for_selector(".nanobanana-fields")


def test_it_can_be_tried_without_a_gateway_in_one_click(comfy: Comfy, renderer: str) -> None:
    comfy.delete_profiles()
    comfy.graph_to_run("a lighthouse")
    comfy.panel.get_by_text("No gateway is set up yet").wait_for()
    comfy.image(f"not-set-up-{renderer}")
    comfy.panel.locator(".nanobanana-try-without").click()
    comfy.panel.get_by_text("Ready.").wait_for()
    assert not comfy.panel.locator(".nanobanana-setup").is_visible()
    comfy.run()
    comfy.panel.get_by_text("simulated: costs nothing").wait_for(timeout=20_000)
    comfy.pictures(1)


def test_an_error_about_settings_goes_when_they_are_mended(comfy: Comfy, renderer: str) -> None:
    comfy.delete_profiles()
    comfy.graph_to_run("a lighthouse")
    comfy.run()
    comfy.wait_for_tone("failed")
    comfy.open_settings()
    comfy.page.fill("#nanobanana-base_url", "simulator")
    comfy.page.press("#nanobanana-base_url", "Enter")
    comfy.settings_say("Saved")
    comfy.page.keyboard.press("Escape")
    comfy.panel.get_by_text("Ready.").wait_for()
    assert "base URL" not in comfy.panel.inner_text()


def test_a_good_test_offers_to_save_and_closing_asks(comfy: Comfy) -> None:
    comfy.delete_profiles()
    comfy.open_settings()
    comfy.page.fill("#nanobanana-base_url", comfy.gateway.removeprefix("http://"))
    comfy.page.click(".nanobanana-test")
    comfy.page.click(".nanobanana-save-and-use")
    comfy.settings_say("Saved")
    # Without a scheme it was typed, and with one it is saved.
    assert comfy.page.input_value("#nanobanana-base_url") == comfy.gateway
    assert comfy.stored_profile()["base_url"] == comfy.gateway
    comfy.page.fill("#nanobanana-api_key", "sk-typed-0123456789abcdef")
    comfy.page.click(".nanobanana-show-key")
    assert comfy.page.get_attribute("#nanobanana-api_key", "type") == "text"
    comfy.image("settings-key-shown")
    comfy.page.keyboard.press("Escape")
    comfy.page.get_by_text("Save the changes?").wait_for()
    comfy.image("settings-unsaved")
    comfy.confirm()
    assert wait_until(lambda: comfy.stored_profile().get("api_key") == "sk-typed-0123456789abcdef")


@pytest.mark.parametrize("words", ["api key", "base url", "price", "nanobanana"])
def test_the_settings_are_found_by_their_search_and_use_the_whole_width(comfy: Comfy, words: str) -> None:
    comfy.open_settings()
    comfy.page.locator("[role=dialog] input[placeholder*=Search]").first.fill(words)
    form = comfy.page.locator(".nanobanana-settings")
    form.locator(".nanobanana-fields").wait_for()
    # The host's dialog opens with a movement: until it has ended, nothing has its width.
    comfy.page.wait_for_function(
        """() => {
          const form = document.querySelector('.nanobanana-settings');
          const page = form?.closest('.setting-item')?.getBoundingClientRect();
          if (!page) return false;
          const all = [...form.querySelectorAll('.nanobanana-field, .nanobanana-button')];
          const fields = all.filter(one => one.offsetParent);
          const right = Math.max(...fields.map(one => one.getBoundingClientRect().right));
          return right <= page.right + 1 && form.getBoundingClientRect().width >= Math.min(740, page.width - 1);
        }"""
    )
    comfy.image(f"settings-found-{words.replace(' ', '-')}")


def test_the_nodes_own_button_opens_the_settings_and_goes_when_all_is_set(comfy: Comfy, renderer: str) -> None:
    comfy.delete_profiles()
    comfy.graph_to_run("a lighthouse")
    comfy.panel.locator(".nanobanana-open-settings").click()
    comfy.page.wait_for_selector(".nanobanana-fields")
    comfy.page.fill("#nanobanana-base_url", "simulator")
    comfy.page.click(".nanobanana-save")
    comfy.settings_say("Saved")
    comfy.page.keyboard.press("Escape")
    comfy.panel.locator(".nanobanana-open-settings").wait_for(state="detached")
    assert "1024 x 1024" in comfy.panel.inner_text()
