"""Run calls through real proxies and relays, and write what came of them into docs/reliability.md.

    python scripts/relays.py

Programs are found on PATH, or by NGINX, HAPROXY, SQUID, MITMDUMP, LITELLM and PORTKEY; those that aren't installed are
left out.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- relays -->\n", "<!-- /relays -->"
HEAD = "| program | the gateway behind it | POSTs | bills | told | words |\n|---|---|---|---|---|---|\n"
_MOST_WORDS = 110


def rows(program: Any, upstream_of: Any, bench_of: Any, key: str, endings: tuple[str, ...]) -> list[str]:
    """A line for each ending."""
    name = f"{program.name} {program.version()}"
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder, upstream_of() as upstream:
        Path(folder).chmod(0o755)
        with program.running(Path(folder), upstream.port) as address:
            profile = program.profile(upstream.port)
            for number, ending in enumerate(endings):
                upstream.ending, upstream.posts, upstream.bills = ending, 0, 0
                data = Path(folder) / f"data {number}"
                with bench_of(data, address, total_timeout=20.0, connect_timeout=5.0, api_key=key, **profile) as bench:
                    outcome = bench.make()
                    bench.make()
                error = outcome.error
                told = outcome.billed if error is None or error.sure else "usually no"
                words = "the image" if error is None else " ".join(error.message.split())[:_MOST_WORDS]
                cells = [name, ending, str(upstream.posts), str(upstream.bills), told, words.replace("|", "\\|")]
                lines.append(f"| {' | '.join(cells)} |\n")
                print(lines[-1], end="", flush=True)
    return lines


def main() -> int:
    sys.path[:0] = [str(ROOT / "tests")]
    importlib.import_module("conftest")
    programs: Any = importlib.import_module("relays.programs")
    upstream: Any = importlib.import_module("relays.upstream")
    bench_of: Any = importlib.import_module("engines").Bench
    skipped: Any = importlib.import_module("_pytest.outcomes").Skipped
    table = HEAD
    for program in programs.PROGRAMS:
        try:
            program.path()
        except skipped:
            print(f"{program.name} is not installed")
            continue
        table += "".join(rows(program, upstream.Upstream, bench_of, programs.KEY, upstream.ENDINGS))
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
