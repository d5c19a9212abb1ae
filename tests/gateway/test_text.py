"""What the gateway says, cut to length."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.gateway.text import MOST_PROGRESS, beginning, clean, ending, progress_line
from pack.nanobanana.settings.redaction import redact

KEY = "q7Zp3Xw9Kd2Lm5Tn8Vb4Rc6"
WORDS = st.text(alphabet=string.ascii_letters + " .,:/=?", max_size=400)


@given(WORDS, WORDS, st.integers(10, 320))
def test_no_cut_leaves_a_part_of_a_key(before: str, after: str, limit: int) -> None:
    text = f"{before} key={KEY} {after}"
    for shown in (clean(text, limit), beginning(text, limit), ending(text, limit), progress_line(text)):
        assert len(shown) <= max(limit, MOST_PROGRESS)
        # Any four characters of it that are in none of the words around.
        parts = {KEY[at : at + 4] for at in range(len(KEY) - 3)}
        assert not any(part in redact(shown, [KEY]) for part in parts if part not in before + after)


def test_a_cut_keeps_whole_words() -> None:
    assert clean("one two three", 13) == "one two three"
    assert clean("one two three four", 13) == "one two..."
    assert clean("one two three", 10) == "one two..."
    assert beginning("one two", 3) == "one"
    assert beginning("one two", 5) == "one"
    assert ending("one two", 3) == "two"
    assert ending("one two", 5) == "two"
    assert beginning("\u732b" * 20, 5) == "\u732b" * 5
