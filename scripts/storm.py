"""Attack the pack for ten minutes, and write what came of it into docs/reliability.md.

    .venv/bin/python scripts/storm.py

Kills under load, two processes over one folder before a gateway that fails at random, cancels beside work that takes
them (these need a ComfyUI: COMFYUI_PATH, else ~/comfy/ComfyUI), and answers that attack their reader. Ends with 1 when
a promise was broken.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- storm -->\n", "<!-- /storm -->"
HEAD: Final = "| attack | what came of it | seconds |\n|---|---|---|\n"
HOSTILE: Final = (
    "tests/hostile",
    "tests/matrix",
    "tests/imaging/test_codec_refusals.py",
    "tests/calls/test_exhaustion.py",
)

ATTACKS: Final[dict[str, list[str]]] = {
    "kill a process at a random moment, 16 calls under way, both cores busy": ["scripts/kill_storm.py", "--kills=30"],
    "two processes want the same images of a gateway that fails at random, and are killed": [
        "scripts/soak.py",
        "--calls=300",
        "--kills=8",
    ],
    "cancel beside work that looks for it every 0 to 200 ms and takes it": ["scripts/cancel_storm.py", "--tries=100"],
    "answers and files without end, in endless parts, too deep, too large; no memory, no threads": [
        *("-m", "pytest", "-q", "--no-header", *HOSTILE, "-k"),
        "hostile or endless or bomb or bounded or parts or memory or threads or pixels or bytes",
    ],
}


def main() -> int:
    table, worst = HEAD, 0
    for attack, command in ATTACKS.items():
        print(attack, flush=True)
        began = time.monotonic()
        done = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        lines = done.stdout.strip().splitlines()
        said = lines[-1:] if "pytest" in command else lines
        print("\n".join(said), flush=True)
        table += f"| {attack} | {'; '.join(said).replace('|', ' ')} | {time.monotonic() - began:.0f} |\n"
        worst = worst or done.returncode
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return worst


if __name__ == "__main__":
    sys.exit(main())
