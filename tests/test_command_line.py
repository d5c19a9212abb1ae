"""The command line as a person or a script runs it: a process of its own, its output, its exit status."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from engines import wait_until
from gateway_faults import FaultyGateway
from PIL import Image
from servers import Peer, RawServer

pytestmark = pytest.mark.slow


def take_interrupts() -> None:
    # What runs in the background of a shell has SIGINT ignored, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Shell:
    """Runs commands with settings of its own."""

    def __init__(self, home: Path, base_url: str) -> None:
        self.home = home
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NANOBANANA_")}
        self.environment = {**kept, "NANOBANANA_HOME": str(home), "NANOBANANA_BASE_URL": base_url}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "nanobanana", *arguments],
            cwd=ROOT,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=None if os.name == "nt" else take_interrupts,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=60)
        assert b"Traceback" not in err, err.decode()
        return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


@pytest.fixture
def gateway() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.0) as simulator:
        yield simulator


@pytest.fixture
def shell(gateway: FaultyGateway, tmp_path: Path) -> Shell:
    return Shell(tmp_path / "home", gateway.base_url)


def test_images_come_into_a_folder_that_is_made_and_cost_nothing_again(
    shell: Shell, gateway: FaultyGateway, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "folder"
    for _ in range(2):
        status, out, _ = shell.run("generate", "a cat", "--count", "2", "--output", str(folder))
        assert status == 0
        assert len(out.splitlines()) == 2
    assert len(list(folder.iterdir())) == 2
    assert len(gateway.ledger.billed) == 2


def test_a_folder_that_can_not_be_used_is_told_before_anything_is_paid(
    shell: Shell, gateway: FaultyGateway, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    status, _, err = shell.run("generate", "a cat", "--output", str(tmp_path / "file" / "below"))
    assert status == 1
    assert "can't be used" in err
    assert not gateway.ledger.posts


def test_the_exit_status_tells_some_from_none(shell: Shell, gateway: FaultyGateway, tmp_path: Path) -> None:
    out = ("--output", str(tmp_path / "out"))
    gateway.script([["http_400"], None])
    assert shell.run("generate", "a cat", "--count", "2", *out)[0] == 3
    gateway.set_faults("http_400")
    status, _, err = shell.run("generate", "a dog", *out)
    assert status == 1
    assert "Invalid request" in err


@pytest.mark.parametrize("seed", ["-5", str(2**64), "1.5", "\u0663", ""])
def test_a_seed_out_of_range_is_wrong_usage(shell: Shell, gateway: FaultyGateway, seed: str) -> None:
    status, _, err = shell.run("generate", "a cat", f"--seed={seed}")
    assert status == 2
    assert "2**64 - 1" in err
    assert not gateway.ledger.posts


def test_a_prompt_in_any_script_is_listed_in_any_encoding(shell: Shell, tmp_path: Path) -> None:
    assert shell.run("generate", "\u732b \U0001f408 caf\u00e9", "--output", str(tmp_path / "out"))[0] == 0
    for encoding in ("ascii", "cp1252", "utf-8"):
        status, out, _ = shell.run("journal", "list", PYTHONIOENCODING=encoding)
        assert status == 0
        assert "caf" in out


def test_a_reader_that_leaves_early_is_no_failure(shell: Shell, tmp_path: Path) -> None:
    shell.run("generate", "a cat", "--count", "4", "--output", str(tmp_path / "out"))
    process = shell.start("journal", "list")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 0


def test_what_could_not_be_kept_is_written_to_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "one.png"
    Image.new("RGB", (512, 512), "red").save(file)
    data = file.read_bytes()
    home = tmp_path / "home"

    def serve(peer: Peer) -> None:
        peer.request()
        # A file where the history's folder of images was: nothing can be saved there.
        folder = home / "pictures"
        for one in folder.iterdir():
            one.unlink()
        folder.rmdir()
        folder.write_text("in the way")
        body = {"data": [{"b64_json": base64.b64encode(data).decode()}]}
        peer.answer("200 OK", json.dumps(body).encode(), content_type="application/json")

    with RawServer(serve) as server:
        shell = Shell(home, server.url)
        status, out, err = shell.run("generate", "a cat", "--output", str(tmp_path / "out"))
    assert "could not be saved" in err
    (saved,) = (tmp_path / "out").iterdir()
    assert saved.read_bytes() == data
    assert str(saved) in out
    assert status == 0


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_ends_quietly_with_what_has_come(shell: Shell, gateway: FaultyGateway, tmp_path: Path) -> None:
    gateway.script([None, ["hang_before_headers"]])
    process = shell.start("generate", "a cat", "--count", "2", "--output", str(tmp_path / "out"))
    lines: list[bytes] = []

    def read() -> None:
        assert process.stderr is not None
        lines.extend(process.stderr)

    reader = threading.Thread(target=read)
    reader.start()
    assert wait_until(lambda: any(b"done" in line for line in lines), 30)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    reader.join()
    process.communicate()
    assert b"Traceback" not in b"".join(lines)
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_missing_package_is_named_with_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "nanobanana", "journal", "list"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "NANOBANANA_HOME": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"pip install numpy pillow requests" in done.stderr
