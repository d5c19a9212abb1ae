"""What a stranger's page, and a stranger's words, can do to the pack in a real browser: nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfy_process import Installation, running_host
from conftest import ROOT
from journal_rows import fill
from page_of_comfyui import Comfy
from servers import Peer, RawServer

KEY = "sk-attacks-0123456789abcdefWXYZ"
MARKUP = "no: <img src=x onerror=\"window.hacked='{}'\"><script>window.hacked='{}'</script>"

# Every way in which a page can send a request, without and with the host's consent, and what it could read of it.
ATTACK = """async base => {
  const paths = ["/catalog", "/profiles", "/profiles/rename", "/profiles/test", "/history", "/history/totals",
    "/history/download", "/history/clear", "/stop",
    "/runs", "/estimate", "/pictures/x/original", "/pictures/x/thumbnail"];
  const body = JSON.stringify({ name: "default", base_url: "https://evil.example", all: true, id: 1 });
  const read = [];
  let tries = 0;
  const attempt = async (what, work) => {
    tries += 1;
    try {
      const text = await Promise.race([work(), new Promise((_, no) => setTimeout(no, 3000))]);
      if (text) read.push(`${what}: ${text}`);
    } catch {}
  };
  for (const path of paths) {
    const url = `${base}/nanobanana${path}`;
    for (const method of ["GET", "POST", "PUT", "DELETE"]) {
      for (const mode of ["cors", "no-cors"]) {
        for (const type of ["application/json", "text/plain"]) {
          for (const credentials of ["include", "omit"]) {
            const options = { method, mode, credentials, headers: { "Content-Type": type } };
            if (method !== "GET") options.body = body;
            await attempt(`${method} ${mode} ${path}`, async () => {
              const answer = await fetch(url, options);
              return answer.ok ? answer.text() : "";
            });
          }
        }
      }
    }
    await attempt(`beacon ${path}`, async () => { navigator.sendBeacon(url, body); });
    await attempt(`script ${path}`, () => new Promise((yes) => {
      const script = document.createElement("script");
      script.onload = () => yes("ran");
      script.onerror = () => yes("");
      script.src = url;
      document.body.append(script);
    }));
    await attempt(`form ${path}`, () => new Promise((yes) => {
      const frame = Object.assign(document.createElement("iframe"), { name: `frame${tries}` });
      const form = Object.assign(document.createElement("form"), { action: url, method: "post", target: frame.name });
      form.enctype = "text/plain";
      form.append(Object.assign(document.createElement("input"), { name: body.slice(0, -1) + ',"x":"', value: '"}' }));
      frame.onload = () => {
        try { yes(frame.contentDocument?.body?.innerText ?? ""); } catch { yes(""); }
      };
      document.body.append(frame, form);
      form.submit();
    }));
  }
  return { tries, read };
}"""


@pytest.fixture
def careless(installation: Installation, tmp_path: Path) -> Iterator[Comfy]:
    """A host that lets other sites' pages in, as some are told to; itself it would keep most of them out."""
    environ = {"NANOBANANA_HOME": str(tmp_path / "data"), "NANOBANANA_BASE_URL": "", "NANOBANANA_API_KEY": ""}
    with running_host(installation, tmp_path, ROOT, environ, ("--enable-cors-header", "*")) as host:
        yield Comfy(None, host.url, tmp_path / "data", tmp_path)


def test_a_strangers_page_reads_and_changes_nothing(browser: Any, careless: Comfy) -> None:
    careless.profile(base_url="https://gateway.example", api_key=KEY)
    fill(careless.data, 3)
    before = careless.stored_profile()
    calls = careless.api("GET", "/history")["calls"]
    assert len(calls) == 3

    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer("200 OK", b"<!doctype html><body>a page", content_type="text/html")

    page = browser.new_page()
    with RawServer(serve) as server:
        # Another origin on the same site, and another site.
        for origin in (server.url, server.url.replace("127.0.0.1", "localhost")):
            page.goto(origin)
            found: Any = page.evaluate(ATTACK, careless.url)
            assert found["tries"] == 13 * (4 * 2 * 2 * 2 + 3)
            assert found["read"] == []
    page.close()
    assert careless.stored_profile() == before
    assert careless.api("GET", "/history")["calls"] == calls


def test_words_from_anywhere_stay_words(comfy: Comfy, renderer: str) -> None:
    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        if line.startswith("GET"):
            body = {"data": [{"id": MARKUP.format("model", "model")}]}
            peer.answer("200 OK", json.dumps(body).encode(), content_type="application/json")
            return
        body = {"error": {"message": MARKUP.format("error", "error"), "type": "x", "code": "invalid_request"}}
        peer.answer("400 Bad Request", json.dumps(body).encode(), content_type="application/json")

    with RawServer(serve) as server:
        comfy.profile(base_url=server.url)
        comfy.graph_to_run(f"a lighthouse {MARKUP.format('prompt', 'prompt')}")
        comfy.run()
        comfy.wait_for_tone("failed")
        assert "<img src=x" in comfy.panel.inner_text()
        comfy.open_history()
        item = comfy.page.locator(".nanobanana-item").first
        item.wait_for()
        assert "<script>" in item.inner_text()
        comfy.open_settings()
        comfy.page.click(".nanobanana-test")
        comfy.page.locator(".nanobanana-offer").first.wait_for()
        comfy.page.locator(".nanobanana-offer").first.click()
    comfy.page.wait_for_timeout(300)
    comfy.page.click(".nanobanana-undo")
    assert comfy.page.evaluate("() => window.hacked ?? ''") == ""
    assert comfy.page.locator("img[src=x]").count() == 0
    comfy.page.keyboard.press("Escape")
    comfy.close_history()
