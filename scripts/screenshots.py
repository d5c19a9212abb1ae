"""The images of README and docs: a real ComfyUI before a real Chromium, with the simulator as gateway.

    .venv/bin/python scripts/screenshots.py

Writes docs/pictures/*.png. Needs a ComfyUI (COMFYUI_PATH, else ~/comfy/ComfyUI) and a Chromium.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
IMAGES: Final = ROOT / "docs" / "pictures"
VIEW: Final = {"width": 1360, "height": 820}
PROMPTS: Final = (
    ("A tea house on a misty mountain, ink wash", "4:3", 1),
    ("A paper boat in the rain, macro photograph", "1:1", 1),
    ("Night market under red lanterns, wide shot", "21:9", 1),
    ("A fox asleep in autumn leaves, watercolour", "3:4", 1),
)


def prepare(base: Path) -> None:
    """No tutorial in the page."""
    user = base / "user" / "default"
    user.mkdir(parents=True)
    settings = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False, "Comfy.VueNodes.Enabled": True}
    (user / "comfy.settings.json").write_text(json.dumps(settings), encoding="utf-8")


def finished_graph(comfy: Any) -> None:
    """Generate and Edit, both done."""
    generate = comfy.add(
        "NanoBananaGatewayGenerate",
        (40, 60),
        prompt="A lighthouse on a cliff at dawn, gulls over a calm sea",
        aspect_ratio="16:9",
        count=3,
    )
    edit = comfy.add("NanoBananaGatewayEdit", (500, 60), prompt="Make it night, with the lamp lit", seed=7)
    comfy.connect(generate, 0, edit, "images.image_1")
    preview = comfy.add("PreviewImage", (960, 60))
    comfy.connect(edit, 0, preview, "images")
    comfy.page.evaluate(
        "() => { app.canvas.ds.reset(); app.canvas.ds.offset = [40, 60]; app.canvas.setDirty(true, true) }"
    )
    comfy.page.wait_for_timeout(500)


def main() -> None:
    for folder in ("demo", "tests"):
        sys.path.insert(0, str(ROOT / folder))
    process = importlib.import_module("comfy_process")
    page_of_comfyui = importlib.import_module("page_of_comfyui")
    playwright = importlib.import_module("playwright.sync_api")
    installation = process.find_installation(os.environ)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if installation is None or chromium is None:
        sys.exit("A ComfyUI (COMFYUI_PATH) and a Chromium (CHROMIUM) are needed.")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        prepare(base)
        environ = {"NANOBANANA_HOME": str(base / "data"), "NANOBANANA_BASE_URL": "", "NANOBANANA_API_KEY": ""}
        with (
            process.running_host(installation, base, ROOT, environ) as host,
            playwright.sync_playwright() as running,
        ):
            options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
            browser = running.chromium.launch(executable_path=chromium, args=options)
            page = browser.new_context(viewport=VIEW, locale="en-US").new_page()
            comfy = page_of_comfyui.Comfy(page, host.url, base / "data", IMAGES)
            comfy.open()
            play(comfy)
            browser.close()
    print("\n".join(f"docs/pictures/{path.name}" for path in sorted(IMAGES.glob("*.png"))))


def play(comfy: Any) -> None:
    """A person's first minutes, with an image where it is worth one."""
    comfy.begin()
    comfy.profile(base_url="simulator", prices={"NanoBananaPro-1K": 0.04, "NanoBananaPro-2K": 0.06})
    comfy.use_vue_nodes(True)
    for prompt, ratio, count in PROMPTS:
        comfy.page.evaluate("async () => { await app.extensionManager.command.execute('Comfy.NewBlankWorkflow') }")
        comfy.page.wait_for_timeout(400)
        comfy.graph_to_run(prompt, aspect_ratio=ratio, count=count)
        comfy.run()
        comfy.wait_for_tone("done", 30_000)
    comfy.close_other_workflows()
    comfy.page.evaluate("async () => { await app.extensionManager.command.execute('Comfy.NewBlankWorkflow') }")
    comfy.close_other_workflows()
    finished_graph(comfy)
    comfy.run()
    comfy.page.wait_for_function(
        "() => document.querySelectorAll('.nanobanana-panel[data-tone=done]').length === 2", timeout=60_000
    )
    # The host's own notices go by themselves.
    comfy.page.wait_for_timeout(8000)
    comfy.image("canvas")
    comfy.open_history()
    comfy.page.wait_for_function(
        "() => { const all = [...document.querySelectorAll('.nanobanana-thumb img')];"
        " return all.length > 4 && all.slice(0, 5).every(one => one.naturalWidth > 0) }"
    )
    comfy.page.click(".nanobanana-totals summary")
    comfy.page.wait_for_timeout(300)
    comfy.image("history")
    comfy.close_history()
    comfy.open_settings()
    comfy.page.fill("#nanobanana-base_url", "https://api.example.com")
    comfy.page.fill("#nanobanana-api_key", "sk-0123456789abcdefWXYZ")
    comfy.page.click(".nanobanana-save")
    comfy.settings_message()
    comfy.page.fill("#nanobanana-base_url", "simulator")
    comfy.page.click(".nanobanana-test")
    comfy.page.wait_for_selector(".nanobanana-message-success")
    comfy.page.click(".nanobanana-undo")
    comfy.page.wait_for_timeout(300)
    comfy.image("settings")


if __name__ == "__main__":
    main()
