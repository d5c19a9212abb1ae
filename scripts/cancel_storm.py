"""Cancel beside work that takes the interruption itself, in a real ComfyUI: is anything bought afterwards?

    .venv/bin/python scripts/cancel_storm.py [--tries 200]

Each try asks for twelve images, four at a time, beside a node that looks for an interruption every 0 to 200 ms, as
every operation of the host's own models does, and clears it. It is cancelled when four are on their way. A try is
missed when anything more is sent afterwards, or the prompt doesn't end as interrupted. Ends with 1 if one was.
Needs a ComfyUI (COMFYUI_PATH, else ~/comfy/ComfyUI). A try takes two seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
EVERY: Final = (0.0, 0.001, 0.02, 0.05, 0.1, 0.2)
AT_ONCE: Final = 4
SECONDS: Final = 1.2


def graph(prompt: str, number: int) -> dict[str, Any]:
    request = {"model": "NanoBanana2-0.5K", "aspect_ratio": "1:1", "output_format": "png", "count": 12, "seed": 1}
    work = {"seconds": 15, "every": EVERY[number % len(EVERY)], "salt": number}
    return {
        "1": {"class_type": "NanoBananaGatewayGenerate", "inputs": {"prompt": prompt, **request}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        "3": {"class_type": "TestInterruptedWork", "inputs": work},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
    }


def nobody(_: object) -> None:
    """Is told of these runs."""


def tried(url: str, gateway: Any, client_of: Any, number: int) -> str:
    """One try; what went wrong, or an empty text."""
    prompt = f"[latency:{SECONDS}] try {number}"

    def posts() -> int:
        return sum(post.prompt == prompt for post in gateway.ledger.posts)

    async def cancelled() -> str:
        async with client_of(url) as client:
            running = asyncio.create_task(client.run(graph(prompt, number), nobody))
            while posts() < AT_ONCE and not running.done():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05 * (number % 10))
            await client.interrupt()
            return str((await running).status)

    status, sent = asyncio.run(cancelled()), posts()
    time.sleep(SECONDS + 0.3)
    if status != "interrupted" or not sent == posts() == AT_ONCE:
        return f"try {number}, every {EVERY[number % len(EVERY)]} s: {status}, {sent} sent at the end, {posts()} later"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=200)
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "demo")]
    importlib.import_module("conftest")
    process: Any = importlib.import_module("comfy_process")
    client_of: Any = importlib.import_module("comfy_client").ComfyClient
    gateway_of: Any = importlib.import_module("gateway_faults").FaultyGateway
    pack: str = importlib.import_module("host.conftest").BLOCKING_PACK
    installation = process.find_installation(os.environ)
    if installation is None:
        parser.error("no ComfyUI found: set COMFYUI_PATH")
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as folder, gateway_of(latency=0.05) as gateway:
        blocking = Path(folder) / "custom_nodes" / "test-blocking"
        blocking.mkdir(parents=True)
        (blocking / "__init__.py").write_text(pack, encoding="utf-8")
        environ = {
            "NANOBANANA_BASE_URL": gateway.base_url,
            "NANOBANANA_API_KEY": "",
            "NANOBANANA_HOME": f"{folder}/data",
        }
        with process.running_host(installation, Path(folder), ROOT, environ) as host:
            for number in range(options.tries):
                wrong = tried(host.url, gateway, client_of, number)
                if wrong:
                    missed.append(wrong)
                    print(wrong, flush=True)
    print(f"{options.tries} cancels beside work that takes them; missed: {len(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
