"""Lines of the log and texts of errors do no harm, whatever the console."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.errors import BadRequest, InputError, Log, printable

CHINESE = "\u4f59\u989d\u4e0d\u8db3"
ENCODINGS = ("cp1252", "gbk", "ascii", "utf-8", "shift_jis")


class Strict(io.TextIOWrapper):
    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict")


class Raising(logging.Handler):
    """What a host's stream does in the middle of a line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        raise UnicodeEncodeError("cp1252", CHINESE, 0, 1, "no such character")


@pytest.fixture
def raising() -> Iterator[Raising]:
    handler = Raising()
    logging.getLogger("pack.raising").addHandler(handler)
    yield handler
    logging.getLogger("pack.raising").removeHandler(handler)


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=st.text(alphabet=st.characters()))
def test_every_text_can_be_written_by_a_strict_console(name: str, encoding: str, text: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, name, Strict(encoding))
        for words in (printable(text), str(InputError(text, text)), str(BadRequest(text, request_id=text))):
            getattr(sys, name).write(words)


def test_what_the_console_takes_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Strict("utf-8"))
    monkeypatch.setattr(sys, "stdout", Strict("utf-8"))
    assert printable(CHINESE) == CHINESE
    # Half of a pair, as JSON may have it: no encoding takes that.
    assert printable("\ud83d") == "\\ud83d"
    monkeypatch.setattr(sys, "stdout", Strict("gbk"))
    assert printable(CHINESE) == CHINESE
    monkeypatch.setattr(sys, "stdout", None)
    assert printable(CHINESE) == CHINESE
    monkeypatch.setattr(sys, "stdout", Strict("cp1252"))
    assert printable(CHINESE) == "\\u4f59\\u989d\\u4e0d\\u8db3"
    # The page is told in full.
    assert InputError(CHINESE).text == CHINESE
    assert CHINESE not in str(InputError(CHINESE))


def test_a_line_holds_what_the_console_takes_with_its_error_too(
    raising: Raising, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Strict("cp1252"))
    log = Log("pack.raising")
    log.error("The gateway says %s", CHINESE)
    log.error("It failed", exc_info=OSError(2, "no such file", CHINESE))
    assert [line.isascii() for line in raising.lines] == [True, True]
    assert "u4f59" in raising.lines[0]
    assert "u4f59" in raising.lines[1]


def test_a_handler_that_raises_costs_nothing(raising: Raising) -> None:
    log = Log("pack.raising")
    try:
        raise InputError(CHINESE)
    except InputError as error:
        log.error("It failed for %s", "a reason", exc_info=True)
        log.warning("It failed", exc_info=error)
    log.error("wrong number of values: %s %s", 1)  # noqa: PLE1206
    assert [line.splitlines()[0] for line in raising.lines] == ["It failed for a reason", "It failed"]
    assert all("InputError" in line for line in raising.lines)
