"""Large and hostile answers: linear time, bounded memory, and an error of ours at every limit."""

from __future__ import annotations

import contextlib
import gc
import json
import time
import tracemalloc
from collections.abc import Callable

import pytest
from gateway.samples import b64, chunk, delta, outcome, read, stream
from pack.nanobanana.errors import BadAnswer
from pack.nanobanana.gateway.answer.partial_json import load
from pack.nanobanana.gateway.answer.reader import AnswerReader
from pack.nanobanana.gateway.answer.types import AnswerLimits, ImageData, ImageUrl

pytestmark = pytest.mark.slow

U = "https://x.cn/a.png"
MIB = 1024 * 1024


def noise(size: int) -> bytes:
    """`size` bytes that look like an image's: no two parts the same."""
    return b"".join(number.to_bytes(8, "big") for number in range(size // 8))


def in_pieces(data: bytes, size: int = 65_536) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def best(work: Callable[[], object], times: int = 3) -> float:
    """The least processor time of some runs, seconds: other processes' load doesn't count."""
    least = 60.0
    for _ in range(times):
        started = time.thread_time()
        work()
        least = min(least, time.thread_time() - started)
    return least


def feed_on(reader: AnswerReader, piece: bytes, times: int) -> None:
    for _ in range(times):
        reader.feed(piece)


def one_line(size: int) -> bytes:
    return stream(chunk(f"![image](data:image/png;base64,{b64(noise(size))})"))


def many_deltas(size: int) -> bytes:
    text = b64(noise(size))
    parts = [text[start : start + 1_000] for start in range(0, len(text), 1_000)]
    return stream(chunk("![image](data:image/png;base64,"), *(chunk(part) for part in parts), chunk(")"))


def plain(size: int) -> bytes:
    return json.dumps({"data": [{"b64_json": b64(noise(size))}]}).encode()


def url_of_one_character_deltas(size: int) -> bytes:
    return stream(*(chunk(character) for character in "https://x.cn/" + "a" * (size // 200)))


def many_links(size: int) -> bytes:
    return stream(*(chunk(f"![a](https://x.cn/{number}) ") for number in range(size // 200)))


def many_errors_behind_a_image(size: int) -> bytes:
    return stream(chunk(media={"outputs": [U]}), *({"error": {"message": "x"}} for _ in range(size // 200)))


def reasoning(size: int) -> bytes:
    return stream(*(delta(reasoning_content="word ") for _ in range(size // 200)), chunk(U))


def broken_events(size: int) -> bytes:
    return b'data: {"choices":[{"delta":{"content":"x\n\n' * (size // 200)


@pytest.mark.parametrize(
    "answer",
    [
        one_line,
        many_deltas,
        plain,
        url_of_one_character_deltas,
        many_links,
        many_errors_behind_a_image,
        reasoning,
        broken_events,
    ],
)
def test_time_is_linear(answer: Callable[[int], bytes]) -> None:
    small, large = (in_pieces(answer(size)) for size in (MIB // 8, MIB // 2))
    short, long = best(lambda: outcome(small)), best(lambda: outcome(large))
    # Quadratic would be 16 times as long.
    assert long < 9 * (short + 0.002), f"{short:.4f} s, then {long:.4f} s"


def test_16_mib_in_one_line_are_read_within_a_second() -> None:
    data = one_line(12 * MIB)
    assert len(data) > 16 * MIB
    pieces = in_pieces(data)
    assert best(lambda: outcome(pieces)) < 1.0


@pytest.mark.parametrize("answer", [one_line, many_deltas, plain])
def test_memory_is_a_few_times_the_image(answer: Callable[[int], bytes]) -> None:
    image = noise(3 * MIB)
    data = answer(len(image))
    pieces = in_pieces(data)
    gc.collect()
    tracemalloc.start()
    try:
        answer_ = read(pieces)[1]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer_.images == (ImageData(image),)
    # The text as bytes and as string while it is parsed, its pieces, the decoded image: 4/3 of the image each.
    assert peak < 7 * len(image), f"{peak / len(image):.1f} times the image"


def test_an_endless_stream_ends_at_the_limit() -> None:
    reader = AnswerReader(AnswerLimits(total_bytes=10_000))
    ping = b": PING\n\n" * 100
    with pytest.raises(BadAnswer, match="larger than"):
        feed_on(reader, ping, 100)


def test_endless_events_end_at_the_limit() -> None:
    reader = AnswerReader(AnswerLimits(events=1_000))
    with pytest.raises(BadAnswer, match="past 1000 events"):
        feed_on(reader, b"data: {}\n\n", 2_000)


def test_an_endless_line_ends_at_the_limit() -> None:
    reader = AnswerReader(AnswerLimits(line_bytes=10_000))
    with pytest.raises(BadAnswer, match="a line of more than"):
        feed_on(reader, b"data: " + b"x" * 1_000, 100)


def test_a_image_before_the_limit_can_be_saved() -> None:
    reader = AnswerReader(AnswerLimits(total_bytes=1_000))
    reader.feed(stream(chunk(media={"outputs": [U]}), done=False))
    with pytest.raises(BadAnswer):
        reader.feed(b"x" * 1_000)
    saved = reader.salvage()
    assert saved is not None
    assert saved.images == (ImageUrl(U),)


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 65 + b"]" * 65,
        b'{"choices":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b"[" + b"[]," * 600_000 + b"1]",
        b"[" + b"1," * 1_100_000 + b"1]",
    ],
    ids=["arrays", "objects", "just too deep", "inside", "many arrays", "many numbers"],
)
def test_deep_or_wide_json_is_a_bad_answer(value: bytes) -> None:
    for data in (value, b"data: " + value + b"\n\n"):
        with pytest.raises(BadAnswer, match=r"deep|values"):
            read(data)
        reader = AnswerReader()
        with contextlib.suppress(BadAnswer):
            reader.feed(data)
        assert reader.salvage() is None


def test_brackets_inside_of_strings_dont_count() -> None:
    text = "[{" * 1_000 + '\\" [' * 100
    assert load(json.dumps({"a": [text]}).encode(), AnswerLimits()) == {"a": [text]}


@pytest.mark.parametrize("value", [b'{"a": ' + b"9" * 5_000 + b"}", b'{"a": 1e999}', b'{"a": NaN, "a": -Infinity}'])
def test_numbers_that_are_none_do_no_harm(value: bytes) -> None:
    image = stream(chunk(media={"outputs": [U]}))
    assert read(b"data: " + value + b"\n\n" + image)[1].images == (ImageUrl(U),)


def test_many_choices_hold_few_texts() -> None:
    payloads = [{"choices": [{"index": number, "delta": {"content": "x"}}]} for number in range(500)]
    assert read(stream(*payloads, chunk(media={"outputs": [U]})))[1].text == "x"


def test_words_are_kept_up_to_the_limit_and_images_behind_them_found() -> None:
    reader = AnswerReader(AnswerLimits(text_characters=1_000))
    answer = read(stream(*(chunk("word " * 100) for _ in range(100)), chunk(f"![a]({U})")), reader)[1]
    assert len(answer.text) <= 1_000
    assert answer.images == (ImageUrl(U),)
