"""Server-sent events: the specification, the relays' liberties, every split point."""

from __future__ import annotations

import time

import pytest
from gateway.samples import cut
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.errors import BadAnswer
from pack.nanobanana.gateway.answer.sse import SseDecoder, SseEvent

# (name, bytes, events as (type, data))
CASES = [
    ("lf", b"data: {}\n\n", [("", b"{}")]),
    ("crlf", b"data: {}\r\n\r\n", [("", b"{}")]),
    ("cr", b"data: {}\r\r", [("", b"{}")]),
    ("mixed line ends", b"data: 1\r\n\ndata: 2\r\r\ndata: 3\n\r", [("", b"1"), ("", b"2"), ("", b"3")]),
    ("no space", b"data:{}\n\n", [("", b"{}")]),
    ("two spaces: one is dropped", b"data:  x\n\n", [("", b" x")]),
    ("no last blank line", b"data: {}\n", [("", b"{}")]),
    ("no last line end", b"data: {}", [("", b"{}")]),
    ("comments", b": PING\n\n: OPENROUTER PROCESSING\n\ndata: 1\n:x\n\n", [("", b"1")]),
    ("empty data is a keep-alive", b"data:\n\ndata: \n\ndata: 1\n\n", [("", b"1")]),
    ("several data lines", b"data: a\ndata: b\n\n", [("", b"a\nb")]),
    ("pretty-printed JSON", b'data: {\ndata:  "a": {}\ndata: }\n\n', [("", b'{\n "a": {}\n}')]),
    ("event and id", b"id: 7\nevent: error\ndata: x\n\ndata: y\n\n", [("error", b"x"), ("", b"y")]),
    ("an error without data", b"event: error\n\n", [("error", b"")]),
    ("an event without data", b"event: ping\n\ndata: 1\n\n", [("", b"1")]),
    ("unknown fields and retry", b"retry: 10\nfoo: bar\nfoo\ndata: 1\n\n", [("", b"1")]),
    (
        "one line break between values",
        b'data: {"a":1}\ndata: {"b":2}\ndata: [DONE]\n',
        [("", b'{"a":1}'), ("", b'{"b":2}'), ("", b"[DONE]")],
    ),
    ("JSON without data:", b'data: 1\n\n{"error":1}\ndata: 2\n\n', [("", b"1"), ("", b'{"error":1}'), ("", b"2")]),
    ("nothing", b"", []),
    ("other line separators are data", "data: a\u2028b\x0bc\x85\n\n".encode(), [("", "a\u2028b\x0bc\x85".encode())]),
]


def decoded(pieces: list[bytes]) -> list[tuple[str, bytes]]:
    decoder = SseDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)] + decoder.finish()
    return [(event.event, event.data) for event in events]


@pytest.mark.parametrize(("data", "events"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_split_gives_the_same_events(data: bytes, events: list[tuple[str, bytes]]) -> None:
    assert decoded([data]) == events
    assert decoded([data[place : place + 1] for place in range(len(data))]) == events
    for place in range(len(data) + 1):
        assert decoded([data[:place], data[place:]]) == events, place
        assert decoded([data[:place], b"", data[place:]]) == events, place


@given(
    st.lists(st.sampled_from([b"data:", b" ", b"{", b"}", b"\n", b"\r", b"[", b"x", b"event: e", b":"])),
    st.lists(st.integers(0, 1000)),
)
def test_any_bytes_in_any_split(parts: list[bytes], places: list[int]) -> None:
    data = b"".join(parts)
    assert decoded(cut(data, places)) == decoded([data])


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r"])
def test_an_event_comes_with_its_last_byte(end: bytes) -> None:
    decoder = SseDecoder()
    data = b"data: {}" + end
    for place in range(len(data) - 1):
        assert decoder.feed(data[place : place + 1]) == []
    assert decoder.feed(data[-1:]) == [SseEvent("", b"{}")]


def test_a_value_is_given_when_the_next_line_shows_that_it_ended() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b'data: {"a":1}\n') == []
    assert decoder.feed(b'data: {"b":2}\n') == [SseEvent("", b'{"a":1}')]
    assert decoder.finish() == [SseEvent("", b'{"b":2}')]


def test_a_line_over_the_limit_is_refused_while_it_arrives() -> None:
    decoder = SseDecoder(line_bytes=100)
    decoder.feed(b"data: " + b"x" * 94)
    with pytest.raises(BadAnswer, match="a line of more than"):
        decoder.feed(b"x")


def test_an_event_over_the_limit_is_refused() -> None:
    decoder = SseDecoder(event_bytes=100)
    with pytest.raises(BadAnswer, match="an event of more than"):
        decoder.feed(b"data: xxxxxxxxx\n" * 11)


def test_what_was_whole_before_the_limit_is_given() -> None:
    decoder = SseDecoder(line_bytes=20)
    assert decoder.feed(b"data: 1\n\ndata: " + b"x" * 30) == [SseEvent("", b"1")]
    with pytest.raises(BadAnswer):
        decoder.feed(b"x")
    with pytest.raises(BadAnswer):
        decoder.finish()


def test_what_is_unfinished_can_be_seen() -> None:
    decoder = SseDecoder()
    decoder.feed(b'data: 1\n\ndata: {"a":\ndata: "b')
    assert decoder.unfinished == b'{"a":\n"b'
    decoder = SseDecoder()
    decoder.feed(b'data: 1\n\n{"error')
    assert decoder.unfinished == b'{"error'


def seconds(megabytes: int, piece: int = 65_536) -> float:
    """The best of five decodings of one `data:` line."""
    data = b"data: " + b"x" * (megabytes << 20) + b"\n\n"
    pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
    best = 60.0
    for _ in range(5):
        decoder = SseDecoder()
        started = time.thread_time()
        events = [event for part in pieces for event in decoder.feed(part)]
        best = min(best, time.thread_time() - started)
        assert len(events) == 1
    return best


def test_a_line_of_16_mib_in_pieces_of_64_kib_takes_linear_time() -> None:
    small, large = seconds(4), seconds(16)
    # Quadratic would be 16 times as long. The millisecond is the clock's and the scheduler's.
    assert large < 10 * (small + 0.001), f"{small:.4f} s, then {large:.4f} s"


def test_many_small_events_take_linear_time() -> None:
    def timed(count: int) -> float:
        data = b'data: {"a":1}\n\n' * count
        best = 60.0
        for _ in range(3):
            started = time.thread_time()
            assert len(SseDecoder().feed(data)) == count
            best = min(best, time.thread_time() - started)
        return best

    assert timed(20_000) < 10 * (timed(5_000) + 0.001)
