"""Which URLs and addresses a download may go to."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.errors import ConfigError
from pack.nanobanana.gateway.http.url_policy import BlockedAddress, DownloadPolicy, origin

HOME = "http://127.0.0.1:8000"
POLICY = DownloadPolicy.for_gateway(HOME, (" NAS.lan ", "192.168.1.5:8080"))
ELSEWHERE = ("https", "cdn.example", 443)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc/passwd", "begins with file:"),
        ("ftp://example.com/a.png", "begins with ftp:"),
        ("javascript:alert(1)", "begins with javascript:"),
        ("data:image/png;base64,AAAA", "begins with data:"),
        ("//example.com/a.png", "begins with nothing:"),
        ("/a.png", "begins with nothing:"),
        ("http:///a.png", "names no host"),
        ("https://", "names no host"),
        ("http://user@example.com/a.png", "user name"),
        ("http://user:word@example.com/a.png", "user name"),
        ("http://example.com:99999/a.png", "malformed"),
        ("http://example.com:x/a.png", "malformed"),
        ("http://[::1/a.png", "malformed"),
        ("http://127.0.0.1:9\\@example.com/a.png", "characters"),
        ("http://example.com/a b.png", "characters"),
        ("http://example.com/a\r\nX-Injected: 1", "characters"),
        ("http://exa\tmple.com/", "characters"),
        ("http://example.com/\x7f", "characters"),
        ("http://127.0.0.1/a.png", "private address"),
        ("http://127.0.0.1:8001/a.png", "private address"),
        ("https://127.0.0.1:8000/a.png", "private address"),
        ("http://10.0.0.1/", "private address"),
        ("http://172.16.0.1/", "private address"),
        ("http://192.168.1.5/", "private address"),
        ("http://100.64.0.1/", "private address"),
        ("http://198.18.0.5/", "private address"),
        ("http://240.0.0.1/", "private address"),
        ("http://2130706433/", "private address"),
        ("http://0x7f000001/", "private address"),
        ("http://0177.0.0.1/", "private address"),
        ("http://127.1/", "private address"),
        ("http://[::1]/", "private address"),
        ("http://[::ffff:127.0.0.1]/", "private address"),
        ("http://[::ffff:7f00:1]/", "private address"),
        ("http://[::127.0.0.1]/", "private address"),
        ("http://[64:ff9b::7f00:1]/", "private address"),
        ("http://[64:ff9b:1::a00:1]/", "private address"),
        ("http://[2002:7f00:1::]/", "private address"),
        ("http://[fd00::1]/", "private address"),
        ("http://[fec0::1]/", "private address"),
        ("http://0.0.0.0/", "no single machine"),
        ("http://0/", "no single machine"),
        ("http://224.0.0.1/", "no single machine"),
        ("http://[ff02::1]/", "no single machine"),
        ("http://[::]/", "no single machine"),
        ("http://169.254.169.254/latest/meta-data/", "link-local"),
        ("http://2852039166/latest/", "link-local"),
        ("http://[fe80::1]/", "link-local"),
        ("http://[fe80::1%25eth0]/", "link-local"),
        ("http://[::ffff:169.254.169.254]/", "link-local"),
        ("http://localhost/a.png", "this computer"),
        ("http://LOCALHOST:9/a.png", "this computer"),
        ("http://app.localhost/a.png", "this computer"),
        ("http://localhost./a.png", "this computer"),
        ("http://metadata.google.internal/", "this computer"),
        ("http://printer.local/", "this computer"),
    ],
)
def test_refused(url: str, words: str) -> None:
    with pytest.raises(BlockedAddress, match=words):
        POLICY.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example/a.png?Expires=1&Signature=a%2Bb",
        "HTTP://CDN.example/a.png",
        "http://8.8.8.8/a.png",
        "http://[2606:4700::1111]:8080/a.png",
        "http://127.0.0.1:8000/output/1.png",
        "http://nas.lan/1.png",
        "https://nas.lan:444/1.png",
        "http://192.168.1.5:8080/1.png",
        "https://notlocalhost.example/a.png",
        "https://\u56fe.example/a.png",
    ],
)
def test_allowed(url: str) -> None:
    POLICY.check_url(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "::1",
        "fd12::1",
        "::ffff:10.0.0.1",
        "100.100.1.1",
        "0.0.0.0",
        "224.0.0.251",
        "fe80::1%2",
    ],
)
def test_a_name_that_resolves_to_a_forbidden_address_is_refused(address: str) -> None:
    with pytest.raises(BlockedAddress):
        POLICY.check_address(address, ELSEWHERE)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "198.18.3.7"])
def test_a_name_that_resolves_to_a_public_or_a_stand_in_address_is_fetched(address: str) -> None:
    POLICY.check_address(address, ELSEWHERE)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "fd00::1"])
@pytest.mark.parametrize(
    "target", [("http", "127.0.0.1", 8000), ("http", "nas.lan", 80), ("http", "192.168.1.5", 8080)]
)
def test_what_the_user_named_may_be_private(address: str, target: tuple[str, str, int]) -> None:
    POLICY.check_address(address, target)


@pytest.mark.parametrize("target", [("http", "127.0.0.1", 8000), ("http", "nas.lan", 80)])
def test_link_local_stays_refused_for_what_the_user_named(target: tuple[str, str, int]) -> None:
    for address in ("169.254.169.254", "fe80::1"):
        with pytest.raises(BlockedAddress, match="link-local"):
            POLICY.check_address(address, target)


@pytest.mark.parametrize(
    "target", [("http", "192.168.1.5", 80), ("http", "192.168.1.5", 8081), ("https", "127.0.0.1", 8000)]
)
def test_another_port_or_scheme_is_not_what_the_user_named(target: tuple[str, str, int]) -> None:
    with pytest.raises(BlockedAddress):
        POLICY.check_address(target[1], target)


def test_no_redirect_from_https_to_http() -> None:
    POLICY.check_url("https://b.example/", came_from="https://a.example/")
    POLICY.check_url("http://b.example/", came_from="http://a.example/")
    POLICY.check_url("https://b.example/", came_from="http://a.example/")
    with pytest.raises(BlockedAddress, match="from https to http"):
        POLICY.check_url("http://b.example/", came_from="https://a.example/")


def test_the_origin_has_the_schemes_port() -> None:
    assert origin("https://A.example/x") == ("https", "a.example", 443)
    assert origin("http://a.example:8080") == ("http", "a.example", 8080)


def test_a_base_url_that_is_none_is_a_setting_to_mend() -> None:
    with pytest.raises(ConfigError):
        DownloadPolicy.for_gateway("ftp://a.example")


@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://", "http://127.0.0.1:8000", "http://["]))
def test_any_text_is_allowed_or_refused_and_nothing_else(text: str, start: str) -> None:
    with contextlib.suppress(BlockedAddress):
        POLICY.check_url(start + text)


@given(st.ip_addresses())
def test_every_address_gets_a_verdict(address: object) -> None:
    with contextlib.suppress(BlockedAddress):
        POLICY.check_address(str(address), ELSEWHERE)
