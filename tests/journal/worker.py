"""Another process with the same journal: `worker.py FOLDER LOG stop|die STEP NAME RUN`, or `... loop RUN COUNT`.

It takes calls through the journal as a client would; LOG stands for the gateway, and gets a line for each post.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType


def load_pack() -> ModuleType:
    path = Path(__file__).resolve().parent.parent / "conftest.py"
    spec = importlib.util.spec_from_file_location("tests_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return importlib.import_module("pack.nanobanana.journal")


class Gateway:
    """Writes down what a gateway would see; one write a line, so that processes don't mix."""

    def __init__(self, log: Path) -> None:
        self._descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(self, *words: object) -> None:
        os.write(self._descriptor, (" ".join(map(str, words)) + "\n").encode())


def image(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest() * 3000


def main() -> None:
    package = load_pack()
    from pack.nanobanana.cancel import CancelToken

    folder, log, mode, *rest = sys.argv[1:]
    journal = package.Journal(Path(folder))
    gateway = Gateway(Path(log))

    def go(name: str, run: str, stop_at: str = "") -> None:
        def reached(step: str) -> None:
            if mode == "loop":
                time.sleep(0.002)  # as a gateway takes its time: room to be killed in
            if step != stop_at:
                return
            sys.stdout.write(f"{step}\n")
            sys.stdout.flush()
            if mode == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            sys.stdin.readline()

        from pack.nanobanana.image_request import ImageRequest

        details = package.CallDetails(ImageRequest("m", name, "1:1", "png", 1), "documented", "default", "https://g")
        claim = journal.claim(
            package.CallKey(name, 0), details, cancel=CancelToken(), on_wait=lambda words: reached("waiting"), run=run
        )
        reached("claimed")
        call = claim.record.id
        if claim.what == "ask":
            journal.sent(call)
            reached("sent")
            gateway.note("POST", name, os.getpid())
            reached("posted")
            journal.url(call, 0, f"https://cdn/{name}")
            gateway.note("URL", name, os.getpid())
            reached("url")
            journal.answered(call, request_id="r", text="")
            reached("answered")
        if claim.owned:
            journal.keep(call, 0, image(name), extension="png", url=f"https://cdn/{name}")
            reached("keep")
            journal.kept(call, seconds=0.1)
            reached("kept")
        gateway.note("DONE", name, os.getpid(), claim.what)

    if mode == "loop":
        run, count = rest
        for number in range(int(count)):
            go(f"call{number}", run)
    else:
        step, name, run = rest
        go(name, run, step)
    journal.close()


if __name__ == "__main__":
    main()
