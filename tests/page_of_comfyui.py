"""ComfyUI's page as a person uses it: click, type, look. Selectors that differ between versions are here alone."""

from __future__ import annotations

import itertools
import json
import re
import urllib.request
from pathlib import Path
from typing import Any

RUN = "[data-testid=queue-button]"
TOAST = ".p-toast-message, [data-testid=toast]"
GENERATE = "NanoBananaGatewayGenerate"

_seeds = itertools.count(1000)


class Comfy:
    """`page` is Playwright's. `data` is the pack's data folder; `images` is where screenshots go.

    `gateway`: the base URL that each test begins with.
    """

    def __init__(self, page: Any, url: str, data: Path, images: Path, gateway: str = "simulator") -> None:
        self.page = page
        self.url = url
        self.data = data
        self.images = images
        self.gateway = gateway
        self.gateway_behind: Any = None
        images.mkdir(parents=True, exist_ok=True)

    def open(self) -> None:
        self.page.goto(self.url, wait_until="domcontentloaded")
        self.ready()

    def ready(self) -> None:
        self.page.wait_for_function(
            "() => window.app?.graph && app.extensionManager && document.querySelector('.side-tool-bar-container')"
        )
        self.page.wait_for_function("() => app.extensions.some(one => one.name === 'nanobananaforcomfyui.gateway')")
        self.page.wait_for_selector(self.tab_selector, state="attached")

    def reload(self) -> None:
        """As after F5. The workflow that was open comes back, so it is emptied."""
        self.page.reload(wait_until="domcontentloaded")
        self.ready()
        self.page.evaluate("async () => { await app.extensionManager.command.execute('Comfy.NewBlankWorkflow'); }")

    def close_dialogs(self) -> None:
        """Older frontends show a failed run in a dialog over all the rest."""
        for _ in range(8):
            self.page.keyboard.press("Escape")
            if not self.page.locator("[role=dialog]:visible, .p-dialog-mask:visible").count():
                break
            self.page.wait_for_timeout(200)

    def begin(self) -> None:
        """A clean start of a test, whatever the last one left."""
        for other in self.page.context.pages:
            if other is not self.page:
                other.close()
        self.page.bring_to_front()
        self.close_dialogs()
        self.close_history()
        self.set("Comfy.VueNodes.Enabled", False)
        self.set("NanoBanana.Status.Previews", True)
        self.page.evaluate("async () => { await app.extensionManager.command.execute('Comfy.NewBlankWorkflow'); }")
        self.page.evaluate("() => LiteGraph.closeAllContextMenus?.()")
        self.close_other_workflows()
        self.page.evaluate("() => { const t = app.extensionManager.toast; (t.dismissAll ?? t.removeAll)?.(); }")
        self.api("POST", "/history/clear", {"all": True})
        self.delete_profiles()
        self.profile(base_url=self.gateway)

    def close_other_workflows(self) -> None:
        """All but the one that is shown, whatever is unsaved in them."""
        self.page.evaluate(
            """async () => {
              const manager = app.extensionManager.workflow;
              for (const one of [...manager.openWorkflows]) {
                if (one !== manager.activeWorkflow) await manager.closeWorkflow?.(one, { warnIfUnsaved: false });
              }
            }"""
        )

    # The server, as another client of its routes.

    def api(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(f"{self.url}/nanobanana{path}", data, headers, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
            return json.loads(response.read())

    def profile(self, name: str = "default", **fields: object) -> None:
        self.api("PUT", "/profiles", {"name": name, **fields})

    def stored_profile(self, name: str = "default") -> dict[str, Any]:
        """The profile as its file has it, secrets too."""
        return json.loads((self.data / "profiles.json").read_text(encoding="utf-8"))["profiles"][name]

    def delete_profiles(self) -> None:
        for profile in self.api("GET", "/profiles")["profiles"]:
            self.api("DELETE", "/profiles", {"name": profile["name"]})

    # The page.

    @property
    def frontend(self) -> str:
        return str(self.page.evaluate("() => window.__COMFYUI_FRONTEND_VERSION__"))

    def set(self, name: str, value: object) -> None:
        self.page.evaluate("([n, v]) => app.extensionManager.setting.set(n, v)", [name, value])

    def use_vue_nodes(self, on: bool) -> None:
        self.set("Comfy.VueNodes.Enabled", on)
        self.page.wait_for_timeout(200)

    def execute(self, command: str) -> None:
        self.page.evaluate("c => { app.extensionManager.command.execute(c) }", command)

    def image(self, name: str) -> None:
        self.page.screenshot(path=self.images / f"{name}.png")

    def add_by_search(self, words: str, position: tuple[int, int] = (620, 160)) -> None:
        """Double-click the canvas, type, Enter, put the node down."""
        before = len(self.nodes())
        # On a busy machine the host's dialog may come after the words: then once more, with more time.
        for patience in (1, 4, 10):
            self.page.mouse.dblclick(*position)
            self.page.wait_for_timeout(300 * patience)
            self.page.keyboard.type(words)
            self.page.wait_for_timeout(900 * patience)
            self.page.keyboard.press("Enter")
            self.page.wait_for_timeout(300 * patience)
            self.page.mouse.click(*position)
            self.page.wait_for_timeout(300 * patience)
            if len(self.nodes()) > before:
                return
            self.page.keyboard.press("Escape")

    def add(self, node_type: str, position: tuple[int, int] = (420, 130), **values: object) -> int:
        """A node by script, with widget values; gives its id."""
        return int(
            self.page.evaluate(
                """([type, pos, values]) => {
                  const node = LiteGraph.createNode(type);
                  node.pos = pos;
                  app.graph.add(node);
                  for (const [name, value] of Object.entries(values)) {
                    const widget = node.widgets.find(one => one.name === name);
                    widget.value = value;
                    widget.callback?.(value);
                  }
                  return node.id;
                }""",
                [node_type, list(position), values],
            )
        )

    def connect(self, source: int, output: int, target: int, input_name: str) -> None:
        self.page.evaluate(
            """([a, out, b, name]) => {
              const to = app.graph.getNodeById(b);
              app.graph.getNodeById(a).connect(out, to, to.inputs.findIndex(slot => slot.name === name));
            }""",
            [source, output, target, input_name],
        )

    def graph_to_run(self, prompt: str, **values: object) -> int:
        """Generate into a preview; gives Generate's id. A seed of its own keeps the host from its cache."""
        values.setdefault("seed", next(_seeds))
        generate = self.add(GENERATE, (420, 130), prompt=prompt, **values)
        preview = self.add("PreviewImage", (900, 130))
        self.connect(generate, 0, preview, "images")
        return generate

    def run(self) -> None:
        self.page.click(RUN)

    def nodes(self) -> list[dict[str, Any]]:
        return self.page.evaluate(
            """() => app.graph.nodes.map(n => ({
              id: n.id, type: n.type, title: n.title, size: [...n.size],
              widgets: Object.fromEntries((n.widgets ?? []).map(w => [w.name, w.value])),
            }))"""
        )

    # The panel on a node.

    @property
    def panel(self) -> Any:
        return self.page.locator(".nanobanana-panel-content").first

    def headline(self) -> str:
        return str(self.snapshot()["headline"])

    def snapshot(self) -> dict[str, Any]:
        """The first panel as it is at one moment: its tone, headline, and how far its bar is (None without one)."""
        found: dict[str, Any] = self.page.evaluate(
            """() => {
              const panel = document.querySelector('.nanobanana-panel');
              const bar = panel?.querySelector('.nanobanana-bar-fill');
              return {
                tone: panel?.dataset.tone ?? '',
                headline: panel?.querySelector('.nanobanana-headline')?.textContent ?? '',
                bar: bar ? parseFloat(bar.style.width) : null,
              };
            }"""
        )
        return found

    def wait_for_tone(self, tone: str, timeout: float = 15_000) -> None:
        self.page.wait_for_selector(f".nanobanana-panel[data-tone={tone}]", timeout=timeout)

    def pictures(self, count: int) -> Any:
        """The images of the first panel, when there are `count`: the last one follows the run's end."""
        found = self.panel.locator(".nanobanana-picture")
        found.nth(count - 1).wait_for()
        assert found.count() == count
        return found

    def panel_is_inside(self, renderer: str) -> bool:
        """Whether the first panel ends within its node."""
        if renderer == "vue":
            script = """() => {
              const panel = document.querySelector('.nanobanana-panel-content');
              const inner = panel.getBoundingClientRect();
              const outer = panel.closest('[data-node-id]').getBoundingClientRect();
              return inner.bottom <= outer.bottom + 1;
            }"""
        else:
            script = """() => {
              const inner = document.querySelector('.nanobanana-panel-content').getBoundingClientRect();
              const node = app.graph.nodes.find(one => one.type.startsWith('NanoBananaGateway'));
              const scale = app.canvas.ds.scale;
              const top = app.canvas.canvas.getBoundingClientRect().top;
              return inner.bottom <= top + (node.pos[1] + node.size[1] + app.canvas.ds.offset[1]) * scale + 1;
            }"""
        return bool(self.page.evaluate(script))

    def choose(self, widget: str, value: str, renderer: str) -> None:
        """Set a menu of the first node by hand where that is possible, else as its menu would."""
        if renderer == "vue":
            row = self.page.locator("[data-node-id] [data-testid=node-widget]").filter(has_text=widget).first
            row.locator("[role=combobox], button").last.click()
            self.page.get_by_role("option", name=value, exact=True).click()
            return
        self.page.evaluate(
            """([name, value]) => {
              const node = app.graph.nodes[0];
              node.widgets.find(one => one.name === name).setValue(value, { e: {}, node, canvas: app.canvas });
            }""",
            [widget, value],
        )

    def right_click(self, node: int, renderer: str) -> None:
        """On the node's title."""
        if renderer == "vue":
            self.page.locator(f"[data-node-id='{node}'] [data-testid=node-title]").click(button="right")
            return
        x, y = self.page.evaluate(
            """id => {
              const node = app.graph.getNodeById(id);
              const ds = app.canvas.ds;
              const box = app.canvas.canvas.getBoundingClientRect();
              const at = (one, offset, start) => start + (one + offset) * ds.scale;
              return [at(node.pos[0] + 60, ds.offset[0], box.left), at(node.pos[1] - 12, ds.offset[1], box.top)];
            }""",
            node,
        )
        self.page.mouse.click(x, y, button="right")

    def saved(self) -> Any:
        """The workflow as it would be written to a file."""
        return self.page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")

    # Settings.

    def open_settings(self) -> None:
        self.execute("NanoBanana.OpenSettings")
        self.page.wait_for_selector(".nanobanana-fields")

    def settings_say(self, words: str) -> None:
        """Wait until the settings say something with `words` in it."""
        self.page.locator(".nanobanana-says .nanobanana-message", has_text=words).wait_for()

    def settings_message(self) -> str:
        self.page.wait_for_selector(".nanobanana-says .nanobanana-message:not(.nanobanana-message-info)")
        return self.page.inner_text(".nanobanana-says")

    def answer_prompt(self, text: str) -> None:
        """Type into the host's own dialog, and press Enter."""
        field = self.page.locator(
            "[role=dialog] input[type=text]:visible, [role=dialog] input:not([type]):visible"
        ).last
        field.wait_for()
        field.fill(text)
        field.press("Enter")

    def confirm(self) -> None:
        """Say yes to the host's own dialog."""
        buttons = self.page.locator("button:not(.nanobanana-button):visible")
        buttons.filter(has_text=re.compile(r"^\s*(Delete|Confirm)\s*$")).last.click()

    # The history.

    tab_selector = ".nanobanana-history-tab-button, [data-testid=nanobanana-history-tab-button]"

    def open_history(self) -> None:
        if not self.page.locator(".nanobanana-history").is_visible():
            if self.page.locator(".p-dialog-mask:visible").count():
                self.close_dialogs()
            self.page.click(self.tab_selector)
        self.page.wait_for_selector(".nanobanana-history")

    def close_history(self) -> None:
        if self.page.locator(".nanobanana-history").is_visible():
            self.page.click(self.tab_selector)

    def toast_text(self, words: str) -> str:
        found = self.page.locator(TOAST).filter(has_text=re.compile(re.escape(words)))
        found.first.wait_for()
        return found.first.inner_text()
