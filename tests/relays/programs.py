"""Real proxies and relays, each started in front of an upstream on this machine; skipped where one isn't installed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

START_SECONDS = 120.0
# LiteLLM refuses to start with a key that anyone could guess.
KEY = f"sk-{secrets.token_hex(24)}"


@dataclass(frozen=True)
class Program:
    """One program: how it is started to listen at a port and pass everything on to an upstream's port.

    `find` names an environment variable with its path. `profile`: what a profile for it sets, by the upstream's port.
    `environment`: what the program needs besides ours.
    """

    name: str
    find: str
    command: Callable[[str, Path, int, int], Sequence[str]]
    profile: Callable[[int], dict[str, Any]] = lambda _: {}
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def path(self) -> str:
        found = os.environ.get(self.find) or shutil.which(self.name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if not found:
            pytest.skip(f"{self.name} is not installed")
        return found

    def version(self) -> str:
        if self.name == "portkey":
            package = Path(self.path()).resolve().parent.parent / "package.json"
            return str(json.loads(package.read_text(encoding="utf-8"))["version"])
        asked = "-v" if self.name in ("nginx", "haproxy", "squid") else "--version"
        said = subprocess.run([self.path(), asked], capture_output=True, text=True, timeout=60, check=False)
        words = f"{said.stdout} {said.stderr}".replace("/", " ").split()
        return next((word.strip(",") for word in words if word[:1].isdigit() and "." in word), "?")

    @contextlib.contextmanager
    def running(self, folder: Path, upstream: int) -> Iterator[str]:
        """The address at which it listens, once it does."""
        port = free_port()
        log = folder / f"{self.name}.log"
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        environment |= self.environment
        with log.open("wb") as output:
            command = self.command(self.path(), folder, port, upstream)
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=folder)
            try:
                wait_for(port, process, log)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"it does not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def _nginx(path: str, folder: Path, port: int, upstream: int) -> Sequence[str]:
    config = folder / "nginx.conf"
    config.write_text(
        f"""
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  limit_req_zone $binary_remote_addr zone=few:1m rate=60r/m;
  server {{
    listen 127.0.0.1:{port}; client_max_body_size 1m;
    location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_read_timeout 2s; }}
    location /limited/ {{
      limit_req zone=few; limit_req_status 429; proxy_pass http://127.0.0.1:{upstream}/;
    }}
  }}
}}
""",
        encoding="utf-8",
    )
    return [path, "-c", str(config), "-p", str(folder)]


def _haproxy(path: str, folder: Path, port: int, upstream: int) -> Sequence[str]:
    config = folder / "haproxy.cfg"
    config.write_text(
        f"""
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 2s
frontend all
  bind 127.0.0.1:{port}
  default_backend gateway
backend gateway
  server one 127.0.0.1:{upstream}
""",
        encoding="utf-8",
    )
    return [path, "-db", "-f", str(config)]


def _squid(path: str, folder: Path, port: int, upstream: int) -> Sequence[str]:
    config = folder / "squid.conf"
    config.write_text(
        f"""
http_port 127.0.0.1:{port} accel defaultsite=127.0.0.1 no-vhost
cache_peer 127.0.0.1 parent {upstream} 0 no-query originserver name=gateway
http_access allow all
cache deny all
access_log none
cache_log {folder}/cache.log
pid_filename {folder}/squid.pid
coredump_dir {folder}
pinger_enable off
read_timeout 2 seconds
shutdown_lifetime 0 seconds
""",
        encoding="utf-8",
    )
    for one in (folder, config):
        one.chmod(0o777 if one.is_dir() else 0o644)
    return [path, "-N", "-f", str(config)]


def _mitmproxy(path: str, folder: Path, port: int, upstream: int) -> Sequence[str]:
    target = f"reverse:http://127.0.0.1:{upstream}"
    where = ["--listen-host", "127.0.0.1", "--listen-port", str(port)]
    return [path, "--mode", target, *where, "--set", f"confdir={folder}", "-q"]


def _litellm(path: str, folder: Path, port: int, upstream: int) -> Sequence[str]:
    config = folder / "litellm.yaml"
    config.write_text(
        f"""
model_list:
  - model_name: "NanoBanana2-0.5K"
    litellm_params:
      model: openai/NanoBanana2-0.5K
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: sk-upstream
      max_retries: 0
router_settings:
  num_retries: 0
general_settings:
  master_key: {KEY}
litellm_settings:
  num_retries: 0
  request_timeout: 5
""",
        encoding="utf-8",
    )
    return [path, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]


def _portkey(path: str, folder: Path, port: int, upstream: int) -> Sequence[str]:
    return ["node", str(Path(path).resolve()), f"--port={port}", "--headless"]


def _portkey_profile(upstream: int) -> dict[str, Any]:
    # Its package of today loses every streamed answer on Node 20.
    headers = f"x-portkey-provider: openai\nx-portkey-custom-host: http://127.0.0.1:{upstream}/v1"
    return {"headers": headers, "stream": False}


PROGRAMS = (
    Program("nginx", "NGINX", _nginx),
    Program("haproxy", "HAPROXY", _haproxy),
    Program("squid", "SQUID", _squid),
    Program("mitmdump", "MITMDUMP", _mitmproxy),
    Program("litellm", "LITELLM", _litellm),
    Program("portkey", "PORTKEY", _portkey, _portkey_profile, {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1"}),
)
