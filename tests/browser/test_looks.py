"""What everybody can read and reach: contrast in both themes and renderers, names, roles, the keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from page_of_comfyui import Comfy

# WCAG 2.2, 1.4.3: text of ordinary size.
AA = 4.5

CONTRASTS = """root => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const node = app.graph.nodes.find(one => one.type.startsWith('NanoBananaGateway'));
  const backgroundOf = start => {
    const layers = [];
    for (let one = start; one; one = one.parentElement) {
      const color = rgba(getComputedStyle(one).backgroundColor);
      layers.push(color);
      if (color[3] === 1) break;
      // On the canvas a node is painted, not laid out.
      if (one.classList.contains('nanobanana-panel') && !one.closest('[data-node-id]')) {
        layers.push(rgba(node.bgcolor ?? node.constructor.bgcolor ?? LiteGraph.NODE_DEFAULT_BGCOLOR));
        break;
      }
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const found = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const words = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    // What is switched off is exempt.
    if (!words || !element.checkVisibility?.() || element.closest(':disabled, option, style')) continue;
    let opacity = 1;
    for (let one = element; one && one !== root.parentElement; one = one.parentElement) {
      opacity *= getComputedStyle(one).opacity;
    }
    const background = backgroundOf(element);
    const color = rgba(getComputedStyle(element).color);
    const text = over([...color.slice(0, 3), color[3] * opacity], background);
    const [a, b] = [light(text), light(background)].sort((x, y) => y - x);
    found.push([words.slice(0, 40), Math.round(((a + 0.05) / (b + 0.05)) * 100) / 100]);
  }
  return found;
}"""


def contrasts(comfy: Comfy, selector: str) -> list[tuple[str, float]]:
    return [tuple(one) for one in comfy.page.locator(selector).first.evaluate(CONTRASTS)]


@pytest.fixture
def theme(request: pytest.FixtureRequest, comfy: Comfy) -> Any:
    comfy.set("Comfy.ColorPalette", request.param)
    comfy.page.wait_for_timeout(400)
    yield request.param
    comfy.set("Comfy.ColorPalette", "dark")
    comfy.page.wait_for_timeout(300)


@pytest.mark.parametrize("theme", ["dark", "light"], indirect=True)
def test_every_text_can_be_read(comfy: Comfy, renderer: str, theme: str) -> None:
    comfy.profile(prices={"NanoBananaPro-1K": 0.04})
    comfy.graph_to_run(f"a lighthouse of {renderer} {theme} [fault:http_400] [times:1]", count=2)
    comfy.run()
    comfy.wait_for_tone("warning", timeout=30_000)
    comfy.panel.get_by_text("next run buys").wait_for()
    found = {"panel": contrasts(comfy, ".nanobanana-panel")}
    comfy.image(f"readable-{theme}-{renderer}")
    comfy.delete_profiles()
    comfy.graph_to_run("another")
    found["not set up"] = contrasts(comfy, ".nanobanana-panel")
    comfy.open_history()
    comfy.page.locator(".nanobanana-item").nth(1).wait_for()
    comfy.page.click(".nanobanana-clear")
    found["history"] = contrasts(comfy, ".nanobanana-history")
    comfy.image(f"readable-history-{theme}-{renderer}")
    comfy.close_history()
    comfy.open_settings()
    comfy.page.evaluate("() => { document.querySelector('.nanobanana-more').open = true }")
    comfy.page.click(".nanobanana-test")
    comfy.settings_say("Not set up")
    # With what can be saved: a button that is switched off is exempt.
    comfy.page.fill("#nanobanana-system_message", "draw")
    found["settings"] = contrasts(comfy, ".nanobanana-settings")
    comfy.image(f"readable-settings-{theme}-{renderer}")
    comfy.page.click(".nanobanana-undo")
    comfy.page.keyboard.press("Escape")
    assert min(map(len, found.values())) >= 3
    assert not {
        place: [one for one in texts if one[1] < AA]
        for place, texts in found.items()
        if min(texts, key=lambda one: one[1])[1] < AA
    }


def test_a_screen_reader_hears_each_phase_once(comfy: Comfy, renderer: str) -> None:
    comfy.graph_to_run("a lighthouse [latency:3]")
    comfy.page.evaluate(
        """() => {
          window.spoken = [];
          const place = document.querySelector('.nanobanana-panel [role=status]');
          new MutationObserver(() => window.spoken.push(place.textContent)).observe(place, { childList: true });
        }"""
    )
    comfy.run()
    comfy.wait_for_tone("done")
    said = comfy.page.evaluate("() => window.spoken")
    assert len(said) == len(set(said)) >= 2
    assert "1 image" in said[-1]
    # The clock in the headline is not among it.
    assert not [words for words in said[:-1] if " s" in words]


def test_everything_has_a_name_and_is_reached_by_the_keyboard(comfy: Comfy) -> None:
    comfy.graph_to_run("a lighthouse", count=2)
    comfy.run()
    comfy.wait_for_tone("done")
    comfy.pictures(2)
    region = comfy.page.get_by_role("region", name="NanoBanana status")
    assert region.get_by_role("button").count() >= 4
    comfy.open_history()
    comfy.page.locator(".nanobanana-item").nth(1).wait_for()
    nameless = """selector => [...document.querySelector(selector)
      .querySelectorAll('button, input, select, textarea, summary')]
      .filter(one => !one.textContent.trim() && !one.getAttribute('aria-label') && !one.title && !one.labels?.length
        && !one.querySelector('img[alt]:not([alt=""])'))
      .map(one => one.outerHTML.slice(0, 120))"""
    assert comfy.page.evaluate(nameless, ".nanobanana-panel") == []
    assert comfy.page.evaluate(nameless, ".nanobanana-history") == []
    clear = comfy.page.locator(".nanobanana-clear")
    clear.focus()
    comfy.page.keyboard.press("Enter")
    assert clear.get_attribute("aria-expanded") == "true"
    comfy.page.keyboard.press("Tab")
    assert "nanobanana-clear-" in comfy.page.evaluate("() => document.activeElement.className")
    comfy.page.keyboard.press("Escape")
    assert clear.get_attribute("aria-expanded") == "false"
    assert comfy.page.evaluate("() => document.activeElement.className").endswith("nanobanana-clear")
    # The history is still there: Escape closed the menu alone.
    assert comfy.page.locator(".nanobanana-history").is_visible()
    comfy.close_history()
    comfy.open_settings()
    comfy.page.evaluate("() => { document.querySelector('.nanobanana-more').open = true }")
    assert comfy.page.evaluate(nameless, ".nanobanana-settings") == []
