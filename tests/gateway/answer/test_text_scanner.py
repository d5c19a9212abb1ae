"""Images in a text, in any split."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from gateway.samples import b64, data_url, png
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.gateway.answer.links import Link, LinkKind, names_image
from pack.nanobanana.gateway.answer.text_scanner import TextScanner

A, B = png(1), png(2)
STOP, COMMA, QUOTE = "\u3002", "\uff0c", "\u300d"
WORDS = "\u597d\u7684"


def scanned(pieces: list[str]) -> tuple[list[Link], bool, str]:
    scanner = TextScanner()
    for piece in pieces:
        scanner.feed(piece)
    scanner.finish()
    return scanner.links, scanner.only_links, scanner.text()


def image(url: str) -> Link:
    return Link(LinkKind.IMAGE, url)


def bare(url: str) -> Link:
    return Link(LinkKind.BARE, url)


def link(url: str) -> Link:
    return Link(LinkKind.LINK, url)


def data(image: bytes) -> Link:
    return Link(LinkKind.DATA, data=image)


CASES: list[tuple[str, list[Link]]] = [
    ("", []),
    ("no image here", []),
    ("https://x.cn/output/38fa5bcb-u2_307a.jpeg", [bare("https://x.cn/output/38fa5bcb-u2_307a.jpeg")]),
    ("see https://x.cn/a.png, or https://x.cn/b.png.", [bare("https://x.cn/a.png"), bare("https://x.cn/b.png")]),
    (f"{WORDS}{COMMA}https://x.cn/a.png{STOP}{WORDS}", [bare("https://x.cn/a.png")]),
    (f"https://x.cn/a.png{WORDS}", [bare("https://x.cn/a.png")]),
    (f"\u300chttps://x.cn/a{QUOTE}", [bare("https://x.cn/a")]),
    (f"https://x.cn/\u56fe/a.png?x=\u56fe{STOP}", [bare("https://x.cn/%E5%9B%BE/a.png?x=%E5%9B%BE")]),
    ("**https://x.cn/a.png**", [bare("https://x.cn/a.png")]),
    ("(https://x.cn/a.png)", [bare("https://x.cn/a.png")]),
    ("(https://x.cn/a_(1).png)", [bare("https://x.cn/a_(1).png")]),
    ("<https://x.cn/a.png>", [bare("https://x.cn/a.png")]),
    ("`https://x.cn/a.png`", [bare("https://x.cn/a.png")]),
    ('"https://x.cn/a.png"', [bare("https://x.cn/a.png")]),
    ("| https://x.cn/a.png|", [bare("https://x.cn/a.png")]),
    ("https://x.cn/a.png\\n", [bare("https://x.cn/a.png")]),
    ("https://x.cn/a.png?sig=a%2Fb-_&x=1!", [bare("https://x.cn/a.png?sig=a%2Fb-_&x=1")]),
    ("https://x.cn/s_", [bare("https://x.cn/s_")]),
    ("https://x/1.pnghttps://x/2.png", [bare("https://x/1.png"), bare("https://x/2.png")]),
    ("https://p.cn/https://x/2.png", [bare("https://p.cn/https://x/2.png")]),
    ("HTTPS://X.cn/A.PNG", [bare("HTTPS://X.cn/A.PNG")]),
    ("http://[::1]:8188/a.png]", [bare("http://[::1]:8188/a.png")]),
    ("https:// and http://", []),
    ("![](https://x.cn/a)", [image("https://x.cn/a")]),
    ("![a cat](https://x.cn/a) ![b](http://x.cn/b)", [image("https://x.cn/a"), image("http://x.cn/b")]),
    ('![a](https://x.cn/a "a title")', [image("https://x.cn/a")]),
    ("![a](<https://x.cn/a>)", [image("https://x.cn/a")]),
    ("![a](\nhttps://x.cn/a)", [image("https://x.cn/a")]),
    ("![a](https://x.cn/a_(1))b", [image("https://x.cn/a_(1)")]),
    (f"![{'prompt ' * 2_000}](https://x.cn/a)", [image("https://x.cn/a")]),
    (f"![{'prompt ' * 500}](https://x.cn/a)", [image("https://x.cn/a")]),
    (f"[{'label ' * 500}](https://x.cn/a)", [link("https://x.cn/a")]),
    ("](https://x.cn/a)", [link("https://x.cn/a")]),
    ("![a [b] c](https://x.cn/a)", [image("https://x.cn/a")]),
    ("[more](https://x.cn/page)", [link("https://x.cn/page")]),
    ("[![a](https://x.cn/a)](https://x.cn/b.png)", [image("https://x.cn/a"), link("https://x.cn/b.png")]),
    ("[https://x.cn/a.png](https://x.cn/a.png)", [bare("https://x.cn/a.png"), link("https://x.cn/a.png")]),
    (f"![a](https://x.cn/a{WORDS}.png)", [image("https://x.cn/a%E5%A5%BD%E7%9A%84.png")]),
    ('<img src="https://x.cn/a?b=1&amp;c=2">', [image("https://x.cn/a?b=1&c=2")]),
    ("<img alt='x' src='https://x.cn/a'/>", [image("https://x.cn/a")]),
    ("<img src=https://x.cn/a>", [image("https://x.cn/a")]),
    ("<a href='https://x.cn/a'>b</a>", [link("https://x.cn/a")]),
    (f"![image]({data_url(A)})", [data(A)]),
    (f"![image]({data_url(A)}) and ![image]({data_url(B)})", [data(A), data(B)]),
    (f"![image](data:image/png;base64,{b64(A)[:20]}\n{b64(A)[20:]})", [data(A)]),
    (f'![image]({data_url(A)} "title")', [data(A)]),
    (f'<img src="{data_url(A)}" alt="x">', [data(A)]),
    (data_url(A), [data(A)]),
    (data_url(A) + " bye", [data(A)]),
    (data_url(A) + STOP, [data(A)]),
    (f"DATA:IMAGE/JPEG;CHARSET=utf-8;BASE64,{b64(A)}", [data(A)]),
    ("data: the data:image/png;base64,... of data:text/plain;base64,QUJDREVGR0hJSktMTU5PUFFSU1RVVg==", []),
    ("metadata:https://x.cn/a.png", [bare("https://x.cn/a.png")]),
    ("data:" * 50 + "image/png", []),
]


@pytest.mark.parametrize(("text", "links"), CASES, ids=[str(number) for number in range(len(CASES))])
def test_every_split_finds_the_same_links(text: str, links: list[Link]) -> None:
    whole = scanned([text])
    assert whole[0] == links
    assert scanned(list(text)) == whole
    for place in range(0, len(text) + 1, 1 + len(text) // 200):
        assert scanned([text[:place], text[place:]]) == whole, place


PARTS = [
    "![",
    "](",
    "[",
    "]",
    ")",
    "(",
    "https://",
    "http",
    "x.cn/a",
    ".png",
    "?",
    " ",
    "\n",
    "data:",
    "image/png;base64,",
]
PARTS += [b64(A), "src=", '"', "<img ", ">", STOP, WORDS, "!", "h", "d", "<", "\\", "a" * 300]


@given(st.lists(st.sampled_from(PARTS), max_size=25), st.lists(st.integers(0, 4000), max_size=12))
def test_any_text_in_any_split(parts: list[str], places: list[int]) -> None:
    text = "".join(parts)
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    assert scanned([text[a:b] for a, b in pairwise(marks)]) == scanned([text])


@given(st.text(max_size=300))
def test_words_without_links_stay_as_they_are(text: str) -> None:
    links, _, words = scanned([text])
    if not links:
        assert words == "".join(c for c in text if c in "\t\n" or not (ord(c) < 32 or ord(c) == 127)).strip()


def test_a_url_too_long_for_one_is_words_in_any_split() -> None:
    text = "https://x.cn/" + "a" * 16_384 + "https://x.cn/b.png "
    assert scanned([text])[0] == [bare("https://x.cn/b.png")]
    assert scanned([text[start : start + 999] for start in range(0, len(text), 999)])[0] == [bare("https://x.cn/b.png")]


def test_links_come_with_the_piece_that_closes_them() -> None:
    scanner = TextScanner()
    assert scanner.feed("![a](https://x.cn/") == []
    assert scanner.feed("a.png") == []
    assert scanner.feed(") ") == [image("https://x.cn/a.png")]
    assert scanner.feed(f"![b]({data_url(B)}") == []
    assert scanner.feed(")") == [data(B)]


def test_the_open_link_may_go_on() -> None:
    scanner = TextScanner()
    scanner.feed("see https://x.cn/a.png")
    assert scanner.open_link == Link(LinkKind.BARE, "https://x.cn/a.png")
    scanner.feed("?x=1")
    assert scanner.open_link == Link(LinkKind.BARE, "https://x.cn/a.png?x=1")
    scanner.feed(" ")
    assert scanner.open_link is None
    assert scanner.links == [bare("https://x.cn/a.png?x=1")]
    scanner.feed(data_url(A))
    assert scanner.open_link is None


@pytest.mark.parametrize(
    ("url", "is_image"),
    [
        ("https://x/a.png", True),
        ("https://x/a.JPEG?x=1#y", True),
        ("https://x/a.webp!thumb", True),
        ("https://x/get?file=a.avif", True),
        ("https://x/a.png/view", False),
        ("https://x/a.pngs", False),
        ("https://x/page", False),
        ("https://png", False),
    ],
)
def test_which_names_are_images(url: str, is_image: bool) -> None:
    assert names_image(url) is is_image


def test_files_that_are_no_images() -> None:
    assert not image("https://x/a.mp4").is_sure
    assert not bare("https://x/a.html").may_be_image
    assert bare("https://x/a").may_be_image
    assert not bare("https://x/a").is_image
    assert not link("https://x/a").may_be_image


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"Here: ![a cat]({data_url(A)}) done", "Here:  done"),
        (f'Here: <img alt="x" src="{data_url(A)}"> done', "Here:  done"),
        (data_url(A), ""),
        (f"a data:video/mp4;base64,{b64(A)} b", "a data:video/mp4;base64,... b"),
        ("a data:image/png;base64,QQ== b", "a data:image/png;base64,... b"),
        ("a\x00b\x1bc\nd", "abc\nd"),
        ("![a](https://x.cn/a) b", "![a](https://x.cn/a) b"),
    ],
)
def test_words_hold_no_data(text: str, words: str) -> None:
    assert scanned([text])[2] == words


def test_words_leave_out_the_images_that_count() -> None:
    scanner = TextScanner()
    scanner.feed("One ![a](https://x.cn/a), two [p](https://x.cn/p), three https://x.cn/c.png")
    scanner.finish()
    images = frozenset(item for item in scanner.links if item.is_image)
    assert scanner.text(images) == "One , two [p](https://x.cn/p), three"


def test_words_and_links_are_bounded() -> None:
    scanner = TextScanner(text_limit=100, links_limit=3)
    for number in range(1000):
        scanner.feed(f"words https://x.cn/{number}.png ")
    assert len(scanner.links) == 3
    assert len(scanner.text()) < 200


@pytest.mark.parametrize(
    "part",
    ["![a](", "[", "](", "https://x.cn/", "data:", "data:image/png;base64,", "((", "a", "http", "https://x/a.png", ")"],
)
def test_hostile_texts_take_linear_time(part: str) -> None:
    def timed(characters: int) -> float:
        text = (part * (characters // len(part) + 1))[:characters]
        best = 60.0
        for _ in range(3):
            scanner = TextScanner()
            started = time.thread_time()
            for start in range(0, characters, 5_000):
                scanner.feed(text[start : start + 5_000])
            scanner.finish()
            scanner.text(frozenset(scanner.links))
            best = min(best, time.thread_time() - started)
        return best

    small, large = timed(40_000), timed(160_000)
    assert large < 10 * (small + 0.002), f"{small:.4f} s, then {large:.4f} s"
