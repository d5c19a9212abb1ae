"""Finds a ComfyUI on this machine, and starts one of our own from it: its own folders, its own port, this pack only."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from comfy_client import ComfyClient
from outcome import OnStatus, Outcome
from workflow_graph import Graph

PACK_NAME: Final = "nanobanana-gateway"
_START_SECONDS: Final = 180
_NOT_IN_A_COPY: Final = (".git", ".venv", "output", "artefacts", "__pycache__", "node_modules")


class HostFailed(Exception):
    """ComfyUI did not start, or the pack did not load in it; the text ends with the log's last lines."""


@dataclass(frozen=True)
class Installation:
    """A ComfyUI folder and the Python that runs it."""

    folder: Path
    python: Path


def find_installation(environ: Mapping[str, str]) -> Installation | None:
    """`COMFYUI_PATH`, else `~/comfy/ComfyUI`; its Python is `COMFYUI_PYTHON`, else the one that came with it."""
    folder = Path(environ.get("COMFYUI_PATH") or Path.home() / "comfy" / "ComfyUI").expanduser()
    if not (folder / "main.py").is_file():
        return None
    own = [folder / name / tail for name in (".venv", "venv") for tail in ("bin/python", "Scripts/python.exe")]
    portable = [folder.parent / "python_embeded" / "python.exe"]
    named = environ.get("COMFYUI_PYTHON")
    for python in [Path(named).expanduser()] if named else [*own, *portable]:
        if python.is_file():
            return Installation(folder.resolve(), python)
    return None


def place_pack(pack: Path, custom_nodes: Path) -> Path:
    """Put `pack` into `custom_nodes`: linked if the system allows it, else copied."""
    custom_nodes.mkdir(parents=True, exist_ok=True)
    target = custom_nodes / PACK_NAME
    try:
        target.symlink_to(pack, target_is_directory=True)
    except OSError:
        # Windows lets few accounts make links.
        shutil.copytree(pack, target, ignore=shutil.ignore_patterns(*_NOT_IN_A_COPY))
    return target


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_host(
    installation: Installation,
    base: Path,
    pack: Path,
    environ: Mapping[str, str],
    flags: tuple[str, ...] = (),
) -> Generator[RunningHost, None, None]:
    """A ComfyUI started for us: CPU only, loopback only, all its folders below `base`, no other pack.

    `environ` is added to this process's environment. The host is stopped at the end.

    Raises:
        HostFailed: it ended at once or didn't answer within three minutes.
    """
    place_pack(pack, base / "custom_nodes")
    for name in ("input", "output", "temp", "user", "models"):
        (base / name).mkdir(parents=True, exist_ok=True)
    port = _free_port()
    command = [str(installation.python), "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(port)]
    command += ["--disable-auto-launch", "--disable-api-nodes", "--base-directory", str(base)]
    # Without this the host would lock the database of the ComfyUI it is started from.
    command += ["--database-url", "sqlite:///:memory:", *flags]
    log = base / "host.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=installation.folder,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environ},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            host = RunningHost(f"http://127.0.0.1:{port}", log, process.pid)
            _wait_until_it_answers(host, process)
            yield host
        finally:
            _stop(process)


def _wait_until_it_answers(host: RunningHost, process: subprocess.Popen[bytes]) -> None:
    opener = build_opener(ProxyHandler({}))
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise HostFailed(f"ComfyUI ended with {process.returncode}.\n{host.log_tail()}")
        try:
            with opener.open(f"{host.url}/system_stats", timeout=2) as response:
                if response.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.2)
    raise HostFailed(f"ComfyUI did not answer within {_START_SECONDS} s.\n{host.log_tail()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class RunningHost:
    """`outcome.Host` over the ComfyUI at `url`."""

    def __init__(self, url: str, log: Path, pid: int) -> None:
        self.url = url
        self.pid = pid
        self.name = f"ComfyUI at {url}"
        self._log = log

    def log_text(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])

    def version(self) -> str:
        stats: Any = asyncio.run(self._get("/system_stats"))
        return str(stats["system"]["comfyui_version"])

    def object_info(self) -> dict[str, Any]:
        return asyncio.run(self._get("/object_info"))

    def run(self, graph: Graph, on_status: OnStatus) -> Outcome:
        async def run() -> Outcome:
            async with ComfyClient(self.url) as client:
                return await client.run(graph, on_status)

        return asyncio.run(run())

    async def _get(self, path: str) -> Any:
        async with ComfyClient(self.url) as client:
            return await client.get(path)
