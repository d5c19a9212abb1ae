"""What the README promises is so: its error messages are the code's own, its files are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def quoted_messages() -> list[str]:
    table = README.split("## When something goes wrong", 1)[1].split("\n\n")[1]
    cells = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    return [part.strip() for cell in cells for part in cell.split(";")]


def source() -> str:
    files = [*ROOT.glob("nanobanana/**/*.py"), *ROOT.glob("nodes/**/*.py")]
    # Adjacent literals and line breaks join to the sentence that a person reads.
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return re.sub(r'"\s+f?"', "", text)


@pytest.mark.parametrize("message", quoted_messages())
def test_each_message_of_the_troubleshooting_table_is_in_the_code(message: str) -> None:
    assert message in source()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?://)([^)#]+)\)", README))))
def test_each_link_leads_to_a_file(target: str) -> None:
    assert (ROOT / target).exists()
