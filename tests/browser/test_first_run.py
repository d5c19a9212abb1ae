"""Someone new: nothing is set up, and the page says what to do."""

from __future__ import annotations

from page_of_comfyui import TOAST, Comfy


def test_a_run_without_a_gateway_leads_to_the_settings(comfy: Comfy, renderer: str) -> None:
    comfy.delete_profiles()
    comfy.graph_to_run("a lighthouse")
    comfy.run()
    comfy.wait_for_tone("failed")
    assert "base URL" in comfy.panel.inner_text()
    comfy.toast_text("base URL")
    comfy.image(f"first-run-{renderer}")
    comfy.page.locator(TOAST).get_by_text("Open the settings").first.click()
    comfy.page.wait_for_selector(".nanobanana-fields")
    assert comfy.page.locator("#nanobanana-base_url").input_value() == ""


def test_the_nodes_own_button_opens_the_settings_and_goes_when_all_is_set(comfy: Comfy, renderer: str) -> None:
    comfy.delete_profiles()
    comfy.graph_to_run("a lighthouse")
    comfy.panel.locator(".nanobanana-open-settings").click()
    comfy.page.wait_for_selector(".nanobanana-fields")
    comfy.page.fill("#nanobanana-base_url", "simulator")
    comfy.page.click(".nanobanana-save")
    assert "Saved" in comfy.settings_message()
    comfy.page.keyboard.press("Escape")
    comfy.panel.locator(".nanobanana-open-settings").wait_for(state="detached")
    assert "1024 x 1024" in comfy.panel.inner_text()
